"""Many at once ask an origin that does everything wrong, and leave when they like: nothing may leak.

What must hold whatever happens: nobody gets a byte of another's answer, every connection is given back,
and at rest there is no task and no timer.
"""

import asyncio
import contextlib
import gc
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from edgeproxy.core.errors import EdgeError
from edgeproxy.core.message import Headers
from edgeproxy.core.reason import Reason
from edgeproxy.origins.connections import Patience
from edgeproxy.origins.wire import Wire
from tests.conftest import Exchange, Script, ScriptedOrigin

MOST = 4
OK = "HTTP/1.1 200 OK\r\nx-tag: {tag}\r\n"
HEADS = {
    "length": OK + "content-length: {size}\r\n\r\n",
    "chunks": OK + "transfer-encoding: chunked\r\n\r\n",
    "closed": OK + "connection: close\r\ncontent-length: {size}\r\n\r\n",
    "end": OK + "\r\n",
    "hints": "HTTP/1.1 103 Hints\r\n\r\n" + OK + "content-length: {size}\r\n\r\n",
}
ENDS = ("whole", "whole", "whole", "surplus", "second", "cut", "reset", "hang", "fin")
BEFORE = ("reset", "fin", "hang", "garbage", "none", "switch", "early")


def body_of(tag: str, size: int) -> bytes:
    return f"<{tag}>".encode() * size


async def breaks(exchange: Exchange, how: str) -> None:
    """Resets, ends, or says nothing until the other side leaves."""
    plug: socket.socket = exchange.writer.get_extra_info("socket")
    if how == "reset":
        with contextlib.suppress(OSError):
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange.writer.transport.abort()
    elif how in ("fin", "cut"):
        exchange.writer.close()
    else:
        await exchange.reader.read()
    raise ConnectionResetError


async def taken(exchange: Exchange) -> None:
    """Reads the request's body."""
    if length := exchange.field("content-length"):
        await exchange.reader.readexactly(int(length))
    elif exchange.field("transfer-encoding"):
        while size := int(await exchange.reader.readuntil(b"\r\n"), 16):
            await exchange.reader.readexactly(size + 2)
        await exchange.reader.readline()


