"""`edgeproxy backfill drain`: a migration is finished, also one that is killed; what is left is told."""

import asyncio
import gzip
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgeproxy.app import Drained
from edgeproxy.bulk.collecting import Files
from edgeproxy.bulk.order import Order, OrderError
from edgeproxy.bulk.reading import InputError
from edgeproxy.bulk.roll import RollError
from edgeproxy.bulk.run import Audience, drain
from edgeproxy.bulk.summary import Summary
from edgeproxy.cli.drain import told_of
from edgeproxy.clock import SystemClock
from edgeproxy.config import load, parse
from edgeproxy.filling import filling
from edgeproxy.serve import running
from tests.conftest import Box, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
BODY = b"0123456789"


@dataclass
class Migration:
    """A bucket, a site, and a configuration over both."""

    folder: Path
    config: Path
    s3: Any
    bucket: str
    site: ScriptedOrigin
    source: str
    """The name of the source, if that is a bucket."""
    said: list[str] = field(default_factory=list)

    async def keys(self) -> set[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {item["Key"] async for page in pages for item in page.get("Contents", [])}

    def file(self, name: str, *lines: str) -> str:
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    async def until(self, process: asyncio.subprocess.Process, event: asyncio.Event) -> None:
        """Wait for `event`, which has to come before the process ends."""
        ended = asyncio.ensure_future(process.wait())
        reached = asyncio.ensure_future(event.wait())
        await asyncio.wait({ended, reached}, return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()
        assert event.is_set(), (await process.communicate())[1].decode()
        ended.cancel()

    async def noted(self) -> None:
        """Wait until the roll says of an object what became of it."""
        (roll,) = (self.folder / "state").glob("drain-*.sqlite")
        with closing(sqlite3.connect(roll)) as db:
            while not db.execute("SELECT 1 FROM item WHERE state IS NOT NULL").fetchone():
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def begun(self, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A drain in a process of its own, until the context ends."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edgeproxy", "backfill", "drain", "-c", str(self.config), *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def drained(self, named: Files | str, **order: Any) -> Summary:
        """A drain in this process; what it says is in `said`."""
        self.said.clear()
        audience = Audience(self.said.append, lambda far: None, asyncio.Event().wait)
        return await drain(load(self.config), Order(named, **order), audience, SystemClock())

    def listed(self, *lines: str, strict: bool = False) -> Files:
        return Files((self.file("keys.txt", *lines),), are_logs=False, strict=strict)


def outcomes(summary: Summary) -> dict[str, int]:
    return {f"{one.state}-{one.reason}" if one.reason else one.state: one.objects for one in summary.sums}


Builds = Callable[..., Awaitable[Migration]]


@pytest.fixture
async def migration(scripted: Starts, moto: str, s3: Any, bucket_name: str, tmp_path: Path) -> Builds:
    async def build(
        script: Script, *, state: bool = True, backfill: str = "", more: str = "", source: str = ""
    ) -> Migration:
        await s3.create_bucket(Bucket=bucket_name)
        site = await scripted(script)
        second = f'{{type: http, url: "{site.url}", connection_attempts: 1}}'
        keys = "credentials: {access_key_id: test, secret_access_key: test-secret}"
        if source:
            await s3.create_bucket(Bucket=f"{bucket_name}-old")
            second = f"{{type: s3, bucket: {bucket_name}-old, endpoint: '{moto}', {source}, {keys}}}"
        config = tmp_path / "config.yaml"
        config.write_text(f"""
origins:
  bucket: {{type: s3, bucket: {bucket_name}, endpoint: '{moto}', {keys}}}
  site: {second}
origin_groups: {{media: {{members: [bucket, site], failover_on: [403, 404]}}}}
behaviors: [{{path_pattern: /api/*, target_origin: site}}]
default_behavior: {{target_origin: media}}
backfill: {{rules: [{{path_pattern: /private/*, enabled: false}}, {{}}], backoff_base: 10ms, {backfill}}}
{f"state: {{folder: '{tmp_path}/state'}}" if state else ""}
{more}
""")
        return Migration(tmp_path, config, s3, bucket_name, site, f"{bucket_name}-old")

    return build


class Site:
    """Has everything; counts its GETs, and lets only so many through."""

    def __init__(self, through: int = 10**9) -> None:
        self.gets: list[str] = []
        self.through = through
        self.is_reached = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        if len(self.gets) >= self.through:
            self.is_reached.set()
            await asyncio.Event().wait()
        self.gets.append(exchange.target)
        await exchange.answer(200, BODY)


async def test_a_run_that_is_killed_is_gone_on_with(migration: Builds) -> None:
    site = Site(through=30)
    m = await migration(site)
    paths = [f"/img/{number}.jpg" for number in range(60)]
    files = m.listed(*paths)
    async with m.begun("--list", *files.names) as process:
        await m.until(process, site.is_reached)
        await m.noted()
        process.kill()
    assert process.returncode == -signal.SIGKILL
    site.through = 10**9
    summary = await m.drained(files)
    assert (summary.left, summary.objects) == (0, 60)
    assert summary.stored <= 34
    assert any(line.startswith("going on: ") for line in m.said)
    assert {f"/{key}" for key in await m.keys()} == set(paths)
    # What was fetched and had not reached the bucket by then is all that is fetched again.
    assert len(site.gets) <= 60 + 4
    before = len(site.gets)
    summary = await m.drained(files)
    assert (summary.stored, len(site.gets)) == (0, before)


async def test_a_run_that_is_told_to_stop_says_how_to_go_on(migration: Builds) -> None:
    site = Site(through=5)
    m = await migration(site, more="server: {drain_timeout: 100ms}")
    files = m.listed(*(f"/{number}" for number in range(20)))
    async with m.begun("--list", *files.names) as process:
        await m.until(process, site.is_reached)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == 1
    assert "SIGINT: finishing what is at work" in err.decode()
    assert "stopped, 15 left: the same command goes on from here" in out.decode()
    site.through = 10**9
    summary = await m.drained(files)
    assert (summary.stored, summary.left) == (15, 0)
    assert len(site.gets) == 20


async def test_a_run_that_waits_for_a_list_from_a_terminal_can_be_ended(migration: Builds) -> None:
    m = await migration(Site())
    async with m.begun("--list", "-", "--dry-run") as process:
        assert process.stdin is not None
        # More than fits into a pipe: when it is gone, the process waits for what follows.
        process.stdin.write(b"/a\n" * 100_000)
        await process.stdin.drain()
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(5):
            assert await process.wait() == 1


async def test_a_list_that_cannot_be_copied_is_told_in_one_line(migration: Builds) -> None:
    m = await migration(Site())
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
    limit += "from edgeproxy.cli.main import main; main(sys.argv[1:])"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", limit, "backfill", "drain", "-c", str(m.config), "--list", "-"),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate(b"/a\n" * 1000)
    assert process.returncode == 2
    assert err.decode().startswith("-: cannot be copied into ")
    assert err.decode().endswith(": file too large\n")


async def test_what_is_left_is_told_and_tried_again(migration: Builds) -> None:
    statuses = {"/gone": 404, "/broken": 500, "/forbidden": 403, "/private/a": 200, "/well": 200}

    async def site(exchange: Exchange) -> None:
        await exchange.answer(statuses[exchange.target], BODY)

    m = await migration(site, backfill="attempts: 2")
    files = m.listed(*statuses, "well", "/a b%zz", "# a comment")
    report = m.folder / "left.jsonl"
    summary = await m.drained(files, report=report)
    assert m.said == [f"{files.names[0]}:7: got '/a b%zz': the path is not a valid URI path"]
    lines = told_of(summary).splitlines()
    assert lines[:6] == [
        "5 objects named; lines that name none: 1",
        "  dead: source-status               1",
        "  failed: source-status             1",
        "  skipped: no-backfill              1",
        "  skipped: source-status            1",
        "  stored                            1  10 B",
    ]
    assert lines[-1].startswith("left: 2;")
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    assert {row["path"]: (row["state"], row["message"], row["left"]) for row in rows} == {
        "/gone": ("skipped", "", False),
        "/broken": ("dead", "site answered 500", True),
        "/forbidden": ("failed", "site answered 403", True),
        "/private/a": ("refused", "", False),
    }
    assert await m.keys() == {"well"}
    statuses.update(dict.fromkeys(("/broken", "/forbidden"), 200))
    summary = await m.drained(files)
    assert (summary.left, summary.stored, summary.stored_bytes, summary.bad_lines) == (0, 2, 20, 1)
    assert told_of(summary).splitlines()[-1] == "nothing is left"


async def test_a_dry_run_writes_nothing(migration: Builds) -> None:
    site = Site()
    m = await migration(site)
    for key in ("b", "b0", "d/e"):
        await m.s3.put_object(Bucket=m.bucket, Key=key, Body=BODY)
    for _ in range(2):
        summary = await m.drained(m.listed("/a", "/b", "/c", "/api/x", "d/e", "z"), is_dry=True)
        assert outcomes(summary) == {"open": 3, "skipped-exists": 2, "refused-primary-not-s3": 1}
    assert told_of(summary).splitlines()[1] == "  would be copied                    3"
    assert (await m.keys(), site.gets) == ({"b", "b0", "d/e"}, [])
    assert not (m.folder / "state").exists()


async def test_bad_lines_end_a_strict_run(migration: Builds) -> None:
    m = await migration(Site())
    with pytest.raises(InputError, match=r"keys\.txt:2: got '/%00'"):
        await m.drained(m.listed("/a", "/%00", strict=True))
    assert await m.keys() == set()


async def test_every_format_of_log_names_what_was_served(migration: Builds) -> None:
    m = await migration(Site())
    fields = "#Fields: cs-method cs-uri-stem sc-status cs-uri-query"
    nginx = '192.0.2.7 - - [21/Nov/2026:10:00:00 +0000] "GET {} HTTP/1.1" {} 10 "-" "curl"'
    ours = "2026-11-21T10:00:00.000Z 192.0.2.7 GET /ours 200 Miss 10B 1.0ms bucket=404 site=200 id"
    m.file("edge.log", ours, '{"event":"request","method":"HEAD","target":"/json?x=1","status":200}')
    m.file("nginx.log", nginx.format("/nginx", 200), nginx.format("/api/x?y", 200), nginx.format("/no", 404))
    packed = gzip.compress(f"{fields}\nGET\t/cloud%2520front\t206\t-\n".encode())
    (m.folder / "cloudfront.gz").write_bytes(packed)
    names = tuple(str(m.folder / name) for name in ("edge.log", "nginx.log", "cloudfront.gz"))
    summary = await m.drained(Files(names, are_logs=True))
    assert outcomes(summary) == {"stored": 4, "refused-primary-not-s3": 1}
    assert (await m.keys(), m.said) == ({"ours", "json", "nginx", "cloud front"}, [])
    # A log that has grown is read again.
    with (m.folder / "nginx.log").open("a") as file:
        file.write(nginx.format("/more", 200) + "\n")
    assert (await m.drained(Files(names, are_logs=True))).stored == 1


async def test_a_source_that_is_a_bucket_is_listed(migration: Builds) -> None:
    m = await migration(Site(), source="origin_path: /old")
    for number in range(3):
        await m.s3.put_object(Bucket=m.source, Key=f"old/img/a +%{number}ü", Body=BODY)
    await m.s3.put_object(Bucket=m.source, Key="old/img/", Body=b"")
    await m.s3.put_object(Bucket=m.source, Key="old/text", Body=BODY)
    summary = await m.drained("img/", is_dry=True)
    assert [(one.objects, one.bytes) for one in summary.sums] == [(3, 30)]
    assert (await m.drained("img/")).stored == 3
    assert await m.keys() == {f"img/a +%{number}ü" for number in range(3)}
    assert (await m.drained("")).stored == 1


async def test_a_plain_source_cannot_be_listed(migration: Builds) -> None:
    m = await migration(Site())
    with pytest.raises(OrderError, match="--prefix: site is plain HTTP and cannot be listed, want --list or"):
        await m.drained("img/")


async def test_jobs_are_put_into_a_queue_that_is_smaller_than_they_are(
    migration: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeproxy.bulk.run.POLL_S", 0.01)
    m = await migration(Site(), backfill="queue_size: 3", more="server: {listen: '127.0.0.1:0'}")
    config = m.config.read_text() + "admin: {listen: '127.0.0.1:0'}"
    files = m.listed(*(f"/{number}" for number in range(8)))
    queueing = asyncio.ensure_future(m.drained(files, enqueue=True))
    async with running(parse(config, {})) as gateway:
        summary = await queueing
        assert outcomes(summary) == {"queued": 8}
        await gateway.app.backfilled()
    assert len(await m.keys()) == 8
    assert outcomes(await m.drained(files)) == {"skipped-exists": 8}


async def test_a_queue_of_sqs_is_for_workers_elsewhere(migration: Builds, box: Box) -> None:
    keys = "credentials: {access_key_id: test, secret_access_key: test-secret}"
    sqs = f"queue: sqs, sqs: {{url: '{box.url}', wait: 1s, {keys}}}, queue_size: 15"
    m = await migration(Site(), state=False, backfill=sqs)
    files = m.listed(*(f"/{number}" for number in range(25)))
    summary = await m.drained(files, enqueue=True)
    assert (outcomes(summary), await box.held()) == ({"queued": 25}, (25, 0))
    async with filling(load(m.config)) as worker:
        while await box.held() != (0, 0):
            await asyncio.sleep(0.02)
        assert await worker.drain(5) == Drained(flights=0, jobs=0, kept=0)
    assert len(await m.keys()) == 25


async def test_no_more_is_fetched_a_second_than_was_said(migration: Builds) -> None:
    site = Site()
    m = await migration(site)
    started = asyncio.get_running_loop().time()
    summary = await m.drained(m.listed(*(f"/{number}" for number in range(11))), fetches_per_s=20)
    assert summary.stored == 11
    assert asyncio.get_running_loop().time() - started >= 0.5


async def test_two_runs_of_the_same_are_not_at_work_at_once(migration: Builds) -> None:
    site = Site(through=0)
    m = await migration(site)
    files = m.listed("/a")
    first = asyncio.ensure_future(m.drained(files))
    await site.is_reached.wait()
    with pytest.raises(RollError, match="another drain of the same is at work"):
        await m.drained(files)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
