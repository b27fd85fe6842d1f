"""Jobs in SQS, with real processes: gateways that queue, workers that work, an SQS that is not there."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edgeproxy.app import Drained, Observers
from edgeproxy.backfill import post
from edgeproxy.backfill.job import Wanted
from edgeproxy.cli.main import main
from edgeproxy.config import parse
from edgeproxy.filling import filling
from tests.conftest import Box, Exchange, Script, ScriptedOrigin
from tests.moody import Moody
from tests.stories.conftest import Build
from tests.stories.process import served, working
from tests.stories.test_durable import Bucket, Site, become, body_of, missed

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
KEYS = "credentials: {access_key_id: test, secret_access_key: test-secret}"


@pytest.fixture
async def bucket(s3: Any, bucket_name: str) -> Bucket:
    await s3.create_bucket(Bucket=bucket_name)
    return Bucket(s3, bucket_name)


@pytest.fixture
def text(moto: str, bucket: Bucket, box: Box) -> Callable[..., str]:
    def of(site: ScriptedOrigin, *, backfill: str = "") -> str:
        return f"""
server: {{listen: '127.0.0.1:0', drain_timeout: 10s, debug_headers: true, workers: 2}}
log: {{access: false}}
origins:
  bucket: {{type: s3, bucket: {bucket.name}, endpoint: '{moto}', {KEYS}}}
  site: {{type: http, url: "{site.url}", connection_attempts: 1}}
origin_groups: {{media: {{members: [bucket, site], failover_on: [403, 404]}}}}
default_behavior: {{target_origin: media}}
backfill:
  {{rules: [{{}}], part_size: 5MiB, lease: 1s, queue: sqs, concurrency: 0, {backfill}
  sqs: {{url: '{box.url}', wait: 1s, {KEYS}}}}}
