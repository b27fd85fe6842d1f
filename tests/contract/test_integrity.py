"""What keeps objects whole, on every S3 server that is at hand: orphans, refreshes, a server that stops."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError

from edgeproxy.backfill.uploads import Upload, Uploads
from edgeproxy.clock import SystemClock
from edgeproxy.origins.sigv4 import Keys, signed_headers
from tests.conftest import Edge, Exchange, Script, ScriptedOrigin
from tests.contract.test_main_job import text
from tests.servers.server import S3Server

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]
MIB = 2**20


async def body_of(s3: Any, bucket: str, key: str) -> bytes:
    async with (await s3.get_object(Bucket=bucket, Key=key))["Body"] as body:
        return bytes(await body.read())


async def uploads_of(s3: Any, bucket: str) -> int:
    return len((await s3.list_multipart_uploads(Bucket=bucket)).get("Uploads", []))


async def test_parts_that_a_killed_process_has_left_are_taken_away(
    server: S3Server, s3: Any, bucket: str, scripted: Starts, edge: Gateway, tmp_path: Path
) -> None:
    async def fine(exchange: Exchange) -> None:
        await exchange.answer(200, b"body")

    target = {"Bucket": bucket, "Key": "grün/a"}
    ours, theirs = [(await s3.create_multipart_upload(**target))["UploadId"] for _ in range(2)]
    for upload in (ours, theirs):
        await s3.upload_part(**target, UploadId=upload, PartNumber=1, Body=b"part")
    uploads = Uploads(tmp_path / "uploads")
    mark = uploads.begin(Upload(server.endpoint, bucket, "grün/a", ours))
    assert mark is not None
    uploads.leave(mark)
    site = await scripted(fine)
    await edge(text(server, bucket, site.url) + f"\nstate: {{folder: '{tmp_path}'}}")
    async with asyncio.timeout(20):
        while list((tmp_path / "uploads").iterdir()):
            await asyncio.sleep(0.02)
    left = (await s3.list_multipart_uploads(Bucket=bucket)).get("Uploads", [])
    assert [upload["UploadId"] for upload in left] == [theirs], "it was never ours"


@pytest.mark.parametrize("size", [3, 11 * MIB], ids=["one piece", "parts"])
@pytest.mark.parametrize("is_disturbed", [False, True])
async def test_only_what_we_wrote_is_replaced(
    server: S3Server,
    s3: Any,
    bucket: str,
    scripted: Starts,
    edge: Gateway,
    size: int,
    is_disturbed: bool,
) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()
    asked: list[str | None] = []

    async def changing(exchange: Exchange) -> None:
        asked.append(exchange.field("if-none-match"))
        if asked[-1] is None:
            await exchange.answer(200, b"old", etag='"1"')
            return
        await exchange.send(
            b"HTTP/1.1 200 OK\r\netag: 2\r\ncontent-length: %d\r\n\r\n" % size + b"n" * (size - 1)
        )
        begun.set()
        await gate.wait()
        await exchange.send(b"!")

    site = await scripted(changing)
    e = await edge(text(server, bucket, site.url))
    await e.get("/a")
    await e.gateway.app.backfilled()
    async with aiohttp.ClientSession() as operator:
        url = f"http://{e.gateway.admin}/backfill/refresh"
        async with operator.post(url, json={"paths": ["/a"]}) as answer:
            assert await answer.json() == {"refresh": {"queued": 1}}
    await begun.wait()
    if is_disturbed:
        await s3.put_object(Bucket=bucket, Key="a", Body=b"theirs")
    gate.set()
    await e.gateway.app.backfilled()
    ending = "skipped-changed" if is_disturbed else "stored"
    assert e.counts()[ending] == (1 if is_disturbed else 2)
    assert asked == [None, '"1"']
    body = await body_of(s3, bucket, "a")
    assert body == (b"theirs" if is_disturbed else b"n" * (size - 1) + b"!")
    assert await uploads_of(s3, bucket) == 0


@pytest.mark.parametrize("size", [3, 11 * MIB], ids=["one piece", "parts"])
async def test_a_server_that_stops_costs_an_attempt_of_bounded_time_and_no_job(
    server: S3Server, s3: Any, bucket: str, scripted: Starts, edge: Gateway, size: int
) -> None:
    if not server.pids:
        pytest.skip(f"{server.name} runs in this process")
    gate, begun = asyncio.Event(), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"n" * (size - 1))
        if exchange.method == "GET":
            begun.set()
            await gate.wait()
            await exchange.send(b"!")

    site = await scripted(slow)
    told = text(server, bucket, site.url).replace("attempts: 2", "attempts: 9, write_timeout: 2s")
    e = await edge(told)
    asking = asyncio.ensure_future(e.get("/a"))
    await begun.wait()
    while e.gateway.app.state()["backfill"]["at_work"] == 0:  # type: ignore[index]
        await asyncio.sleep(0.01)
    with server.paused():
        gate.set()
        async with asyncio.timeout(30):
            await asking
            while not e.counts().get("retried"):
                await asyncio.sleep(0.05)
    await e.gateway.app.backfilled()
    assert e.counts().get("stored", 0) + e.counts().get("skipped-exists", 0) == 1
    assert await body_of(s3, bucket, "a") == b"n" * (size - 1) + b"!"
    # What could not be aborted while it stood still has no record where there is no state folder.
    assert await uploads_of(s3, bucket) <= 1


async def test_the_server_holds_a_body_against_what_was_signed(
    server: S3Server, s3: Any, bucket: str
) -> None:
    """What every write of ours rests on, which has the SHA-256 of its body in the signature."""
    if not server.checks_signatures:
        pytest.skip(f"{server.name} takes any signature")
    url, path = server.endpoint, f"/{bucket}/a"
    signed = signed_headers(
        Keys(server.access_key_id, server.secret_access_key, None),
        method="PUT",
        host=url.partition("//")[2],
        path=path,
        query="",
        region=server.region,
        now=SystemClock().now(),
        payload_sha256="0" * 64,
    )
    async with aiohttp.ClientSession() as client:
        async with client.put(url + path, data=b"damaged", headers=dict(signed)) as answer:
            assert answer.status == 400, await answer.text()
    with pytest.raises(ClientError, match="404"):
        await s3.head_object(Bucket=bucket, Key="a")


async def test_the_server_holds_a_body_against_its_md5(server: S3Server, s3: Any, bucket: str) -> None:
    """What writes rest on that are not signed."""
    if not server.checks_signatures:
        pytest.skip(f"{server.name} does not look")
    with pytest.raises(ClientError, match=r"BadDigest|InvalidDigest"):
        await s3.put_object(Bucket=bucket, Key="a", Body=b"damaged", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")
