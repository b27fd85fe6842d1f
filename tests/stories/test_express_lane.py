"""Hits that are answered in front of the HTTP server, over real connections."""

import asyncio
import io
from collections.abc import Awaitable, Callable

import pytest

from edgeproxy.log import LineWriter, RequestLog
from tests.conftest import Edge, Exchange, Script, ScriptedOrigin, closed

CONFIG = """
server: {{express_lane: {lane}}}
origins: {{site: {{type: http, url: "{url}"}}}}
cache_policies: {{plain: {{min_ttl: 0}}}}
default_behavior: {{target_origin: site, cache_policy: plain}}
"""
HEAD = b"GET /a HTTP/1.1\r\nHost: edge.example\r\nUser-Agent: %d\r\n\r\n"

Scripted = Callable[[Script], Awaitable[ScriptedOrigin]]
Edged = Callable[[str], Awaitable[Edge]]


async def small(exchange: Exchange) -> None:
    await exchange.answer(200, b"hello", cache_control="max-age=100")


async def large(exchange: Exchange) -> None:
    await exchange.answer(200, bytes(8 * 2**20), cache_control="max-age=100")


def known(edge: Edge) -> int:
    express = edge.gateway.listener._express
    return len(express.lane._book) if express is not None else 0


@pytest.mark.parametrize("lane", ["true", "false"])
async def test_a_thousand_on_one_connection(lane: str, scripted: Scripted, edge: Edged) -> None:
    origin = await scripted(small)
    one = await edge(CONFIG.format(url=origin.url, lane=lane))
    reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
    seen = set()
    for number in range(1_000):
        writer.write(HEAD % (number % 10))
        head = await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(5) == b"hello"
        seen.add(head.partition(b"X-Amz-Cf-Id: ")[2][:56])
    await closed(writer)
    assert len(origin.asked) == 1
    assert len(seen) == 1_000
    assert bool(known(one)) is (lane == "true")
    tally = one.gateway.app.state()["requests"]
    assert isinstance(tally, dict)
    assert (tally["requests"], tally["sent_bytes"]) == (1_000, 5_000)
    assert tally["by_x_cache"] == {"Hit": 999, "Miss": 1}
    assert tally["by_status"] == {"200": 1_000}


async def test_the_log_has_a_line_for_each(scripted: Scripted, edge: Edged) -> None:
    origin = await scripted(small)
    lines = {}
    for lane in ("true", "false"):
        one = await edge(CONFIG.format(url=origin.url, lane=lane))
        stream = io.StringIO()
        log = RequestLog(LineWriter(stream), "text", access=True)
        one.gateway.app.observers.on_record.append(log.request)
        for number in range(20):
            await one.get("/a", user_agent=str(number))
        log.flush()
        # Without the moment, the duration and the id.
        lines[lane] = [
            line.split(" ")[1:7] + line.split(" ")[8:-1] for line in stream.getvalue().splitlines()
        ]
    assert lines["true"] == lines["false"]
    assert lines["true"][-1] == ["127.0.0.1", "GET", "/a", "200", "Hit", "5B"]


async def test_viewers_that_read_slowly_hold_up_nobody(scripted: Scripted, edge: Edged) -> None:
    origin = await scripted(large)
    one = await edge(CONFIG.format(url=origin.url, lane="true"))
    for _ in range(3):
        await one.get("/a")
    pairs = [await asyncio.open_connection("127.0.0.1", one.port, limit=2**16) for _ in range(5)]
    one.records.clear()
    for _, writer in pairs:
        writer.write(HEAD % 1)
    while one.gateway.listener._under_way < 5:
        await asyncio.sleep(0)
    answer, body = await one.get("/a", "HEAD")
    assert (answer.status, body) == (200, b"")
    for reader, writer in pairs[:3]:
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(8 * 2**20) == bytes(8 * 2**20)
        await closed(writer)
    for _, writer in pairs[3:]:
        writer.transport.abort()
    while one.gateway.listener._under_way:
        await asyncio.sleep(0)
    ended = [(r.sent_bytes == 8 * 2**20, r.is_cut) for r in one.records if r.method == "GET"]
    assert ended == [(True, False)] * 3 + [(False, True)] * 2
