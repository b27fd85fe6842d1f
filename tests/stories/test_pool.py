"""A pool of equal servers: who is asked, what is tried again, what viewers see when nodes are ill."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from socket import SO_LINGER, SOL_SOCKET

import aiohttp
import pytest

from edgeproxy import __version__
from edgeproxy.core.balancing.nodes import Tier
from edgeproxy.core.balancing.quantiles import noted
from edgeproxy.core.message import Request
from edgeproxy.origins.pool import PoolOrigin
from edgeproxy.origins.pools import Order
from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]


@dataclass
class Node:
    """Answers with its name, or as `does` says."""

    name: str
    does: Callable[[Exchange], Awaitable[None]] | None = None
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, exchange: Exchange) -> None:
        length = int(exchange.field("content-length") or 0)
        if length and not exchange.target.startswith("/unread"):
            self.bodies.append(await exchange.reader.readexactly(length))
        if self.does is not None:
            await self.does(exchange)
        else:
            await exchange.answer(200, self.name.encode())


def status(code: int) -> Script:
    async def does(exchange: Exchange) -> None:
        await exchange.answer(code, str(code).encode())

    return does


async def hang(exchange: Exchange) -> None:
    await exchange.reader.read()


async def cut(exchange: Exchange) -> None:
    """Closes instead of answering."""
    exchange.writer.close()


def reset_now(exchange: Exchange) -> None:
    """Breaks the connection off with an RST: what was sent and not read yet is lost too."""
    socket = exchange.writer.get_extra_info("socket")
    socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    exchange.writer.transport.abort()


async def reset(exchange: Exchange) -> None:
    reset_now(exchange)


async def reset_body(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\nhalf")
    await asyncio.sleep(0.005)
    reset_now(exchange)


async def cut_body(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\nhalf")
    exchange.writer.close()


@dataclass
class Farm:
    """A gateway in front of nodes, and these."""

    edge: Edge
    nodes: dict[str, Node]
    servers: dict[str, ScriptedOrigin]

    @property
    def pool(self) -> PoolOrigin:
        pool = self.edge.gateway.app._pools._by_name["api"]
        assert isinstance(pool, PoolOrigin)
        return pool

    def asked(self) -> dict[str, int]:
        return {name: len(server.asked) for name, server in self.servers.items()}

    async def ask(
        self, target: str = "/x", method: str = "GET", data: object = None, **fields: str
    ) -> tuple[int, bytes, str]:
        """Status, body and the trail."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        async with self.edge.viewer.request(
            method, self.edge.url + target, headers=headers, data=data
        ) as answer:
            return answer.status, await answer.read(), answer.headers.get("X-Edge-Origin", "")

    def later(self, seconds: float) -> None:
        """The pool's clock goes on, nobody waits for it."""
        pool, elapsed = self.pool, self.pool._elapsed
        pool._elapsed = lambda: elapsed() + seconds
        for member in pool.members:
            member._elapsed = pool._elapsed


Build = Callable[..., Awaitable[Farm]]


async def nothing_under_way(api: Farm) -> None:
    """Nothing is counted any more as being at a node, and no byte as held."""
    async with asyncio.timeout(5):
        while any(member.state.in_flight or member._uses for member in api.pool.members):
            await asyncio.sleep(0.005)
    assert not any(member.state.pending or member.state.answering for member in api.pool.members)
    assert api.pool._room.used_bytes == 0


@pytest.fixture
async def farm(scripted: Starts, edge: Callable[[str], Awaitable[Edge]]) -> Build:
    """Builds a farm; each node by name is what it does, or "refuse" for nobody at the door."""

    async def build(nodes: dict[str, object], settings: str = "", *, more: str = "", node: str = "") -> Farm:
        made = {name: Node(name, None if does in (None, "refuse") else does) for name, does in nodes.items()}  # type: ignore[arg-type]
        servers = {name: await scripted(one) for name, one in made.items() if nodes[name] != "refuse"}
        urls = {name: servers[name].url if name in servers else "http://127.0.0.1:1" for name in made}
        listed = ", ".join(f'{{url: "{urls[name]}", name: {name}, {node}}}' for name in made)
        algorithm = "" if "algorithm" in settings else "algorithm: dns, "
        gateway = await edge(f"""
origins:
  api: {{type: pool, {algorithm} nodes: [{listed}], {settings}}}
default_behavior:
  target_origin: api
  cache_policy: CachingDisabled
  allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]
{more}
""")
        return Farm(gateway, made, servers)

    return build