"""

    return of


async def test_gateways_queue_and_workers_work(
    scripted: Starts, bucket: Bucket, box: Box, text: Callable[..., str], tmp_path: Path
) -> None:
    site = Site()
    # Nobody is killed here: a busy machine is no reason for a lease to run out.
    config = text(await scripted(site)).replace("lease: 1s", "lease: 30s")
    async with AsyncExitStack() as stack:
        edge = await stack.enter_async_context(served(tmp_path, config))
        await missed(edge, "a", "b", "c")
        await box.put('{"v":1,"uri":"/of-a-lambda-function"}')
        await become(edge, {"queued": 4})
        one = await stack.enter_async_context(working(tmp_path, config, "--concurrency", "1"))
        here = parse(config.replace("concurrency: 0", "concurrency: 1"), {})
        other = await stack.enter_async_context(filling(here))
        # Each has one.
        await site.has_begun(2)
        site.gate.set()
        await bucket.holds("a", "b", "c", "of-a-lambda-function")
        await become(edge, {})
        assert len(site.begun) == 4
        assert await other.drain(5) == Drained(flights=0, jobs=0, kept=0)
        one.send_signal(signal.SIGTERM)
        assert one.stderr is not None
        said = (await one.stderr.read()).decode().splitlines()
        assert said[-1] == "drained: nothing was left undone"
        assert await one.wait() == 0


async def test_another_worker_takes_over_from_one_that_is_killed(
    scripted: Starts, bucket: Bucket, box: Box, text: Callable[..., str], tmp_path: Path
) -> None:
    site = Site()
    config = text(await scripted(site))
    await box.put('{"v":1,"uri":"/big"}')
    async with working(tmp_path, config, "--concurrency", "1", name="one") as one:
        await site.has_begun(1)
        while not await bucket.uploads():
            await asyncio.sleep(0.02)
        one.kill()
        await one.wait()
        async with working(tmp_path, config, "--concurrency", "1", name="other"):
            await site.has_begun(2)
            site.gate.set()
            await bucket.holds("big")
            while await box.held() != (0, 0):
                await asyncio.sleep(0.02)
    assert site.begun == ["/big", "/big"]


async def test_viewers_do_not_notice_an_sqs_that_hangs(
    monkeypatch: pytest.MonkeyPatch, house: Build, scripted: Starts, box: Box, moto: str
) -> None:
    monkeypatch.setattr(post, "_PATIENCE_S", 0.5)

    async def site(exchange: Exchange) -> None:
        await exchange.answer(200, body_of(exchange.target))

    moody = Moody(moto, lambda _: "hang")
    endpoint = (await scripted(moody)).url
    sqs = f"queue: sqs, sqs: {{url: '{box.url}', endpoint: '{endpoint}', wait: 1s, {KEYS}}}"
    at = await house(site, queue=sqs)
    started = asyncio.get_running_loop().time()
    for name in "abc":
        answer, body = await at.edge.get(f"/{name}")
        assert (answer.status, body) == (200, body_of(name))
        assert answer.headers["X-Edge-Backfill"] == "queued"
    assert asyncio.get_running_loop().time() - started < 0.4
    moody.mood = lambda _: 500
    while "SendMessageBatch" not in moody.asked:
        moody.mood = lambda action: None if action == "GetQueueAttributes" else 500
        await asyncio.sleep(0.01)
    moody.mood = lambda _: None
    while len(await at.stored()) < 3:
        await asyncio.sleep(0.02)


async def test_what_sqs_did_not_take_is_counted_when_the_gateway_ends(
    monkeypatch: pytest.MonkeyPatch, house: Build, scripted: Starts, box: Box, moto: str
) -> None:
    monkeypatch.setattr(post, "_PATIENCE_S", 0.1)

    async def site(exchange: Exchange) -> None:
        await exchange.answer(200, body_of(exchange.target))

    endpoint = (await scripted(Moody(moto, lambda _: "hang"))).url
    sqs = f"queue: sqs, sqs: {{url: '{box.url}', endpoint: '{endpoint}', wait: 1s, {KEYS}}}"
    at = await house(site, queue=sqs)
    await at.edge.get("/a")
    assert await at.edge.gateway.app.drain(5) == Drained(flights=0, jobs=1, kept=0)


async def test_an_object_is_made_while_viewers_wait_and_its_message_is_not_done_again(
    house: Build, box: Box
) -> None:
    gate, asked = asyncio.Event(), []

    async def site(exchange: Exchange) -> None:
        asked.append(exchange.target)
        await gate.wait()
        await exchange.answer(200, body_of(exchange.target))

    sqs = f"queue: sqs, sqs: {{url: '{box.url}', wait: 1s, {KEYS}}}"
    at = await house(site, rules="[{mode: generate}]", queue=sqs)
    viewers = [asyncio.ensure_future(at.edge.get("/a")) for _ in range(3)]
    while not asked:
        await asyncio.sleep(0.01)
    await box.put('{"v":1,"uri":"/a"}')
    while await box.held() != (0, 1):
        await asyncio.sleep(0.01)
    gate.set()
    for answer, body in await asyncio.gather(*viewers):
        assert (answer.status, body) == (200, body_of("a"))
    while await box.held() != (0, 0):
        await asyncio.sleep(0.01)
    assert asked == ["/a"]
    assert at.edge.counts() == {"stored": 1, "taken": 1}


async def test_jobs_of_a_source_that_is_down_wait_hidden(house: Build, box: Box) -> None:
    async def site(exchange: Exchange) -> None:
        await exchange.answer(503)

    sqs = f"queue: sqs, sqs: {{url: '{box.url}', wait: 1s, {KEYS}}}"
    source = (
        "sources: {slow: {origin: site, breaker: {failures: 1, rest: 1h}}}, concurrency: 1, backoff_cap: 1h"
    )
    at = await house(site, rules="[{sources: [slow]}]", queue=f"{sqs}, {source}")
    await box.put(*(f'{{"v":1,"uri":"/{name}"}}' for name in "abc"))
    while at.edge.counts().get("held-source-down") != 2:
        await asyncio.sleep(0.01)
    jobs = await at.edge.gateway.app.jobs(Wanted())
    assert {(job["state"], job["reason"], job["attempts"]) for job in jobs[1]} == {
        ("queued", "source-status", 1),
        ("queued", "source-down", 0),
    }
    assert sum(await box.held()) == 3


async def test_what_cannot_be_done_ends_with_the_dead_letters(
    scripted: Starts,
    bucket: Bucket,
    box: Box,
    box_of: Callable[..., Awaitable[Box]],
    text: Callable[..., str],
) -> None:
    async def site(exchange: Exchange) -> None:
        await exchange.answer(410 if exchange.target == "/gone" else 403)

    dead = await box_of()
    await box.redrives(dead, 3)
    config = parse(text(await scripted(site)).replace("concurrency: 0", "concurrency: 2"), {})
    heard: list[str] = []
    await box.put('{"v":1,"uri":"/secret"}', '{"v":1,"uri":"/gone"}', "go away")
    observers = Observers(on_job=[lambda job, outcome: heard.append(job.path)])
    async with filling(config, observers=observers) as process:
        while await box.held() != (0, 0):
            await asyncio.sleep(0.02)
        stats = await process.stats()
        assert isinstance(stats["jobs"], dict)
        assert (stats["jobs"]["failed"], stats["jobs"]["skipped"]) == (1, 1)
        assert stats["jobs"]["dead"] == 2
    assert sorted(heard) == ["/gone", "/secret"]
    assert await dead.texts() == ["go away", '{"v":1,"uri":"/secret"}']


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_queue_that_is_not_there_is_one_line(command: str, moto: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    url = f"{moto}/123456789012/nowhere"
    path.write_text(f"""
server: {{listen: '127.0.0.1:0'}}
admin: {{listen: '127.0.0.1:0'}}
origins:
  bucket: {{type: s3, bucket: some-bucket, endpoint: '{moto}', {KEYS}}}
  site: {{type: http, url: "http://127.0.0.1:1"}}
origin_groups: {{media: {{members: [bucket, site], failover_on: [404]}}}}
default_behavior: {{target_origin: media}}
backfill: {{rules: [{{}}], queue: sqs, sqs: {{url: '{url}', {KEYS}}}}}
""")
    answer = CliRunner().invoke(main, [command, "-c", str(path)])
    wanted = f"backfill.sqs: {url}: there is no such queue (AWS.SimpleQueueService.NonExistentQueue)"
    assert (answer.output, answer.exit_code) == (f"{path}: {wanted}\n", 2)
