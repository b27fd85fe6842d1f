"""Answers for one viewer alone: nobody waits for another to be told to ask for himself."""

import asyncio
from collections.abc import Awaitable, Callable

from edgeproxy.core.message import Request
from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]


async def front(origin: ScriptedOrigin, edge: Gateway) -> Edge:
    return await edge(f"""
origins: {{site: {{type: http, url: "{origin.url}"}}}}
cache_policies: {{plain: {{min_ttl: 0, gzip: true}}}}
default_behavior: {{target_origin: site, cache_policy: plain}}
""")


async def test_what_may_not_be_stored_is_asked_for_by_all_at_once(scripted: Starts, edge: Gateway) -> None:
    """The first time they wait for one another; the origin sees all of them together after that."""
    together = asyncio.Barrier(5)

    async def each(exchange: Exchange) -> None:
        async with asyncio.timeout(5):
            await together.wait()
        await exchange.answer(cache_control="no-store")

    origin = await scripted(lambda exchange: exchange.answer(cache_control="no-store"))
    e = await front(origin, edge)
    await e.get("/x")
    origin.script = each
    answers = await asyncio.gather(*(e.get("/x") for _ in range(5)))
    assert [answer.status for answer, _ in answers] == [200] * 5
    assert all("detail=no-store" in answer.headers["Cache-Status"] for answer, _ in answers)
    assert len(origin.asked) == 6


async def test_what_may_be_stored_again_is(scripted: Starts, edge: Gateway) -> None:
    said = "no-store"
    origin = await scripted(lambda exchange: exchange.answer(cache_control=said))
    e = await front(origin, edge)
    for _ in range(3):
        await e.get("/x")
    said = "max-age=60"
    for _ in range(4):
        answer, _ = await e.get("/x")
    assert answer.headers["X-Cache"] == "Hit from cloudfront"
    assert len(origin.asked) == 3 + 2, "one to notice, one to store"


async def test_a_purge_lets_it_be_stored_at_once(scripted: Starts, edge: Gateway) -> None:
    said = "private"
    origin = await scripted(lambda exchange: exchange.answer(cache_control=said))
    e = await front(origin, edge)
    await e.get("/x")
    said = "max-age=60"
    await e.gateway.app.invalidate(["/x"])
    for _ in range(2):
        answer, _ = await e.get("/x")
    assert answer.headers["X-Cache"] == "Hit from cloudfront"
    assert len(origin.asked) == 2


async def test_a_viewer_that_has_it_need_not_be_sent_it(scripted: Starts, edge: Gateway) -> None:
    async def tagged(exchange: Exchange) -> None:
        status = 304 if exchange.field("if-none-match") == '"a"' else 200
        await exchange.answer(status, cache_control="no-store", etag='"a"')

    origin = await scripted(tagged)
    e = await front(origin, edge)
    for expected in (304, 304):
        answer, _ = await e.get("/x", if_none_match='"a"')
        assert answer.status == expected
    assert [exchange.field("if-none-match") for exchange in origin.asked] == [None, '"a"']


async def test_explain_tells_it(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(lambda exchange: exchange.answer(cache_control="no-store"))
    e = await front(origin, edge)

    async def told() -> str:
        return (await e.gateway.app.explain(Request("GET", "/x", host="x"))).fields()["cache"]

    before = await told()
    assert before == "miss: nothing is stored under this key"
    await e.get("/x")
    assert (
        await told()
        == f"{before}; the last answer was not to be stored, so this request would wait for no other"
    )
