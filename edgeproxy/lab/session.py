"""`edgeproxy lab`: bucket, site and gateway in one process, and what to try with them."""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console

from edgeproxy.app import Observers
from edgeproxy.config import Config, parse
from edgeproxy.config.origins import Credentials, S3Origin
from edgeproxy.config.units import Address
from edgeproxy.lab.bucket import LabBucket, make_bucket, running_bucket
from edgeproxy.lab.console import LabConsole
from edgeproxy.lab.content import make_site
from edgeproxy.lab.site import running_site
from edgeproxy.serve import Running, running, until_signal
from edgeproxy.server.sockets import ListenError

SITE_LATENCY_S = 0.12
"""How far away the full origin is made to seem."""
SAMPLE = "/images/dawn.png"

_CONFIG = """\
# The configuration of this lab. Ports are those of this run.
server:
  listen: 127.0.0.1:{port}
  debug_headers: true
admin:
  listen: 127.0.0.1:0
cache:
  memory: 256MiB
origins:
  bucket:
    type: s3
    bucket: {bucket.name}
    endpoint: {bucket.endpoint}
    credentials:
      access_key_id: {bucket.access_key_id}
      secret_access_key: {bucket.secret_access_key}
  site:
    type: http
    url: {site}
origin_groups:
  media:
    members: [bucket, site]
    failover_on: [403, 404, 500, 502, 503, 504]
behaviors:
  - path_pattern: /api/*
    target_origin: site
    cache_policy: CachingDisabled
    origin_request_policy: AllViewerExceptHostHeader
    allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]
default_behavior:
  target_origin: media
  cache_policy: CachingOptimized
backfill:
  rules:
    - path_pattern: "*"
"""


@dataclass(slots=True)
class Lab:
    """Everything that runs in a lab."""

    bucket: LabBucket
    site: str
    gateway: Running
    files: list[str]
    config_path: Path


@asynccontextmanager
async def running_lab(
    port: int, observers: Observers, step: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Lab]:
    """A whole lab until the context ends; `step` hears what is being started.

    Raises `LabError` and `ListenError`.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeproxy-lab-")))
        step("making the files of the site")
        files = make_site(folder / "site")
        step("starting the site")
        site = await stack.enter_async_context(running_site(folder / "site", latency_s=SITE_LATENCY_S))
        step("starting S3")
        bucket = await stack.enter_async_context(running_bucket())
        step("starting the gateway")
        text = _CONFIG.format(port=port, bucket=bucket, site=site)
        gateway = await stack.enter_async_context(running(parse(text, {}, source="lab"), observers))
        config_path = folder / "config.yaml"
        text = text.replace(f"127.0.0.1:{port}\n", f"{gateway.viewers}\n", 1)
        config_path.write_text(text.replace("127.0.0.1:0\n", f"{gateway.admin}\n", 1))
        yield Lab(bucket, site, gateway, files, config_path)


async def run_lab(port: int, *, demo: bool = False) -> None:
    """Run a lab until a signal comes, telling on the terminal what happens to each request.

    With `demo` the three things to try are tried at once, and that is all.
    """
    console = Console(highlight=False)
    told = LabConsole(console)
    observers = Observers(on_record=[told.request], on_job=[told.job])
    with console.status("starting") as status:
        stack = AsyncExitStack()
        try:
            lab = await stack.enter_async_context(running_lab(port, observers, status.update))
        except BaseException:
            await stack.aclose()
            raise
    async with stack:
        _introduce(console, lab)
        if demo:
            await _demonstrate(console, lab)
        else:
            await until_signal()
            console.print("\nstopping")


def _tries(lab: Lab) -> tuple[tuple[str, str, str], ...]:
    """The three things to try: curl's arguments, the URL, what it shows."""
    gateway = f"http://{lab.gateway.viewers}{SAMPLE}"
    bucket = f"{lab.bucket.endpoint}/{lab.bucket.name}{SAMPLE}"
    return (
        (
            "-so /dev/null -D -",
            gateway,
            "a miss: the bucket has it not, the site serves, the backfill is queued",
        ),
        ("-sI", bucket, "and now the bucket has it"),
        ("-so /dev/null -D -", gateway, "a hit: neither bucket nor site is asked"),
    )


def _introduce(console: Console, lab: Lab) -> None:
    lines = [
        "[bold]edgeproxy lab[/]",
        "",
        f"  gateway  [bold]http://{lab.gateway.viewers}[/]  its cache, then the bucket, then the site",
        f"  bucket   {lab.bucket.endpoint}/{lab.bucket.name}  S3, empty",
        f"  site     {lab.site}  the full origin, {SITE_LATENCY_S * 1000:g} ms away, {len(lab.files)} files",
        f"  admin    http://{lab.gateway.admin}  /stats and /explain",
        f"  config   {lab.config_path}  for edgeproxy explain, status, purge: --config",
        "",
        "Try, in another terminal:",
        "",
    ]
    for arguments, url, told in _tries(lab):
        lines += [f"  [dim]# {told}[/]", f"  [bold]curl {arguments} {url}[/]"]
    page = f"http://{lab.gateway.viewers}/index.html"
    lines += ["", f"Or open [bold]{page}[/] in a browser. Ctrl-C ends the lab; nothing stays behind.", ""]
    console.print("\n".join(lines), soft_wrap=True)


_SHOWN = frozenset(
    {"content-length", "content-type", "x-cache", "age", "cache-status", "x-edge-origin", "x-edge-backfill"}
)


async def _demonstrate(console: Console, lab: Lab) -> None:
    """Try the three things, and show what curl would, less the fields that say nothing here."""
    async with httpx.AsyncClient(trust_env=False) as viewer:
        for arguments, url, told in _tries(lab):
            console.print(f"[dim]# {told}[/]\n[bold]$ curl {arguments} {url}[/]", soft_wrap=True)
            method = "HEAD" if "I" in arguments else "GET"
            answer = await viewer.request(method, url, headers={"Accept-Encoding": "identity"})
            shown = [f"{name.title()}: {value}" for name, value in answer.headers.items() if name in _SHOWN]
            status = f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}"
            console.print("\n".join([status, *shown]), markup=False, soft_wrap=True)
            await lab.gateway.app.backfilled()
            console.print()


async def serve_site(listen: Address, say: Callable[[str], None]) -> None:
    """The full origin alone, until a signal comes.  Raises `ListenError`."""
    with tempfile.TemporaryDirectory(prefix="edgeproxy-site-") as folder:
        files = make_site(Path(folder))
        try:
            async with running_site(Path(folder), host=listen.host, port=listen.port) as url:
                say(f"the site serves {len(files)} files on {url}")
                await until_signal()
        except OSError as error:
            raise ListenError(str(listen), error) from error


async def make_buckets(config: Config, say: Callable[[str], None]) -> None:
    """Make the bucket of every S3 origin whose keys stand in the configuration.  Raises `LabError`."""
    for name, origin in config.origins.items():
        if isinstance(origin, S3Origin) and isinstance(origin.credentials, Credentials):
            given = origin.credentials
            made = await make_bucket(
                origin.endpoint,
                origin.bucket,
                given.access_key_id,
                given.secret_access_key.get_secret_value(),
                origin.region,
            )
            say(f"{name}: bucket {origin.bucket} {'made' if made else 'is there already'}")
