"""Operators see the backfill's jobs and steer them: `edgeproxy backfill`, with one process or several."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from edgeproxy.cli.main import main
from tests.conftest import Exchange, Script, ScriptedOrigin
from tests.stories.process import Served, served
from tests.stories.test_admin import asked
from tests.stories.test_durable import at_work

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]


class Site:
    """Has everything for HEAD; for GET what does not begin with "gone", unless it is well again."""

    is_well = False

    async def __call__(self, exchange: Exchange) -> None:
        is_there = exchange.method == "HEAD" or self.is_well or not exchange.target.startswith("/gone")
        await exchange.answer(200 if is_there else 403, b"body")


def config(moto: str, bucket: str, site: str, state: str) -> str:
    return f"""
origins:
  bucket: {{type: s3, bucket: {bucket}, endpoint: '{moto}',
    credentials: {{access_key_id: test, secret_access_key: test-secret}}}}
  site: {{type: http, url: "{site}"}}
origin_groups: {{media: {{members: [bucket, site], failover_on: [403, 404]}}}}
default_behavior: {{target_origin: media}}
backfill: {{rules: [{{}}]}}
log: {{access: false}}
{state}
"""


async def said(edge: Served, path: Path, *words: str) -> tuple[int, str]:
    """Exit status and output of `edgeproxy backfill`."""
    answer = await asyncio.to_thread(CliRunner().invoke, main, ["backfill", *words, "-c", str(path)])
    return answer.exit_code, answer.output.strip()


async def listed(edge: Served, query: str = "") -> Any:
    status, told = await asked(edge.admin, f"/backfill{query}")
    assert status == 200, told
    return told


async def seen(edge: Served, *wanted: tuple[str, str]) -> None:
    """Wait until these are the jobs."""
    while {(job["key"], job["state"]) for job in (await listed(edge))["jobs"]} != set(wanted):
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("workers", [1, 2])
async def test_jobs_are_listed_paused_and_tried_again(
    scripted: Starts, moto: str, s3: Any, bucket_name: str, tmp_path: Path, workers: int
) -> None:
    await s3.create_bucket(Bucket=bucket_name)
    site = Site()
    origin = await scripted(site)
    state = f"state: {{folder: '{tmp_path}/state'}}\nserver: {{listen: '127.0.0.1:0', workers: {workers}}}"
    text = config(moto, bucket_name, origin.url, state)
    async with served(tmp_path, text) as edge:
        path = tmp_path / "operator.yaml"
        path.write_text(f"{text}\nadmin: {{listen: '127.0.0.1:{edge.admin}'}}")
        assert await said(edge, path, "pause") == (0, "paused")
        async with aiohttp.ClientSession() as viewer:
            for key in ("a", "gone/%1b"):
                async with viewer.head(f"{edge.url}/{key}") as answer:
                    assert answer.status == 200
        await seen(edge, ("a", "queued"), ("gone/\x1b", "queued"))
        status, told = await said(edge, path, "ls", "--prefix", "gone/")
        paused, row = told.splitlines()
        assert (status, paused) == (0, "paused: no job is begun until `edgeproxy backfill resume`")
        assert row.split()[1:5] == ["queued", "0", "-", "-"]
        assert row.endswith("  media:gone/\\x1b")
        assert await said(edge, path, "resume") == (0, "resumed")
        await seen(edge, ("a", "stored"), ("gone/\x1b", "failed"))
        if workers == 1:
            (job,) = (await listed(edge, "?state=failed"))["jobs"]
            status, told = await said(edge, path, "show", str(job["number"]), "--json")
            assert (status, json.loads(told)) == (0, job)
            assert (job["reason"], job["attempts"]) == ("source-status", 1)
            assert job["message"] == "site answered 403"
            assert await said(edge, path, "show", "99") == (1, "there is no job 99")
            assert await said(edge, path, "retry") == (2, "retry: want NUMBERS, --state, --group or --prefix")
        site.is_well = True
        assert await said(edge, path, "retry", "--state", "failed") == (0, "queued again: 1")
        status, told = await said(edge, path, "wait")
        assert (status, told) == (0, "stored: 2, skipped: 0, failed: 0, dead: 0")
        await seen(edge, ("a", "stored"), ("gone/\x1b", "stored"))


@pytest.mark.parametrize(("workers", "queue"), [(1, "sqlite"), (2, "sqlite"), (2, "memory")])
async def test_jobs_are_cancelled_whether_they_wait_or_are_at_work(
    scripted: Starts, moto: str, s3: Any, bucket_name: str, tmp_path: Path, workers: int, queue: str
) -> None:
    await s3.create_bucket(Bucket=bucket_name)
    asked_for: set[str] = set()

    async def hangs(exchange: Exchange) -> None:
        if exchange.method == "HEAD":
            await exchange.answer(200, b"body")
        else:
            asked_for.add(exchange.target)
            await asyncio.Event().wait()

    origin = await scripted(hangs)
    state = f"state: {{folder: '{tmp_path}/state'}}\nserver: {{listen: '127.0.0.1:0', workers: {workers}}}"
    text = config(moto, bucket_name, origin.url, state).replace(
        "rules: [{}]", f"rules: [{{}}], queue: {queue}, concurrency: 2, lease: 1s"
    )
    async with served(tmp_path, text) as edge:
        path = tmp_path / "operator.yaml"
        path.write_text(f"{text}\nadmin: {{listen: '127.0.0.1:{edge.admin}'}}")
        keys = [f"{letter}{n}" for letter in "ab" for n in range(4)]
        for key in keys:
            async with aiohttp.ClientSession() as viewer, viewer.head(f"{edge.url}/{key}") as answer:
                assert answer.status == 200
        while len(asked_for) < 2 or len((await listed(edge))["jobs"]) < 8:
            await asyncio.sleep(0.02)
        jobs = (await listed(edge))["jobs"]
        assert len({job["number"] for job in jobs}) == 8
        busy = next(job for job in jobs if job["state"] == "leased")
        assert await said(edge, path, "cancel") == (2, "cancel: want NUMBERS, --state, --group or --prefix")
        assert await said(edge, path, "cancel", str(busy["number"])) == (0, "cancelled: 1")
        assert await said(edge, path, "cancel", "--prefix", "a") == (
            *(0, f"cancelled: {4 - (busy['key'][0] == 'a')}"),
        )
        assert (await said(edge, path, "cancel", "--group", "media"))[0] == 0
        await seen(edge, *((key, "skipped") for key in keys))
        assert {job["reason"] for job in (await listed(edge))["jobs"]} == {"cancelled"}
        while await at_work(edge):
            await asyncio.sleep(0.02)


async def test_a_paused_queue_in_memory_does_not_hold_up_the_end(
    scripted: Starts, moto: str, s3: Any, bucket_name: str, tmp_path: Path
) -> None:
    await s3.create_bucket(Bucket=bucket_name)
    origin = await scripted(Site())
    state = "server: {listen: '127.0.0.1:0', drain_timeout: 1h}"
    async with served(tmp_path, config(moto, bucket_name, origin.url, state)) as edge:
        url = f"http://127.0.0.1:{edge.admin}/backfill/pause"
        async with aiohttp.ClientSession() as operator, operator.post(url, json={}) as answer:
            assert answer.status == 200
        async with aiohttp.ClientSession() as viewer, viewer.head(f"{edge.url}/a") as answer:
            assert answer.status == 200
        edge.process.send_signal(signal.SIGTERM)
        status, lines = await edge.ended()
        assert (status, lines[-1]) == (1, "drained: 0 requests cut off, 0 fetches and 1 jobs given up")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("?state=lost", 'state: got "lost", want one of queued, leased, stored, skipped, failed, dead'),
        ("?number=1x", 'number: got "1x", want a number'),
        ("?limit=-1", 'limit: got "-1", want a number'),
        ("?key=a", "key: is no filter, want state, group, prefix, number or limit"),
    ],
)
async def test_a_wrong_filter_is_told(edge: Any, query: str, error: str) -> None:
    e = await edge(
        'origins: {site: {type: http, url: "http://127.0.0.1:1"}}\ndefault_behavior: {target_origin: site}'
    )
    assert await asked(e.gateway.admin.port, "/backfill" + query) == (400, {"error": error})


async def test_a_page_on_the_web_cannot_steer(edge: Any) -> None:
    e = await edge(
        'origins: {site: {type: http, url: "http://127.0.0.1:1"}}\ndefault_behavior: {target_origin: site}'
    )
    url = f"http://{e.gateway.admin}/backfill/pause"
    async with aiohttp.ClientSession() as page, page.post(url, data="{}") as answer:
        assert answer.status == 415
    assert await asked(e.gateway.admin.port, "/backfill") == (200, {"paused": False, "jobs": []})
