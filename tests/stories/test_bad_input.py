"""What strangers send: each gets a clear answer with a name, and the next viewer is served as ever."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin, closed

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]
Front = Callable[..., Awaitable[tuple[Edge, ScriptedOrigin]]]


async def echoes(exchange: Exchange) -> None:
    """Gives back the body, or a word."""
    body = b"served"
    length = exchange.field("content-length")
    if length is not None:
        body = await exchange.reader.readexactly(int(length))
    elif exchange.field("transfer-encoding") is not None:
        body = b""
        while size := int(await exchange.reader.readline(), 16):
            body += await exchange.reader.readexactly(size)
            await exchange.reader.readline()
        await exchange.reader.readline()
    await exchange.answer(200, body, cache_control="max-age=60")


@pytest.fixture
def front(scripted: Starts, edge: Gateway) -> Front:
    async def build(
        server: str = "max_connections: 100", script: Script = echoes
    ) -> tuple[Edge, ScriptedOrigin]:
        origin = await scripted(script)
        gateway = await edge(f"""
server: {{{server}}}
origins: {{site: {{type: http, url: "{origin.url}"}}}}
behaviors:
  - path_pattern: /api/*
    target_origin: site
    cache_policy: CachingDisabled
    allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]
    origin_request_policy: AllViewerExceptHostHeader
default_behavior: {{target_origin: site}}
""")
        return gateway, origin

    return build


async def answered(e: Edge, request: bytes) -> tuple[int, str]:
    """Status and Reason of the answer to raw bytes."""
    raw = await e.raw(request, half_close=b"\r\n\r\n" not in request)
    status = re.match(rb"HTTP/[01]\.[019] (\d{3}) ", raw)
    assert status is not None, raw
    reason = re.search(rb"(?i)\r\ncache-status: [^\r]*detail=([a-z0-9-]+)", raw)
    return int(status[1]), reason[1].decode() if reason is not None else ""


def get(target: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join(
        [f"{method} {target} HTTP/1.1", "Host: a.test", *fields, "Connection: close", "", ""]
    ).encode()


def whole_head(size: int) -> bytes:
    """A request of `size` bytes in all, of which no line is too long."""
    fields = [f"X-{n}: {'y' * 7_000}" for n in range(4)]
    rest = size - len(get("/", *fields, "X-Rest: "))
    return get("/", *fields, f"X-Rest: {'y' * rest}")


REFUSED = [
    ("a URL of 8,193 bytes", get("/" + "a" * 8192), 414, "uri-too-long"),
    ("a field of 33,000 bytes", get("/", "X: " + "y" * 33_000), 494, "head-too-large"),
    (
        "a head of 40,000 bytes",
        get("/", *(f"X-{n}: {'y' * 4_000}" for n in range(10))),
        494,
        "head-too-large",
    ),
    ("a head of 32,769 bytes", whole_head(32_769), 494, "head-too-large"),
    ("150 fields", get("/", *(f"X-{n}: y" for n in range(150))), 494, "head-too-large"),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400, "bad-host"),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad-host"),
    ("a Host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad-host"),
    ("a Host with a user", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, "bad-host"),
    ("an empty Host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "bad-host"),
    ("dot segments", get("/a/../../etc/passwd"), 400, "bad-path"),
    ("dot segments, escaped", get("/a/%2e%2E/etc"), 400, "bad-path"),
    ("dot segments with a parameter", get("/a/..;x/etc"), 400, "bad-path"),
    ("a slash, escaped", get("/a%2Fb"), 400, "bad-path"),
    ("a backslash, escaped", get("/a%5cb"), 400, "bad-path"),
    ("a NUL, escaped", get("/a%00b"), 400, "bad-path"),
    ("an escape that is none", get("/100%"), 400, "bad-path"),
    ("a body on GET", get("/", "Content-Length: 2") + b"hi", 403, "body-not-allowed"),
    ("a chunked body on GET", get("/", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 403, "body-not-allowed"),
    ("a method that is not allowed", get("/", method="POST"), 403, "method-not-allowed"),
    ("a method that is none", get("/", method="BREW"), 501, "method-unknown"),
    ("CONNECT", b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 501, "method-unknown"),
    ("TRACE", get("/", method="TRACE"), 501, "method-unknown"),
    (
        "length and chunks",
        get("/api/", "Content-Length: 3", "Transfer-Encoding: chunked"),
        400,
        "bad-request",
    ),
    ("two lengths", get("/api/", "Content-Length: 3", "Content-Length: 4"), 400, "bad-request"),
    ("a length that is none", get("/api/", "Content-Length: -1"), 400, "bad-request"),
    (
        "a coding that is not chunked",
        get("/api/", "Transfer-Encoding: gzip", method="POST"),
        400,
        "bad-request",
    ),
    ("a space before the colon", get("/", "X : y"), 400, "bad-request"),
    ("a folded field", get("/", "X: y", " z"), 400, "bad-request"),
    ("a NUL in a field", get("/", "X: a\0b"), 400, "bad-request"),
    ("HTTP/0.9", b"GET /\r\n\r\n", 400, "bad-request"),
    ("a path that is not ASCII", "GET /ü HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 400, "bad-request"),
    ("HTTP/2 without asking", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad-request"),
    (
        "TLS",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 20 + b"\r\n\r\n",
        501,
        "method-unknown",
    ),
]


@pytest.mark.parametrize(
    ("request_bytes", "status", "reason"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
async def test_a_bad_request_has_a_clear_answer(
    front: Front, request_bytes: bytes, status: int, reason: str
) -> None:
    e, origin = await front()
    assert await answered(e, request_bytes) == (status, reason)
    assert origin.asked == []
    assert e.records[-1].reason == reason
    after, body = await e.get("/fine")
    assert (after.status, body) == (200, b"served")


FINE = [
    (
        "absolute form",
        b"GET http://b.test/x?y HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
        "GET /x",
    ),
    ("HTTP/1.0 without Host", b"GET /x HTTP/1.0\r\n\r\n", "GET /x"),
    (
        "upgrades are passed over",
        get("/x", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
        "GET /x",
    ),
    ("a head of 32,768 bytes", whole_head(32_768), "GET /"),
    ("double slashes", get("/a//b"), "GET /a//b"),
    ("escapes in normal form", get("/%61%7e%c3%bc"), "GET /a~%C3%BC"),
    ("a fragment is cut", get("/x#y"), "GET /x"),
    ("OPTIONS for the server", b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", None),
]


@pytest.mark.parametrize(("request_bytes", "asked"), [row[1:] for row in FINE], ids=[row[0] for row in FINE])
async def test_odd_but_right_requests_are_served(
    front: Front, request_bytes: bytes, asked: str | None
) -> None:
    e, origin = await front()
    status, _ = await answered(e, request_bytes)
    assert (status, origin.lines) == ((200, [asked]) if asked is not None else (403, []))


async def test_pipelined_requests_are_answered_in_order(front: Front) -> None:
    e, _ = await front()
    two = get("/one").replace(b"Connection: close\r\n", b"") + get("/a%2Fb")
    raw = await e.raw(two)
    assert [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", raw)] == [200, 400]


async def test_a_body_is_passed_on_by_length_and_by_chunks(front: Front) -> None:
    e, _ = await front()
    async with e.viewer.post(e.url + "/api/echo", data=b"x" * 100_000) as answer:
        assert await answer.read() == b"x" * 100_000

    async def pieces():  # type: ignore[no-untyped-def]
        for n in range(10):
            yield b"%d" % n * 10_000

    async with e.viewer.put(e.url + "/api/echo", data=pieces()) as answer:
        assert await answer.read() == b"".join(b"%d" % n * 10_000 for n in range(10))


async def test_a_viewer_who_expects_100_continue_gets_it(front: Front) -> None:
    e, _ = await front()
    reader, writer = await asyncio.open_connection("127.0.0.1", e.port)
    writer.write(get("/api/x", "Content-Length: 5", "Expect: 100-continue", method="POST"))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"hello")
    rest = await reader.read()
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest.endswith(b"\r\n\r\nhello")
    await closed(writer)


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
async def test_a_body_that_is_too_large_is_refused(front: Front, chunked: bool) -> None:
    e, _ = await front("max_request_body: 10KiB")
    field = "Transfer-Encoding: chunked" if chunked else "Content-Length: 20000"
    body = b"4e20\r\n" + b"x" * 20_000 + b"\r\n0\r\n\r\n" if chunked else b""
    assert await answered(e, get("/api/", field, method="POST") + body) == (413, "body-too-large")


async def test_chunks_that_are_none_are_refused(front: Front) -> None:
    e, _ = await front()
    request = get("/api/", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\nzz\r\n"
    assert (await answered(e, request))[0] == 400


async def test_an_upload_that_breaks_off_harms_nobody(front: Front) -> None:
    e, _ = await front()
    _, writer = await asyncio.open_connection("127.0.0.1", e.port)
    writer.write(get("/api/", "Content-Length: 100", method="POST") + b"only this")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()
    after, body = await e.get("/fine")
    assert (after.status, body) == (200, b"served")
    while not any(record.method == "POST" for record in e.records):
        await asyncio.sleep(0.01)


async def test_a_head_that_does_not_come_closes_the_connection(front: Front) -> None:
    e, origin = await front("head_timeout: 100ms")
    assert await e.raw(b"GET / HTTP/1.1\r\nHost: a\r\n") == b""
    assert origin.asked == []


async def test_a_connection_too_many_is_closed(front: Front) -> None:
    e, _ = await front("max_connections: 1")
    first = await asyncio.open_connection("127.0.0.1", e.port)
    await asyncio.sleep(0.02)
    assert await e.raw(get("/")) == b""
    await closed(first[1])


async def test_a_viewer_who_does_not_read_is_cut_off(front: Front) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        while True:
            await exchange.send(b"x" * 2**20)

    e, _ = await front("idle_timeout: 200ms", endless)
    _, writer = await asyncio.open_connection("127.0.0.1", e.port, limit=1024)
    writer.write(get("/endless"))
    while not e.records:
        await asyncio.sleep(0.02)
    assert (e.records[0].reason, e.records[0].is_cut) == ("viewer-left", True)
    await closed(writer)


async def test_a_strangers_word_on_where_it_comes_from_is_not_passed_on(front: Front) -> None:
    e, origin = await front()
    claims = {
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=1.2.3.4",
        "X-Real-IP": "1.2.3.4",
    }
    await e.get("/api/x", **claims)
    assert origin.asked[0].field("x-forwarded-for") == "127.0.0.1"
    assert b"1.2.3.4" not in origin.asked[0].head


async def test_a_trusted_proxys_word_is(front: Front) -> None:
    e, origin = await front("trusted_proxies: [127.0.0.0/8]")
    await e.get("/api/x", **{"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https"})
    assert origin.asked[0].field("x-forwarded-for") == "1.2.3.4, 127.0.0.1"


async def test_host_names_that_are_not_ours_are_refused(front: Front) -> None:
    e, _ = await front("aliases: [cdn.test]")
    assert await answered(e, get("/x")) == (403, "bad-host")
    assert (await answered(e, get("/x").replace(b"a.test", b"CDN.test:8080")))[0] == 200
