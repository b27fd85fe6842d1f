"""What an origin says to caches, as viewers see it: targeted fields, fields for one alone."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]


def text(url: str, policy: str = "") -> str:
    return f"""
origins: {{site: {{type: http, url: "{url}", connection_attempts: 1}}}}
cache_policies: {{plain: {{min_ttl: 0, default_ttl: 0, {policy}}}}}
default_behavior: {{target_origin: site, cache_policy: plain}}
"""


def origin_saying(**fields: str) -> Script:
    async def script(exchange: Exchange) -> None:
        if exchange.field("if-none-match") is not None:
            await exchange.answer(304, **fields)
        else:
            await exchange.answer(200, b"body", **fields)

    return script


async def test_a_targeted_field_counts_where_it_is_heeded(scripted: Starts, edge: Gateway) -> None:
    said = {"cdn_cache_control": "max-age=60", "cache_control": "no-store", "expires": "0"}
    origin = await scripted(origin_saying(**said))
    heeding = await edge(text(origin.url, "targeted_cache_control: true"))
    await heeding.get("/x")
    hit, _ = await heeding.get("/x")
    assert (hit.headers["X-Cache"], len(origin.asked)) == ("Hit from cloudfront", 1)
    assert hit.headers["CDN-Cache-Control"] == "max-age=60"
    assert (hit.headers["Cache-Control"], hit.headers["Expires"]) == ("no-store", "0")

    as_cloudfront = await edge(text(origin.url))
    await as_cloudfront.get("/x")
    miss, _ = await as_cloudfront.get("/x")
    assert (miss.headers["X-Cache"], len(origin.asked)) == ("Miss from cloudfront", 3)


async def test_a_field_for_one_alone_goes_to_nobody_else(scripted: Starts, edge: Gateway) -> None:
    said = {"cache_control": 'max-age=60, private="X-User, Set-Cookie"', "x_user": "me", "set_cookie": "a=1"}
    origin = await scripted(origin_saying(**said, x_other="1"))
    e = await edge(text(origin.url))
    first, _ = await e.get("/x")
    assert (first.headers["X-User"], first.headers["Set-Cookie"]) == ("me", "a=1")
    second, body = await e.get("/x")
    assert (second.headers["X-Cache"], body, second.headers["X-Other"]) == (
        "Hit from cloudfront",
        b"body",
        "1",
    )
    assert "X-User" not in second.headers
    assert "Set-Cookie" not in second.headers


async def test_nor_to_those_who_wait_for_the_same_answer(scripted: Starts, edge: Gateway) -> None:
    gate = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-user: me\r\nx-price: 5\r\nx-other: 1\r\n"
            b'cache-control: max-age=60, private="X-User", no-cache="X-Price"\r\n\r\n'
        )
        await gate.wait()
        await exchange.send(b"body")

    origin = await scripted(script)
    e = await edge(text(origin.url))
    async with e.viewer.get(f"{e.url}/x") as mine, e.viewer.get(f"{e.url}/x") as other:
        gate.set()
        assert await mine.read() == await other.read() == b"body"
    assert (mine.headers["X-User"], mine.headers["X-Price"]) == ("me", "5")
    assert "collapsed" in other.headers["Cache-Status"]
    assert other.headers["X-Other"] == "1"
    assert "X-User" not in other.headers
    assert "X-Price" not in other.headers
    assert len(origin.asked) == 1


async def test_a_field_that_is_not_to_be_used_again_waits_for_a_validation(
    scripted: Starts, edge: Gateway
) -> None:
    async def script(exchange: Exchange) -> None:
        if exchange.field("if-none-match") is not None:
            await exchange.answer(304)
        else:
            lifetime = "max-age=60" if exchange.target == "/fresh" else "max-age=0"
            await exchange.answer(
                200, b"body", etag='"1"', x_price="5", cache_control=f'{lifetime}, no-cache="X-Price"'
            )

    origin = await scripted(script)
    e = await edge(text(origin.url))
    for path, shown in (("/fresh", False), ("/stale", True)):
        first, _ = await e.get(path)
        second, _ = await e.get(path)
        assert first.headers["X-Price"] == "5"
        assert ("X-Price" in second.headers) is shown
    assert origin.lines == ["GET /fresh", "GET /stale", "GET /stale"]


async def test_a_lifetime_is_guessed_where_the_policy_has_it_so(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(origin_saying(last_modified="Sun, 06 Nov 1994 08:49:37 GMT"))
    guessing = await edge(
        text(origin.url, "heuristic_freshness: 0.1, max_ttl: 2h").replace("default_ttl: 0, ", "")
    )
    await guessing.get("/x")
    hit, _ = await guessing.get("/x")
    assert hit.headers["Cache-Status"].startswith("edgeproxy; hit; ttl=71")
    strict = await edge(text(origin.url))
    await strict.get("/x")
    again, _ = await strict.get("/x")
    assert "fwd=stale" in again.headers["Cache-Status"]


async def test_a_304_may_end_what_is_stored(scripted: Starts, edge: Gateway) -> None:
    async def script(exchange: Exchange) -> None:
        if exchange.field("if-none-match") is not None:
            await exchange.answer(304, cache_control="private", x_user="me")
        else:
            await exchange.answer(200, b"body", cache_control="max-age=0", etag='"1"')

    origin = await scripted(script)
    e = await edge(text(origin.url))
    await e.get("/x")
    mine, body = await e.get("/x")
    assert (mine.headers["X-Cache"], mine.headers["X-User"], body) == (
        "RefreshHit from cloudfront",
        "me",
        b"body",
    )
    assert "stored" not in mine.headers["Cache-Status"]
    other, _ = await e.get("/x")
    assert "fwd=uri-miss" in other.headers["Cache-Status"]
    assert "X-User" not in other.headers


async def test_nor_is_it_shown_in_place_of_a_failure(scripted: Starts, edge: Gateway) -> None:
    async def script(exchange: Exchange) -> None:
        if len(origin.asked) == 1:
            said = 'max-age=0, stale-if-error=60, no-cache="X-Price"'
            await exchange.answer(200, b"body", cache_control=said, etag='"1"', x_price="5")
        else:
            await exchange.answer(503)

    origin = await scripted(script)
    e = await edge(text(origin.url))
    await e.get("/x")
    stale, body = await e.get("/x")
    assert (stale.status, body, len(origin.asked)) == (200, b"body", 2)
    assert "X-Price" not in stale.headers


async def test_who_waits_for_what_is_stale_when_it_comes_asks_too(scripted: Starts, edge: Gateway) -> None:
    """RFC 9111 §5.2.2.4; CloudFront: with a min TTL of 0 each of those who wait is sent to the origin."""
    gate = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await gate.wait()
        await exchange.answer(200, b"body", cache_control="no-cache", etag='"a"')

    origin = await scripted(script)
    e = await edge(text(origin.url))
    views = [asyncio.ensure_future(e.get("/x")) for _ in range(5)]
    while not origin.asked:
        await asyncio.sleep(0)
    gate.set()
    answers = await asyncio.gather(*views)
    assert [body for _, body in answers] == [b"body"] * 5
    assert len(origin.asked) == 5
    assert not [a for a, _ in answers if "collapsed" in a.headers["Cache-Status"]]


async def test_conditions_are_for_reads(scripted: Starts, edge: Gateway) -> None:
    """RFC 9110 §13.2.1: OPTIONS has no representation to be compared."""

    async def tagged(exchange: Exchange) -> None:
        await exchange.answer(200, b"body", cache_control="max-age=60", etag='"1"')

    origin = await scripted(tagged)
    e = await edge(f"""
