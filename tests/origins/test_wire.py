"""HTTP/1.1 to an origin against real sockets: what is sent, what odd servers make of it, what is kept."""

import asyncio
import contextlib
import gc
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from edgeproxy.core.errors import EdgeError, OriginError
from edgeproxy.core.message import Headers
from edgeproxy.core.reason import Reason
from edgeproxy.origins.base import Reply
from edgeproxy.origins.connection import MAX_HEAD_BYTES, Connection, Question
from edgeproxy.origins.connections import Patience
from edgeproxy.origins.wire import Wire
from tests.certificates import certified
from tests.conftest import Exchange, Script, ScriptedOrigin

Scripted = Callable[[Script], Awaitable[ScriptedOrigin]]
Wires = Callable[..., Wire]
ONCE = Patience(attempts=1, connect_s=5, read_s=5)
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
async def wire() -> AsyncIterator[Wires]:
    async with AsyncExitStack() as stack:

        def make(patience: Patience = ONCE, **more: Any) -> Wire:
            made = Wire("site", patience, **more)
            stack.callback(made.close)
            return made

        yield make


async def body_of(reply: Reply) -> bytes:
    return b"".join([piece async for piece in reply.body])


async def said(wire: Wire, url: str, method: str = "GET", body: Any = None, **fields: str) -> bytes:
    named = Headers((name.replace("_", "-"), value) for name, value in fields.items())
    return await body_of(await wire.exchange(method, url, named, body))


async def refused(wire: Wire, url: str, method: str = "GET", body: Any = None) -> OriginError:
    with pytest.raises(OriginError) as error:
        await said(wire, url, method, body)
    return error.value


def speaks(*pieces: bytes, then_close: bool = False) -> Script:
    async def script(exchange: Exchange) -> None:
        for piece in pieces:
            await exchange.send(piece)
            await asyncio.sleep(0)
        if then_close:
            exchange.writer.close()

    return script


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


def ports(origin: ScriptedOrigin) -> list[int]:
    """From where each request came: the same port is the same connection."""
    return [exchange.writer.get_extra_info("peername")[1] for exchange in origin.asked]


# What comes back, and whether the connection is good for more


