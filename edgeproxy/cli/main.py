"""The command line. Exit status: 0 well, 1 it ran and failed, 2 a mistake of the user (never a traceback)."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from edgeproxy import __version__
from edgeproxy.cli.common import CONFIG, asked, fail, loaded, steered
from edgeproxy.config import Config, load

_ELSEWHERE = ("backfill", "canary", "package", "pool", "template", "worker")
"""Each a command in the module of its name."""


class _Commands(click.Group):
    """Imports what a command needs when it is asked for: `serve` starts without the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(f"edgeproxy.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgeproxy")
def main() -> None:
    """A local CDN in one process: TTL cache, S3 primary, origin failover, backfill."""


@main.command()
@CONFIG
def serve(path: Path) -> None:
    """Serve until SIGTERM or SIGINT, then drain. SIGHUP reads the pools anew."""
    config = loaded(path)
    from edgeproxy.backfill.queue import QueueError
    from edgeproxy.serve import logged, run
    from edgeproxy.serve import serve as serving
    from edgeproxy.server.sockets import ListenError
    from edgeproxy.store.folder import DiskError
    from edgeproxy.workers.supervisor import StartError, supervise

    def say(line: str) -> None:
        click.echo(line, err=True)

    def reread() -> Config:
        return load(path)

    observers, log = logged(config, say)
    try:
        status = run(
            supervise(config, say, reread)
            if config.server.workers > 1
            else serving(config, observers, say, reread)
        )
    except StartError as error:
        fail(str(error), status=1)
    except ListenError as error:
        setting = "admin" if error.address == str(config.admin.listen) else "server"
        fail(f"{path}: {setting}.listen: {error}")
    except DiskError as error:
        fail(f"{path}: cache.disk.folder: {error}")
    except QueueError as error:
        fail(f"{path}: {error}")
    finally:
        log.flush()
    sys.exit(status)


@main.command(short_help="Print the effective configuration, or what is wrong with it.")
@CONFIG
def check(path: Path) -> None:
    """Print the effective configuration, or everything that is wrong with it."""
    from edgeproxy.config.effective import effective

    click.echo(effective(loaded(path)), nl=False)


@main.command()
@click.option("--markdown", is_flag=True, help="As the reference page docs/configuration.md instead.")
def schema(markdown: bool) -> None:
    """Print the JSON Schema of the configuration, for editors."""
    if markdown:
        from edgeproxy.config.manual import markdown as manual

        click.echo(manual(), nl=False)
    else:
        from edgeproxy.config.effective import json_schema

        click.echo(json.dumps(json_schema(), indent=2))


@main.command()
@CONFIG
@click.option("-X", "--method", default="GET", show_default=True, help="The method to explain.")
@click.option(
    "-H", "--header", "headers", multiple=True, help='A request field, "Name: value". May be repeated.'
)
@click.option("-d", "--data", help="The body of the request, such as a JSON-RPC call.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.argument("url")
def explain(
    path: Path, method: str, headers: tuple[str, ...], data: str | None, as_json: bool, url: str
) -> None:
    """Say what would happen to a request for URL, and why. Nothing is sent to any origin.

    Asks the running gateway, which knows its cache; where none runs, tells what follows from the
    configuration alone.
    """
    from edgeproxy.admin.asking import asked_request
    from edgeproxy.explain import Explanation

    config = loaded(path)
    try:
        request = asked_request(url, method, list(headers), data)
    except ValueError as error:
        fail(str(error))
    parameters: dict[str, Any] = {"url": url, "method": method, "header": list(headers)}
    if data is not None:
        parameters["data"] = data
    answer = asked(config, "/explain", parameters)
    if answer is None:
        explanation = _explained_offline(config, request)
    else:
        explanation = Explanation(tuple((subject, sentence) for subject, sentence in answer["steps"]))
    click.echo(json.dumps(explanation.fields(), indent=2) if as_json else str(explanation))


def _explained_offline(config: Config, request: Any) -> Any:
    from edgeproxy.app import opened
    from edgeproxy.serve import run

    async def offline() -> Any:
        cache = config.cache.model_copy(update={"disk": None})
        backfill = config.backfill.model_copy(update={"queue": "memory"})
        # A folder would be made, and what was begun in it before be taken up.
        state = config.state.model_copy(update={"folder": None})
        alone = config.model_copy(update={"cache": cache, "backfill": backfill, "state": state})
        async with opened(alone, watches=False) as app:
            return await app.explain(request)

    none = f"no gateway answers on http://{config.admin.listen}"
    click.echo(f"{none}: cache, queue and tombstones are taken to be empty", err=True)
    return run(offline())


@main.command()
@CONFIG
@click.option("--ready", is_flag=True, help="Say nothing; exit status 0 if viewers are served, else 1.")
def status(path: Path, ready: bool) -> None:
    """Print the state of the running gateway as JSON."""
    answer = steered(path, "/readyz" if ready else "/stats", {})
    if ready:
        sys.exit(0 if answer["status"] == "ready" else 1)
    click.echo(json.dumps(answer, indent=2))


@main.command(short_help="Make the running gateway forget PATHS, prefixes or tags.")
@CONFIG
@click.argument("paths", nargs=-1, required=True)
def purge(path: Path, paths: tuple[str, ...]) -> None:
    """Make the running gateway forget PATHS: /a.jpg, /images/* (a prefix), /* (everything), #tag.

    All variants go, also what is being fetched at this moment. The bucket is not touched.
    """
    answer = steered(path, "/purge", {}, {"paths": list(paths)})
    click.echo(f"purged: {answer['purged']} stored")


@main.command(short_help="Start an S3, a full origin and the gateway, here and now.")
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port of the gateway; 0 takes a free one.",
)
@click.option("--demo", is_flag=True, help="Try the three things that the lab suggests, show them, and end.")
@click.option(
    "--site-only", "site", metavar="ADDRESS", help="Only the full origin with its files, on ADDRESS."
)
@click.option("--make-buckets", "buckets", is_flag=True, help="Only make the buckets that --config names.")
@CONFIG
def lab(port: int, demo: bool, site: str | None, buckets: bool, path: Path) -> None:
    """Start an S3, a full origin and the gateway, here and now, to try things out."""
    from edgeproxy.config.units import address
    from edgeproxy.lab import session
    from edgeproxy.lab.bucket import LabError
    from edgeproxy.serve import run
    from edgeproxy.server.sockets import ListenError

    try:
        if buckets:
            run(session.make_buckets(loaded(path), click.echo))
        elif site is not None:
            run(session.serve_site(address(site), click.echo))
        else:
            run(session.run_lab(port, demo=demo))
    except ValueError as error:
        fail(f'--site-only: got "{site}", want {error}')
    except ListenError as error:
        fail(str(error) if site is not None else f"{error}; --port takes another, 0 any free one", status=1)
    except LabError as error:
        fail(str(error), status=1)
