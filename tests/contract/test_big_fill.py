"""A large object on its way into the bucket: memory is bounded whatever its size."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import Exchange, Script, ScriptedOrigin
from tests.servers.server import S3Server
from tests.stories.process import served

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
MIB = 2**20
BLOCK = bytes(range(256)) * 4 * 1024


@pytest.mark.parametrize(
    "mebibytes",
    [512, pytest.param(5 * 1024, marks=[pytest.mark.heavy, pytest.mark.timeout(900)])],
)
async def test_memory_stays_where_it_is(
    server: S3Server, s3: Any, bucket: str, scripted: Starts, tmp_path: Path, mebibytes: int
) -> None:
    if not server.pids:
        pytest.skip(f"{server.name} would hold it in memory")
    if server.name == "radosgw" and mebibytes > 1024:
        pytest.skip("this radosgw keeps its objects in memory too, which has an end")

    async def large(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (mebibytes * MIB))
        if exchange.method == "GET":
            for _ in range(mebibytes):
                await exchange.send(BLOCK)

    site = await scripted(large)
    text = f"""
state: {{folder: '{tmp_path}/state'}}
log: {{access: false}}
origins:
  bucket: {{type: s3, bucket: {bucket}, endpoint: '{server.endpoint}', credentials: {{access_key_id:
    {server.access_key_id}, secret_access_key: {server.secret_access_key}}}}}
  site: {{type: http, url: "{site.url}"}}
origin_groups: {{media: {{members: [bucket, site], failover_on: [403, 404]}}}}
default_behavior: {{target_origin: media}}
backfill: {{rules: [{{}}]}}
"""
    async with served(tmp_path, text) as edge, aiohttp.ClientSession() as viewer:
        async with viewer.get(f"http://127.0.0.1:{edge.admin}/stats") as answer:
            await answer.read()
        idle = edge.memory_bytes()
        async with viewer.head(f"{edge.url}/big") as answer:
            assert answer.status == 200
        while True:
            async with viewer.get(f"http://127.0.0.1:{edge.admin}/backfill") as answer:
                (job,) = (await answer.json())["jobs"] or [{"state": "queued"}]
            if job["state"] not in ("queued", "leased"):
                break
            await asyncio.sleep(0.2)
        assert job["state"] == "stored", job
        assert edge.memory_bytes("VmHWM") - idle < 100 * MIB
