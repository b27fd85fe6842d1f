"""Bodies stream: a large object passes through in little memory, both ways."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import Exchange, Script, ScriptedOrigin
from tests.stories.process import served

MIB = 2**20
Starts = Callable[[Script], Awaitable[ScriptedOrigin]]

SIZES = [
    pytest.param(256, id="256 MiB"),
    pytest.param(5 * 1024, id="5 GiB", marks=pytest.mark.heavy),
]


def config(url: str) -> str:
    return f"""
origins: {{site: {{type: http, url: "{url}"}}}}
default_behavior:
  target_origin: site
  cache_policy: CachingOptimized
  allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]
log: {{access: false}}
"""


async def consumed(reader: asyncio.StreamReader, size: int) -> int:
    """Read `size` bytes, or as many as come."""
    taken = 0
    while taken < size and (part := await reader.read(min(MIB, size - taken))):
        taken += len(part)
    return taken


@pytest.mark.parametrize("mib", SIZES)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
async def test_a_large_object_comes_down_in_little_memory(
    scripted: Starts, tmp_path: Path, mib: int, chunked: bool
) -> None:
    part = os.urandom(MIB)

    async def large(exchange: Exchange) -> None:
        if chunked:
            await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(mib):
                await exchange.send(b"100000\r\n" + part + b"\r\n")
            await exchange.send(b"0\r\n\r\n")
        else:
            await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (mib * MIB))
            for _ in range(mib):
                await exchange.send(part)

    origin = await scripted(large)
    async with (
        served(tmp_path, config(origin.url)) as edge,
        aiohttp.ClientSession(read_bufsize=MIB) as viewer,
    ):
        idle = edge.memory_bytes()
        async with viewer.get(edge.url + "/large", timeout=aiohttp.ClientTimeout(total=None)) as answer:
            assert await consumed(answer.content, mib * MIB + 1) == mib * MIB
        growth = edge.memory_bytes("VmHWM") - idle
    assert growth < 100 * MIB, f"{growth / MIB:.0f} MiB above idle"


@pytest.mark.parametrize("mib", SIZES)
async def test_a_large_upload_goes_up_in_little_memory(scripted: Starts, tmp_path: Path, mib: int) -> None:
    part = os.urandom(MIB)

    async def takes(exchange: Exchange) -> None:
        taken = await consumed(exchange.reader, int(exchange.field("content-length") or 0))
        await exchange.answer(200, str(taken).encode())

    async def body():  # type: ignore[no-untyped-def]
        for _ in range(mib):
            yield part

    origin = await scripted(takes)
    async with served(tmp_path, config(origin.url)) as edge, aiohttp.ClientSession() as viewer:
        idle = edge.memory_bytes()
        fields = {"Content-Length": str(mib * MIB)}
        timeout = aiohttp.ClientTimeout(total=None)
        async with viewer.post(edge.url + "/up", data=body(), headers=fields, timeout=timeout) as answer:
            assert await answer.read() == str(mib * MIB).encode()
        growth = edge.memory_bytes("VmHWM") - idle
    assert growth < 100 * MIB, f"{growth / MIB:.0f} MiB above idle"


async def test_a_viewer_who_reads_slowly_holds_the_origin_back(scripted: Starts, tmp_path: Path) -> None:
    sent = 0

    async def large(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (512 * MIB))
        for _ in range(512):
            await exchange.send(b"x" * MIB)
            sent += MIB

    origin = await scripted(large)
    async with served(tmp_path, config(origin.url)) as edge, aiohttp.ClientSession() as viewer:
        async with viewer.get(edge.url + "/large") as answer:
            await answer.content.readexactly(1000)
            await asyncio.sleep(0.5)  # long enough for 512 MiB to rush through if nothing held them
            assert sent < 64 * MIB
