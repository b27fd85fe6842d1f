"""kill -9 at each step of a job, and a full disk: no job is lost, nothing is stored by halves.

What is killed in the middle of a download, and between the write and its note, is in `test_durable`.
"""

import asyncio
import resource
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from tests.conftest import Exchange, Script, ScriptedOrigin
from tests.stories.process import served
from tests.stories.test_durable import (
    Bucket,
    Site,
    become,
    body_of,
    bucket,
    jobs,
    killed,
    missed,
    text,
)

__all__ = ["bucket", "text"]

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]


class Silent:
    """Answers HEAD, and a GET once the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        if exchange.method == "GET":
            self.begun.set()
            await self.gate.wait()
        await exchange.answer(200, body_of(exchange.target))


async def parts_are_there(bucket: Bucket) -> None:
    while not await bucket.uploads():
        await asyncio.sleep(0.02)
    (upload,) = (await bucket.s3.list_multipart_uploads(Bucket=bucket.name))["Uploads"]
    asked = {"Bucket": bucket.name, "Key": upload["Key"], "UploadId": upload["UploadId"]}
    while not (await bucket.s3.list_parts(**asked)).get("Parts"):
        await asyncio.sleep(0.02)


async def no_parts(bucket: Bucket) -> None:
    while await bucket.uploads():
        await asyncio.sleep(0.02)


async def test_at_the_start_of_a_job(
    scripted: Starts, bucket: Bucket, text: Callable[..., str], tmp_path: Path
) -> None:
    site = Silent()
    config = text(await scripted(site))
    async with served(tmp_path, config) as edge:
        await missed(edge, "a")
        await site.begun.wait()
        await killed(edge)
    site.gate.set()
    async with served(tmp_path, config) as edge:
        await become(edge, {"stored": 1})
        await bucket.holds("a")


async def test_in_the_middle_of_its_parts(
    scripted: Starts, bucket: Bucket, text: Callable[..., str], tmp_path: Path
) -> None:
    site = Site()
    config = text(await scripted(site))
    async with served(tmp_path, config) as edge:
        await missed(edge, "big")
        await parts_are_there(bucket)
        await killed(edge)
    assert await bucket.uploads() == 1
    site.gate.set()
    async with served(tmp_path, config) as edge:
        await become(edge, {"stored": 1})
        await bucket.holds("big")
        await no_parts(bucket)
    assert list((tmp_path / "state" / "uploads").iterdir()) == []


async def test_in_the_middle_of_the_parts_of_its_last_attempt(
    scripted: Starts, bucket: Bucket, text: Callable[..., str], tmp_path: Path
) -> None:
    config = text(await scripted(Site()), backfill="attempts: 1")
    async with served(tmp_path, config) as edge:
        await missed(edge, "big")
        await parts_are_there(bucket)
        await killed(edge)
    async with served(tmp_path, config) as edge:
        await no_parts(bucket)
        await become(edge, {"dead": 1})
        await bucket.holds()


async def test_a_newer_upload_while_nobody_lives(
    scripted: Starts, bucket: Bucket, text: Callable[..., str], tmp_path: Path
) -> None:
    site = Site()
    config = text(await scripted(site))
    async with served(tmp_path, config) as edge:
        await missed(edge, "big")
        await parts_are_there(bucket)
        await killed(edge)
    await bucket.s3.put_object(Bucket=bucket.name, Key="big", Body=b"newer")
    async with served(tmp_path, config) as edge:
        await become(edge, {"skipped": 1})
        await no_parts(bucket)
    found = await bucket.s3.get_object(Bucket=bucket.name, Key="big")
    assert await found["Body"].read() == b"newer"


async def test_a_disk_that_is_full_costs_no_viewer_and_no_job(
    scripted: Starts, bucket: Bucket, text: Callable[..., str], tmp_path: Path
) -> None:
    site = Silent()
    site.gate.set()
    config = text(await scripted(site))
    async with served(tmp_path, config) as edge:
        await missed(edge, "a")
        await become(edge, {"stored": 1})
        hard = resource.prlimit(edge.process.pid, resource.RLIMIT_FSIZE)[1]
        # No file may grow beyond a byte: what writes to one is told that it cannot.
        resource.prlimit(edge.process.pid, resource.RLIMIT_FSIZE, (1, hard))
        async with aiohttp.ClientSession() as viewer:
            for n in range(5):
                async with viewer.get(f"{edge.url}/{n}") as answer:
                    assert (answer.status, await answer.read()) == (200, b"0123456789")
        while not (await jobs(edge)).get("faults"):
            await asyncio.sleep(0.02)
        await bucket.holds("a")
        resource.prlimit(edge.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        await bucket.holds("a", *map(str, range(5)))