@pytest.mark.parametrize(
    ("answer", "body", "is_kept"),
    [
        (OK + b"content-length: 3\r\n\r\nabc", b"abc", True),
        (OK + b"content-length: 0\r\n\r\n", b"", True),
        (OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\nT: x\r\n\r\n", b"abc", True),
        (OK + b"content-length: 3\r\nconnection: close\r\n\r\nabc", b"abc", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc", b"abc", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabc", b"abc", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\n\r\n", b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"content-length: 1\r\n\r\na", b"a", True),
        (b"HTTP/1.1 103 Hints\r\nlink: </x>\r\n\r\n" * 3 + OK + b"content-length: 1\r\n\r\na", b"a", True),
        # RFC 9112 §2.2: a line may end without CR.
        (b"HTTP/1.1 200 OK\ncontent-length: 1\n\na", b"a", True),
        (b"HTTP/1.1 200 \r\ncontent-length: 1\r\n\r\na", b"a", True),
        # Bytes after the end are nobody's answer.
        (OK + b"content-length: 3\r\n\r\nabcSURPLUS", b"abc", False),
        (OK + b"content-length: 3\r\n\r\nabc" + OK + b"content-length: 4\r\n\r\nevil", b"abc", False),
        (b"HTTP/1.1 204 No Content\r\n\r\nabc", b"", False),
        # RFC 9112 §6.3: it has no body. Who says that it has may send one yet.
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\n", b"", False),
        (b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", b"", False),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", b"", True),
        # RFC 9112 §9.3: one "close" is enough.
        (OK + b"content-length: 3\r\nconnection: keep-alive, close\r\n\r\nabc", b"abc", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive, close\r\n\r\nabc", b"abc", False),
        # RFC 9112 §6.1: whoever passed it on may not know of chunks.
        (
            b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n0\r\n\r\n",
            b"abc",
            False,
        ),
        # RFC 9110 §5.5: white space around a value is none of it.
        (OK + b"content-length: \t 3 \t\r\n\r\nabc", b"abc", True),
        (OK + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\nabc", b"abc", True),
        (
            b"HTTP/1.1 103 Hints\r\ncontent-length: 90\r\n\r\n" + OK + b"content-length: 1\r\n\r\na",
            b"a",
            True,
        ),
    ],
)
@pytest.mark.parametrize("cut", [1, 7, 10_000], ids=["bytes", "sevens", "whole"])
async def test_an_answer_however_it_is_cut(
    scripted: Scripted, wire: Wires, answer: bytes, body: bytes, is_kept: bool, cut: int
) -> None:
    origin = await scripted(speaks(*(answer[at : at + cut] for at in range(0, len(answer), cut))))
    w = wire()
    reply = await w.exchange("GET", f"{origin.url}/x?y", Headers([("X-A", "b")]))
    assert await body_of(reply) == body
    assert reply.is_delimited
    for _ in range(5):
        await asyncio.sleep(0.001)  # what came behind the answer has to have come
    assert await said(w, f"{origin.url}/x") == body
    assert (len(set(ports(origin))) == 1) is is_kept
    assert origin.lines == ["GET /x?y", "GET /x"]
    assert origin.asked[0].field("x-a") == "b"


@pytest.mark.parametrize(
    "answer", [OK + b"\r\nabc", OK + b"transfer-encoding: identity\r\n\r\nabc", b"HTTP/1.0 200 OK\r\n\r\nabc"]
)
@pytest.mark.each_loop
async def test_a_body_that_ends_with_the_connection(scripted: Scripted, wire: Wires, answer: bytes) -> None:
    origin = await scripted(speaks(answer, then_close=True))
    reply = await wire().exchange("GET", origin.url, Headers())
    assert not reply.is_delimited
    assert await body_of(reply) == b"abc"


@pytest.mark.parametrize(
    "fields", [b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b"content-length: 0\r\n", b""]
)
async def test_the_answer_to_head_has_no_body_whatever_it_says(
    scripted: Scripted, wire: Wires, fields: bytes
) -> None:
    """RFC 9112 §6.3."""
    origin = await scripted(speaks(OK + fields + b"\r\n"))
    w = wire()
    for _ in range(2):
        assert await said(w, origin.url, "HEAD") == b""
    assert len(set(ports(origin))) == 1


async def test_a_server_that_answers_head_with_a_body(scripted: Scripted, wire: Wires) -> None:
    """Naive servers do. The head is good; the connection is not."""
    origin = await scripted(speaks(OK + b"content-length: 5\r\n\r\nabcde"))
    w = wire()
    for _ in range(2):
        assert await said(w, origin.url, "HEAD") == b""
    assert len(set(ports(origin))) == 2


# What is no answer


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99 OK\r\n\r\n",
        OK + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        OK + b"content-length: -3\r\n\r\nabc",
        OK + b"content-length: 3x\r\n\r\nabc",
        OK + b"content-length: 3, 3\r\n\r\nabc",
        OK + b"content-length: 00000000000000000003\r\n\r\nabc",
        OK + b"content-length: 18446744073709551615\r\n\r\nabc",
        # RFC 9112 §7.4: what we did not ask for we cannot undo, and must not take for the content.
        OK + b"transfer-encoding: gzip\r\n\r\nabc",
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked, gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\ntransfer-encoding: gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\t\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        OK + b"transfer-encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n",
        OK + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"x: a\x01b\r\ncontent-length: 0\r\n\r\n",
        OK + b"x: a\0b\r\ncontent-length: 0\r\n\r\n",
        OK + b"x y: a\r\ncontent-length: 0\r\n\r\n",
        OK + b": a\r\ncontent-length: 0\r\n\r\n",
        OK + b"x: a\r\n folded\r\ncontent-length: 0\r\n\r\n",
        OK + b"x: " + b"a" * MAX_HEAD_BYTES + b"\r\ncontent-length: 0\r\n\r\n",
        OK + b"".join(b"x%d: y\r\n" % n for n in range(5_000)) + b"\r\n",
        OK + b"x: " + b"a" * 10 * MAX_HEAD_BYTES,
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\n\r\n" * 200,
    ],
)
async def test_what_is_no_answer(scripted: Scripted, wire: Wires, answer: bytes) -> None:
    origin = await scripted(speaks(answer))
    error = await refused(wire(), origin.url)
    assert error.reason is Reason.ORIGIN_BAD_REPLY
    assert error.message.startswith("site: ")


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"content-length: 5\r\n\r\nabc",
        OK + b"content-length: 5 \r\n\r\nabc",
        OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3;x\nabc\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nabc",
        OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabcde\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n-1\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nfffffffffffffffff\r\n",
    ],
)
async def test_a_body_that_is_cut_gives_what_came_and_then_the_fault(
    scripted: Scripted, wire: Wires, answer: bytes
) -> None:
    origin = await scripted(speaks(answer, then_close=True))
    reply = await wire().exchange("GET", origin.url, Headers())
    assert await anext(aiter(reply.body)) == b"abc"
    with pytest.raises(OriginError) as error:
        await anext(aiter(reply.body))
    assert error.value.reason is Reason.ORIGIN_CUT


