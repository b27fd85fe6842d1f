"""Jobs in a file: kill -9 at any point, drains, restarts. None is lost; each object is there once, whole."""

import asyncio
import os
import re
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from edgeproxy.app import Drained, Observers
from edgeproxy.backfill.job import Job, Outcome
from edgeproxy.cli.main import main
from edgeproxy.config import parse
from edgeproxy.log import job_fields
from edgeproxy.serve import running
from tests.conftest import Exchange, Script, ScriptedOrigin, edge_of
from tests.stories.process import Served, served
from tests.stories.test_workers import workers

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
BIG = bytes(range(256)) * 4 * 6 * 1024


def body_of(target: str) -> bytes:
    return BIG if target.startswith("/big") else b"0123456789"


class Site:
    """Answers HEAD at once. A GET gets most of its body, and the rest once the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun: list[str] = []

    async def __call__(self, exchange: Exchange) -> None:
        body = body_of(exchange.target)
        if exchange.method == "HEAD":
            await exchange.answer(200, body)
            return
        self.begun.append(exchange.target)
        head = f"HTTP/1.1 200 X\r\ncontent-length: {len(body)}\r\n\r\n"
        at = len(body) * 9 // 10
        await exchange.send(head.encode() + body[:at])
        await self.gate.wait()
        await exchange.send(body[at:])

    async def has_begun(self, gets: int) -> None:
        while len(self.begun) < gets:
            await asyncio.sleep(0.01)


class Bucket:
    """The bucket as it is, asked past the gateway."""

    def __init__(self, s3: Any, name: str) -> None:
        self.s3 = s3
        self.name = name

    async def holds(self, *keys: str) -> None:
        """Wait for these objects; there are no others, and each is whole."""
        while True:
            listed = (await self.s3.list_objects_v2(Bucket=self.name)).get("Contents", [])
            assert {item["Key"] for item in listed} <= set(keys)
            if len(listed) == len(keys):
                break
            await asyncio.sleep(0.05)
        for key in keys:
            found = await self.s3.get_object(Bucket=self.name, Key=key)
            assert await found["Body"].read() == body_of(f"/{key}")

    async def uploads(self) -> int:
        listed = await self.s3.list_multipart_uploads(Bucket=self.name)
        return len(listed.get("Uploads", []))


@pytest.fixture
async def bucket(s3: Any, bucket_name: str) -> Bucket:
    await s3.create_bucket(Bucket=bucket_name)
    return Bucket(s3, bucket_name)


@pytest.fixture
def text(moto: str, bucket: Bucket, tmp_path: Path) -> Callable[..., str]:
    def of(site: ScriptedOrigin, *, server: str = "", backfill: str = "") -> str:
        return f"""
server: {{listen: '127.0.0.1:0', drain_timeout: 10s, debug_headers: true, {server}}}
state: {{folder: '{tmp_path}/state'}}
log: {{access: false}}
origins:
  bucket: {{type: s3, bucket: {bucket.name}, endpoint: '{moto}',
    credentials: {{access_key_id: test, secret_access_key: test-secret}}}}
  site: {{type: http, url: "{site.url}", connection_attempts: 1}}
