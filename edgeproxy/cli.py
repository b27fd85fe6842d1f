"""The command line. Exit status: 0 well, 1 it ran and failed, 2 a mistake of the user (never a traceback)."""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
import httpx

from edgeproxy import __version__
from edgeproxy.backfill.job import State
from edgeproxy.config import Config, ConfigError, load

_CONFIG = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=Path("config.yaml"),
    show_default=True,
    help="The configuration file.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgeproxy")
def main() -> None:
    """A local CDN in one process: TTL cache, S3 primary, origin failover, backfill."""


@main.command()
@_CONFIG
def serve(path: Path) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    config = _loaded(path)
    from edgeproxy.backfill.queue import QueueError
    from edgeproxy.serve import logged, run
    from edgeproxy.serve import serve as serving
    from edgeproxy.server.sockets import ListenError
    from edgeproxy.store.folder import DiskError
    from edgeproxy.workers.supervisor import StartError, supervise

    def say(line: str) -> None:
        click.echo(line, err=True)

    observers, log = logged(config, say)
    try:
        status = run(supervise(config, say) if config.server.workers > 1 else serving(config, observers, say))
    except StartError as error:
        _fail(str(error), status=1)
    except ListenError as error:
        _fail(str(error))
    except DiskError as error:
        _fail(f"{path}: cache.disk.folder: {error}")
    except QueueError as error:
        _fail(f"{path}: state.folder: {error}")
    finally:
        log.flush()
    sys.exit(status)