async def test_a_node_that_gives_up_connections_is_not_ill(farm: Build) -> None:
    """RFC 9112 §9.3.1: it may, at any time. What may have been done is not done again for that."""
    served: set[object] = set()

    async def once_each(exchange: Exchange) -> None:
        whom = exchange.writer.get_extra_info("peername")
        if whom in served:
            exchange.writer.close()
        else:
            served.add(whom)
            await exchange.answer(200, b"a")

    api = await farm({"a": once_each})
    codes = [(await api.ask(method="POST", data=b"x"))[0] for _ in range(16)]
    assert codes == [200, 502] * 8
    (a,) = api.pool.members
    assert (a.failures, a.state.breaker.failures) == (0, 0)
    assert [(await api.ask())[0] for _ in range(4)] == [200] * 4


# What is tried again.


@pytest.mark.parametrize(
    "does", ["refuse", cut, reset, status(502), status(503)], ids=["refuse", "cut", "reset", "502", "503"]
)
async def test_a_node_that_fails_costs_the_viewer_nothing(farm: Build, does: object) -> None:
    """It is asked once: what is sent again is sent to another, and counted."""
    api = await farm({"a": does, "b": None})
    code, body, trail = await api.ask()
    assert api.asked() == ({"b": 1} if does == "refuse" else {"a": 1, "b": 1})
    assert (code, body) == (200, b"b")
    assert trail.startswith("api/a=")
    assert trail.endswith(" api/b=200")
    (record,) = api.edge.records
    assert record.fields()["upstream"] == "b"


async def test_a_node_that_hangs_is_left_when_its_time_is_up(farm: Build) -> None:
    api = await farm({"a": hang, "b": None}, "timeouts: {first_byte: 100ms}")
    assert await api.ask() == (200, b"b", "api/a=origin-timeout api/b=200")