origin_groups: {{media: {{members: [bucket, site], failover_on: [403, 404]}}}}
default_behavior: {{target_origin: media}}
backfill: {{rules: [{{}}], part_size: 5MiB, lease: 600ms, {backfill}}}
"""

    return of


async def missed(edge: Served, *keys: str) -> None:
    """Let viewers miss these, and see the jobs in the file."""
    async with aiohttp.ClientSession() as viewer:
        for key in keys:
            async with viewer.head(f"{edge.url}/{key}") as answer:
                assert (answer.status, answer.headers["X-Edge-Backfill"]) == (200, "queued")


async def jobs(edge: Served) -> dict[str, int]:
    async with aiohttp.ClientSession() as operator:
        async with operator.get(f"http://127.0.0.1:{edge.admin}/stats") as answer:
            return {state: n for state, n in (await answer.json())["jobs"].items() if n}


async def become(edge: Served, wanted: dict[str, int]) -> None:
    while await jobs(edge) != wanted:
        await asyncio.sleep(0.02)


async def killed(edge: Served) -> None:
    edge.process.send_signal(signal.SIGKILL)
    await edge.process.wait()


async def test_killed_while_some_are_at_work_and_others_wait(
    scripted: Starts, bucket: Bucket, text: Callable[..., str], tmp_path: Path
) -> None:
    site = Site()
    config = text(await scripted(site), backfill="concurrency: 2")
    async with served(tmp_path, config) as edge:
        await missed(edge, "small", "big", "b", "c")
        # One in the middle of its download, the other of its upload.
        await site.has_begun(2)
        while not await bucket.uploads():
            await asyncio.sleep(0.02)
        await become(edge, {"leased": 2, "queued": 2})
        await killed(edge)
    site.gate.set()
    async with served(tmp_path, config) as edge:
        await bucket.holds("small", "big", "b", "c")
        await become(edge, {"stored": 4})
        while await bucket.uploads():
            await asyncio.sleep(0.02)
    assert sorted(site.begun) == ["/b", "/big", "/big", "/c", "/small", "/small"]


async def test_killed_when_it_was_stored_but_not_written_down(
    scripted: Starts, bucket: Bucket, text: Callable[..., str], tmp_path: Path
) -> None:
    site = Site()
    config = text(await scripted(site))
    async with served(tmp_path, config) as edge:
        await missed(edge, "a")
        await site.has_begun(1)
        with sqlite3.connect(tmp_path / "state" / "backfill.sqlite", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            site.gate.set()
            await bucket.holds("a")
            await killed(edge)
            other.execute("ROLLBACK")
        other.close()
    async with served(tmp_path, config) as edge:
        await become(edge, {"skipped": 1})
    assert site.begun == ["/a"]
    await bucket.holds("a")


async def test_a_job_that_nobody_survives_is_told_of(
    scripted: Starts, bucket: Bucket, text: Callable[..., str], tmp_path: Path
) -> None:
    site = Site()
    config = text(await scripted(site), backfill="attempts: 1")
    async with served(tmp_path, config) as edge:
        await missed(edge, "a")
        await site.has_begun(1)
        await killed(edge)
    told: list[tuple[Job, Outcome]] = []
    seen = Observers(on_job=[lambda job, outcome: told.append((job, outcome))])
    async with running(parse(config + "\nadmin: {listen: '127.0.0.1:0'}", {}), seen) as gateway:
        await gateway.app.backfilled()
        counts = (await gateway.app.stats())["backfill"]
    assert isinstance(counts, dict)
    assert counts["dead-worker-lost"] == 1
    ((job, outcome),) = told
    assert job.key == b"a"
    assert job_fields(job, outcome) | {"fault": ""} == {
        "event": "backfill",
        "group": "media",
        "key": "a",
        "attempt": 1,
        "outcome": "failed",
        "reason": "worker-lost",
        "fault": "",
    }
    assert site.begun == ["/a"]


async def test_a_drain_finishes_what_is_at_work_and_leaves_the_rest_to_the_next_start(
    scripted: Starts, bucket: Bucket, text: Callable[..., str], tmp_path: Path
) -> None:
    site = Site()
    config = text(await scripted(site), backfill="concurrency: 1")
    async with served(tmp_path, config) as edge:
        await missed(edge, "a", "b", "c")
        await become(edge, {"leased": 1, "queued": 2})
        await site.has_begun(1)
        edge.process.send_signal(signal.SIGTERM)
        assert edge.process.stderr is not None
        assert await edge.process.stderr.readline() == b"SIGTERM: draining, for at most 10 s\n"
        site.gate.set()
        assert await edge.ended() == (0, ["drained: 2 jobs wait for the next start"])
    await bucket.holds("a")
    async with served(tmp_path, config) as edge:
        await become(edge, {"stored": 3})
    assert site.begun == ["/a", "/b", "/c"]


async def test_what_a_drain_cannot_finish_is_not_lost_either(
    scripted: Starts, bucket: Bucket, text: Callable[..., str]
) -> None:
    site = Site()
    config = re.sub("\nserver:.*", "", text(await scripted(site)).replace("600ms", "1h"))
    async with edge_of(config) as edge:
        await edge.get("/a", "HEAD")
        await site.has_begun(1)
        assert await edge.gateway.app.drain(0.05) == Drained(flights=0, jobs=0, kept=1)
    site.gate.set()
    async with edge_of(config) as edge:
        # It was given back: nobody has to wait until its lease has run out.
        await edge.gateway.app.backfilled()
        await bucket.holds("a")


async def test_workers_share_the_jobs_and_take_over_from_one_that_is_killed(
    scripted: Starts, bucket: Bucket, text: Callable[..., str], tmp_path: Path
) -> None:
    site = Site()
    config = text(await scripted(site), server="workers: 2", backfill="concurrency: 1")
    keys = [str(n) for n in range(6)]
    async with served(tmp_path, config) as edge:
        await missed(edge, *keys)
        await site.has_begun(2)
        await become(edge, {"leased": 2, "queued": 4})
        assert len(set(site.begun)) == 2
        os.kill(workers(edge)[0], signal.SIGKILL)
        site.gate.set()
        await bucket.holds(*keys)
        await become(edge, {"stored": 6})
        assert len(site.begun) == 7, "but for the one at which the dead one was, none was done twice"
        edge.process.send_signal(signal.SIGTERM)
        assert (await edge.ended())[1][-1] == "drained: nothing was left undone"


async def test_a_process_that_was_stopped_leaves_its_job_to_another(
    scripted: Starts, bucket: Bucket, text: Callable[..., str], tmp_path: Path
) -> None:
    site = Site()
    config = text(await scripted(site))
    (tmp_path / "one").mkdir()
    async with served(tmp_path / "one", config) as one, served(tmp_path, config) as other:
        await missed(one, "a")
        await site.has_begun(1)
        first = one if await at_work(one) else other
        second = other if first is one else one
        first.process.send_signal(signal.SIGSTOP)
        await site.has_begun(2)
        first.process.send_signal(signal.SIGCONT)
        while await at_work(first):
            await asyncio.sleep(0.02)
        site.gate.set()
        await become(second, {"stored": 1})
        await bucket.holds("a")


async def at_work(edge: Served) -> int:
    async with aiohttp.ClientSession() as operator:
        async with operator.get(f"http://127.0.0.1:{edge.admin}/stats") as answer:
            return int((await answer.json())["backfill"]["at_work"])


def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    path = tmp_path / "config.yaml"
    for count in (1, 2):
        path.write_text(f"""
server: {{listen: '127.0.0.1:0', workers: {count}}}
admin: {{listen: '127.0.0.1:0'}}
state: {{folder: '{tmp_path}/state'}}
origins: {{site: {{type: http, url: "http://127.0.0.1:1"}}}}
default_behavior: {{target_origin: site}}
""")
        answer = CliRunner().invoke(main, ["serve", "-c", str(path)])
        file = tmp_path / "state" / "backfill.sqlite"
        assert answer.output == f"{path}: state.folder: {file}: {tmp_path}/state: File exists\n"
        assert answer.exit_code == 2
