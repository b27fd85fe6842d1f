"""WebSockets pass through: granted by the origin alone, carried unread, ended for both when one ends."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET

import pytest
from aiohttp import WSMsgType, web

from edgeproxy.core.message import Headers, Request
from edgeproxy.core.websocket import accept
from tests.certificates import certified
from tests.conftest import Edge, Exchange, Script, ScriptedOrigin, closed

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    "GET {path} HTTP/{version}\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
)
GRANTED = (
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Accept: {accept(KEY)}\r\n\r\n"
).encode()

Edges = Callable[[str], Awaitable[Edge]]
Scripts = Callable[[Script], Awaitable[ScriptedOrigin]]


def config(url: str, server: str = "", request_policy: str = "AllViewer") -> str:
    return f"""
server: {{{server}}}
origins:
  app: {{type: http, url: "{url}", connection_attempts: 1, read_timeout: 5s}}
default_behavior:
  target_origin: app
  cache_policy: CachingOptimized
  origin_request_policy: {request_policy}
"""


def head(path: str = "/chat", more: str = "", version: str = "1.1") -> bytes:
    return (HANDSHAKE.format(path=path, version=version) + more + "\r\n").encode()


@pytest.fixture
async def app() -> AsyncIterator[
    Callable[[Callable[[web.WebSocketResponse], Awaitable[None]]], Awaitable[str]]
]:
    """Starts aiohttp's own WebSocket server around a handler; gives its address."""
    async with AsyncExitStack() as stack:

        async def start(handler: Callable[[web.WebSocketResponse], Awaitable[None]]) -> str:
            async def answer(request: web.BaseRequest) -> web.WebSocketResponse:
                socket = web.WebSocketResponse(protocols=("chat",), autoping=False, max_msg_size=0)
                await socket.prepare(request)
                await handler(socket)
                return socket

            runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return f"http://127.0.0.1:{runner.addresses[0][1]}"

        yield start


