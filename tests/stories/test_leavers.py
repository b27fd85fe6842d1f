"""A viewer that leaves: what is for it alone ends; what is for others, or may have written, does not."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]


async def front(origin: ScriptedOrigin, edge: Gateway) -> Edge:
    return await edge(f"""
origins: {{site: {{type: http, url: "{origin.url}"}}}}
cache_policies: {{plain: {{min_ttl: 0}}}}
behaviors:
  - path_pattern: /alone/*
    target_origin: site
    cache_policy: CachingDisabled
    allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]
default_behavior:
  target_origin: site
  cache_policy: plain
  allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]
""")


class Slow:
    """Says when a request has come and when its connection is gone; answers when told to."""

    def __init__(self, begin: bytes = b"") -> None:
        self.came, self.gone, self.go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._begin = begin

    async def __call__(self, exchange: Exchange) -> None:
        if self._begin:
            await exchange.send(self._begin)
        self.came.set()
        reading = asyncio.ensure_future(exchange.reader.read(1))
        going_on = asyncio.ensure_future(self.go_on.wait())
        done, _ = await asyncio.wait({reading, going_on}, return_when=asyncio.FIRST_COMPLETED)
        if reading in done:
            going_on.cancel()
            self.gone.set()
            exchange.writer.close()
            return
        reading.cancel()
        await asyncio.wait({reading})
        await exchange.answer(body=b"whole", cache_control="max-age=60")


async def leaves_after(e: Edge, request: bytes, came: asyncio.Event) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", e.port)
    writer.write(request)
    async with asyncio.timeout(5):
        await came.wait()
    writer.close()


async def recorded(e: Edge) -> None:
    async with asyncio.timeout(5):
        while not e.records:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("begin", "status"), [(b"", 499), (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", 200)]
)
async def test_the_origin_need_not_go_on_for_one_who_left(
    scripted: Starts, edge: Gateway, begin: bytes, status: int
) -> None:
    slow = Slow(begin)
    e = await front(await scripted(slow), edge)
    await leaves_after(e, b"GET /alone/x HTTP/1.1\r\nHost: x\r\n\r\n", slow.came)
    async with asyncio.timeout(5):
        await slow.gone.wait()
    await recorded(e)
    record = e.records[0]
    assert (record.status, record.reason, record.is_cut) == (status, "viewer-left", True)
    assert (record.method, record.target) == ("GET", "/alone/x")


async def test_what_is_fetched_for_all_is_fetched_to_the_end(scripted: Starts, edge: Gateway) -> None:
    slow = Slow()
    origin = await scripted(slow)
    e = await front(origin, edge)
    await leaves_after(e, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", slow.came)
    await recorded(e)
    assert (e.records[0].status, e.records[0].reason) == (499, "viewer-left")
    slow.go_on.set()
    answer, body = await e.get("/x")
    assert (answer.status, body) == (200, b"whole")
    assert len(origin.asked) == 1


async def test_what_may_have_been_written_is_seen_to_its_end(scripted: Starts, edge: Gateway) -> None:
    """Or what it makes invalid would be served on."""
    origin = await scripted(lambda exchange: exchange.answer(body=b"old", cache_control="max-age=60"))
    e = await front(origin, edge)
    await e.get("/x")
    slow = origin.script = Slow()
    await leaves_after(e, b"DELETE /x HTTP/1.1\r\nHost: x\r\n\r\n", slow.came)
    await asyncio.sleep(0.01)
    slow.go_on.set()
    async with asyncio.timeout(5):
        while len(e.records) < 2:
            await asyncio.sleep(0.001)
    assert not slow.gone.is_set()
    answer, _ = await e.get("/x")
    assert answer.headers["X-Cache"] == "Miss from cloudfront"
