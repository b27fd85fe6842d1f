"""Several ranges of what is stored."""

import asyncio
from collections.abc import Awaitable, Callable
from email import message_from_bytes

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]

BODY = bytes(range(256)) * 4


async def plain(exchange: Exchange) -> None:
    fields = {"content_type": "image/png", "etag": '"1"', "content_digest": "d", "repr_digest": "d"}
    await exchange.answer(200, BODY, cache_control="max-age=60", **fields)


def text(url: str) -> str:
    return f"""
origins: {{site: {{type: http, url: "{url}"}}}}
default_behavior: {{target_origin: site}}
"""


async def test_several_ranges_are_served_in_one_answer(scripted: Starts, edge: Gateway) -> None:
    """RFC 9110 §14.6, §15.3.7.2."""
    origin = await scripted(plain)
    e = await edge(text(origin.url))
    await e.get("/x")
    answer, body = await e.get("/x", range="bytes=0-9,300-309,-5")
    assert (answer.status, answer.headers["X-Cache"]) == (206, "Hit from cloudfront")
    assert answer.headers["Content-Length"] == str(len(body))
    assert "Content-Range" not in answer.headers
    assert answer.headers["ETag"] == '"1"'
    kind = answer.headers["Content-Type"]
    assert kind.startswith("multipart/byteranges; boundary=")
    read = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    parts = [(part["Content-Type"], part["Content-Range"]) for part in read.walk()][1:]
    assert parts == [
        ("image/png", "bytes 0-9/1024"),
        ("image/png", "bytes 300-309/1024"),
        ("image/png", "bytes 1019-1023/1024"),
    ]
    bytes_of_parts = [piece.split(b"\r\n--")[0] for piece in body.split(b"\r\n\r\n")[1:]]
    assert bytes_of_parts == [BODY[0:10], BODY[300:310], BODY[-5:]]
    again, _ = await e.get("/x", range="bytes=0-9,300-309,-5")
    assert again.headers["Content-Type"] != kind, "nobody can foresee the boundary"
    assert len(origin.asked) == 1


async def test_several_ranges_of_what_is_in_a_coding_give_the_whole(scripted: Starts, edge: Gateway) -> None:
    """Whoever reads `Content-Encoding` would take the framing for coded bytes.  RFC 9110 §14.2."""

    async def coded(exchange: Exchange) -> None:
        await exchange.answer(200, BODY, cache_control="max-age=60", content_encoding="br")

    origin = await scripted(coded)
    e = await edge(text(origin.url))
    await e.get("/x")
    whole, body = await e.get("/x", range="bytes=0-9,300-309")
    assert (whole.status, body) == (200, BODY)
    part, body = await e.get("/x", range="bytes=0-9")
    assert (part.status, body, part.headers["Content-Encoding"]) == (206, BODY[:10], "br")


async def test_ranges_that_are_one_or_none_or_too_much(scripted: Starts, edge: Gateway) -> None:
    """RFC 9110 §14.2; CloudFront Developer Guide, "Range GETs"."""
    origin = await scripted(plain)
    e = await edge(text(origin.url))
    await e.get("/x")
    one, body = await e.get("/x", range="bytes=5-6,2000-")
    assert (one.status, one.headers["Content-Range"], body) == (206, "bytes 5-6/1024", BODY[5:7])
    none, _ = await e.get("/x", range="bytes=2000-,3000-")
    assert (none.status, none.headers["Content-Range"]) == (416, "bytes */1024")
    many = ",".join(f"{n}-{n}" for n in range(17))
    for value in ("bytes=10-19,0-9", "bytes=0-9,5-14", f"bytes={many}", "bytes=0-1,x"):
        whole, body = await e.get("/x", range=value)
        assert (whole.status, body) == (200, BODY)
    other, body = await e.get("/x", range="bytes=0-1,4-5", if_range='"2"')
    assert (other.status, body) == (200, BODY)
    head, _ = await e.get("/x", "HEAD", range="bytes=0-1,4-5")
    assert (head.status, head.headers["Content-Length"]) == (200, "1024")


async def test_an_origin_that_knows_no_ranges_is_asked_once_more(scripted: Starts, edge: Gateway) -> None:
    """CloudFront Developer Guide, "Range GETs": the whole is cached, later ranges are parts of it."""
    origin = await scripted(plain)
    e = await edge(text(origin.url))
    whole, body = await e.get("/x", range="bytes=0-9")
    assert (whole.status, body) == (200, BODY)
    while e.gateway.app.state()["cache"]["in_flight"]:  # type: ignore[index]
        await asyncio.sleep(0.01)
    part, body = await e.get("/x", range="bytes=0-9")
    assert (part.status, body, part.headers["X-Cache"]) == (206, BODY[:10], "Hit from cloudfront")
    assert ("Content-Digest" in part.headers, part.headers["Repr-Digest"]) == (False, "d"), "RFC 9530 §2"
    assert [exchange.field("range") for exchange in origin.asked] == ["bytes=0-9", None]
