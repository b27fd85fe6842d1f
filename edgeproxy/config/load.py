"""Reads the file and the environment, and says everything that is wrong with them at once."""

import difflib
import os
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from edgeproxy.config.references import broken_references
from edgeproxy.config.schema import FORMS, Config, Section

_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})")
_SECRET_KEYS = frozenset({"token", "secret_access_key", "session_token"})


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong: where, what was seen, what is wanted."""

    where: str
    seen: str
    wanted: str

    def __str__(self) -> str:
        return (
            f"{self.where}: {self.seen}, want {self.wanted}" if self.wanted else f"{self.where}: {self.seen}"
        )


class ConfigError(Exception):
    """The configuration cannot be used; `mistakes` holds every one of them."""

    def __init__(self, source: str, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(f"{source}: {mistake}" for mistake in mistakes))
        self.mistakes = mistakes


def load(path: Path, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration in the YAML file at `path`; `environ` is the process's own when None.

    Raises `ConfigError`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            str(path), [Mistake("file", error.strerror or str(error), "a readable file")]
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), [Mistake("file", "is not UTF-8", "a YAML file in UTF-8")]) from None
    return parse(text, os.environ if environ is None else environ, source=str(path))  # noqa: TID251


def parse(text: str, environ: Mapping[str, str], *, source: str = "config") -> Config:
    """The configuration in YAML `text`.  Raises `ConfigError` with every mistake in it."""
    try:
        tree = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}" if error.problem_mark else "file"
        raise ConfigError(source, [Mistake(where, error.problem or "is not YAML", "")]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(source, [Mistake("file", str(error).splitlines()[0], "a YAML file")]) from None
    if not isinstance(tree, dict):
        raise ConfigError(source, [Mistake("file", f"got {_shown(tree)}", "a mapping of settings")])
    mistakes: list[Mistake] = []
    tree = _filled(tree, environ, (), mistakes)
    unset = {mistake.where for mistake in mistakes}
    config: Config | None = None
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        found = {mistake.where: mistake for mistake in map(_mistake, error.errors(include_url=False))}
        mistakes += [mistake for where, mistake in found.items() if where not in unset]
    for where, seen, wanted in broken_references(tree):
        if where not in unset:
            mistakes.append(Mistake(where, seen, wanted))
    if config is None or mistakes:
        raise ConfigError(source, mistakes)
    return config


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key that stands twice is a mistake and `on`/`yes` are words."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is not a word", key_node.start_mark
                )
            if key in seen:
                problem = f'the key "{key}" stands twice in one mapping'
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _filled(
    node: Any, environ: Mapping[str, str], path: tuple[str | int, ...], mistakes: list[Mistake]
) -> Any:
    """`node` with `${NAME}` and `${NAME:-default}` replaced in its strings; `$$` is a dollar sign."""
    if isinstance(node, dict):
        return {key: _filled(value, environ, (*path, key), mistakes) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, environ, (*path, index), mistakes) for index, value in enumerate(node)]
    if not isinstance(node, str) or "$" not in node:
        return node

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if name is None:
            return "$"
        found = environ.get(name, "")
        if found or (name in environ and default is None):
            return found
        if default is None:
            mistakes.append(
                Mistake(_dotted(path), f"got ${{{name}}}", f"{name} to be set in the environment")
            )
            return ""
        return default

    return _VARIABLE.sub(value, node)


def _mistake(error: ErrorDetails) -> Mistake:
    """One of pydantic's findings in our words."""
    location = error["loc"]
    path = tuple(part for index, part in enumerate(location) if not _is_branch(location, index))
    where = _dotted(path)
    secret = bool(path) and path[-1] in _SECRET_KEYS
    seen = "got ***" if secret else f"got {_shown(error['input'])}"
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return Mistake(where, "is missing", "")
        case "extra_forbidden":
            return Mistake(where, "is not a setting", _nearest(path))
        case "value_error":
            return Mistake(where, seen, str(context["error"]))
        case "union_tag_invalid":
            return Mistake(
                f"{where}.type", f"got {_shown(context['tag'])}", f"one of {context['expected_tags']}"
            )
        case "union_tag_not_found":
            return Mistake(f"{where}.type", "is missing", "one of 's3', 'http'")
        case "string_pattern_mismatch":
            return Mistake(where, seen, FORMS[context["pattern"]])
        case "literal_error" if "word" in error["loc"]:
            return Mistake(where, seen, f"{context['expected']}, or a mapping")
    wanted = re.sub(r"^(Input|String|List|Tuple|Dictionary|Value) should (be |have )?", "", error["msg"])
    return Mistake(where, seen, wanted[:1].lower() + wanted[1:])


_CHOICES = frozenset({"credentials", "query", "headers", "cookies"})


def _is_branch(path: tuple[str | int, ...], index: int) -> bool:
    """Whether a part of pydantic's location names a branch of a union, and so stands nowhere in the file."""
    part = path[index]
    if path[0] == "origins" and index == 2:
        return part in ("s3", "http")
    return part == "[key]" or (
        part in ("word", "mapping", "all_except") and index > 0 and path[index - 1] in _CHOICES
    )


def _nearest(path: tuple[str | int, ...]) -> str:
    names = sorted(_settings_beside(path))
    near = difflib.get_close_matches(str(path[-1]), names, n=1)
    return f'"{near[0]}"?' if near else f"one of {', '.join(names)}" if names else ""


def _settings_beside(path: tuple[str | int, ...]) -> set[str]:
    """Names that could stand where `path` ends, by the sections that have been walked through."""
    sections: list[type[Section]] = [Config]
    for part in path[:-1]:
        if isinstance(part, str) and any(part in section.model_fields for section in sections):
            fields = [section.model_fields[part] for section in sections if part in section.model_fields]
            sections = [found for field in fields for found in _sections_in(field.annotation)]
    return {name for section in sections for name in section.model_fields}


def _sections_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _sections_in(argument)


def _dotted(path: tuple[str | int, ...]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "file"


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else "a mapping" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