async def drip_head(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 X\r\n")
    for n in range(100):
        await exchange.send(b"x-%d: .\r\n" % n)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("data", [None, b"x" * 100, b"x" * 3000], ids=["none", "held", "streamed"])
async def test_a_head_that_drips_does_not_buy_time(farm: Build, data: bytes | None) -> None:
    """The time is for all of the head, from the end of the request."""
    api = await farm({"a": drip_head}, "timeouts: {first_byte: 100ms}, max_held_body: 1000B")
    async with asyncio.timeout(0.9):
        code, _, trail = await api.ask(method="POST" if data else "GET", data=data)
    assert (code, trail) == (504, "api/a=origin-timeout")


async def test_an_answer_may_come_before_all_of_the_body(farm: Build) -> None:
    async def early(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 X\r\ncontent-length: 4\r\n\r\nha")
        answered.set()
        await exchange.reader.readuntil(b"0\r\n\r\n")
        await exchange.send(b"lf")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 3000
        await answered.wait()
        yield b"x" * 3000

    answered = asyncio.Event()
    api = await farm({"a": early}, "max_held_body: 1000B")
    assert (await api.ask("/unread", method="POST", data=pieces()))[:2] == (200, b"half")


async def test_a_connection_that_was_kept_too_long_is_nobodys_fault(farm: Build) -> None:
    """RFC 9112 §9.3.1: what may be sent twice goes over another connection, to the same node."""

    async def once(exchange: Exchange) -> None:
        await exchange.answer(200, b"a")
        await exchange.reader.readuntil(b"\r\n\r\n")
        reset_now(exchange)

    api = await farm({"a": once, "b": None}, "idempotent_rpc_methods: [get_block]")
    read = json.dumps({"id": 1, "method": "get_block"}).encode()
    for _ in range(3):
        assert await api.ask() == (200, b"a", "api/a=200")
        assert await api.ask(method="POST", data=read) == (200, b"a", "api/a=200")
    assert api.pool.members[0].failures == 0
    assert (await api.ask(method="POST", data=b"pay"))[0] == 502


async def test_what_may_have_been_done_is_not_done_twice(farm: Build) -> None:
    """RFC 9110 §9.2.2."""
    api = await farm({"a": cut, "b": None})
    code, _, trail = await api.ask(method="POST", data=b"pay")
    assert (code, trail, api.asked()["b"]) == (502, "api/a=origin-cut", 0)
    assert "not-idempotent" in api.edge.records[0].fault
    api.nodes["a"].does = status(503)
    assert (await api.ask(method="POST", data=b"pay"))[:2] == (503, b"503")


async def test_what_nobody_has_seen_goes_elsewhere_whatever_it_is(farm: Build) -> None:
    api = await farm({"a": "refuse", "b": None})
    assert (await api.ask(method="POST", data=b"pay"))[:2] == (200, b"b")
    assert api.nodes["b"].bodies == [b"pay"]


async def test_a_listed_rpc_method_is_sent_again_with_its_body(farm: Build) -> None:
    api = await farm({"a": cut, "b": None}, "idempotent_rpc_methods: [get_block]")
    read = json.dumps({"id": 1, "method": "get_block"}).encode()
    assert (await api.ask(method="POST", data=read))[:2] == (200, b"b")
    assert api.nodes["b"].bodies == [read]
    batch = json.dumps([{"method": "get_block"}, {"method": "transfer"}]).encode()
    assert (await api.ask(method="POST", data=batch))[0] == 502


async def test_a_body_that_is_too_large_to_be_held_is_sent_once(farm: Build) -> None:
    api = await farm({"a": status(503), "b": None}, "max_held_body: 10B")
    assert (await api.ask(method="PUT", data=b"x" * 10))[:2] == (200, b"b")
    assert (await api.ask(method="PUT", data=b"x" * 11))[:2] == (503, b"503")
    assert api.nodes["a"].bodies[1] == b"x" * 11
    assert api.pool._room.used_bytes == 0


async def test_one_that_nobody_has_seen_can_be_sent_though_it_is_large(farm: Build) -> None:
    api = await farm({"a": "refuse", "b": None}, "held_bodies: 1B")
    assert (await api.ask(method="POST", data=b"x" * 3000))[:2] == (200, b"b")
    assert b"".join(api.nodes["b"].bodies) == b"x" * 3000


async def test_a_body_that_came_in_chunks_is_sent_again_whole(farm: Build) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    api = await farm({"a": status(503), "b": None})
    assert (await api.ask(method="PUT", data=pieces()))[:2] == (200, b"b")
    assert (api.nodes["a"].bodies, api.nodes["b"].bodies) == ([b"onetwo"], [b"onetwo"])


async def test_there_is_an_end_to_trying(farm: Build) -> None:
    api = await farm({name: status(503) for name in "abcd"}, "retries: {attempts: 2}")
    assert await api.ask() == (503, b"503", "api/a=503 api/b=503")


async def test_when_all_fail_retries_cannot_bury_them(farm: Build) -> None:
    """Of the first ten requests each may be sent once more, then one in five."""
    api = await farm({"a": status(502), "b": status(502)}, "ejection: {on_status: []}, retries: {share: 0.2}")
    for _ in range(30):
        await api.ask()
    assert sum(api.asked().values()) < 30 + 10 + 30 * 0.2 + 3


async def test_backups_are_asked_when_all_primaries_have_failed(farm: Build) -> None:
    api = await farm({"a": "refuse", "b": None, "c": None})
    a, b, c = (member.endpoint for member in api.pool.members)
    b = replace(b, node=replace(b.node, tier=Tier.BACKUP))
    await api.pool.replace([b, c])
    assert await api.ask() == (200, b"c", "api/c=200")
    await api.pool.replace([b, a])
    assert await api.ask() == (200, b"b", "api/a=origin-unreachable api/b=200")


# Ejection and return.


@pytest.mark.parametrize(
    ("does", "seen"),
    [
        ("refuse", 0),
        (cut, 0),
        (reset, 0),
        (status(503), 0),
        (status(500), 5),
        (cut_body, 5),
        (reset_body, 5),
    ],
    ids=["refuse", "cut", "reset", "503", "500", "cut-body", "reset-body"],
)
async def test_a_node_that_fails_five_times_is_left_alone_and_comes_back(
    farm: Build, does: object, seen: int
) -> None:
    """`seen` errors reach viewers: what the origin itself has said, or half said, cannot be taken back."""
    api = await farm({"a": does, "b": None, "c": None})
    errors = 0
    for _ in range(20):
        try:
            errors += (await api.ask())[0] != 200
        except aiohttp.ClientPayloadError:
            errors += 1
    assert errors == seen
    (pool,) = await api.edge.gateway.app.pools()
    a = pool["nodes"][0]
    assert (a["why"], a["failures"], a["requests"]) == ("node-ejected", 5, 5)
    if does != "refuse":
        api.nodes["a"].does = None
        api.later(6)
        assert (await api.ask())[1] == b"a"
        assert api.pool.members[0].state.breaker.until is None


async def test_a_request_that_no_node_can_do_does_not_eject_them_all(farm: Build) -> None:
    api = await farm({name: status(500) for name in "abc"})
    for _ in range(30):
        assert (await api.ask("/poison"))[:2] == (500, b"500")
    for node in api.nodes.values():
        node.does = None
    assert (await api.ask())[0] == 200


async def test_all_down_then_back(farm: Build) -> None:
    api = await farm({"a": cut, "b": cut}, "ejection: {failures: 1}")
    assert (await api.ask())[0] == 502
    asked = api.asked()
    async with api.edge.viewer.get(api.edge.url + "/x") as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"
        assert "none of the origin's servers" in await answer.text()
    assert api.edge.records[-1].fault == "api: no node may be asked (a=node-ejected b=node-ejected)"
    assert api.edge.records[-1].reason == "no-node"
    assert api.asked() == asked
    for node in api.nodes.values():
        node.does = None
    api.later(6)
    assert (await api.ask())[:2] == (200, b"a")


async def drip(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n")
    for _ in range(100):
        await exchange.send(b".")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("does", "timeouts", "seen"),
    [(hang, "first_byte: 70ms", 0), (drip, "total: 200ms", 5)],
    ids=["hang", "drip"],
)
async def test_a_node_that_takes_too_long_is_left_alone_too(
    farm: Build, does: Script, timeouts: str, seen: int
) -> None:
    api = await farm({"a": does, "b": None, "c": None}, f"timeouts: {{{timeouts}}}")
    errors = 0
    for _ in range(20):
        try:
            errors += (await api.ask())[0] != 200
        except aiohttp.ClientPayloadError:
            errors += 1
    (pool,) = await api.edge.gateway.app.pools()
    assert (errors, pool["nodes"][0]["requests"]) == (seen, 5)


async def test_when_all_are_down_they_are_left_alone_all(farm: Build) -> None:
    """No answer at all is nothing that a request could bring about: there is no share that stays."""
    api = await farm({"a": "refuse", "b": cut})
    codes = [(await api.ask())[0] for _ in range(10)]
    assert codes == [502] * 5 + [503] * 5


async def test_a_slow_drip_ends_with_the_total(farm: Build) -> None:
    api = await farm({"a": drip}, "timeouts: {total: 100ms}")
    with pytest.raises(aiohttp.ClientPayloadError):
        await api.ask()
    assert api.pool.members[0].failures == 1
    assert "timed out" in api.edge.records[0].fault


async def test_the_total_holds_for_all_attempts_together(farm: Build) -> None:
    api = await farm({"a": cut, "b": hang}, "timeouts: {total: 200ms}")
    code, _, trail = await api.ask()
    assert (code, trail) == (504, "api/a=origin-cut api/b=origin-timeout")
    assert [member.failures for member in api.pool.members] == [1, 1]


async def test_who_does_not_wait_any_longer_speaks_against_nobody(farm: Build) -> None:
    api = await farm({"a": hang})
    asking = asyncio.ensure_future(api.pool.fetch(Request("GET", "/x")))
    while not api.servers["a"].asked:
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    (a,) = api.pool.members
    assert (a.state.in_flight, a.failures, a.requests) == (0, 0, 1)


# Hedges.


async def test_a_second_node_is_asked_when_the_first_is_slow(farm: Build) -> None:
    api = await farm({"a": None, "b": None}, "hedge: true")
    for _ in range(25):
        await api.ask()
    api.nodes["a"].does = hang
    assert await api.ask() == (200, b"b", "api/a=node-outrun api/b=200")
    state = api.pool.members[0].state
    assert (state.in_flight, api.pool.members[0].failures) == (0, 0)


# The race, as it was published.


async def test_the_race_goes_to_who_answers_a_ping_first(farm: Build) -> None:
    async def slow_ping(exchange: Exchange) -> None:
        await (hang(exchange) if exchange.target == "/ping" else exchange.answer(200, b"slow"))

    async def bad_ping(exchange: Exchange) -> None:
        await exchange.answer(500 if exchange.target == "/ping" else 200, b"bad")

    checks = "algorithm: race, checks: {path: /ping, timeout: 5s}"
    api = await farm({"a": slow_ping, "b": bad_ping, "c": None}, checks)
    for _ in range(5):
        assert (await api.ask())[1] == b"c"
    assert [line for line in api.servers["a"].lines if "/ping" not in line] == []


async def test_a_race_goes_on_when_the_racers_have_left(farm: Build) -> None:
    async def does(exchange: Exchange) -> None:
        if exchange.target == "/ping":
            pinged.append(exchange)
            await go.wait()
        await exchange.answer(200, b"well")

    pinged: list[Exchange] = []
    go = asyncio.Event()
    api = await farm({"a": does, "b": does}, "algorithm: race, checks: {path: /ping, interval: 1h}")
    asking = [asyncio.ensure_future(api.ask()) for _ in range(3)]
    async with asyncio.timeout(5):
        # Each races once, and each node has its check.
        while len(pinged) < 2 * len(asking) + 2:
            await asyncio.sleep(0.005)
    ends = [member.endpoint for member in api.pool.members]
    await api.pool.replace([replace(end, node=replace(end.node, name=f"new-{end.name}")) for end in ends])
    go.set()
    for code, _, trail in await asyncio.gather(*asking):
        assert (code, trail[:8]) == (200, "api/new-")
    await nothing_under_way(api)


@pytest.mark.parametrize(
    "settings", ["algorithm: race", "algorithm: dns, hedge: true"], ids=["race", "hedge"]
)
async def test_one_request_decides_however_many_come_at_once(farm: Build, settings: str) -> None:
    async def does(exchange: Exchange) -> None:
        if exchange.target == "/ping":
            await exchange.answer(200)
        else:
            probes.append(exchange)
            probed.set()
            await go.wait()
            await exchange.answer(503)

    async def late(exchange: Exchange) -> None:
        if exchange.target == "/ping":
            await probed.wait()
        await exchange.answer(200)

    probed = asyncio.Event()
    probes: list[Exchange] = []
    go = asyncio.Event()
    go.set()
    api = await farm(
        {"a": does, "b": late},
        f"{settings}, ejection: {{failures: 1}}, checks: {{path: /ping, interval: 1h}}",
    )
    async with asyncio.timeout(5):
        while api.pool.members[0].state.breaker.until is None:
            await api.ask()
    for event in (go, probed):
        event.clear()
    probes.clear()
    api.later(6)
    for _ in range(30):
        # A hedge comes when all have chosen.
        api.pool._durations = noted(api.pool._durations, 0.3, api.pool.now())
    asking = [asyncio.ensure_future(api.pool.fetch(Request("GET", "/x"))) for _ in range(20)]
    async with asyncio.timeout(5):
        while sum(task.done() for task in asking) < 19:
            await asyncio.sleep(0.005)
    assert len(probes) == 1
    go.set()
    for reply in await asyncio.gather(*asking):
        reply.close()
    await nothing_under_way(api)


async def test_a_race_that_nobody_finishes_is_a_503(farm: Build) -> None:
    api = await farm({"a": status(500), "b": status(500)}, "algorithm: race, checks: {path: /ping}")
    assert (await api.ask())[0] == 503
    assert "a=node-down" in api.edge.records[0].fault


# What viewers are told.


async def test_a_json_object_tells_who_made_it(farm: Build) -> None:
    async def does(exchange: Exchange) -> None:
        await exchange.answer(200, b'{"n": 1.0}\n', content_type="application/json", etag='"x"')

    api = await farm({"a": does}, "annotate: true")
    answer, body = await api.edge.get("/x", range="bytes=0-3")
    assert body == b'{"n": 1.0,"__server__":"a","__version__":"%s"}\n' % __version__.encode()
    assert answer.status == 200
    assert "ETag" not in answer.headers


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"[1]", {"content_type": "application/json"}),
        (b"{}", {"content_type": "text/plain"}),
        (b"{}", {"content_type": "application/json", "content_encoding": "br"}),
        (b'{"a": ' + b"1" * 300_000 + b"}", {"content_type": "application/json"}),
        (b"{", {"content_type": "application/json"}),
    ],
)
async def test_anything_else_passes_untouched(farm: Build, body: bytes, fields: dict[str, str]) -> None:
    async def does(exchange: Exchange) -> None:
        await exchange.answer(200, body, etag='"x"', **fields)

    api = await farm({"a": does}, "annotate: true")
    answer, got = await api.edge.get("/x")
    assert (got, answer.headers["ETag"]) == (body, '"x"')