origins: {{site: {{type: http, url: "{origin.url}"}}}}
default_behavior:
  {{target_origin: site, allowed_methods: [GET, HEAD, OPTIONS], cached_methods: [GET, HEAD, OPTIONS]}}
""")
    for x_cache in ("Miss", "Hit"):
        answer, body = await e.get("/x", "OPTIONS", if_none_match='"1"')
        assert (answer.status, body, answer.headers["X-Cache"]) == (
            200,
            b"body",
            f"{x_cache} from cloudfront",
        )


async def test_who_waits_for_a_validation_has_its_own_where_the_answer_is_not_to_be_used_again(
    scripted: Starts, edge: Gateway
) -> None:
    """RFC 9111 §5.2.2.4; CloudFront sends each of those who wait to the origin."""
    go, came = asyncio.Event(), asyncio.Event()

    async def tagged(exchange: Exchange) -> None:
        mine = f'"{exchange.field("authorization")}"'
        if exchange.field("if-none-match") is not None:
            came.set()
            await go.wait()
        if exchange.field("if-none-match") == mine:
            await exchange.send(b"HTTP/1.1 304 X\r\ncache-control: public, no-cache\r\nx-new: 1\r\n\r\n")
        else:
            await exchange.answer(200, mine.encode(), etag=mine, cache_control="public, no-cache")

    origin = await scripted(tagged)
    e = await edge(f"""
origins: {{site: {{type: http, url: "{origin.url}"}}}}
cache_policies: {{plain: {{min_ttl: 0}}}}
default_behavior: {{target_origin: site, cache_policy: plain, origin_request_policy: AllViewer}}
""")
    await e.get("/x", authorization="a")
    leader = asyncio.ensure_future(e.get("/x", authorization="a"))
    await came.wait()
    waiting = [asyncio.ensure_future(e.get("/x", authorization=name)) for name in "aba"]
    while e.gateway.listener.active < 4:
        await asyncio.sleep(0.01)
    go.set()
    answers = [await leader, *[await one for one in waiting]]
    assert [body for _, body in answers] == [b'"a"', b'"a"', b'"b"', b'"a"']
    assert [answer.headers["X-Cache"].split()[0] for answer, _ in answers] == [
        "RefreshHit",
        "RefreshHit",
        "Miss",
        "RefreshHit",
    ]
    assert answers[1][0].headers["X-New"] == "1"
    assert len(origin.asked) == 5