@pytest.mark.parametrize(
    "endless",
    [b"0\r\nx: ", b"0\r\n", b"3;x=", b'3;x="', b""],
    ids=["field", "fields", "extension", "quoted", "zeros"],
)
async def test_nothing_around_the_body_is_endless(scripted: Scripted, wire: Wires, endless: bytes) -> None:
    """What is no body is not passed on, so that nothing else would bound it."""
    filling = {b"0\r\n": b"x: y\r\n", b"": b"0"}.get(endless, b"a") * 1024

    async def floods(exchange: Exchange) -> None:
        await exchange.send(OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n" + endless)
        while True:
            await exchange.send(filling)

    reply = await wire().exchange("GET", (await scripted(floods)).url, Headers())
    came = aiter(reply.body)
    assert await anext(came) == b"abc"
    async with asyncio.timeout(5):
        with pytest.raises(OriginError) as error:
            await anext(came)
    assert error.value.reason is Reason.ORIGIN_CUT


async def test_many_small_chunks_are_no_flood(scripted: Scripted, wire: Wires) -> None:
    chunks = b"1;abcdefgh=ijklmnopqrstuvw\r\nx\r\n" * 20_000
    origin = await scripted(speaks(OK + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"))
    assert await said(wire(), origin.url) == b"x" * 20_000


def resets(*before: bytes) -> Script:
    async def script(exchange: Exchange) -> None:
        for piece in before:
            await exchange.send(piece)
            await asyncio.sleep(0.02)  # it has to be taken before the reset throws it away
        plug: socket.socket = exchange.writer.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange.writer.transport.abort()

    return script


@pytest.mark.each_loop
async def test_a_reset_before_and_in_the_body(scripted: Scripted, wire: Wires) -> None:
    before = await refused(wire(), (await scripted(resets())).url)
    assert before.reason is Reason.ORIGIN_CUT
    # A body that only the end of the connection ends is cut by a reset all the same.
    for fields in (b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b""):
        origin = await scripted(
            resets(OK + fields + b"\r\n" + (b"3\r\nabc\r\n" if b"ch" in fields else b"abc"))
        )
        assert (await refused(wire(), origin.url)).reason is Reason.ORIGIN_CUT


async def test_nobody_listens_and_nobody_is_called_so(free_port: int, wire: Wires) -> None:
    error = await refused(wire(Patience(attempts=2, connect_s=5)), f"http://127.0.0.1:{free_port}")
    assert (error.reason, error.failover_as) == (Reason.ORIGIN_UNREACHABLE, 503)
    assert error.message == "site: cannot connect (Connection refused)"
    unknown = await refused(wire(), "http://no-such-name.invalid")
    assert (unknown.reason, unknown.failover_as) == (Reason.ORIGIN_UNRESOLVED, 503)


@pytest.mark.parametrize("host", ["a..test", ".test", "x" * 64 + ".test"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_what_is_no_name_is_not_connected_to(
    free_port: int, wire: Wires, scheme: str, host: str
) -> None:
    error = await refused(wire(address="127.0.0.1"), f"{scheme}://{host}:{free_port}/")
    assert error.reason is Reason.ORIGIN_UNRESOLVED


@pytest.mark.parametrize("url", ["/a b", "/a\r\nX: y", "/a\nb", "/a\0b", "/a\udcffb"])
async def test_a_request_cannot_be_made_into_two(scripted: Scripted, wire: Wires, url: str) -> None:
    """RFC 9112 §11.1."""
    origin = await scripted(speaks(OK + b"content-length: 0\r\n\r\n"))
    assert (await refused(wire(), origin.url + url)).reason is Reason.ORIGIN_BAD_REPLY
    with pytest.raises(OriginError):
        await wire().exchange("GET", origin.url, Headers([("X-A", f"b{url}\r\nc: d")]))
    assert not origin.asked


@pytest.mark.parametrize(
    ("body", "length"), [(None, "5"), (b"abc", "5"), (b"abc", "3, 3"), (b"abc", ""), (pieces(b"abc"), "3, 3")]
)
async def test_a_length_that_is_not_the_bodys_is_not_sent(
    scripted: Scripted, wire: Wires, body: Any, length: str
) -> None:
    """The next request on the connection would be read as the rest.  RFC 9112 §11.2."""
    origin = await scripted(speaks(OK + b"content-length: 0\r\n\r\n"))
    with pytest.raises(OriginError):
        await wire().exchange("POST", origin.url, Headers([("Content-Length", length)]), body)
    assert not origin.asked


# Silence


@pytest.mark.each_loop
async def test_silence_before_the_head_is_tried_again_for_get_only(scripted: Scripted, wire: Wires) -> None:
    async def hangs(exchange: Exchange) -> None:
        await exchange.reader.read()

    origin = await scripted(hangs)
    impatient = Patience(attempts=3, read_s=0.05)
    error = await refused(wire(impatient), origin.url)
    assert (error.status, error.failover_as) == (504, 504)
    assert error.message == "site: the answer timed out after 0.05 s"
    assert len(origin.asked) == 3
    await refused(wire(impatient), origin.url, "POST", b"x")
    assert len(origin.asked) == 4


async def test_silence_in_the_body_has_its_own_limit(scripted: Scripted, wire: Wires) -> None:
    async def stalls(exchange: Exchange) -> None:
        await exchange.send(OK + b"content-length: 5\r\n\r\nabc")
        await exchange.reader.read()

    error = await refused(wire(Patience(1, read_s=5, silence_s=0.05)), (await scripted(stalls)).url)
    assert error.message == "site: the rest of the body timed out after 0.05 s"


async def test_drops_that_keep_coming_are_no_silence(scripted: Scripted, wire: Wires) -> None:
    async def drips(exchange: Exchange) -> None:
        await exchange.send(OK + b"content-length: 10\r\n\r\n")
        for _ in range(10):
            await exchange.send(b"x")
            await asyncio.sleep(0.03)

    assert await said(wire(Patience(1, read_s=0.15)), (await scripted(drips)).url) == b"x" * 10


@pytest.mark.each_loop
async def test_a_reader_that_waits_is_not_the_origins_silence(scripted: Scripted, wire: Wires) -> None:
    """And while it does, no more than so much comes in."""
    size, sent = 8 * 2**20, 0

    async def floods(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(OK + b"content-length: %d\r\n\r\n" % size)
        while sent < size:
            await exchange.send(b"x" * 65536)
            sent += 65536

    reply = await wire(Patience(1, read_s=0.1)).exchange("GET", (await scripted(floods)).url, Headers())
    await asyncio.sleep(0.3)
    assert sent < size, "the socket's buffers and ours do not hold that much"
    assert len(await body_of(reply)) == size


async def test_an_origin_that_takes_no_body_is_silent_too(scripted: Scripted, wire: Wires) -> None:
    async def deaf(exchange: Exchange) -> None:
        await asyncio.sleep(10)

    url = (await scripted(deaf)).url
    error = await refused(wire(Patience(1, read_s=0.1)), url, "PUT", b"x" * 50_000_000)
    assert error.message == "site: sending the request timed out after 0.1 s"


# What is sent


def taking(bodies: list[bytes]) -> Script:
    async def script(exchange: Exchange) -> None:
        length = exchange.field("content-length")
        if length is not None:
            bodies.append(await exchange.reader.readexactly(int(length)))
        elif exchange.field("transfer-encoding") == "chunked":
            whole = b""
            while size := int(await exchange.reader.readline(), 16):
                whole += await exchange.reader.readexactly(size)
                await exchange.reader.readline()
            await exchange.reader.readline()
            bodies.append(whole)
        else:
            bodies.append(b"none")
        await exchange.answer(body=b"ok")

    return script


@pytest.mark.parametrize(
    ("method", "body", "fields", "taken"),
    [
        ("GET", None, {}, b"none"),
        ("DELETE", None, {}, b"none"),
        ("POST", None, {}, b""),
        ("POST", b"", {}, b""),
        ("POST", b"abc", {}, b"abc"),
        ("PUT", b"x" * 1_000_000, {}, b"x" * 1_000_000),
        ("POST", lambda: pieces(b"ab", b"", b"c"), {}, b"abc"),
        ("POST", lambda: pieces(), {}, b""),
        ("POST", lambda: pieces(b"ab", b"c"), {"content_length": "3"}, b"abc"),
    ],
)
async def test_a_body_however_it_is_given(
    scripted: Scripted, wire: Wires, method: str, body: Any, fields: dict[str, str], taken: bytes
) -> None:
    bodies: list[bytes] = []
    origin = await scripted(taking(bodies))
    w = wire()
    for _ in range(2):
        given = body() if callable(body) else body
        assert await said(w, f"{origin.url}/x", method, given, **fields) == b"ok"
    assert bodies == [taken, taken]
    assert len(set(ports(origin))) == 1
    assert origin.asked[0].field("host") == origin.url.removeprefix("http://")


@pytest.mark.parametrize("length", ["2", "4"])
async def test_a_body_of_another_length_than_it_says(scripted: Scripted, wire: Wires, length: str) -> None:
    origin = await scripted(taking([]))
    with pytest.raises(OriginError):
        await said(wire(), origin.url, "POST", pieces(b"ab", b"c"), content_length=length)


async def test_a_body_that_breaks_off_is_its_givers_fault(scripted: Scripted, wire: Wires) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"ab"
        raise EdgeError(Reason.VIEWER_LEFT, "the viewer left", status=499)

    async def wrong() -> AsyncIterator[bytes]:
        yield b"ab"
        raise KeyError("a fault of ours")

    origin = await scripted(taking([]))
    with pytest.raises(EdgeError) as error:
        await said(wire(), origin.url, "POST", broken())
    assert error.value.reason is Reason.VIEWER_LEFT
    with pytest.raises(KeyError):
        await said(wire(), origin.url, "POST", wrong())


@pytest.mark.each_loop
async def test_an_answer_that_comes_before_all_is_sent(scripted: Scripted, wire: Wires) -> None:
    """The answer counts; on that connection nothing more is asked."""
    stopped = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.001)
        finally:
            stopped.set()

    origin = await scripted(speaks(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig"))
    w = wire()
    reply = await w.exchange("POST", origin.url, Headers(), endless())
    assert (reply.head.status, await body_of(reply)) == (413, b"big")
    async with asyncio.timeout(5):
        await stopped.wait()
    await w.exchange("GET", origin.url, Headers())
    assert len(set(ports(origin))) == 2


async def test_a_body_whose_source_is_cancelled_is_not_waited_for(scripted: Scripted, wire: Wires) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"ab"
        source = asyncio.get_running_loop().create_future()
        source.cancel()
        await source

    origin = await scripted(taking([]))
    async with asyncio.timeout(5):
        with pytest.raises(OriginError):
            await said(wire(), origin.url, "POST", broken())


async def test_a_body_that_nobody_sends_on_is_closed(scripted: Scripted, wire: Wires) -> None:
    """At once, not when it is forgotten: somebody may wait to be told."""
    closed: list[str] = []

    async def endless(name: str) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.append(name)

    async def refuses(exchange: Exchange) -> None:
        if exchange.target != "/deaf":
            await exchange.answer(413)
        await asyncio.sleep(10)

    origin = await scripted(refuses)
    early, deaf, left = endless("early"), endless("deaf"), endless("left")
    assert (await wire().exchange("POST", f"{origin.url}/", Headers(), early)).head.status == 413
    with pytest.raises(OriginError):
        await wire(Patience(1, read_s=0.05)).exchange("POST", f"{origin.url}/deaf", Headers(), deaf)
    leaving = asyncio.ensure_future(wire().exchange("POST", f"{origin.url}/deaf", Headers(), left))
    while len(origin.asked) < 3:
        await asyncio.sleep(0.001)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
    assert closed == ["early", "deaf", "left"]


@pytest.mark.each_loop
async def test_an_early_answer_that_ends_with_the_connection(scripted: Scripted, wire: Wires) -> None:
    """The end of what it sends is the end of the answer, whatever of the request it never took."""

    async def refuses(exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.1 413 Too Large\r\n\r\nbig")
        exchange.writer.write_eof()
        await asyncio.sleep(10)

    origin = await scripted(refuses)
    w = wire(Patience(1, connect_s=5, read_s=0.5))
    reply = await w.exchange("POST", origin.url, Headers(), b"x" * 20_000_000)
    assert (reply.head.status, await body_of(reply)) == (413, b"big")


# What is kept


def closing_second(*, with_reset: bool = False) -> Script:
    """Each connection is good for one answer; the second request finds it closed."""
    served: set[int] = set()

    async def script(exchange: Exchange) -> None:
        port = exchange.writer.get_extra_info("peername")[1]
        if port in served:
            await (resets()(exchange) if with_reset else asyncio.sleep(0))
            exchange.writer.close()
            return
        served.add(port)
        if exchange.field("content-length"):
            await exchange.reader.readexactly(int(exchange.field("content-length") or 0))
        await exchange.answer(body=b"ok")

    return script


@pytest.mark.parametrize("with_reset", [False, True])
@pytest.mark.parametrize(("method", "body"), [("GET", None), ("HEAD", None), ("PUT", b"x"), ("DELETE", None)])
@pytest.mark.each_loop
async def test_a_kept_connection_that_was_given_up_is_replaced(
    scripted: Scripted, wire: Wires, method: str, body: bytes | None, with_reset: bool
) -> None:
    """RFC 9112 §9.3.1."""
    origin = await scripted(closing_second(with_reset=with_reset))
    w = wire()
    for _ in range(3):
        await said(w, origin.url, method, body)
    assert len(origin.asked) == 5


async def test_who_leaves_when_all_has_come_takes_nothing_from_others() -> None:
    """The connection may be somebody else's before whoever left it has run again."""
    transport = Mock(asyncio.Transport)
    transport.is_closing.return_value = False
    connection = Connection("site", 5, None, lambda connection: None)
    with socket.socket() as plug:
        transport.get_extra_info.side_effect = {"socket": plug}.get
        connection.connection_made(transport)
    leaving = asyncio.ensure_future(connection.ask(Question("GET", b"first")))
    await asyncio.sleep(0)
    staying = asyncio.ensure_future(connection.ask(Question("GET", b"second")))
    connection.data_received(OK + b"content-length: 0\r\n\r\n")
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert leaving.cancelled()
    connection.data_received(OK + b"content-length: 3\r\n\r\nabc")
    assert [piece async for piece in (await staying).body] == [b"abc"]
    transport.abort.assert_not_called()


async def test_what_may_have_been_done_is_not_done_twice(scripted: Scripted, wire: Wires) -> None:
    origin = await scripted(closing_second())
    w = wire()
    await said(w, origin.url, "POST", b"x")
    assert (await refused(w, origin.url, "POST", b"x")).reason is Reason.ORIGIN_CUT
    assert len(origin.asked) == 2


async def test_a_server_that_always_closes_is_not_asked_for_ever(scripted: Scripted, wire: Wires) -> None:
    origin = await scripted(speaks(then_close=True))
    assert (await refused(wire(), origin.url)).reason is Reason.ORIGIN_CUT
    assert len(origin.asked) == 1


@pytest.mark.each_loop
async def test_a_reply_that_is_closed_early_takes_its_connection_along(
    scripted: Scripted, wire: Wires
) -> None:
    gone = asyncio.Event()

    async def endless(exchange: Exchange) -> None:
        await exchange.send(OK + b"transfer-encoding: chunked\r\n\r\n")
        try:
            while True:
                await exchange.send(b"1\r\nx\r\n")
                await asyncio.sleep(0.001)
        finally:
            gone.set()

    origin = await scripted(endless)
    w = wire(Patience(1, max_connections=1))
    for _ in range(3):
        reply = await w.exchange("GET", origin.url, Headers())
        reply.close()
        reply.close()
        with pytest.raises(OriginError):
            await body_of(reply)
        async with asyncio.timeout(5):
            await gone.wait()
        gone.clear()


async def test_closing_a_reply_late_does_not_touch_who_uses_the_connection_now(
    scripted: Scripted, wire: Wires
) -> None:
    async def slow(exchange: Exchange) -> None:
        await exchange.send(OK + b"content-length: 3\r\n\r\n")
        await asyncio.sleep(0.02)
        await exchange.send(b"abc")

    origin = await scripted(slow)
    w = wire(Patience(1, max_connections=1))
    first = await w.exchange("GET", origin.url, Headers())
    assert await body_of(first) == b"abc"
    second = await w.exchange("GET", origin.url, Headers())
    first.close()
    assert await body_of(second) == b"abc"
    assert len(set(ports(origin))) == 1


@pytest.mark.each_loop
async def test_no_more_connections_than_allowed_and_nobody_forgotten(scripted: Scripted, wire: Wires) -> None:
    now = most = 0

    async def counts(exchange: Exchange) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        await exchange.answer(body=b"ok")

    origin = await scripted(counts)
    w = wire(Patience(1, max_connections=3))
    tasks = [asyncio.ensure_future(said(w, origin.url)) for _ in range(40)]
    await asyncio.sleep(0.003)
    for task in tasks[10:20]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert most == 3
    assert results.count(b"ok") == 30
    assert await said(w, origin.url) == b"ok"


async def test_who_waits_too_long_for_a_connection_hears_of_it(scripted: Scripted, wire: Wires) -> None:
    async def hangs(exchange: Exchange) -> None:
        await exchange.send(OK + b"content-length: 3\r\n\r\n")
        await exchange.reader.read()

    origin = await scripted(hangs)
    w = wire(Patience(1, connect_s=0.05, read_s=0.05, max_connections=1, silence_s=30))
    reply = await w.exchange("GET", origin.url, Headers())
    error = await refused(w, origin.url)
    assert error.message == "site: waiting for one of 1 connections timed out after 0.1 s"
    reply.close()


async def test_what_is_not_used_is_closed_after_a_while(scripted: Scripted, wire: Wires) -> None:
    ended = asyncio.Event()

    async def once(exchange: Exchange) -> None:
        await exchange.answer(body=b"ok")
        assert await exchange.reader.read() == b""
        ended.set()

    w = wire(Patience(1, keepalive_s=0.05))
    await said(w, (await scripted(once)).url)
    async with asyncio.timeout(5):
        await ended.wait()


@pytest.mark.each_loop
async def test_what_a_server_says_unasked_ends_the_connection(scripted: Scripted, wire: Wires) -> None:
    async def talks(exchange: Exchange) -> None:
        await exchange.answer(body=b"ok")
        await asyncio.sleep(0.01)
        await exchange.send(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 4\r\n\r\nevil")

    origin = await scripted(talks)
    w = wire()
    for _ in range(3):
        assert await said(w, origin.url) == b"ok"
        await asyncio.sleep(0.03)
    assert len(set(ports(origin))) == 3


@pytest.mark.each_loop
@pytest.mark.parametrize("unasked", [OK + b"content-length: 4\r\n\r\nevil", b""], ids=["answer", "end"])
async def test_what_came_before_the_question_is_not_the_answer(wire: Wires, unasked: bytes) -> None:
    """Though nobody has read it yet. So nothing is lost either that may not be sent twice."""
    loop, plugs = asyncio.get_running_loop(), []
    answer = OK + b"content-length: 2\r\n\r\nok"

    async def serve() -> None:
        for _ in range(2):
            plug, _ = await loop.sock_accept(door)
            plugs.append(plug)
            await loop.sock_recv(plug, 65536)
            await loop.sock_sendall(plug, answer)

    with socket.create_server(("127.0.0.1", 0)) as door:
        door.setblocking(False)
        serving = asyncio.ensure_future(serve())
        w, url = wire(), f"http://127.0.0.1:{door.getsockname()[1]}/"
        assert await said(w, url) == b"ok"
        plugs[0].send(unasked) if unasked else plugs[0].shutdown(socket.SHUT_WR)
        async with asyncio.timeout(5):
            assert await said(w, url, "POST", b"x") == b"ok"
            await serving
    for plug in plugs:
        plug.close()


@pytest.mark.each_loop
async def test_close_ends_all_that_is_under_way(scripted: Scripted, wire: Wires) -> None:
    async def hangs(exchange: Exchange) -> None:
        if exchange.target == "/body":
            await exchange.send(OK + b"content-length: 3\r\n\r\n")
        await exchange.reader.read()

    origin = await scripted(hangs)
    w = wire()
    reply = await w.exchange("GET", f"{origin.url}/body", Headers())
    waiting = asyncio.ensure_future(w.exchange("GET", f"{origin.url}/head", Headers()))
    while len(origin.asked) < 2:
        await asyncio.sleep(0.001)
    w.close()
    for what in (body_of(reply), waiting):
        with pytest.raises(OriginError):
            await what


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signed by itself, for `tls.test` and 127.0.0.1: key and certificate in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    certified(path, "tls.test", "127.0.0.1")
    return path


@pytest.mark.each_loop
async def test_tls(certificate: Path, wire: Wires) -> None:
    """The name goes out in the hello; a certificate that nobody vouches for is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    asked_for: list[str | None] = []
    context.sni_callback = lambda plug, name, at: asked_for.append(name)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (await reader.readuntil(b"\r\n\r\n")) and not writer.is_closing():
            writer.write(OK + b"content-length: 200000\r\n\r\n" + b"x" * 200_000)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = f"https://tls.test:{server.sockets[0].getsockname()[1]}/"
    trusting = wire(tls_verify=False, address="127.0.0.1")
    for _ in range(2):
        assert await said(trusting, url) == b"x" * 200_000
    assert asked_for == ["tls.test"], "one connection, which was told the name"
    error = await refused(wire(address="127.0.0.1"), url)
    assert error.reason is Reason.ORIGIN_TLS
    assert error.message == "site: TLS failed (self-signed certificate)"
    trusting.close()
    server.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.each_loop
async def test_with_tls_only_who_says_so_has_ended_a_body(
    certificate: Path, wire: Wires, version: ssl.TLSVersion, *, is_told: bool
) -> None:
    """Anybody can end the connection.  RFC 9112 §9.8. What has come before is given out all the same."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.maximum_version = version
    size = 1_000_000

    def serve(door: socket.socket) -> None:
        for head in (OK + b"\r\n", OK + b"content-length: %d\r\n\r\n" % size) * 2:
            plug, _ = door.accept()
            plug.settimeout(5)
            with context.wrap_socket(plug, server_side=True) as tls:
                tls.recv(65536)
                tls.sendall(head + b"x" * size)
                if is_told:
                    tls.settimeout(0)  # it does not wait to be told the same
                    with contextlib.suppress(OSError):
                        tls.unwrap()
                tls.shutdown(socket.SHUT_WR)

    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(5)
        serving = asyncio.get_running_loop().run_in_executor(None, serve, door)
        w = wire(tls_verify=False, address="127.0.0.1")
        # Read at once, and paused when the end comes.
        for waits_s in (0.0, 0.03):
            for has_end in (False, True):
                reply = await w.exchange("GET", f"https://tls.test:{door.getsockname()[1]}/", Headers())
                await asyncio.sleep(waits_s)
                came, fault = 0, None
                try:
                    async for piece in reply.body:
                        came += len(piece)
                except OriginError as error:
                    fault = error.reason
                assert (came, fault) == (size, None if is_told or has_end else Reason.ORIGIN_CUT)
        await serving


@pytest.mark.each_loop
async def test_who_leaves_when_the_handshake_is_done_leaves_nothing_behind(
    certificate: Path, wire: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket is closed by whom it belongs to: its number is soon another's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK + b"content-length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = f"https://tls.test:{server.sockets[0].getsockname()[1]}/"
    w = wire(Patience(1, connect_s=5, max_connections=1), tls_verify=False, address="127.0.0.1")
    made = Connection.connection_made
    for _ in range(3):
        leaving = asyncio.ensure_future(w.exchange("GET", url, Headers()))

        def leaves(self: Connection, transport: asyncio.BaseTransport, leaving: Any = leaving) -> None:
            made(self, transport)
            leaving.cancel()

        monkeypatch.setattr(Connection, "connection_made", leaves)
        await asyncio.gather(leaving, return_exceptions=True)
        assert leaving.cancelled()
        monkeypatch.setattr(Connection, "connection_made", made)
        assert await said(w, url.replace("tls", "other"), "POST") == b"ok"
    w.close()
    server.close()
    await asyncio.sleep(0.01)
    gc.collect()


@pytest.mark.each_loop
async def test_tls_to_what_speaks_none(scripted: Scripted, wire: Wires) -> None:
    origin = await scripted(speaks(OK + b"content-length: 0\r\n\r\n"))
    async with asyncio.timeout(5):
        error = await refused(wire(Patience(1, connect_s=0.3)), origin.url.replace("http", "https"))
    assert error.reason in (Reason.ORIGIN_TLS, Reason.ORIGIN_TIMEOUT)