def naughty(seed: int) -> Script:
    chance = random.Random(seed)

    async def script(exchange: Exchange) -> None:
        tag = exchange.target[1:]
        if tag == "calm":
            await taken(exchange)
            await exchange.answer(body=b"calm")
            return
        is_early = chance.random() < 0.25
        if is_early:
            how = chance.choice(BEFORE)
            if how == "garbage":
                await exchange.send(b"garbage\r\n\r\n")
            elif how == "switch":
                await exchange.send(b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nabc")
            elif how == "none":
                await exchange.send(f"HTTP/1.1 204 None\r\nx-tag: {tag}\r\n\r\n".encode())
                await taken(exchange)
                return
            elif how != "early":
                await breaks(exchange, how)
        else:
            await taken(exchange)
        kind, end = chance.choice(list(HEADS)), chance.choice(ENDS)
        size = chance.choice((0, 1, 10, 20_000, 200_000))
        body = body_of(tag, size)
        head = HEADS[kind].format(tag=tag, size=len(body)).encode()
        half = len(body) // 2 if end in ("cut", "reset", "hang") else len(body)
        if kind == "chunks":
            parts = [body[at : at + 50_000] for at in range(0, half, 50_000)]
            said = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
            said += b"0\r\n\r\n" if half == len(body) else b""
        else:
            said = body[:half]
        said = head + said
        # What is too much comes with the rest: what came only after the next question would be its answer.
        cuts = sorted(chance.randrange(len(said) + (end == "whole")) for _ in range(chance.randrange(4)))
        if kind == "end":
            pass
        elif end == "surplus":
            said += b"SURPLUS"
        elif end == "second":
            said += b"HTTP/1.1 200 OK\r\nx-tag: evil\r\ncontent-length: 4\r\n\r\nevil"
        for start, stop in zip([0, *cuts], [*cuts, len(said)], strict=True):
            await exchange.send(said[start:stop])
            await asyncio.sleep(chance.choice((0, 0, 0.001)))
        if kind == "end" and end != "hang":
            end = "fin" if end not in ("cut", "reset") else end
        if end in ("cut", "reset", "hang", "fin"):
            await breaks(exchange, end)
        if is_early:
            await taken(exchange)

    return script


async def giving(chance: random.Random) -> AsyncIterator[bytes]:
    """A body that may stop, stand still, or break off."""
    for _ in range(chance.randrange(6)):
        yield b"x" * chance.choice((0, 1, 70_000))
        await asyncio.sleep(chance.choice((0, 0, 0.001)))
        if chance.random() < 0.05:
            raise EdgeError(Reason.VIEWER_LEFT, "the viewer left", status=499)


async def asks(wire: Wire, url: str, tag: str, chance: random.Random) -> str:
    """One exchange that ends in one of many ways: which."""
    method, given = "GET", None
    if chance.random() < 0.5:
        method = chance.choice(("POST", "PUT", "DELETE"))
        given = chance.choice((b"", b"x" * 100, b"x" * 300_000, giving(chance)))
    try:
        reply = await wire.exchange(method, f"{url}/{tag}", Headers(), given)
    except EdgeError as error:
        return error.reason
    assert reply.head.headers.get("x-tag") == tag
    try:
        patience = chance.randrange(8)
        if patience == 0:
            return "unread"
        body = b""
        async for piece in reply.body:
            body += piece
            assert body_of(tag, 1 + len(body) // 3).startswith(body), "somebody else's"
            if patience == 1:
                return "half read"
            if patience == 2:
                await asyncio.sleep(0.001)
        return "read"
    except EdgeError as error:
        return error.reason
    finally:
        reply.close()


async def left(task: "asyncio.Task[str]", chance: random.Random) -> None:
    """Cancels it after a while, which may be none."""
    for _ in range(chance.randrange(12)):
        await asyncio.sleep(chance.choice((0, 0, 0, 0.001)))
    task.cancel()


async def storm(wire: Wire, url: str, seed: int, count: int) -> dict[str, int]:
    chance = random.Random(seed)
    ends: dict[str, int] = {}

    async def one(number: int) -> None:
        await asyncio.sleep(chance.random() * count / 2000)
        own = random.Random(f"{seed}-{number}")
        task = asyncio.ensure_future(asks(wire, url, f"{seed}-{number}", own))
        if own.random() < 0.4:
            await left(task, own)
        try:
            end = await task
        except asyncio.CancelledError:
            end = "cancelled"
        ends[end] = ends.get(end, 0) + 1

    await asyncio.gather(*(one(number) for number in range(count)))
    return ends


async def at_rest(wire: Wire, url: str, before: "set[asyncio.Task[Any]]") -> None:
    connections = wire._connections
    assert (connections._busy, connections._free._value) == ({}, MOST)
    kept = [one for waiting in connections._idle.values() for one, _ in waiting]
    assert not [one for one in kept if one._timer or one._sending or one._waiter or one._is_paused]
    assert all(one._transport and one._transport.is_reading() for one in kept if one.is_open)
    bodies = await asyncio.gather(*(calm(wire, url) for _ in range(MOST)))
    assert bodies == [b"calm"] * MOST
    for _ in range(5):
        await asyncio.sleep(0)
    ours = {task for task in asyncio.all_tasks() - before if "ScriptedOrigin" not in repr(task)}
    assert ours == set()


async def calm(wire: Wire, url: str) -> bytes:
    return b"".join([piece async for piece in (await wire.exchange("GET", f"{url}/calm", Headers())).body])


@pytest.mark.each_loop
@pytest.mark.parametrize("seed", range(3))
async def test_a_storm(scripted: Callable[[Script], Awaitable[ScriptedOrigin]], seed: int) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    origin = await scripted(naughty(seed))
    before = asyncio.all_tasks()
    wire = Wire("site", Patience(2, connect_s=2, read_s=0.03, keepalive_s=0.05, max_connections=MOST))
    ends = await storm(wire, origin.url, seed, 120)
    assert len(ends) > 5, ends
    await at_rest(wire, origin.url, before)
    # In the middle of it.
    going = asyncio.ensure_future(storm(wire, origin.url, seed + 1000, 40))
    await asyncio.sleep(0.02)
    wire.close()
    await going
    assert (wire._connections._busy, wire._connections._free._value) == ({}, MOST)
    gc.collect()
    await asyncio.sleep(0)
    assert [fault for fault in faults if "ScriptedOrigin" not in repr(fault)] == []
