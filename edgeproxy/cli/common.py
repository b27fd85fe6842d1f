"""What commands have in common: the configuration, the running gateway, how a mistake is told."""

import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from edgeproxy.config import Config, ConfigError, load

CONFIG = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=Path("config.yaml"),
    show_default=True,
    help="The configuration file.",
)


_PATIENCE_S = 5.0
_WORK_S = 600.0
"""How long what is changed may take: very many jobs are tried again, or cancelled."""


def loaded(path: Path) -> Config:
    """The configuration; or everything that is wrong with it, and the end."""
    try:
        return load(path)
    except ConfigError as error:
        fail(str(error) if path.exists() else f"{error}; --config names another")


def asked(config: Config, path: str, parameters: dict[str, Any], body: Any = None) -> Any:
    """The JSON answer of the admin port; None if nobody listens there."""
    import httpx

    token = config.admin.token
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token is not None else {}
    url = f"http://{config.admin.listen}{path}".replace("//0.0.0.0:", "//127.0.0.1:").replace(
        "//[::]:", "//[::1]:"
    )
    try:
        patience = httpx.Timeout(_PATIENCE_S, read=_PATIENCE_S if body is None else _WORK_S)
        with httpx.Client(headers=headers, timeout=patience, trust_env=False) as operator:
            if body is not None:
                answer = operator.post(url, params=parameters, json=body)
            else:
                answer = operator.get(url, params=parameters)
    except httpx.HTTPError:
        return None
    try:
        told = answer.json()
    except ValueError:
        fail(f"what answers on {url} is not edgeproxy's admin port", status=1)
    if answer.is_error and "error" in told:
        fail(f"{url}: {told['error']}", status=1)
    return told


def fail(message: str, *, status: int = 2) -> NoReturn:
    """Say why, and end: `status` 2 = a mistake of the user, 1 = it ran and failed."""
    click.echo(message, err=True)
    sys.exit(status)


def steered(path: Path, where: str, parameters: dict[str, Any], body: Any = None) -> Any:
    """The JSON answer of the running gateway, of which there must be one."""
    config = loaded(path)
    answer = asked(config, where, parameters, body)
    if answer is None:
        none = f"no gateway answers on http://{config.admin.listen}, the admin.listen of {path}"
        fail(f"{none}: edgeproxy serve starts one, --config names another's", status=1)
    return answer


def printable(text: str) -> str:
    """`text` with nothing in it that a terminal would obey."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
