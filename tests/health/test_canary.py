"""The canary: real nodes on real sockets, a clock turned by hand, pings counted in place of seconds."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest

from edgeproxy.core.balancing.findings import Finding
from edgeproxy.core.balancing.fitness import Fit
from edgeproxy.core.balancing.health import Health, Thresholds, Verdict
from edgeproxy.core.balancing.nodes import Duty, Node, Rules
from edgeproxy.core.checking import Wanted
from edgeproxy.health.board import Board, BoardError, MemoryBoard
from edgeproxy.health.canary import Canary
from edgeproxy.health.hearsay import Hearsay
from edgeproxy.origins.conduct import Conduct
from edgeproxy.origins.member import Endpoint
from edgeproxy.origins.pinging import Check
from edgeproxy.origins.pool import PoolOrigin
from tests.conftest import Exchange, ScriptedOrigin

INTERVAL_S = 5.0
CONDUCT = Conduct(
    rules=Rules(Thresholds(fall=3, rise=2), max_lag=10),
    check=Check("/head", wanted=Wanted(head_pointer="/head"), timeout_s=0.5),
    check_every_s=INTERVAL_S,
)


@dataclass
class Hand:
    """A clock that is turned by hand."""

    time: float = 1000.0
    date: float = 1.8e9

    def now(self) -> float:
        return self.date + self.time

    def elapsed(self) -> float:
        return self.time


@dataclass
class Server:
    """A node, as it is now."""

    head: object = 100
    status: int = 200
    hangs: bool = False
    origin: ScriptedOrigin | None = None
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, exchange: Exchange) -> None:
        if self.hangs:
            await self.let_go.wait()
        await exchange.answer(self.status, b'{"head":%s}' % str(self.head).encode())

    @property
    def pings(self) -> int:
        assert self.origin is not None
        return len(self.origin.asked)


@dataclass
class World:
    """Gateways with the same nodes; what each says."""

    servers: dict[str, Server]
    clock: Hand
    stack: AsyncExitStack
    said: list[str] = field(default_factory=list)

    async def gateway(
        self,
        board: Board | None = None,
        conduct: Conduct = CONDUCT,
        random: Callable[[], float] = lambda: 0.5,
    ) -> "Gateway":
        pool = PoolOrigin("api", conduct, self.clock.elapsed, lambda: 0.5)
        self.stack.push_async_callback(pool.close)
        await pool.replace(self.endpoints())
        number = f"gateway-{len(self.said)}"
        canary = Canary([pool], board or MemoryBoard(), self.clock, random, number, self.said.append)
        self.stack.push_async_callback(canary.close)
        return Gateway(pool, canary, self)

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(Node(name), server.origin.url)
            for name, server in self.servers.items()
            if server.origin is not None
        ]


@dataclass
class Gateway:
    pool: PoolOrigin
    canary: Canary
    world: World

    async def checks(self, times: int = 1) -> None:
        """So many rounds of checks, an interval apart."""
        for _ in range(times):
            self.canary.tick()
            await self.canary.settled()
            self.world.clock.time += INTERVAL_S

    def fit(self) -> set[str]:
        found = self.pool.candidates()
        return {state.node.name for state in found.states} if isinstance(found, Fit) else set()


Make = Callable[..., Awaitable[World]]


@pytest.fixture
async def world(scripted: Callable[..., Awaitable[ScriptedOrigin]]) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def make(names: str = "abc") -> World:
            servers = {name: Server() for name in names}
            for server in servers.values():
                server.origin = await scripted(server.serve)
            return World(servers, Hand(), stack)

        yield make


async def pings_until(gateway: Gateway, is_done: Callable[[], bool]) -> int:
    """Rounds of checks until it is so."""
    for number in range(1, 20):
        await gateway.checks()
        if is_done():
            return number
    raise AssertionError("never")


async def test_every_node_is_pinged_once_an_interval(world: Make) -> None:
    made = await world()
    gateway = await made.gateway()
    await gateway.checks(4)
    assert [server.pings for server in made.servers.values()] == [4, 4, 4]
    assert gateway.canary.counts.pings == 12
    assert [member.state.head for member in gateway.pool.members] == [100, 100, 100]
    assert made.said == []


def broken(server: Server, how: str) -> None:
    match how:
        case "status":
            server.status = 500
        case "value":
            server.head = '"no number"'
        case "lag":
            server.head = 50
        case _:
            server.hangs = True


@pytest.mark.parametrize(
    ("how", "until_out", "until_back", "says"),
    [
        ("status", 3, 2, "it answered 500"),
        ("value", 3, 2, "its answer has no number at /head"),
        ("hang", 3, 2, "no answer in 0.05 s"),
        # Who lags is told by one number: that does not flap by chance.
        ("lag", 1, 1, None),
    ],
)
async def test_pings_until_a_node_is_out_and_back(
    world: Make, how: str, until_out: int, until_back: int, says: str | None
) -> None:
    made = await world()
    conduct = Conduct(
        CONDUCT.algorithm, CONDUCT.rules, Check("/head", wanted=CONDUCT.check.wanted, timeout_s=0.05)
    )
    gateway = await made.gateway(conduct=conduct)
    await gateway.checks(2)
    ill = made.servers["b"]
    broken(ill, how)
    assert await pings_until(gateway, lambda: gateway.fit() == {"a", "c"}) == until_out
    ill.head, ill.status, ill.hangs = 100, 200, False
    assert await pings_until(gateway, lambda: gateway.fit() == {"a", "b", "c"}) == until_back
    assert made.said == ([f"api: node b is down: {says}", "api: node b is up"] if says else [])


async def test_a_node_that_flaps_stays_in(world: Make) -> None:
    made = await world()
    gateway = await made.gateway()
    await gateway.checks(1)
    for _ in range(6):
        made.servers["b"].status = 500
        await gateway.checks(2)
        made.servers["b"].status = 200
        await gateway.checks(1)
        assert gateway.fit() == {"a", "b", "c"}
    assert made.said == []


async def test_a_node_that_is_down_from_the_start_is_out_at_once(world: Make) -> None:
    made = await world()
    made.servers["b"].status = 503
    gateway = await made.gateway()
    await gateway.checks(1)
    assert gateway.fit() == {"a", "c"}
    assert made.said == ["api: node b is down: it answered 503"]


async def test_one_wrongly_high_head_takes_nobody_out(world: Make) -> None:
    made = await world()
    made.servers["b"].head = '"0x7fffffff"'
    gateway = await made.gateway()
    await gateway.checks(2)
    assert gateway.fit() == {"a", "b", "c"}
    made.servers["c"].head = 50
    await gateway.checks(1)
    # No two are near each other: the second highest counts.
    assert gateway.fit() == {"a", "b"}


async def test_all_down_then_back(world: Make) -> None:
    made = await world()
    gateway = await made.gateway()
    await gateway.checks(1)
    for server in made.servers.values():
        server.status = 500
    assert await pings_until(gateway, lambda: not gateway.fit()) == 3
    for server in made.servers.values():
        server.status = 200
    assert await pings_until(gateway, lambda: len(gateway.fit()) == 3) == 2


async def test_cordoned_nodes_are_not_pinged_and_drained_ones_are(world: Make) -> None:
    made = await world()
    gateway = await made.gateway()
    gateway.pool.put_on("a", Duty.CORDONED)
    gateway.pool.put_on("b", Duty.DRAINED)
    await gateway.checks(3)
    assert [server.pings for server in made.servers.values()] == [0, 3, 3]
    gateway.pool.put_on("a", Duty.READY)
    await gateway.checks(1)
    assert made.servers["a"].pings == 1


async def test_never_two_pings_of_a_node_at_a_time(world: Make) -> None:
    made = await world()
    gateway = await made.gateway(conduct=Conduct(check=Check(timeout_s=30), check_every_s=INTERVAL_S))
    made.servers["a"].hangs = True
    for number in range(1, 5):
        gateway.canary.tick()
        # The others are not held up.
        await until(lambda number=number: gateway.canary.counts.pings == 2 * number)
        made.clock.time += INTERVAL_S
    by_operator = asyncio.ensure_future(gateway.pool.ping("a"))
    await asyncio.sleep(0)
    assert made.servers["a"].pings == 1
    made.servers["a"].let_go.set()
    assert (await by_operator).took_s is not None
    await gateway.canary.settled()
    assert made.servers["a"].pings == 1


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.001)


async def test_jitter_does_not_add_up_and_lateness_does_not_either(world: Make) -> None:
    made = await world("a")
    drawn = itertools.cycle([0.0, 1.0, 0.25, 0.75])
    gateway = await made.gateway(random=lambda: next(drawn))
    began, starts = made.clock.time, []
    for number in range(41):
        rest_s = gateway.canary.tick()
        await gateway.canary.settled()
        starts.append(made.clock.time - began)
        # The loop is always a little late.
        made.clock.time = starts[-1] + began + rest_s + 0.2 * (number % 2)
    steps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert all(0.85 * INTERVAL_S <= step <= 1.15 * INTERVAL_S for step in steps)
    assert len({round(step, 3) for step in steps}) > 2
    assert starts[40] == pytest.approx(40 * INTERVAL_S, abs=0.3)


async def test_after_a_long_sleep_there_is_one_check_and_not_all_that_were_missed(world: Make) -> None:
    made = await world("a")
    gateway = await made.gateway()
    await gateway.checks(1)
    made.clock.time += 1000 * INTERVAL_S
    for _ in range(5):
        gateway.canary.tick()
        await gateway.canary.settled()
    assert made.servers["a"].pings == 2


async def test_nodes_come_and_go(world: Make, scripted: Any) -> None:
    made = await world("ab")
    gateway = await made.gateway()
    await gateway.checks(1)
    new = Server()
    new.origin = await scripted(new.serve)
    left = made.servers.pop("a")
    made.servers["c"] = new
    await gateway.pool.replace(made.endpoints())
    await gateway.checks(2)
    assert (left.pings, made.servers["b"].pings, new.pings) == (1, 3, 2)


async def test_a_node_that_leaves_while_it_is_pinged(world: Make) -> None:
    made = await world("ab")
    gateway = await made.gateway(conduct=Conduct(check=Check(timeout_s=0.05)))
    made.servers["a"].hangs = True
    gateway.canary.tick()
    await until(lambda: made.servers["a"].pings == 1)
    del made.servers["a"]
    await gateway.pool.replace(made.endpoints())
    await gateway.canary.settled()
    assert gateway.fit() == {"b"}


async def test_the_loop_runs_and_ends(world: Make) -> None:
    made = await world("a")
    gateway = await made.gateway()
    gateway.canary.start()
    await until(lambda: made.servers["a"].pings == 1)
    made.servers["a"].hangs = True
    made.clock.time += 2 * INTERVAL_S
    await gateway.canary.close()
    assert gateway.canary._checks == set()


# With others.


async def test_of_many_with_the_same_board_one_pings(world: Make) -> None:
    made = await world()
    board = MemoryBoard()
    lots = Random(7)
    gateways = [await made.gateway(board, random=lots.random) for _ in range(5)]
    for _ in range(int(10 * INTERVAL_S / 0.05)):
        for gateway in gateways:
            gateway.canary.tick()
            await gateway.canary.settled()
        made.clock.time += 0.05
    pings = [server.pings for server in made.servers.values()]
    # The first of five comes early: its jitter is the lowest.
    assert all(10 <= number <= 12 for number in pings)
    assert all(gateway.fit() == {"a", "b", "c"} for gateway in gateways)
    assert sum(gateway.canary.counts.heard for gateway in gateways) >= 110
    assert min(gateway.canary.counts.pings for gateway in gateways) > 0


async def test_a_failure_everybody_finds_out_for_themselves(world: Make) -> None:
    """One that is cut off from the nodes takes them away from nobody else."""
    made = await world()
    board = MemoryBoard()
    gateway, cut_off = await made.gateway(board), await made.gateway(board)
    nowhere = [Endpoint(endpoint.node, "http://127.0.0.1:9") for endpoint in made.endpoints()]
    await cut_off.pool.replace(nowhere)
    for _ in range(5):
        cut_off.canary.tick()
        await cut_off.canary.settled()
        made.clock.time += 0.1
        gateway.canary.tick()
        await gateway.canary.settled()
        made.clock.time += INTERVAL_S - 0.1
    assert gateway.fit() == {"a", "b", "c"}


async def test_who_starts_believes_what_is_fresh_and_nothing_else(world: Make) -> None:
    made = await world()
    board = MemoryBoard()
    now = made.clock.now()
    up = Health(Verdict.UP, 0, now - 100)
    for name, age_s in (("a", 2.0), ("b", 40.0), ("c", -3600.0)):
        await board.put(Finding(f"api/{name}", now - age_s, 0.01, 100, up), now + 7200)
    gateway = await made.gateway(board)
    await gateway.checks(1)
    assert [server.pings for server in made.servers.values()] == [0, 1, 1]
    assert gateway.pool.members[0].state.ping is not None
    assert gateway.pool.members[0].state.ping.at == pytest.approx(1000.0 - 2.0 + 0.01)


async def test_verdicts_go_on_where_others_left_them(world: Make) -> None:
    """A handler that lives for one check knows the two failures before it."""
    made = await world("a")
    board = MemoryBoard()
    made.servers["a"].status = 200
    found = [await once(made, board) for _ in range(2)]
    made.servers["a"].status = 500
    found += [await once(made, board) for _ in range(3)]
    assert [one.health.verdict for one in found] == [Verdict.UP] * 4 + [Verdict.DOWN]
    assert (found[-1].head, found[-1].why) == (100, "it answered 500")
    made.clock.time += 10 * INTERVAL_S
    made.servers["a"].status = 200
    # What was so long ago counts no more: the first check decides.
    assert (await once(made, board)).health.verdict is Verdict.UP


async def once(made: World, board: Board) -> Finding:
    handler = await made.gateway(board)
    checked = await handler.canary.check_once()
    assert (checked.late, checked.is_shared) == ((), True)
    made.clock.time += INTERVAL_S
    return checked.found["api/a"]


class Down:
    """A board that is down, until it is up."""

    def __init__(self) -> None:
        self.asked = 0
        self.hangs = False
        self.real: MemoryBoard | None = None

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def read(self, nodes: Any) -> Any:
        self.asked += 1
        if self.real is not None:
            return await self.real.read(nodes)
        if self.hangs:
            await asyncio.Event().wait()
        raise BoardError("Redis: ConnectionError: refused")

    async def put(self, finding: Finding, now: float) -> bool:
        self.asked += 1
        if self.real is not None:
            return await self.real.put(finding, now)
        raise BoardError("Redis: ConnectionError: refused")


async def test_a_node_that_hangs_keeps_no_other_from_the_board(world: Make) -> None:
    made = await world("abc")
    made.servers["a"].hangs = True
    board = MemoryBoard()
    patient = replace(CONDUCT, check=replace(CONDUCT.check, timeout_s=60.0))
    handler = await made.gateway(board, patient)
    checked = await handler.canary.check_once(within_s=0.3)
    assert checked.late == ("api/a",)
    assert set(checked.found) == {"api/b", "api/c"}
    # That it did not answer in a time that was too short for it says nothing of it.
    assert set(await board.read(["api/a", "api/b", "api/c"])) == {"api/b", "api/c"}
    made.servers["a"].let_go.set()


async def test_a_board_that_did_not_take_one_finding_is_told_the_others(world: Make) -> None:
    made = await world("abc")
    board = Down()
    handler = await made.gateway(board)
    checked = await handler.canary.check_once()
    assert not checked.is_shared
    assert len(checked.found) == 3
    assert board.asked == 4


# Those who check nothing themselves.


async def test_what_a_board_has_is_told_to_nodes_and_is_not_asked_for_again_at_once(world: Make) -> None:
    made = await world("abc")
    board = Down()
    board.real = MemoryBoard()
    made.servers["a"].status = 500
    await (await made.gateway(board)).canary.check_once()
    asked = board.asked
    gateway = await made.gateway(board)
    hearsay = Hearsay([gateway.pool], board, made.clock, 5.0, made.said.append)
    for _ in range(4):
        await hearsay.refresh()
        made.clock.time += 2
    assert gateway.fit() == {"b", "c"}
    assert board.asked == asked + 2
    assert [server.pings for server in made.servers.values()] == [1, 1, 1]


async def test_findings_that_are_old_take_no_node_away(world: Make) -> None:
    """The canary has died, or the board has: after a while every node is trusted again."""
    made = await world("ab")
    board = Down()
    board.real = MemoryBoard()
    made.servers["a"].status = 500
    await (await made.gateway(board)).canary.check_once()
    gateway = await made.gateway(board)
    hearsay = Hearsay([gateway.pool], board, made.clock, 5.0, made.said.append)
    await hearsay.refresh()
    assert gateway.fit() == {"b"}
    board.real = None
    made.clock.time += 6
    await hearsay.refresh()
    assert gateway.fit() == {"b"}
    said = made.said[-1]
    assert said == "health: Redis: ConnectionError: refused; nodes stay as they were"
    made.clock.time += 3 * INTERVAL_S
    await hearsay.refresh()
    assert gateway.fit() == {"a", "b"}


async def test_a_board_that_is_down_stops_no_pings(world: Make) -> None:
    made = await world()
    board = Down()
    gateway = await made.gateway(board)
    await gateway.checks(2)
    made.servers["b"].status = 500
    assert await pings_until(gateway, lambda: gateway.fit() == {"a", "c"}) == 3
    assert [server.pings for server in made.servers.values()] == [5, 5, 5]
    # It is left alone for 10 s after each fault, and told of once in that time.
    assert board.asked == 3
    told = [line for line in made.said if line.startswith("health: ")]
    without = "nodes are checked without others' findings"
    assert told[0] == f"health: Redis: ConnectionError: refused; {without} (1 faults so far)"
    assert len(told) == 3
    board.real = MemoryBoard()
    await gateway.checks(3)
    assert sorted(board.real._findings) == ["api/a", "api/b", "api/c"]


async def test_a_board_that_breaks_in_an_unforeseen_way_does_not_end_the_checks(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await world("a")
    board = MemoryBoard()
    gateway = await made.gateway(board)
    with monkeypatch.context() as patched:
        patched.setattr(board, "read", None)
        with pytest.raises(TypeError):
            await gateway.checks()
    made.clock.time += INTERVAL_S
    await gateway.checks(2)
    assert made.servers["a"].pings == 2


async def test_a_board_that_hangs_holds_nobody_up_for_long(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeproxy.health.canary._PATIENCE_S", 0.02)
    made = await world("a")
    board = Down()
    board.hangs = True
    gateway = await made.gateway(board)
    await gateway.checks(2)
    assert made.servers["a"].pings == 2
    assert "no answer in 0.02 s" in made.said[0]
