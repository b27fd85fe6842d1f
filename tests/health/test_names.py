"""A name with several addresses is several nodes: real sockets, and a resolver that is scripted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest

from edgeproxy.core.balancing.nodes import Duty, Node
from edgeproxy.core.balancing.ranking import Algorithm
from edgeproxy.core.message import Headers, Request
from edgeproxy.health.names import Lookout, system_addresses
from edgeproxy.origins.addresses import MAX_ADDRESSES, spread
from edgeproxy.origins.conduct import Conduct
from edgeproxy.origins.member import Endpoint
from edgeproxy.origins.pool import PoolOrigin

NAME = "api.example"


@dataclass
class Site:
    """Servers on several addresses of this machine, all on one port; the resolver that knows them."""

    port: int = 0
    addresses: list[str] = field(default_factory=list)
    error: OSError | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Where a request came, and for which host."""
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    said: list[str] = field(default_factory=list)

    async def resolve(self, name: str) -> list[str]:
        assert name == NAME
        if self.error is not None:
            raise self.error
        return self.addresses

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("sockname")[0]
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                host = next(line for line in head.split("\r\n") if line.lower().startswith("host:"))
                self.asked.append((address, host.partition(": ")[2]))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
                if " /slow " in head:
                    await self.let_go.wait()
                writer.write(b"cd")
        writer.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    first = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = first.sockets[0].getsockname()[1]
    servers = [first, *[await asyncio.start_server(site.serve, f"127.0.0.{n}", site.port) for n in (2, 3)]]
    yield site
    for server in servers:
        server.close()


Make = Callable[..., Awaitable[tuple[PoolOrigin, Lookout]]]


@pytest.fixture
async def opened(site: Site) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def make(each: bool = True) -> tuple[PoolOrigin, Lookout]:
            now = asyncio.get_running_loop().time
            pool = PoolOrigin("api", Conduct(Algorithm.ROUND_ROBIN), now, lambda: 0.5)
            stack.push_async_callback(pool.close)
            await pool.replace([Endpoint(Node("api"), f"http://{NAME}:{site.port}", each_address=each)])
            lookout = Lookout([pool], 0.001, site.resolve, now, site.said.append)
            stack.push_async_callback(lookout.close)
            return pool, lookout

        yield make


async def fetched(pool: PoolOrigin, path: str = "/") -> bytes:
    reply = await pool.fetch(Request("GET", path, "", Headers()))
    body = b"".join([chunk async for chunk in reply.body])
    reply.close()
    return body


def names(pool: PoolOrigin) -> list[str]:
    return [member.name for member in pool.members]


async def test_each_address_is_a_node_that_is_told_the_name(site: Site, opened: Make) -> None:
    pool, lookout = await opened()
    site.addresses = ["127.0.0.2", "127.0.0.1", "127.0.0.2"]
    await lookout.look()
    assert names(pool) == ["api@127.0.0.1", "api@127.0.0.2"]
    assert [await fetched(pool) for _ in range(4)] == [b"abcd"] * 4
    host = f"{NAME}:{site.port}"
    assert sorted(site.asked) == [("127.0.0.1", host)] * 2 + [("127.0.0.2", host)] * 2


async def test_a_change_is_followed_and_what_is_known_of_the_others_stays(site: Site, opened: Make) -> None:
    pool, lookout = await opened()
    site.addresses = ["127.0.0.1", "127.0.0.2"]
    await lookout.look()
    pool.put_on("api@127.0.0.2", Duty.DRAINED)
    stays = pool.members[1]
    site.addresses = ["127.0.0.3", "127.0.0.2"]
    await lookout.look()
    assert names(pool) == ["api@127.0.0.2", "api@127.0.0.3"]
    assert pool.members[0] is stays
    assert await fetched(pool) == b"abcd"
    assert [address for address, _ in site.asked] == ["127.0.0.3"]