@main.command()
@_CONFIG
def check(path: Path) -> None:
    """Print the effective configuration, or everything that is wrong with it."""
    from edgeproxy.config.effective import effective

    click.echo(effective(_loaded(path)), nl=False)


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
@_CONFIG
@click.option("-X", "--method", default="GET", show_default=True, help="The method to explain.")
@click.option(
    "-H", "--header", "headers", multiple=True, help='A request field, "Name: value". May be repeated.'
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.argument("url")
def explain(path: Path, method: str, headers: tuple[str, ...], as_json: bool, url: str) -> None:
    """Say what would happen to a request for URL, and why. Nothing is sent to any origin.

    Asks the running gateway, which knows its cache; where none runs, tells what follows from the
    configuration alone.
    """
    from edgeproxy.admin.service import asked_request
    from edgeproxy.explain import Explanation

    config = _loaded(path)
    try:
        asked = asked_request(url, method, list(headers))
    except ValueError as error:
        _fail(str(error))
    parameters = {"url": url, "method": method, "header": list(headers)}
    answer = _asked(config, "/explain", parameters)
    if answer is None:
        explanation = _explained_offline(config, asked)
    else:
        explanation = Explanation(tuple((subject, sentence) for subject, sentence in answer["steps"]))
    click.echo(json.dumps(explanation.fields(), indent=2) if as_json else str(explanation))


def _explained_offline(config: Config, asked: Any) -> Any:
    from edgeproxy.app import opened
    from edgeproxy.serve import run

    async def offline() -> Any:
        cache = config.cache.model_copy(update={"disk": None})
        backfill = config.backfill.model_copy(update={"queue": "memory"})
        async with opened(config.model_copy(update={"cache": cache, "backfill": backfill})) as app:
            return await app.explain(asked)

    click.echo(
        f"no gateway answers on http://{config.admin.listen}: the cache is taken to be empty", err=True
    )
    return run(offline())


@main.command()
@_CONFIG
@click.option("--ready", is_flag=True, help="Say nothing; exit status 0 if viewers are served, else 1.")
def status(path: Path, ready: bool) -> None:
    """Print the state of the running gateway as JSON."""
    config = _loaded(path)
    answer = _asked(config, "/readyz" if ready else "/stats", {})
    if answer is None:
        _fail(f"no gateway answers on http://{config.admin.listen}", status=1)
    if ready:
        sys.exit(0 if answer["status"] == "ready" else 1)
    click.echo(json.dumps(answer, indent=2))


@main.command()
@_CONFIG
@click.argument("paths", nargs=-1, required=True)
def purge(path: Path, paths: tuple[str, ...]) -> None:
    """Make the running gateway forget PATHS: /a.jpg, /images/* (a prefix), /* (everything), #tag.

    All variants go, also what is being fetched at this moment. The bucket is not touched.
    """
    config = _loaded(path)
    answer = _asked(config, "/purge", {}, {"paths": list(paths)})
    if answer is None:
        _fail(f"no gateway answers on http://{config.admin.listen}", status=1)
    click.echo(f"purged: {answer['purged']} stored")


@main.group()
def backfill() -> None:
    """See and steer the jobs of the running gateway that fill the bucket."""


_FILTERS = (
    click.option(
        "--state",
        "states",
        multiple=True,
        type=click.Choice([state.value for state in State]),
        help="May be repeated.",
    ),
    click.option("--group", help="The origin group."),
    click.option("--prefix", help="What the key begins with."),
)


def _filtered(command: Any) -> Any:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def _filters(states: tuple[str, ...], group: str | None, prefix: str | None) -> dict[str, Any]:
    given = {"state": list(states), "group": group, "prefix": prefix}
    return {name: value for name, value in given.items() if value}


@backfill.command()
@_CONFIG
@_filtered
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def ls(path: Path, as_json: bool, limit: int, **filters: Any) -> None:
    """List jobs, the newest first."""
    answer = _steered(path, "/backfill", {**_filters(**filters), "limit": limit})
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if answer["paused"]:
        click.echo("paused: no job is begun until `edgeproxy backfill resume`", err=True)
    for job in answer["jobs"]:
        size = f"{job['bytes']}B" if job["bytes"] is not None else "-"
        name = _printable(f"{job['group']}:{job['key']}")
        row = f"{job['number']:>7}  {job['state']:<7}  {job['attempts']:>2}  {size:>11}  {job['changed_at']}"
        click.echo(f"{row}  {name}{'  ' + job['reason'] if job['reason'] else ''}")


@backfill.command()
@_CONFIG
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.argument("number", type=click.IntRange(1))
def show(path: Path, as_json: bool, number: int) -> None:
    """Print all that is known of the job NUMBER."""
    jobs = _steered(path, "/backfill", {"number": number})["jobs"]
    if not jobs:
        _fail(f"there is no job {number}", status=1)
    for job in jobs:
        if as_json:
            click.echo(json.dumps(job, indent=2))
        else:
            told = {name: value for name, value in job.items() if value not in (None, "")}
            click.echo("\n".join(f"{name:<10}  {_printable(str(value))}" for name, value in told.items()))


@backfill.command()
@_CONFIG
@_filtered
@click.argument("numbers", nargs=-1, type=click.IntRange(1))
def retry(path: Path, numbers: tuple[int, ...], **filters: Any) -> None:
    """Queue jobs again: those with NUMBERS, or else all that the filters cover.

    Those that wait, are at work or are stored are left alone.
    """
    wanted = [{"number": number} for number in numbers] or [_filters(**filters)]
    if not any(wanted):
        _fail("retry: want NUMBERS, --state, --group or --prefix")
    everything = {"limit": 10**9}
    queued = sum(_steered(path, "/backfill/retry", one | everything, {})["queued"] for one in wanted)
    click.echo(f"queued again: {queued}")


@backfill.command()
@_CONFIG
def pause(path: Path) -> None:
    """Begin no more jobs; those that are at work go on, and viewers' misses are still queued."""
    _steered(path, "/backfill/pause", {}, {})
    click.echo("paused")


@backfill.command()
@_CONFIG
def resume(path: Path) -> None:
    """Begin jobs again."""
    _steered(path, "/backfill/resume", {}, {})
    click.echo("resumed")


def _steered(path: Path, where: str, parameters: dict[str, Any], body: Any = None) -> Any:
    config = _loaded(path)
    answer = _asked(config, where, parameters, body)
    if answer is None:
        _fail(f"no gateway answers on http://{config.admin.listen}", status=1)
    return answer


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


@main.command()
@click.option("--port", default=8080, show_default=True, help="Port of the gateway; 0 takes a free one.")
@click.option("--demo", is_flag=True, help="Try the three things that the lab suggests, show them, and end.")
@click.option(
    "--site-only", "site", metavar="ADDRESS", help="Only the full origin with its files, on ADDRESS."
)
@click.option("--make-buckets", "buckets", is_flag=True, help="Only make the buckets that --config names.")
@_CONFIG
def lab(port: int, demo: bool, site: str | None, buckets: bool, path: Path) -> None:
    """Start an S3, a full origin and the gateway, here and now, to try things out."""
    from edgeproxy.config.units import address
    from edgeproxy.lab import session
    from edgeproxy.lab.bucket import LabError
    from edgeproxy.serve import run
    from edgeproxy.server.sockets import ListenError

    try:
        if buckets:
            run(session.make_buckets(_loaded(path), click.echo))
        elif site is not None:
            run(session.serve_site(address(site), click.echo))
        else:
            run(session.run_lab(port, demo=demo))
    except ValueError as error:
        _fail(f'--site-only: got "{site}", want {error}')
    except ListenError as error:
        _fail(str(error) if site is not None else f"{error}; --port takes another, 0 any free one", status=1)
    except LabError as error:
        _fail(str(error), status=1)


def _loaded(path: Path) -> Config:
    try:
        return load(path)
    except ConfigError as error:
        _fail(str(error))


def _asked(config: Config, path: str, parameters: dict[str, Any], body: Any = None) -> Any:
    """The JSON answer of the admin port; None if nobody listens there."""
    token = config.admin.token
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token is not None else {}
    url = f"http://{config.admin.listen}{path}".replace("//0.0.0.0:", "//127.0.0.1:").replace(
        "//[::]:", "//[::1]:"
    )
    try:
        with httpx.Client(headers=headers, timeout=5, trust_env=False) as operator:
            if body is not None:
                answer = operator.post(url, params=parameters, json=body)
            else:
                answer = operator.get(url, params=parameters)
    except httpx.HTTPError:
        return None
    try:
        told = answer.json()
    except ValueError:
        _fail(f"what answers on {url} is not edgeproxy's admin port", status=1)
    if answer.is_error and "error" in told:
        _fail(f"{url}: {told['error']}", status=1)
    return told


def _fail(message: str, *, status: int = 2) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(status)
