"""`edgeproxy package`: Lambda functions as zip files."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from edgeproxy.cli.common import fail, loaded
from edgeproxy.packaging.functions import BY_NAME
from edgeproxy.packaging.platform import PYTHONS, Architecture


@click.command(epilog="Functions: " + ", ".join(BY_NAME))
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("dist"), show_default=True, help="A folder."
)
@click.option(
    "--python", type=click.Choice(PYTHONS), default="3.13", show_default=True, help="Lambda's runtime."
)
@click.option(
    "--arch",
    type=click.Choice([architecture.value for architecture in Architecture]),
    default=Architecture.X86_64.value,
    show_default=True,
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting to put into the zip. May be repeated.",
)
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="A configuration file: what pools need of it goes into the zips of balance and canary.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=Path("~/.cache/edgeproxy/wheels"),
    show_default=True,
    help="Where wheels are kept.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.argument("functions", nargs=-1, metavar="[FUNCTION]...")
def package(
    output: Path,
    python: str,
    arch: str,
    settings: tuple[str, ...],
    config: Path | None,
    cache: Path,
    as_json: bool,
    functions: tuple[str, ...],
) -> None:
    """Pack each FUNCTION, or all, into a zip file for AWS Lambda.

    The same versions of libraries that run here are packed, for Lambda's Python and processor. The same
    contents make the same file. Wheels are downloaded once: after that, no network is needed.
    """
    from edgeproxy.packaging.build import built
    from edgeproxy.packaging.errors import PackageError
    from edgeproxy.packaging.platform import Platform

    unknown = [name for name in functions if name not in BY_NAME]
    if unknown:
        fail(f'FUNCTION: got "{unknown[0]}", want one of {", ".join(BY_NAME)}')
    given: dict[str, str] = {}
    for setting in settings:
        name, is_there, value = setting.partition("=")
        if not is_there or not name:
            fail(f'--set: got "{setting}", want NAME=VALUE')
        given[name] = value
    text = _balancing(config) if config is not None else None
    platform = Platform(python, Architecture(arch))
    told: list[dict[str, Any]] = []
    for name in functions or BY_NAME:
        told_it = {**given, "config": text} if text is not None and BY_NAME[name].takes_config else given
        try:
            archive = built(BY_NAME[name], platform, output, cache.expanduser(), told_it, _say)
        except PackageError as error:
            fail(str(error), status=1)
        told.append(
            {
                "function": name,
                "handler": BY_NAME[name].handler,
                "path": str(archive.path),
                "bytes": archive.size,
                "unpacked_bytes": archive.unpacked,
                "sha256": archive.digest,
            }
        )
        if not as_json:
            megabytes = f"{archive.size / 1e6:6.2f} MB, {archive.unpacked / 1e6:6.1f} MB unpacked"
            click.echo(f"{archive.path}  {megabytes}  {BY_NAME[name].handler}")
    if as_json:
        click.echo(json.dumps(told, indent=2))


def _balancing(path: Path) -> str:
    """What pools need of the configuration; its variables are filled in where the function runs."""
    from edgeproxy.config.portion import for_balancing
    from edgeproxy.config.renewing import pools_of

    if not pools_of(loaded(path)):
        fail(f"{path}: origins: got no pool, want an origin of type pool")
    return for_balancing(path.read_text("utf-8"))


def _say(line: str) -> None:
    click.echo(line, err=True)
    sys.stderr.flush()
