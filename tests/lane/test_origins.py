"""Whatever an origin's answer looks like, viewers get the same of it with the lane and without."""

import pytest

from tests.conftest import Exchange
from tests.lane.twins import head, twins

CONTROL = b"Cache-Control: max-age=100"
NOTHING = (CONTROL, b"Content-Length: 0")
THREE = (CONTROL, b"Content-Length: 3")
# Status, fields; three bytes of body come with all that have their length.
ANSWERS = (
    (204, (CONTROL,)),
    (204, NOTHING),
    (200, NOTHING),
    (203, THREE),
    (300, THREE),
    (301, (*NOTHING, b"Location: /b")),
    (302, (*THREE, b"Location: /b")),
    (307, (*THREE, b"Location: /b")),
    (308, (*THREE, b"Location: /b")),
    (200, (*THREE, b"X: \xe9\xff")),
    (200, (*THREE, b"X: \xc3\xa9")),
    (200, (*THREE, b"X: a\x01b")),
    (200, (*THREE, b"X: a\x7fb")),
    (200, (*THREE, b"X: a\rb")),
    (200, (*THREE, b"X: a\x00b")),
    (200, (*THREE, b"X: a\tb\t")),
    (200, (*THREE, b"X: a", b" b")),
    (200, (*THREE, b"X:")),
    (200, (*THREE, b"X: 1", b"x: 2", b"Set-Cookie: a=1", b"Server: other")),
    (200, (*THREE, b"Connection: keep-alive, X-Own", b"X-Own: 1", b"Keep-Alive: timeout=5", b"Trailer: a")),
    (200, (*THREE, b"Age: 5", b"Via: 1.1 x", b"X-Amz-Cf-Id: a", b"X-Cache: a", b"Cache-Status: other; hit")),
    (200, (*THREE, b"Date: Mon, 01 Jan 2024 00:00:00 GMT", b'ETag: "one"')),
    (200, (b'Cache-Control: max-age=100, no-cache="x-own"', b"Content-Length: 3", b"X-Own: 1")),
)
BARE = (
    "response_headers_policies:"
    " {bare: {remove_headers_config: [NAMES Server, Content-Type, Cache-Control, ETag, Last-Modified]}}"
)


async def saying(exchange: Exchange) -> None:
    """An origin that gives the answer of which the path is the number."""
    status, fields = ANSWERS[int(exchange.target[1:])]
    body = b"abc" if b"Content-Length: 3" in fields else b""
    await exchange.send(
        b"".join([b"HTTP/1.1 %d X\r\n" % status, *(one + b"\r\n" for one in fields), b"\r\n", body])
    )


@pytest.mark.parametrize("names", ["", "none", "Date,"])
async def test_every_answer_of_an_origin(names: str) -> None:
    more = BARE.replace("NAMES", names.replace("none", ""))
    async with twins(saying, more, behavior="response_headers_policy: bare" if names else "") as both:
        known = 0
        for number in range(len(ANSWERS)):
            for fields in ([], ["Range: bytes=0-1"], ["If-None-Match: *"]):
                for method in ("GET", "HEAD"):
                    one = head(f"/{number}", *fields, method=method)
                    for _ in range(4):
                        await both.same(one)
                    known += both.on.knows(one)
        # A `Date` in place of one that was removed is of the moment.
        assert (known == 0) is (names == "Date,")


async def test_an_answer_without_content_has_no_length() -> None:
    """RFC 9110 §8.6: not with 204."""
    async with twins(saying) as both:
        for number in (0, 1):
            one = head(f"/{number}")
            await both.know(one)
            assert both.on.knows(one)
            said = await both.same(one)
            assert said.startswith(b"HTTP/1.1 204 No Content\r\n")
            assert b"ontent-Length" not in said
