"""Flights: one fetch for all who want the same, whoever leaves, and a word for each of them at the end."""

import asyncio

import pytest

from edgeproxy.core.decision import Fetch
from edgeproxy.core.errors import EdgeError, OriginError
from edgeproxy.core.invalidation import invalidation
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import Stored
from edgeproxy.origins.base import Reply, no_body
from edgeproxy.store.flight import Failed, Flight, Flights, Landing, Shared, Unshared

KEY = CacheKey("GET", "/a")
FETCH = Fetch("uri-miss")
FAILED = Failed(OriginError(Reason.ORIGIN_CUT, "cut"))


def shared(*fields: tuple[str, str]) -> Shared:
    head = Head(200, Headers(fields))
    return Shared(Stored(head, 60, 0, 0), head, ())


class Handed:
    """A reply for one alone, and how often it was closed."""

    def __init__(self) -> None:
        self.closed = 0
        self.landing = Unshared(Reply(Head(200), no_body(), self._close), Reason.PRIVATE)

    def _close(self) -> None:
        self.closed += 1


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


# ---------------------------------------------------------------- one flight


async def test_all_learn_how_it_turned_out_also_those_who_join_later() -> None:
    flight = Flight(FETCH)
    waiting = asyncio.gather(flight.leaders_landing(), flight.landing())
    await settled()
    flight.land(FAILED)
    assert await waiting == [FAILED, FAILED]
    assert await flight.landing() is FAILED


async def test_the_first_landing_counts() -> None:
    flight = Flight(FETCH)
    flight.land(FAILED)
    flight.land(shared())
    assert await flight.landing() is FAILED


async def test_one_who_leaves_takes_the_landing_from_nobody() -> None:
    flight = Flight(FETCH)
    leader = asyncio.get_running_loop().create_task(flight.leaders_landing())
    follower = asyncio.get_running_loop().create_task(flight.landing())
    other = asyncio.get_running_loop().create_task(flight.landing())
    await settled()
    leader.cancel()
    follower.cancel()
    await settled()
    flight.land(FAILED)
    assert await other is FAILED
    assert not flight.spool.has_readers


async def test_the_leader_has_its_place_from_the_start() -> None:
    flight = Flight(FETCH)
    assert flight.spool.has_readers
    assert not Flight(FETCH, has_leader=False).spool.has_readers


@pytest.mark.parametrize("leaves", ["never", "before", "after", "there was none"])
async def test_a_reply_for_one_is_closed_when_that_one_is_gone(leaves: str) -> None:
    flight = Flight(FETCH, has_leader=leaves != "there was none")
    handed = Handed()
    leader = asyncio.get_running_loop().create_task(flight.leaders_landing())
    await settled()
    if leaves == "before":
        leader.cancel()
        await settled()
    flight.land(handed.landing)
    if leaves == "after":
        leader.cancel()
    await asyncio.wait([leader])
    assert handed.closed == (leaves != "never")


# ---------------------------------------------------------------- flights by key


async def test_a_key_has_one_flight_until_it_ends() -> None:
    flights = Flights()
    flight = Flight(FETCH)
    gate = asyncio.Event()

    async def fetching() -> None:
        flight.land(shared())
        await gate.wait()
        flight.spool.end()

    assert flights.find(KEY) is None
    flights.start(KEY, flight, fetching())
    assert flights.find(KEY) is flight
    assert len(flights) == 1
    gate.set()
    await flight.ended()
    assert flights.find(KEY) is None
    assert len(flights) == 0


async def test_the_end_of_a_flight_leaves_a_newer_one_alone() -> None:
    flights = Flights()
    older, newer = Flight(FETCH), Flight(FETCH)
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    flights.start(KEY, older, wait())
    flights.withdraw(KEY, older)
    flights.start(KEY, newer, forever())
    flights.withdraw(KEY, older)
    gate.set()
    await older.ended()
    assert flights.find(KEY) is newer
    assert await flights.finish(0) == 1


async def test_a_fault_of_ours_reaches_all_who_wait() -> None:
    flights = Flights()
    flight = Flight(FETCH)

    async def fetching() -> None:
        raise RuntimeError("a secret of ours")

    flights.start(KEY, flight, fetching())
    landing = await flight.landing()
    assert isinstance(landing, Failed)
    assert (landing.error.status, landing.error.reason) == (500, Reason.INTERNAL)
    assert "secret" not in str(landing.error)
    with pytest.raises(EdgeError):
        await anext(flight.leaders_reader)


async def test_a_fault_after_landing_reaches_those_who_read() -> None:
    flights = Flights()
    flight = Flight(FETCH)

    async def fetching() -> None:
        flight.land(shared())
        flight.spool.feed(b"x")
        raise RuntimeError

    flights.start(KEY, flight, fetching())
    assert isinstance(await flight.landing(), Shared)
    assert await anext(flight.leaders_reader) == b"x"
    with pytest.raises(EdgeError):
        await anext(flight.leaders_reader)


async def test_finish_waits_for_what_ends_and_cuts_off_what_does_not() -> None:
    flights = Flights()
    assert await flights.finish(60) == 0
    ends, hangs = Flight(FETCH), Flight(FETCH)
    flights.start(KEY, ends, asyncio.sleep(0))
    assert await flights.finish(60) == 0
    flights.start(KEY, hangs, forever())
    assert await flights.finish(0) == 1
    landing = await hangs.landing()
    assert isinstance(landing, Failed)
    assert (landing.error.status, landing.error.reason) == (503, Reason.DRAINING)
    assert len(flights) == 0


# ---------------------------------------------------------------- invalidation of what is on its way


@pytest.mark.parametrize(
    ("landing", "purge", "is_covered"),
    [
        (None, "/a", True),
        (None, "/b", False),
        (None, "/*", True),
        (None, "#red", True),
        (shared(("Cache-Tag", "red")), "#red", True),
        (shared(("Cache-Tag", "blue")), "#red", False),
        (shared(), "/a", True),
        (FAILED, "#red", True),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else type(value).__name__,
)
async def test_before_its_head_is_here_a_flight_may_have_any_tag(
    landing: Landing | None, purge: str, is_covered: bool
) -> None:
    flights = Flights()
    flight = Flight(FETCH)
    flights.start(KEY, flight, forever())
    if landing is not None:
        flight.land(landing)
    flights.invalidate(invalidation(purge))
    assert flight.is_invalid is is_covered
    assert (flights.find(KEY) is None) is is_covered
    assert await flights.finish(0) == 1
