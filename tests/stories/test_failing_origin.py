"""An origin that fails after it was well: stale answers, remembered errors, refreshes behind the back."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]


def text(url: str, policy: str = "CachingOptimized", more: str = "", *, patience: str = "10s") -> str:
    limits = f"read_timeout: {patience}, connection_attempts: 1"
    return f"""
origins: {{site: {{type: http, url: "{url}", {limits}}}}}
cache_policies: {{plain: {{min_ttl: 0}}}}
default_behavior: {{target_origin: site, cache_policy: {policy}}}
{more}
"""


async def test_an_error_is_remembered_for_a_while(scripted: Starts, edge: Gateway) -> None:
    async def missing(exchange: Exchange) -> None:
        await exchange.answer(404, b"no")

    origin = await scripted(missing)
    e = await edge(text(origin.url))
    first, _ = await e.get("/x")
    second, body = await e.get("/x")
    assert (second.status, body, len(origin.asked)) == (404, b"no", 1)
    assert first.headers["X-Cache"] == second.headers["X-Cache"] == "Error from cloudfront"
    assert second.headers["Cache-Status"] == "edgeproxy; hit; ttl=9"


async def test_an_error_that_still_holds_is_an_error(scripted: Starts, edge: Gateway) -> None:
    async def gone(exchange: Exchange) -> None:
        if exchange.field("if-none-match") == '"1"':
            await exchange.send(b"HTTP/1.1 304 X\r\ncache-control: max-age=60\r\n\r\n")
        else:
            await exchange.answer(404, b"no", etag='"1"', cache_control="max-age=60", age="600")

    origin = await scripted(gone)
    e = await edge(
        text(origin.url, policy="obeys").replace("plain:", "obeys: {default_ttl: 0, min_ttl: 0}, plain:")
    )
    for detail in ("stored; ttl=-540", "stored; ttl=59; detail=stale", "hit; ttl=59"):
        answer, body = await e.get("/x")
        assert (answer.status, body, answer.headers["X-Cache"]) == (404, b"no", "Error from cloudfront")
        assert answer.headers["Cache-Status"].endswith(detail)


async def test_errors_may_be_left_uncached(scripted: Starts, edge: Gateway) -> None:
    async def missing(exchange: Exchange) -> None:
        await exchange.answer(404, b"no")

    origin = await scripted(missing)
    more = "custom_error_responses: [{error_code: 404, error_caching_min_ttl: 0}]"
    e = await edge(text(origin.url, more=more))
    await e.get("/x")
    await e.get("/x")
    assert len(origin.asked) == 2


async def test_a_stale_answer_stands_in_for_a_failure(scripted: Starts, edge: Gateway) -> None:
    async def fails_later(exchange: Exchange) -> None:
        if len(origin.asked) == 1:
            await exchange.answer(200, b"good", cache_control="max-age=0", etag='"1"')
        elif len(origin.asked) == 2:
            await exchange.answer(503, b"bad")
        else:
            exchange.writer.close()

    origin = await scripted(fails_later)
    e = await edge(text(origin.url, "plain"))
    await e.get("/x")
    answer, body = await e.get("/x")
    assert (answer.status, body, answer.headers["X-Cache"]) == (200, b"good", "RefreshHit from cloudfront")
    assert "fwd=stale; fwd-status=503" in answer.headers["Cache-Status"]
    assert answer.headers["Cache-Status"].endswith("detail=stale-on-error")
    again, body = await e.get("/x")
    assert (again.headers["X-Cache"], body) == ("Hit from cloudfront", b"good")
    assert again.headers["Cache-Status"].endswith("detail=stale-on-error")
    assert len(origin.asked) == 2, "the origin is left alone for a while"


async def test_a_stale_answer_stands_in_for_no_answer(scripted: Starts, edge: Gateway) -> None:
    async def goes_away(exchange: Exchange) -> None:
        if len(origin.asked) == 1:
            await exchange.answer(200, b"good", cache_control="max-age=0", etag='"1"')
        else:
            await asyncio.sleep(30)

    origin = await scripted(goes_away)
    e = await edge(text(origin.url, "plain", patience="300ms"))
    await e.get("/x")
    answer, body = await e.get("/x")
    assert (answer.status, body) == (200, b"good")
    assert answer.headers["X-Edge-Origin"] == "site=origin-timeout"


async def test_a_4xx_is_the_answer_even_where_there_is_something_stale(
    scripted: Starts, edge: Gateway
) -> None:
    async def removed(exchange: Exchange) -> None:
        if len(origin.asked) == 1:
            await exchange.answer(200, b"good", cache_control="max-age=0", etag='"1"')
        else:
            await exchange.answer(404, b"gone")

    origin = await scripted(removed)
    e = await edge(text(origin.url, "plain"))
    await e.get("/x")
    answer, body = await e.get("/x")
    assert (answer.status, body) == (404, b"gone")


async def test_stale_is_served_at_once_while_it_is_refreshed(scripted: Starts, edge: Gateway) -> None:
    gate = asyncio.Event()

    async def slow_later(exchange: Exchange) -> None:
        if len(origin.asked) > 1:
            await gate.wait()
        body = b"%d" % len(origin.asked)
        await exchange.answer(200, body, cache_control="max-age=0, stale-while-revalidate=60")

    origin = await scripted(slow_later)
    e = await edge(text(origin.url, "plain").replace("min_ttl: 0", "min_ttl: 0, default_ttl: 0"))
    await e.get("/x")
    stale, body = await e.get("/x")
    assert (body, stale.headers["X-Cache"]) == (b"1", "Hit from cloudfront")
    assert stale.headers["Cache-Status"].endswith("detail=stale-while-revalidate")
    gate.set()
    while e.gateway.app.state()["cache"]["in_flight"]:  # type: ignore[index]
        await asyncio.sleep(0.01)
    _, body = await e.get("/x")
    assert body == b"2"


async def test_a_part_of_something_stale_is_validated_and_cut_here(scripted: Starts, edge: Gateway) -> None:
    async def validates(exchange: Exchange) -> None:
        if exchange.field("if-none-match") == '"1"':
            await exchange.answer(304, etag='"1"', cache_control="max-age=0")
        else:
            await exchange.answer(200, b"0123456789", cache_control="max-age=0", etag='"1"')

    origin = await scripted(validates)
    e = await edge(text(origin.url, "plain"))
    await e.get("/x")
    part, body = await e.get("/x", range="bytes=2-4")
    assert (part.status, body, part.headers["X-Cache"]) == (206, b"234", "RefreshHit from cloudfront")
    head, body = await e.get("/x", "HEAD")
    assert (head.status, body, head.headers["Content-Length"]) == (200, b"", "10")


async def mumbles(exchange: Exchange) -> None:
    """No answer; an origin that merely hangs up is asked again by aiohttp."""
    await exchange.send(b"mumble\r\n\r\n")
    exchange.writer.close()


async def test_an_origin_that_does_not_answer_is_left_alone_for_a_while(
    scripted: Starts, edge: Gateway
) -> None:
    origin = await scripted(mumbles)
    e = await edge(text(origin.url))
    first, _ = await e.get("/x")
    assert (first.status, first.headers["Cache-Status"].split("; ")[1]) == (502, "fwd=uri-miss")
    for method, fields in (("GET", {}), ("HEAD", {}), ("GET", {"range": "bytes=0-1"})):
        again, _ = await e.get("/x", method, **fields)
        assert (again.status, again.headers["X-Cache"]) == (502, "Error from cloudfront")
        assert again.headers["Cache-Status"] == "edgeproxy; hit; ttl=9; detail=origin-bad-reply"
        assert e.records[-1].fault == "site: its answer is not HTTP/1.1 as it should be"
        assert e.records[-1].trail == ()
    assert len(origin.asked) == 1
    await e.get("/y")
    assert len(origin.asked) == 2, "it is the object that failed, not the origin"


PARTS = [("HEAD", {}), ("GET", {"range": "bytes=0-1"})]


@pytest.mark.parametrize(("method", "fields"), PARTS)
async def test_a_head_or_part_finds_out_that_nobody_is_there(
    edge: Gateway, method: str, fields: dict[str, str]
) -> None:
    e = await edge(text("http://127.0.0.1:1"))
    await e.get("/x", method, **fields)
    again, _ = await e.get("/x")
    assert again.headers["Cache-Status"] == "edgeproxy; hit; ttl=9; detail=origin-unreachable"


@pytest.mark.parametrize(("method", "fields"), PARTS)
async def test_a_head_or_part_that_spoils_the_answer_is_its_viewers_trouble(
    scripted: Starts, edge: Gateway, method: str, fields: dict[str, str]
) -> None:
    async def particular(exchange: Exchange) -> None:
        if exchange.method == "HEAD" or exchange.field("range"):
            await mumbles(exchange)
        else:
            await exchange.answer(200, b"well")

    origin = await scripted(particular)
    e = await edge(text(origin.url))
    failed, _ = await e.get("/x", method, **fields)
    whole, body = await e.get("/x")
    assert (failed.status, whole.status, body) == (502, 200, b"well")


async def test_a_failure_can_be_purged(scripted: Starts, edge: Gateway) -> None:
    async def recovers(exchange: Exchange) -> None:
        if len(origin.asked) == 1:
            await mumbles(exchange)
        else:
            await exchange.answer(200, b"well")

    origin = await scripted(recovers)
    e = await edge(text(origin.url))
    await e.get("/x")
    assert await e.gateway.app.invalidate(["/x"]) == 1
    answer, body = await e.get("/x")
    assert (answer.status, body) == (200, b"well")


async def test_an_origin_that_fails_while_its_path_is_purged_is_asked_again(
    scripted: Starts, edge: Gateway
) -> None:
    is_asked, gate = asyncio.Event(), asyncio.Event()

    async def fails_once(exchange: Exchange) -> None:
        if len(origin.asked) == 1:
            is_asked.set()
            await gate.wait()
            await mumbles(exchange)
        else:
            await exchange.answer(200, b"well")

    origin = await scripted(fails_once)
    e = await edge(text(origin.url))
    waiting = asyncio.ensure_future(e.get("/x"))
    await is_asked.wait()
    await e.gateway.app.invalidate(["/x"])
    gate.set()
    failed, _ = await waiting
    answer, _ = await e.get("/x")
    assert (failed.status, answer.status) == (502, 200)


async def test_a_failure_does_not_push_out_other_variants(scripted: Starts, edge: Gateway) -> None:
    async def varies(exchange: Exchange) -> None:
        if exchange.field("accept-language") == "de":
            await mumbles(exchange)
        else:
            await exchange.answer(200, b"hello", vary="Accept-Language", cache_control="max-age=60")

    origin = await scripted(varies)
    e = await edge(
        text(origin.url).replace(
            "CachingOptimized", "CachingOptimized, origin_request_policy: AllViewerExceptHostHeader"
        )
    )
    await e.get("/x", accept_language="en")
    failed, _ = await e.get("/x", accept_language="de")
    answer, body = await e.get("/x", accept_language="en")
    assert (failed.status, body, answer.headers["X-Cache"]) == (502, b"hello", "Hit from cloudfront")
    assert len(origin.asked) == 2


async def test_nothing_is_remembered_where_all_is_left_to_the_origin(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(mumbles)
    e = await edge(text(origin.url, "plain").replace("min_ttl: 0", "min_ttl: 0, default_ttl: 0"))
    await e.get("/x")
    await e.get("/x")
    assert len(origin.asked) == 2


async def test_refreshes_leave_it_alone_too(scripted: Starts, edge: Gateway) -> None:
    async def fails_later(exchange: Exchange) -> None:
        if len(origin.asked) > 1:
            await mumbles(exchange)
            return
        fields = "max-age=0, stale-while-revalidate=60, stale-if-error=0"
        await exchange.answer(200, b"1", cache_control=fields)

    origin = await scripted(fails_later)
    e = await edge(text(origin.url, "plain"))
    await e.get("/x")
    for _ in range(3):
        stale, body = await e.get("/x")
        assert (stale.status, body) == (200, b"1")
        while e.gateway.app.state()["cache"]["in_flight"]:  # type: ignore[index]
            await asyncio.sleep(0.01)
    assert len(origin.asked) == 2


async def test_those_who_come_at_once_share_the_failure(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(mumbles)
    e = await edge(text(origin.url))
    answers = await asyncio.gather(*(e.get("/x") for _ in range(10)))
    assert {answer.status for answer, _ in answers} == {502}
    assert len(origin.asked) == 1


async def test_a_wish_for_caches_alone_is_no_error_for_all(scripted: Starts, edge: Gateway) -> None:
    """The origin is a cache that heeds `only-if-cached`, and has nothing."""

    async def cache(exchange: Exchange) -> None:
        await exchange.answer(504 if exchange.field("cache-control") == "only-if-cached" else 200, b"body")

    origin = await scripted(cache)
    e = await edge(text(origin.url))
    for fields in ({"cache_control": "only-if-cached"}, {}):
        answer, _ = await e.get("/x", **fields)
        assert answer.status == 200
