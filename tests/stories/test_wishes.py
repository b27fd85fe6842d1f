"""Viewers whose own `Cache-Control` counts, and viewers whose does not."""

import asyncio
from collections.abc import Awaitable, Callable

from edgeproxy.admin.asking import asked_request
from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]


def text(url: str, policy: str = "honor_request_directives: true") -> str:
    return f"""
origins: {{site: {{type: http, url: "{url}", connection_attempts: 1}}}}
cache_policies: {{plain: {{min_ttl: 0, default_ttl: 0, {policy}}}}}
default_behavior: {{target_origin: site, cache_policy: plain}}
"""


async def numbered(exchange: Exchange) -> None:
    """Fresh for an hour, and a 304 to whoever asks for one."""
    if exchange.field("if-none-match") is not None:
        await exchange.answer(304, cache_control="max-age=3600")
    else:
        await exchange.answer(200, b"body", cache_control="max-age=3600", etag='"1"')


async def test_no_cache_has_the_answer_validated(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(numbered)
    e = await edge(text(origin.url))
    await e.get("/x")
    for fields in (
        {"cache_control": "no-cache"},
        {"pragma": "no-cache"},
        {"cache_control": "min-fresh=9999"},
    ):
        answer, body = await e.get("/x", **fields)
        assert (body, answer.headers["X-Cache"]) == (b"body", "RefreshHit from cloudfront")
        assert "fwd=request; fwd-status=304" in answer.headers["Cache-Status"]
        assert answer.headers["Cache-Status"].endswith("detail=request-directive")
    hit, _ = await e.get("/x", cache_control="max-age=600")
    assert hit.headers["X-Cache"] == "Hit from cloudfront"
    assert len(origin.asked) == 4


async def test_where_they_do_not_count_they_change_nothing(scripted: Starts, edge: Gateway) -> None:
    """CloudFront Developer Guide, "Request and response behavior": Cache-Control of viewers."""
    origin = await scripted(numbered)
    e = await edge(text(origin.url, ""))
    await e.get("/x", cache_control="no-store")
    for wish in ("no-cache", "no-store", "max-age=0", "only-if-cached"):
        answer, _ = await e.get("/x", cache_control=wish, pragma="no-cache")
        assert answer.headers["X-Cache"] == "Hit from cloudfront"
    assert len(origin.asked) == 1


async def test_only_if_cached(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(numbered)
    e = await edge(text(origin.url))
    nothing, _ = await e.get("/x", cache_control="only-if-cached")
    assert (nothing.status, len(origin.asked)) == (504, 0)
    assert nothing.headers["Cache-Status"].endswith("detail=only-if-cached")
    await e.get("/x")
    hit, body = await e.get("/x", cache_control="only-if-cached")
    assert (hit.status, body, len(origin.asked)) == (200, b"body", 1)


async def test_the_answer_to_no_store_is_nobody_elses(scripted: Starts, edge: Gateway) -> None:
    arrived, gate = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        if exchange.field("cache-control") == "no-store":
            arrived.set()
            await gate.wait()
        await numbered(exchange)

    origin = await scripted(script)
    e = await edge(text(origin.url))
    async with asyncio.TaskGroup() as group:
        private = group.create_task(e.get("/x", cache_control="no-store"))
        await arrived.wait()
        shared, _ = await e.get("/x")
        assert shared.headers["Cache-Status"].startswith("edgeproxy; fwd=uri-miss; fwd-status=200; stored")
        gate.set()
    alone, body = private.result()
    assert (alone.status, body) == (200, b"body")
    assert "stored" not in alone.headers["Cache-Status"]
    await e.get("/y", cache_control="no-store")
    after, _ = await e.get("/y")
    assert after.headers["X-Cache"] == "Miss from cloudfront"


async def test_no_cache_does_not_join_what_is_on_its_way(scripted: Starts, edge: Gateway) -> None:
    arrived, gate = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        if len(origin.asked) == 1:
            arrived.set()
            await gate.wait()
        await exchange.answer(200, b"%d" % len(origin.asked), cache_control="max-age=60")

    origin = await scripted(script)
    e = await edge(text(origin.url))
    async with asyncio.TaskGroup() as group:
        group.create_task(e.get("/x"))
        await arrived.wait()
        _, body = await e.get("/x", cache_control="no-cache")
        gate.set()
    assert body == b"2"


async def test_what_others_wait_for_has_to_be_what_is_asked_for(scripted: Starts, edge: Gateway) -> None:
    gate = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nage: 30\r\ncache-control: max-age=60\r\n\r\n"
        )
        if len(origin.asked) == 1:
            await gate.wait()
        await exchange.send(b"%d" % len(origin.asked))

    origin = await scripted(script)
    e = await edge(text(origin.url))
    async with e.viewer.get(f"{e.url}/x") as first:
        for wish in ("max-age=10", "min-fresh=40"):
            answer, _ = await e.get("/x", cache_control=wish)
            assert "collapsed" not in answer.headers["Cache-Status"]
        async with e.viewer.get(f"{e.url}/x", headers={"Cache-Control": "max-age=50"}) as joined:
            assert "collapsed" in joined.headers["Cache-Status"]
            gate.set()
            assert await joined.read() == await first.read()
    assert len(origin.asked) == 3


async def test_stale_is_served_to_those_who_take_it(scripted: Starts, edge: Gateway) -> None:
    async def script(exchange: Exchange) -> None:
        if len(origin.asked) == 1:
            await exchange.answer(200, b"old", cache_control="max-age=0", etag='"1"')
        else:
            await exchange.answer(503, b"bad")

    origin = await scripted(script)
    e = await edge(text(origin.url))
    await e.get("/x")
    stale, body = await e.get("/x", cache_control="max-stale=60")
    assert (body, len(origin.asked)) == (b"old", 1)
    assert stale.headers["Cache-Status"].endswith("detail=max-stale")
    excused, body = await e.get("/x", cache_control="stale-if-error=60")
    assert (excused.status, body, len(origin.asked)) == (200, b"old", 2)
    assert "fwd=stale; fwd-status=503" in excused.headers["Cache-Status"]
    assert excused.headers["Cache-Status"].endswith("detail=stale-on-error")
    assert excused.headers["X-Edge-Origin"] == "site=503"
    plain, body = await e.get("/x")
    assert (plain.status, body) == (503, b"bad")


async def test_explain_knows_what_a_viewer_asks(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(numbered)
    e = await edge(text(origin.url))

    async def told(wish: str) -> str:
        asked = asked_request("/x", "GET", [f"Cache-Control: {wish}"])
        return (await e.gateway.app.explain(asked)).fields()["cache"]

    assert await told("only-if-cached") == "504: nothing stored fits (only-if-cached)"
    await e.get("/x")
    assert await told("no-cache") == (
        "fresh, but the request wants it newer: to be validated by a conditional request"
    )
    assert await told("no-cache, no-store") == (
        "fresh, but the request wants it newer: to be validated by a conditional request;"
        " what the origin answers is for this request alone"
    )
    assert len(origin.asked) == 1


async def test_explain_knows_who_waits_for_whom(scripted: Starts, edge: Gateway) -> None:
    go, came = asyncio.Event(), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        came.set()
        await go.wait()
        await numbered(exchange)

    origin = await scripted(slow)
    e = await edge(text(origin.url))
    waiting = asyncio.ensure_future(e.get("/x"))
    await came.wait()
    joins = "; being fetched right now, this request would join"
    for method, field, does_join in (
        ("GET", "Accept: */*", True),
        ("GET", "Range: bytes=0-1", False),
        ("HEAD", "Accept: */*", False),
        ("GET", "Cache-Control: no-cache", False),
        ("GET", "Cache-Control: no-store", False),
    ):
        explained = await e.gateway.app.explain(asked_request("/x", method, [field]))
        assert explained.fields()["cache"].endswith(joins) is does_join, field
    go.set()
    await waiting


async def test_stale_stands_in_for_no_answer_for_those_who_take_it(scripted: Starts, edge: Gateway) -> None:
    async def script(exchange: Exchange) -> None:
        if len(origin.asked) == 1:
            await exchange.answer(200, b"old", cache_control="max-age=0", etag='"1"')
        else:
            exchange.writer.close()

    origin = await scripted(script)
    e = await edge(text(origin.url))
    await e.get("/x")
    excused, body = await e.get("/x", cache_control="stale-if-error=60")
    assert (excused.status, body) == (200, b"old")
    assert excused.headers["X-Edge-Origin"].startswith("site=origin-")
    plain, _ = await e.get("/x", cache_control="stale-if-error=0")
    assert plain.status == 502


async def test_stale_stands_in_while_the_origin_is_left_alone(scripted: Starts, edge: Gateway) -> None:
    async def script(exchange: Exchange) -> None:
        if len(origin.asked) == 1:
            control = "max-age=1, stale-if-error=0"
            await exchange.answer(200, b"old", cache_control=control, age="5", etag='"1"')
        else:
            exchange.writer.close()

    origin = await scripted(script)
    e = await edge(
        text(origin.url, "honor_request_directives: true").replace("default_ttl: 0", "default_ttl: 1m")
    )
    await e.get("/x")
    failed, _ = await e.get("/x")
    assert (failed.status, failed.headers["X-Cache"]) == (502, "Error from cloudfront")
    asked = len(origin.asked)
    excused, body = await e.get("/x", cache_control="stale-if-error=60")
    assert (excused.status, body, excused.headers["X-Cache"]) == (200, b"old", "Hit from cloudfront")
    assert excused.headers["Cache-Status"] == "edgeproxy; hit; ttl=-4; detail=stale-on-error"
    assert len(origin.asked) == asked
