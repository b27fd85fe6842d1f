"""A ping against real sockets: what it sends, what it makes of the answers, what it leaves open."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from edgeproxy.core.balancing.nodes import Node, Ping, Rules
from edgeproxy.core.checking import Wanted
from edgeproxy.core.message import Headers
from edgeproxy.origins.connections import Patience
from edgeproxy.origins.member import Endpoint, Member
from edgeproxy.origins.pinging import MAX_ANSWER, Check, ping
from tests.conftest import Exchange, ScriptedOrigin

HEAD = Check(timeout_s=5, wanted=Wanted(head_pointer="/result"))
Open = Callable[[str], Awaitable[Member]]


def elapsed() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
async def member() -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def make(url: str, **more: Any) -> Member:
            patience = more.pop("patience", Patience(attempts=1, max_connections=1))
            made = Member(Endpoint(Node("a"), url, patience=patience, **more), Rules(), elapsed)
            stack.callback(made.close)
            return made

        yield make


Scripted = Callable[..., Awaitable[ScriptedOrigin]]


async def test_a_call_and_the_head_in_its_answer(scripted: Scripted, member: Any) -> None:
    bodies: list[bytes] = []

    async def answer(exchange: Exchange) -> None:
        bodies.append(await exchange.reader.readexactly(int(exchange.field("content-length") or 0)))
        await exchange.answer(body=b'{"jsonrpc":"2.0","result":"0x1b4","id":1}')

    node = await scripted(answer)
    call = json.dumps({"jsonrpc": "2.0", "method": "eth_blockNumber", "params": [], "id": 1}).encode()
    check = Check("/rpc", "POST", call, timeout_s=5, wanted=Wanted(head_pointer="/result"))
    asked = await member(node.url, path="/v1", headers=Headers([("X-Key", "k")]))
    found = await ping(asked, check, elapsed, apart=True)
    assert found.head == 436
    assert found.took_s is not None
    sent = node.asked[0]
    assert (sent.method, sent.target, bodies) == ("POST", "/v1/rpc", [call])
    assert (sent.field("x-key"), sent.field("content-type")) == ("k", "application/json")


async def refusing(url: str, member: Any, check: Check = HEAD) -> Ping:
    found: Ping = await ping(await member(url), check, elapsed, apart=True)
    assert found.took_s is None
    return found


async def test_another_status(scripted: Scripted, member: Any) -> None:
    node = await scripted(lambda exchange: exchange.answer(503, b'{"result":1}'))
    assert (await refusing(node.url, member)).why == "it answered 503"


async def test_a_node_that_hangs(scripted: Scripted, member: Any) -> None:
    async def hang(exchange: Exchange) -> None:
        await exchange.reader.read()

    node = await scripted(hang)
    found = await refusing(node.url, member, Check(timeout_s=0.05))
    assert found.why == "no answer in 0.05 s"


async def test_a_node_that_drips(scripted: Scripted, member: Any) -> None:
    """Each byte comes soon enough; the answer does not."""

    async def drip(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        for _ in range(100_000):
            await exchange.send(b"x")
            await asyncio.sleep(0.01)

    node = await scripted(drip)
    found = await refusing(node.url, member, Check(timeout_s=0.1))
    assert found.why == "no answer in 0.1 s"


async def test_an_answer_without_end_is_not_read_to_it(scripted: Scripted, member: Any) -> None:
    async def flood(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        while True:
            await exchange.send(b"1" * 65536)

    node = await scripted(flood)
    found = await refusing(node.url, member)
    assert found.why == f"its answer is larger than {MAX_ANSWER} bytes"
    # The status is there all the same.
    assert (await ping(await member(node.url), Check(timeout_s=5), elapsed)).took_s is not None


async def test_nobody_listens(free_port: int, member: Any) -> None:
    found = await refusing(f"http://127.0.0.1:{free_port}", member)
    assert "cannot connect" in found.why


async def test_a_connection_is_kept_and_one_that_was_closed_is_no_fault(
    scripted: Scripted, member: Any
) -> None:
    """RFC 9112 §9.3.1: a client repeats what it sent on a connection that was closed meanwhile."""
    ports: list[int] = []

    async def once(exchange: Exchange) -> None:
        port = exchange.writer.get_extra_info("peername")[1]
        if ports.count(port) == 2:
            exchange.writer.close()
            return
        ports.append(port)
        if exchange.method == "POST":
            await exchange.reader.readexactly(2)
        await exchange.answer(body=b'{"result":7}')

    node = await scripted(once)
    asked = await member(node.url)
    check = Check(method="POST", body=b"{}", timeout_s=5, wanted=Wanted(head_pointer="/result"))
    found = [await ping(asked, check, elapsed, apart=True) for _ in range(3)]
    assert [one.head for one in found] == [7, 7, 7]
    assert [ports.count(port) for port in dict.fromkeys(ports)] == [2, 1]


async def test_a_node_that_always_closes_fails(scripted: Scripted, member: Any) -> None:
    async def close(exchange: Exchange) -> None:
        exchange.writer.close()

    node = await scripted(close)
    assert "closed the connection" in (await refusing(node.url, member)).why


async def test_a_busy_node_is_not_taken_for_dead(scripted: Scripted, member: Any) -> None:
    """All connections for requests are taken; the check has its own."""
    came = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        if exchange.target == "/slow":
            came.set()
            await exchange.reader.read()
        await exchange.answer(body=b'{"result":7}')

    node = await scripted(answer)
    asked = await member(node.url)
    request = asyncio.ensure_future(asked.exchange("GET", "/slow", Headers(), None))
    await came.wait()
    assert (await ping(asked, HEAD, elapsed, apart=True)).head == 7
    request.cancel()


async def test_one_address_of_a_name(scripted: Scripted, member: Any) -> None:
    """It is reached there, and is told the name."""
    node = await scripted(lambda exchange: exchange.answer(body=b'{"result":7}'))
    port = node.url.rpartition(":")[2]
    asked = await member(f"http://no-such-name.example:{port}", address="127.0.0.1")
    assert (await ping(asked, HEAD, elapsed, apart=True)).head == 7
    assert node.asked[0].field("host") == f"no-such-name.example:{port}"