async def test_an_object_without_length_is_added_to_if_it_is_whole(farm: Build) -> None:
    async def does(exchange: Exchange) -> None:
        head = b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        await exchange.send(head + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n")

    api = await farm({"a": does}, "annotate: true")
    assert json.loads((await api.ask())[1])["__server__"] == "a"


async def test_a_head_does_not_promise_the_nodes_bytes(farm: Build) -> None:
    """RFC 9110 §9.3.2."""

    async def json_node(exchange: Exchange) -> None:
        await exchange.answer(200, b'{"a": 1}', content_type="application/json", etag='"x"')

    api = await farm({"a": json_node}, "annotate: true")
    async with api.edge.viewer.head(api.edge.url + "/x") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        assert not {"Content-Length", "ETag"} & set(answer.headers)


async def test_an_object_that_is_cut_before_it_could_be_added_to_is_an_error(farm: Build) -> None:
    async def does(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{")
        exchange.writer.close()

    api = await farm({"a": does}, "annotate: true")
    assert (await api.ask())[::2] == (502, "api/a=200")
    assert api.pool.members[0].failures == 1
    assert api.pool._room.used_bytes == 0


async def test_upstream_headers(farm: Build) -> None:
    more = "server:  {listen: '127.0.0.1:0', debug_headers: false}"
    api = await farm({"a": None}, "upstream_headers: true", more=more)
    answer, _ = await api.edge.get("/x")
    assert answer.headers["X-Edge-Upstream"] == "a"
    assert answer.headers["Server-Timing"].startswith("upstream;dur=")


async def test_a_node_gets_its_own_headers_path_and_credentials(farm: Build) -> None:
    node = "path: /v1, custom_headers: {X-Key: k}, credentials: {username: me, password: pw}"
    api = await farm({"a": None}, "origin_path: /api, custom_headers: {X-All: y}", node=node)
    await api.ask("/x", x_key="viewer's")
    (got,) = api.servers["a"].asked
    assert got.target == "/v1/api/x"
    assert (got.field("x-key"), got.field("x-all")) == ("k", "y")
    assert got.field("authorization") == "Basic bWU6cHc="


# Reads that are cached, and pools in groups.


async def test_a_flight_over_a_pool_serves_all(farm: Build) -> None:
    async def does(exchange: Exchange) -> None:
        await asyncio.sleep(0)
        await exchange.answer(200, b"a", cache_control="max-age=60")

    api = await farm({"a": does}, more="behaviors: [{path_pattern: /c*, target_origin: api}]")
    await asyncio.gather(*(api.ask("/c") for _ in range(5)))
    assert api.asked() == {"a": 1}


async def test_nodes_change_without_dropping_a_request(farm: Build) -> None:
    go = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 X\r\ncontent-length: 4\r\n\r\nha")
        await go.wait()
        await exchange.send(b"lf")

    api = await farm({"a": slow, "b": None})
    under_way = asyncio.ensure_future(api.ask())
    while not api.servers["a"].asked:
        await asyncio.sleep(0)
    b = api.pool.members[1]
    await api.pool.replace([b.endpoint])
    assert (await api.ask())[1] == b"b"
    assert api.pool.members == (b,)
    go.set()
    assert (await under_way)[1] == b"half"


async def test_methods_that_are_not_let_in_get_405_where_that_is_wanted(farm: Build) -> None:
    """RFC 9110 §15.5.6; the published Lambda had 405 in the body of a 200."""
    more = "behaviors: [{path_pattern: /rpc, target_origin: api, allowed_methods: [GET, HEAD, OPTIONS, PUT,"
    api = await farm(
        {"a": None},
        more=more + " PATCH, POST, DELETE], disallowed_status: 405}, {path_pattern: /read,"
        " target_origin: api, disallowed_status: 405}]",
    )
    answer, _ = await api.edge.get("/read", "DELETE")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert (await api.edge.get("/rpc", "DELETE"))[0].status == 200


async def test_errors_have_cors_fields_as_well(farm: Build) -> None:
    """So that a page can read why it got none; the published Lambda left them to API Gateway."""
    more = (
        "behaviors: [{path_pattern: /rpc, target_origin: api, cache_policy: CachingDisabled,"
        " response_headers_policy: SimpleCORS}]"
    )
    api = await farm({"a": "refuse"}, more=more)
    answer, _ = await api.edge.get("/rpc", origin="https://page.example")
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (502, "*")


async def test_a_pool_stands_in_for_a_bucket(
    farm: Build, scripted: Starts, edge: Callable[[str], Awaitable[Edge]]
) -> None:
    main, a = await scripted(status(404)), await scripted(Node("a"))
    gateway = await edge(f"""
origins:
  main: {{type: http, url: "{main.url}"}}
  api: {{type: pool, algorithm: dns,
    nodes: [{{url: "http://127.0.0.1:1", name: x}}, {{url: "{a.url}", name: a}}]}}
origin_groups: {{both: {{members: [main, api], failover_on: [404]}}, turned: {{members: [api, main],
  failover_on: [503]}}}}
default_behavior: {{target_origin: both}}
behaviors: [{{path_pattern: /t*, target_origin: turned}}]
""")
    answer, body = await gateway.get("/x")
    assert (body, answer.headers["X-Edge-Origin"]) == (b"a", "main=404 api/x=origin-unreachable api/a=200")
    answer, _ = await gateway.get("/x")
    assert "X-Edge-Upstream" not in answer.headers
    assert answer.headers["X-Cache"].startswith("Hit")
    for node in ("x", "a"):
        await gateway.gateway.app.order_node(Order.CORDON, "api", node)
    answer, _ = await gateway.get("/t")
    assert (answer.status, answer.headers["X-Edge-Origin"]) == (404, "api=no-node main=404")
