"""Reads the file and the environment, and says everything that is wrong with them at once."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from edgeproxy.config.document import DocumentError, filled, read
from edgeproxy.config.findings import mistakes_in
from edgeproxy.config.mistakes import ConfigError, Mistake
from edgeproxy.config.references import broken_references
from edgeproxy.config.schema import Config


def load(path: Path, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration in the YAML file at `path`; `environ` is the process's own when None.

    Raises `ConfigError`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(str(path), [Mistake("file", "is not UTF-8", "a YAML file in UTF-8")]) from None
    except (OSError, ValueError) as error:
        # A ValueError: the path holds a NUL.
        cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigError(str(path), [Mistake("file", cause.lower(), "a readable file")]) from None
    return parse(text, os.environ if environ is None else environ, source=str(path))  # noqa: TID251


def parse(text: str, environ: Mapping[str, str], *, source: str = "config") -> Config:
    """The configuration in YAML `text`.  Raises `ConfigError` with every mistake in it."""
    try:
        tree = read(text)
    except DocumentError as error:
        raise ConfigError(source, [error.mistake]) from None
    tree, mistakes = filled(tree, environ)
    # One mistake a place: what is missing in the environment is not also of the wrong form.
    told = {mistake.where for mistake in mistakes}
    config: Config | None = None
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        mistakes += [mistake for mistake in mistakes_in(error) if mistake.where not in told]
    told = {mistake.where for mistake in mistakes}
    mistakes += [mistake for mistake in broken_references(tree) if mistake.where not in told]
    if config is None or mistakes:
        raise ConfigError(source, mistakes)
    return config
