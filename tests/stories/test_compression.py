"""Compression at the edge: once for all who accept it, never into the bucket, never half."""

import asyncio
import random
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import pytest

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin
from tests.stories.conftest import Build

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]
CSS = b"body { color: black }\n" * 5_000
BOTH = "br, gzip, deflate"


def text(url: str, more: str = "", *, policy: str = "CachingOptimized") -> str:
    return f"""
origins: {{site: {{type: http, url: "{url}", connection_attempts: 1}}}}
cache_policies: {{quick: {{min_ttl: 0, gzip: true}}, none: {{min_ttl: 1s, default_ttl: 1m}}}}
default_behavior: {{target_origin: site, cache_policy: {policy}, compress: true}}
{more}
"""


async def css(exchange: Exchange) -> None:
    await exchange.answer(200, CSS, content_type="text/css", etag='"1"', cache_control="max-age=60")


async def test_it_is_compressed_once_for_each_coding(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(css)
    e = await edge(text(origin.url))
    for x_cache in ("Miss", "Hit"):
        answer, body = await e.get("/a.css", accept_encoding=BOTH)
        assert (answer.headers["Content-Encoding"], brotli.decompress(body)) == ("br", CSS)
        assert answer.headers["X-Cache"] == f"{x_cache} from cloudfront"
        assert (answer.headers["ETag"], answer.headers["Vary"]) == ('W/"1"', "Accept-Encoding")
    assert answer.headers["Content-Length"] == str(len(body))
    packed, body = await e.get("/a.css", accept_encoding="gzip;q=0.5")
    assert (packed.headers["Content-Encoding"], zlib.decompress(body, wbits=31)) == ("gzip", CSS)
    plain, body = await e.get("/a.css")
    assert ("Content-Encoding" in plain.headers, plain.headers["ETag"], body) == (False, '"1"', CSS)
    told = [(r.compression, r.fields()["compression"]) for r in e.records]
    no = "coding-not-accepted"
    assert told == [("br", "br"), ("", None), ("gzip", "gzip"), (no, no)]
    assert packed.headers["X-Edge-Compression"] == "gzip"
    assert len(origin.asked) == 3


async def test_those_who_wait_share_it(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(css)
    e = await edge(text(origin.url))
    answers = await asyncio.gather(*(e.get("/a.css", accept_encoding=BOTH) for _ in range(10)))
    assert {brotli.decompress(body) for _, body in answers} == {CSS}
    assert len(origin.asked) == 1


async def test_heads_parts_and_conditions_are_about_the_coded_bytes(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(css)
    e = await edge(text(origin.url))
    _, whole = await e.get("/a.css", accept_encoding=BOTH)
    head, _ = await e.get("/a.css", "HEAD", accept_encoding=BOTH)
    assert head.headers["Content-Length"] == str(len(whole))
    part, body = await e.get("/a.css", accept_encoding=BOTH, range="bytes=1-4")
    assert (part.status, body, part.headers["Content-Encoding"]) == (206, whole[1:5], "br")
    for tag in ('W/"1"', '"1"'):
        same, _ = await e.get("/a.css", accept_encoding=BOTH, if_none_match=tag)
        assert (same.status, same.headers["ETag"], same.headers["Vary"]) == (304, 'W/"1"', "Accept-Encoding")
    mixed, body = await e.get("/a.css", accept_encoding=BOTH, range="bytes=1-4", if_range='"1"')
    assert (mixed.status, body) == (200, whole), "no part beside bytes of another coding"


async def test_a_304_keeps_what_was_compressed(scripted: Starts, edge: Gateway) -> None:
    async def validates(exchange: Exchange) -> None:
        if exchange.field("if-none-match") == 'W/"1"':
            await exchange.send(b'HTTP/1.1 304 X\r\netag: "1"\r\nvary: X\r\ncache-control: max-age=0\r\n\r\n')
        else:
            await exchange.answer(200, CSS, content_type="text/css", etag='"1"', cache_control="max-age=0")

    origin = await scripted(validates)
    e = await edge(text(origin.url, policy="quick"))
    for x_cache in ("Miss", "RefreshHit", "RefreshHit"):
        answer, body = await e.get("/a.css", accept_encoding=BOTH)
        assert answer.headers["X-Cache"] == f"{x_cache} from cloudfront"
        assert (answer.headers["Content-Encoding"], zlib.decompress(body, wbits=31)) == ("gzip", CSS)
        assert answer.headers["ETag"] == 'W/"1"'
        assert "Accept-Encoding" in answer.headers["Vary"]


@pytest.mark.parametrize("policy", ["none", "CachingDisabled"])
async def test_it_is_not_compressed_without_a_place_in_the_key(
    scripted: Starts, edge: Gateway, policy: str
) -> None:
    origin = await scripted(css)
    e = await edge(text(origin.url, policy=policy))
    answer, body = await e.get("/a.css", accept_encoding=BOTH)
    assert (body, "Content-Encoding" in answer.headers) == (CSS, False)


async def test_what_is_not_stored_is_not_compressed(scripted: Starts, edge: Gateway) -> None:
    async def private(exchange: Exchange) -> None:
        await exchange.answer(200, CSS, content_type="text/css", cache_control="private")

    origin = await scripted(private)
    e = await edge(text(origin.url, policy="quick"))
    answer, body = await e.get("/a.css", accept_encoding=BOTH)
    assert (body, "Content-Encoding" in answer.headers) == (CSS, False)
    small = await edge(text(origin.url, "cache: {memory: 64KiB, max_object: 64KiB}"))
    answer, body = await small.get("/a.css", accept_encoding=BOTH)
    assert (body, answer.headers["X-Edge-Compression"]) == (CSS, "too-large")


async def test_it_is_not_compressed_without_room_for_the_work(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(css)
    e = await edge(text(origin.url, "cache: {memory: 2MiB, max_object: 1MiB}"))
    answer, body = await e.get("/a.css", accept_encoding=BOTH)
    assert (body, answer.headers["X-Edge-Compression"]) == (CSS, "no-room")
    packed, body = await e.get("/a.css", accept_encoding="gzip")
    assert (packed.headers["Content-Encoding"], zlib.decompress(body, wbits=31)) == ("gzip", CSS)
    assert e.gateway.app.state()["cache"]["used_bytes"] < 150_000, "it is given back"  # type: ignore[index]


async def test_http_1_0_gets_it_plain(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(css)
    e = await edge(text(origin.url))
    raw = await e.raw(b"GET /a.css HTTP/1.0\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
    assert raw.endswith(CSS)
    assert origin.asked[0].field("accept-encoding") is None


async def test_a_body_that_is_cut_is_not_stored(scripted: Starts, edge: Gateway) -> None:
    async def cuts(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 200 X\r\ncontent-type: text/css\r\ncontent-length: 5000\r\n\r\n" + CSS[:4000]
        )
        exchange.writer.close()

    origin = await scripted(cuts)
    e = await edge(text(origin.url))
    raw = await e.raw(b"GET /a.css HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
    assert not raw.endswith(b"0\r\n\r\n"), "the viewer can tell"
    assert e.records[-1].reason == "origin-cut"
    assert e.gateway.app.state()["cache"]["used_bytes"] == 0  # type: ignore[index]


async def test_the_bucket_gets_the_original_bytes(house: Build) -> None:
    """What was compressed here is not what everybody gets: the backfill fetches the object anew."""

    async def site(exchange: Exchange) -> None:
        await exchange.answer(200, CSS, content_type="text/css", etag='"1"')

    h = await house(site, policy="gzip: true, brotli: true", more="", request_policy="null\n  compress: true")
    _, body = await h.edge.get("/a.css", accept_encoding=BOTH)
    assert brotli.decompress(body) == CSS
    assert await h.stored() == {"a.css": len(CSS)}
    stored = await h.s3.get_object(Bucket=h.bucket, Key="a.css")
    assert await stored["Body"].read() == CSS
    assert "ContentEncoding" not in stored
    assert [x.field("accept-encoding") for x in h.site.asked] == ["br,gzip", "identity"]


async def test_an_object_of_the_bucket_is_validated_by_its_own_tag(house: Build) -> None:
    async def unasked(exchange: Exchange) -> None:
        await exchange.answer(500)

    h = await house(unasked, policy="gzip: true", request_policy="null\n  compress: true")
    await h.s3.put_object(
        Bucket=h.bucket, Key="a.css", Body=CSS, ContentType="text/css", CacheControl="max-age=0"
    )
    for x_cache in ("Miss", "RefreshHit"):
        answer, body = await h.edge.get("/a.css", accept_encoding="gzip")
        assert (answer.headers["X-Cache"], zlib.decompress(body, wbits=31)) == (
            f"{x_cache} from cloudfront",
            CSS,
        )
        assert answer.headers["ETag"].startswith('W/"')


async def test_a_304_counts_for_what_is_on_disk_alone(
    scripted: Starts, edge: Gateway, tmp_path: Path
) -> None:
    hexed = random.Random(1).randbytes(100_000).hex().encode()

    async def validates(exchange: Exchange) -> None:
        if exchange.field("if-none-match") == 'W/"1"':
            await exchange.send(b'HTTP/1.1 304 X\r\netag: "1"\r\ncache-control: max-age=60\r\n\r\n')
        else:
            await exchange.answer(200, hexed, content_type="text/css", etag='"1"', cache_control="max-age=0")

    origin = await scripted(validates)
    cache = f'cache: {{memory: 32MiB, max_object: 64KiB, disk: {{folder: "{tmp_path}"}}}}'
    e = await edge(text(origin.url, cache, policy="quick"))
    for x_cache in ("Miss", "RefreshHit", "Hit"):
        answer, body = await e.get("/a.css", accept_encoding=BOTH)
        assert answer.headers["X-Cache"] == f"{x_cache} from cloudfront"
        assert zlib.decompress(body, wbits=31) == hexed
        while e.gateway.app.state()["cache"]["in_flight"]:  # type: ignore[index]
            await asyncio.sleep(0.01)


async def test_what_is_for_one_alone_is_not_kept_with_it(scripted: Starts, edge: Gateway) -> None:
    """RFC 9111 §5.2.2.7; also for those who wait."""
    go = asyncio.Event()

    async def personal(exchange: Exchange) -> None:
        number = len(origin.asked)
        await go.wait()
        control = 'max-age=60, private="set-cookie, x-user"'
        fields = {"set_cookie": f"s={number}", "x_user": str(number), "connection": "x-hop", "x_hop": "1"}
        await exchange.answer(200, CSS, content_type="text/css", cache_control=control, **fields)

    origin = await scripted(personal)
    e = await edge(text(origin.url))
    asking = [asyncio.ensure_future(e.get("/a.css", accept_encoding=BOTH)) for _ in range(3)]
    while not origin.asked:
        await asyncio.sleep(0.01)
    go.set()
    answers = [await waiting for waiting in asking]
    answers.append(await e.get("/a.css", accept_encoding=BOTH))
    assert {(a.headers["Content-Encoding"], brotli.decompress(body)) for a, body in answers} == {("br", CSS)}
    shown = [(a.headers.get("Set-Cookie"), a.headers.get("X-User")) for a, _ in answers]
    assert sorted(shown, key=str) == [("s=1", "1"), (None, None), (None, None), (None, None)]
    assert not any("X-Hop" in answer.headers for answer, _ in answers)