async def test_a_node_that_leaves_finishes_what_it_has(site: Site, opened: Make) -> None:
    pool, lookout = await opened()
    site.addresses = ["127.0.0.1", "127.0.0.2"]
    await lookout.look()
    pool.put_on("api@127.0.0.2", Duty.CORDONED)
    reply = await pool.fetch(Request("GET", "/slow", "", Headers()))
    body = aiter(reply.body)
    assert await anext(body) == b"ab"
    site.addresses = ["127.0.0.2", "127.0.0.3"]
    await lookout.look()
    assert names(pool) == ["api@127.0.0.2", "api@127.0.0.3"]
    site.let_go.set()
    assert [chunk async for chunk in body] == [b"cd"]
    reply.close()


async def test_a_resolver_that_fails_keeps_the_last_answer(site: Site, opened: Make) -> None:
    pool, lookout = await opened()
    site.addresses = ["127.0.0.1", "127.0.0.2"]
    await lookout.look()
    site.error = OSError(-3, "Temporary failure in name resolution")
    for _ in range(3):
        await lookout.look()
    assert names(pool) == ["api@127.0.0.1", "api@127.0.0.2"]
    assert site.said == [
        f"{NAME}: cannot be resolved (Temporary failure in name resolution);"
        " its nodes stay as they are (1 faults so far)"
    ]
    site.error, site.addresses = None, []
    await lookout.look()
    assert len(pool.members) == 2
    site.addresses = ["127.0.0.3", "127.0.0.2"]
    await lookout.look()
    assert names(pool) == ["api@127.0.0.2", "api@127.0.0.3"]


async def test_a_name_that_was_never_resolved_is_one_node(site: Site, opened: Make) -> None:
    pool, lookout = await opened()
    site.error = OSError(-2, "Name or service not known")
    await lookout.look()
    assert names(pool) == ["api"]


async def test_a_node_keeps_its_duty_whoever_else_comes_and_goes(site: Site, opened: Make) -> None:
    pool, lookout = await opened()
    seen = []
    for addresses in (["127.0.0.1", "127.0.0.2"], ["127.0.0.1"], ["127.0.0.2"], ["127.0.0.1", "127.0.0.2"]):
        site.addresses = addresses
        await lookout.look()
        if not seen:
            pool.put_on("api@127.0.0.1", Duty.CORDONED)
        seen.append({member.name[-1]: str(member.state.duty) for member in pool.members})
    assert seen == [
        {"1": "cordoned", "2": "ready"},
        {"1": "cordoned"},
        {"2": "ready"},
        {"1": "cordoned", "2": "ready"},
    ]


async def test_other_settings_for_the_same_names(site: Site, opened: Make) -> None:
    """A reload does not forget the addresses."""
    pool, lookout = await opened()
    site.addresses = ["127.0.0.1", "127.0.0.2"]
    await lookout.look()
    kept = pool.members
    heavier = Endpoint(Node("api", 5.0), f"http://{NAME}:{site.port}", each_address=True)
    await pool.replace([heavier])
    assert pool.members == kept
    assert [member.state.node.weight for member in pool.members] == [5.0, 5.0]


async def test_who_does_not_ask_for_it_gets_one_node(site: Site, opened: Make) -> None:
    pool, lookout = await opened(each=False)
    await lookout.look()
    assert (names(pool), pool.names) == (["api"], [])


async def test_the_loop_looks_again_and_ends(site: Site, opened: Make) -> None:
    pool, lookout = await opened()
    site.addresses = ["127.0.0.1", "127.0.0.2"]
    lookout.start()
    async with asyncio.timeout(10):
        while len(pool.members) < 2:
            await asyncio.sleep(0.001)
    await lookout.close()


def test_there_is_an_end_to_addresses_and_an_address_is_no_name() -> None:
    each = Endpoint(Node("a"), "https://a.example", each_address=True)
    many = tuple(f"10.0.{n}.1" for n in range(100))
    assert len(spread([each], {"a.example": many})) == MAX_ADDRESSES
    assert [one.name for one in spread([each], {"a.example": ("10.0.0.1",)})] == ["a@10.0.0.1"]
    assert spread([each], {}) == [each]
    literal = Endpoint(Node("b"), "http://[2001:db8::1]:80", each_address=True)
    assert spread([literal], {}) == [literal]


async def test_the_system_knows_this_machine() -> None:
    assert "127.0.0.1" in await system_addresses("a.localhost")