async def echo(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        match message.type:
            case WSMsgType.TEXT:
                if message.data == "close":
                    await socket.close(code=4001, message=b"as you wish")
                else:
                    await socket.send_str(message.data)
            case WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            case WSMsgType.PING:
                await socket.pong(message.data)


@asynccontextmanager
async def opened(edge: Edge) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A viewer of bytes, whose WebSocket is granted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(head())
    got = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert got.startswith(b"HTTP/1.1 101 ")
    try:
        yield reader, writer
    finally:
        await closed(writer)


async def ended(edge: Edge, count: int = 1) -> None:
    """So many requests have been recorded."""
    async with asyncio.timeout(5):
        while len(edge.records) < count:
            await asyncio.sleep(0.005)


async def granted(exchange: Exchange) -> None:
    await exchange.send(GRANTED)
    while data := await exchange.reader.read(65536):
        await exchange.send(data)


@pytest.mark.parametrize("compress", [0, 15])
async def test_messages_come_back_as_they_were(
    edge: Edges, app: Callable[..., Awaitable[str]], compress: int
) -> None:
    gateway = await edge(config(await app(echo)))
    async with gateway.viewer.ws_connect(
        gateway.url + "/chat", protocols=("chat",), compress=compress, max_msg_size=0, autoping=False
    ) as socket:
        assert socket.protocol == "chat"
        assert socket.compress == compress
        await socket.send_str("grüße")
        assert await socket.receive_str() == "grüße"
        large = bytes(range(256)) * 8_192
        await socket.send_bytes(large)
        assert await socket.receive_bytes() == large
        for number in range(300):
            await socket.send_str(str(number))
        assert [await socket.receive_str() for _ in range(300)] == [str(n) for n in range(300)]
        await socket.ping(b"are you there")
        pong = await socket.receive()
        assert (pong.type, pong.data) == (WSMsgType.PONG, b"are you there")
        assert gateway.gateway.app.tally.open_websockets == 1
    await ended(gateway)
    (record,) = gateway.records
    assert (record.status, record.reason, record.is_cut) == (101, "websocket", False)
    assert str(record.report.x_cache) == "Miss" if record.report else False
    assert record.received_bytes is not None
    assert record.received_bytes > 1_000
    assert record.sent_bytes > 1_000
    assert record.duration_s > 0


@pytest.mark.parametrize("who", ["viewer", "origin"])
async def test_close_codes_reach_the_other_end(
    edge: Edges, app: Callable[..., Awaitable[str]], who: str
) -> None:
    codes: list[int | None] = []

    async def handler(socket: web.WebSocketResponse) -> None:
        await echo(socket)
        codes.append(socket.close_code)

    gateway = await edge(config(await app(handler)))
    socket = await gateway.viewer.ws_connect(gateway.url + "/chat")
    if who == "viewer":
        await socket.close(code=4002, message=b"bye")
    else:
        await socket.send_str("close")
        assert (await socket.receive()).data == 4001
        await socket.close()
    await ended(gateway)
    # aiohttp's viewer answers a Close with 1000.
    assert codes == [4002 if who == "viewer" else 1000]
    assert not gateway.records[0].is_cut


async def test_the_head_goes_through_with_what_belongs_to_a_websocket(edge: Edges, scripted: Scripts) -> None:
    site = await scripted(granted)
    gateway = await edge(config(site.url))
    more = "Origin: http://page.test\r\nSec-WebSocket-Protocol: a, b\r\n"
    more += "Proxy-Authorization: x\r\nX-Forwarded-For: 9.9.9.9\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(head(more=more))
    got = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode().lower()
    asked = site.asked[0]
    assert asked.field("connection") == "Upgrade"
    assert asked.field("upgrade") == "websocket"
    assert asked.field("sec-websocket-key") == KEY
    assert asked.field("sec-websocket-protocol") == "a, b"
    assert asked.field("origin") == "http://page.test"
    assert asked.field("proxy-authorization") is None
    assert asked.field("x-forwarded-for") == "127.0.0.1"
    assert "connection: upgrade\r\n" in got
    assert "upgrade: websocket\r\n" in got
    assert f"sec-websocket-accept: {accept(KEY)}\r\n".lower() in got
    assert "x-cache: miss from cloudfront\r\n" in got
    assert "content-length" not in got
    assert "transfer-encoding" not in got
    await closed(writer)


async def test_nothing_reaches_the_origin_before_it_has_agreed(edge: Edges, scripted: Scripts) -> None:
    """Bytes that come with the handshake wait; they are the first that the origin gets after its 101."""
    early: list[bytes] = []

    async def script(exchange: Exchange) -> None:
        with suppress(TimeoutError):
            early.append(await asyncio.wait_for(exchange.reader.read(1), 0.05))
        await granted(exchange)

    gateway = await edge(config((await scripted(script)).url))
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    flood = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n" * 5_000
    writer.write(head() + flood)
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert await asyncio.wait_for(reader.readexactly(len(flood)), 5) == flood
    assert early == []
    await closed(writer)
    await ended(gateway)
    assert [record.target for record in gateway.records] == ["/chat"]


async def test_what_the_origin_says_at_once_comes_first(edge: Edges, scripted: Scripts) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(GRANTED + b"welcome")
        exchange.writer.write_eof()
        await exchange.reader.read()

    gateway = await edge(config((await scripted(script)).url))
    assert (await gateway.raw(head(), half_close=False)).endswith(b"\r\n\r\nwelcome")


async def test_an_end_that_says_no_more_still_listens(edge: Edges, scripted: Scripts) -> None:
    """RFC 6455 §7.1.1: the server closes first; what is on its way must not be lost for that."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(GRANTED)
        said = await exchange.reader.read()
        await exchange.send(b"you said " + said)
        exchange.writer.close()

    gateway = await edge(config((await scripted(script)).url))
    async with opened(gateway) as (reader, writer):
        writer.write(b"all of it")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b"you said all of it"
    await ended(gateway)
    assert not gateway.records[0].is_cut


@pytest.mark.parametrize(
    ("status", "body"), [(403, b"not you"), (200, b"a page"), (426, b""), (302, b"elsewhere")]
)
async def test_another_answer_is_passed_and_the_connection_goes_on(
    edge: Edges, scripted: Scripts, status: int, body: bytes
) -> None:
    """What follows is a request again, and reaches no origin unread."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(status, body, cache_control="max-age=60", sec_websocket_version="13")

    site = await scripted(script)
    gateway = await edge(config(site.url))
    got = await gateway.raw(head() + b"GET /next HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
    first, _, second = got.partition(b"HTTP/1.1 ")[2].partition(b"HTTP/1.1 ")
    assert first.startswith(str(status).encode())
    assert body in first
    assert b"detail=websocket" in first
    assert b"Sec-WebSocket-Version: 13" in first.replace(b"sec-websocket-version", b"Sec-WebSocket-Version")
    assert second.startswith(str(status).encode())
    assert site.lines == ["GET /chat", "GET /next"]
    assert site.asked[1].field("upgrade") is None


@pytest.mark.parametrize(
    "answer",
    [
        GRANTED.replace(accept(KEY).encode(), b"bm90IHRoZSByaWdodCBhbnN3ZXI="),
        GRANTED.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
)
async def test_a_101_that_grants_something_else_is_an_error(
    edge: Edges, scripted: Scripts, answer: bytes
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(answer)
        await exchange.reader.read()

    gateway = await edge(config((await scripted(script)).url))
    got = await gateway.raw(head(more="") + b"GET / HTTP/1.0\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 502 ")
    assert b"HTTP/1.1 101" not in got
    assert gateway.records[0].reason == "origin-bad-reply"


async def test_it_is_refused_or_ignored_where_it_must_be(edge: Edges, scripted: Scripts) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(200, b"a page", cache_control="max-age=60")

    site = await scripted(script)
    gateway = await edge(config(site.url))
    # RFC 9110 §7.8: not in HTTP/1.0.
    assert (await gateway.raw(head(version="1.0"))).startswith(b"HTTP/1.0 200")
    assert site.asked[0].field("upgrade") is None
    bad = head().replace(KEY.encode(), b"short").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert (await gateway.raw(bad)).startswith(b"HTTP/1.1 400")
    assert gateway.records[-1].reason == "bad-handshake"
    body = head(more="Content-Length: 3\r\nConnection: close\r\n") + b"abc"
    assert (await gateway.raw(body)).startswith(b"HTTP/1.1 403")
    assert gateway.records[-1].reason == "body-not-allowed"
    assert site.lines == ["GET /chat"]


async def test_a_behaviour_that_does_not_forward_the_handshake_has_none(
    edge: Edges, scripted: Scripts
) -> None:
    """CloudFront: Sec-WebSocket-Key and -Version have to be in the policies."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(200, b"a page", cache_control="max-age=60")

    site = await scripted(script)
    gateway = await edge(config(site.url, request_policy="null"))
    for _ in range(2):
        got = await gateway.raw(head(more="Connection: close\r\n"))
        assert got.startswith(b"HTTP/1.1 200")
    assert site.lines == ["GET /chat"]
    assert [site.asked[0].field(name) for name in ("upgrade", "sec-websocket-key")] == [None, None]
    told = await gateway.gateway.app.explain(asking("/chat"))
    assert "websocket-off" in told.fields()["websocket"]


async def test_explain_knows_it(edge: Edges, scripted: Scripts) -> None:
    gateway = await edge(config((await scripted(granted)).url))
    told = (await gateway.gateway.app.explain(asking("/chat"))).fields()
    assert told["websocket"] == "yes, if the origin answers 101"
    assert told["cache"].startswith("not asked (websocket)")


def asking(path: str) -> Request:
    fields = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": KEY}
    return Request("GET", path, headers=Headers([*fields.items(), ("Sec-WebSocket-Version", "13")]))


async def test_an_origin_that_dies_is_seen_by_the_viewer(edge: Edges, scripted: Scripts) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(GRANTED + b"half a mess")
        exchange.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        exchange.writer.transport.abort()

    gateway = await edge(config((await scripted(script)).url))
    async with opened(gateway) as (reader, _):
        with suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 5)
    await ended(gateway)
    assert (gateway.records[0].reason, gateway.records[0].is_cut) == ("origin-cut", True)


async def test_a_viewer_that_dies_is_seen_by_the_origin(edge: Edges, scripted: Scripts) -> None:
    gone = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        try:
            await granted(exchange)
        finally:
            gone.set()

    gateway = await edge(config((await scripted(script)).url))
    async with opened(gateway) as (reader, writer):
        writer.write(b"hello")
        await reader.readexactly(5)
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        await asyncio.wait_for(gone.wait(), 5)
    await ended(gateway)
    assert (gateway.records[0].reason, gateway.records[0].is_cut) == ("viewer-left", True)


async def test_a_viewer_that_does_not_read_holds_the_origin_up(edge: Edges, scripted: Scripts) -> None:
    """What waits between the two is bounded; all of it arrives in the end."""
    size, sent = 64 * 2**20, 0

    async def script(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(GRANTED)
        for _ in range(size // 65_536):
            await exchange.send(bytes(65_536))
            sent += 65_536
        exchange.writer.write_eof()
        await exchange.reader.read()

    gateway = await edge(config((await scripted(script)).url))
    async with opened(gateway) as (reader, writer):
        writer.transport.pause_reading()
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.05)
        # The rest is in the sockets of the system, which are some megabytes each.
        assert sent < size // 2
        writer.transport.resume_reading()
        got = 0
        while data := await asyncio.wait_for(reader.read(2**20), 5):
            got += len(data)
        assert got == size


async def test_an_origin_that_is_silent_for_too_long_is_given_up(edge: Edges, scripted: Scripts) -> None:
    """CloudFront counts what the origin sends; a viewer that talks keeps nothing open."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(GRANTED)
        await exchange.reader.read()

    gateway = await edge(config((await scripted(script)).url, "websocket_idle_timeout: 100ms"))
    async with opened(gateway) as (reader, writer):
        while not gateway.records:
            writer.write(b"anybody there?")
            await asyncio.sleep(0.01)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
    assert gateway.records[0].reason == "tunnel-idle"


async def test_it_counts_as_a_connection(edge: Edges, scripted: Scripts) -> None:
    gateway = await edge(config((await scripted(granted)).url, "max_connections: 1"))
    async with opened(gateway) as (reader, writer):
        assert await gateway.raw(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n") == b""
        writer.write(b"still here")
        assert await asyncio.wait_for(reader.readexactly(10), 5) == b"still here"
    await ended(gateway)
    async with asyncio.timeout(5):
        while gateway.gateway.listener.connections:
            await asyncio.sleep(0.005)
    async with opened(gateway):
        assert gateway.gateway.listener.connections == 1
        assert gateway.gateway.app.state()["websockets"] == {"open": 1, "total": 2}
    await ended(gateway, 2)
    assert gateway.gateway.app.state()["websockets"] == {"open": 0, "total": 2}


async def test_a_drain_does_not_wait_for_it(edge: Edges, scripted: Scripts) -> None:
    gateway = await edge(config((await scripted(granted)).url))
    async with opened(gateway) as (reader, _):
        assert await asyncio.wait_for(gateway.gateway.listener.drain(60), 5) == 0
        assert await asyncio.wait_for(reader.read(), 5) == b""
    assert gateway.records[0].reason == "draining"


async def test_it_fails_over_before_the_switch(edge: Edges, scripted: Scripts) -> None:
    async def refuses(exchange: Exchange) -> None:
        await exchange.answer(503)

    first, second = await scripted(refuses), await scripted(granted)
    gateway = await edge(f"""
origins:
  first: {{type: http, url: "{first.url}", connection_attempts: 1}}
  second: {{type: http, url: "{second.url}", connection_attempts: 1}}
origin_groups:
  both: {{members: [first, second], failover_on: [503]}}
default_behavior: {{target_origin: both, origin_request_policy: AllViewer}}
""")
    async with opened(gateway) as (reader, writer):
        writer.write(b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), 5) == b"hello"
    await ended(gateway)
    assert [str(attempt) for attempt in gateway.records[0].trail] == ["first=503", "second=101"]


async def test_a_node_of_a_pool_carries_it(edge: Edges, scripted: Scripts) -> None:
    """It is in flight there as long as it is open; a node that refuses connections is passed over."""
    node = await scripted(granted)
    gateway = await edge(f"""
origins:
  nodes:
    type: pool
    algorithm: round-robin
    nodes: [{{url: "http://127.0.0.1:9"}}, {{url: "{node.url}"}}]
default_behavior: {{target_origin: nodes, origin_request_policy: AllViewer}}
""")
    async with opened(gateway) as (reader, writer):
        writer.write(b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), 5) == b"hello"
        assert node.asked[-1].field("upgrade") == "websocket"
    await ended(gateway)
    assert gateway.records[0].trail[-1].status == 101
    assert gateway.records[0].received_bytes == 5


async def test_it_passes_to_an_origin_over_tls(edge: Edges, tmp_path: Path) -> None:
    """There no half of a connection can be closed: it ends for both, after what came before."""
    site = ScriptedOrigin(granted)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=certified(tmp_path / "both.pem"))
    port = server.sockets[0].getsockname()[1]
    text = config(f"https://127.0.0.1:{port}").replace(
        "connection_attempts", "tls_verify: false, connection_attempts"
    )
    gateway = await edge(text)
    sent = bytes(range(256)) * 4_096
    async with opened(gateway) as (reader, writer):
        writer.write(sent)
        assert await asyncio.wait_for(reader.readexactly(len(sent)), 5) == sent
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b""
    await ended(gateway)
    assert gateway.records[0].received_bytes == len(sent)
    assert not gateway.records[0].is_cut
    server.close()


async def test_a_refusal_may_have_a_page_which_is_an_ordinary_object(edge: Edges, scripted: Scripts) -> None:
    async def script(exchange: Exchange) -> None:
        if exchange.target == "/403.html":
            await exchange.answer(200, b"the page", cache_control="max-age=60")
        else:
            await exchange.answer(403, b"no")

    site = await scripted(script)
    page = "{error_code: 403, response_page_path: /403.html, response_code: 403}"
    gateway = await edge(config(site.url) + f"custom_error_responses: [{page}]\n")
    got = await gateway.raw(head() + b"GET /x HTTP/1.0\r\n\r\n")
    assert got.count(b"\r\n\r\nthe page") == 2
    assert site.lines == ["GET /chat", "GET /403.html", "GET /x"]
    assert site.asked[1].field("upgrade") is None
