"""The caps and the breaker of one source, by a clock that is turned by hand."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from edgeproxy.backfill.job import Held
from edgeproxy.backfill.pacing import Asking, Pace
from edgeproxy.core.errors import OriginError
from edgeproxy.core.reason import Reason
from edgeproxy.core.sourcing import Supplier

SUPPLIER = Supplier("images", "site", failures=2, rest_s=30)
UNREACHABLE = OriginError(Reason.ORIGIN_UNREACHABLE, "site: cannot connect")


def of(name: str) -> tuple[str, bytes]:
    return "media", name.encode()


@dataclass
class Hand:
    """A clock that is turned by hand, and by who sleeps."""

    time: float = 1000.0
    slept: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def elapsed(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def pace(self, at_once: int | None = None, random: float = 0.0, **more: float) -> Pace:
        supplier = replace(SUPPLIER, **more)
        return Pace(
            supplier,
            self,
            at_once=at_once,
            sleep=self.sleep,
            random=lambda: random,
            on_change=self.said.append,
        )


@pytest.fixture
def hand() -> Hand:
    return Hand()


def begun(pace: Pace, name: str) -> Asking:
    assert pace.held(of(name)) is None
    return pace.begin(of(name))


def waits(pace: Pace, name: str) -> float:
    held = pace.held(of(name))
    assert held is not None
    return round(held.in_s, 6)


def test_requests_come_no_faster_than_they_may_and_in_turn(hand: Hand) -> None:
    pace = hand.pace(rate=2)
    begun(pace, "a").end()
    assert [waits(pace, name) for name in "bcd"] == [0.5, 1.0, 1.5]
    assert waits(pace, "b") == 0.5, "it has its turn, and asks for no other"
    hand.time += 0.5
    assert waits(pace, "e") == 1.5, "who comes later is behind those who wait"
    begun(pace, "b").end()
    assert waits(pace, "c") == 0.5
    hand.time += 1.0
    for name in "cd":
        begun(pace, name).end()
    assert pace.fields()["asked"] == 4


def test_a_turn_that_nobody_takes_is_forgotten(hand: Hand) -> None:
    pace = hand.pace(rate=1)
    begun(pace, "a").end()
    waits(pace, "b")
    hand.time += 62
    begun(pace, "c").end()
    assert waits(pace, "b") == 1.0


async def test_bytes_come_no_faster_than_they_may(hand: Hand) -> None:
    pace = hand.pace(bandwidth=1000)
    read = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(4):
            read.append(hand.time)
            yield b"x" * 500

    asking = begun(pace, "a")
    chunks = [chunk async for chunk in asking.through(body())]
    assert b"".join(chunks) == b"x" * 2000
    # A tenth of a second's was saved up.
    assert [round(moment - 1000, 6) for moment in read] == [0, 0.4, 0.9, 1.4]
    assert pace.fields()["bytes"] == 2000


def test_a_source_of_few_bytes_does_not_take_all_places(hand: Hand) -> None:
    pace = hand.pace(at_once=2, bandwidth=1000)
    first, _ = begun(pace, "a"), begun(pace, "b")
    assert 0 < waits(pace, "c") < waits(pace, "d")
    hand.time += 8
    first.end()
    first.end()
    begun(pace, "c")
    assert pace.fields()["reading"] == 2


def test_a_source_that_is_down_is_left_alone_and_then_tried_by_one(hand: Hand) -> None:
    pace = hand.pace()
    for name in "ab":
        asking = begun(pace, name)
        asking.failed(UNREACHABLE)
        asking.end()
    assert pace.held(of("a")) == Held(Reason.SOURCE_DOWN, 30)
    hand.time += 30
    probe = begun(pace, "a")
    assert waits(pace, "b") == 30, "one is enough to find out"
    probe.failed(UNREACHABLE)
    probe.end()
    assert waits(pace, "b") == 30
    hand.time += 30
    probe = begun(pace, "b")
    probe.answered(404, None)
    begun(pace, "a")
    assert hand.said == [
        "backfill: source images is left alone for 30 s at a time after 2 faults in a row, the last:"
        " site: cannot connect",
        "backfill: source images is well again",
    ]
    assert (pace.fields()["opened"], pace.fields()["failed"], pace.fields()["is_open"]) == (1, 3, 0)


def test_those_who_waited_do_not_come_back_all_at_once(hand: Hand) -> None:
    pace = hand.pace(random=0.5, failures=1)
    begun(pace, "a").failed(UNREACHABLE)
    assert waits(pace, "b") == 45


def test_a_probe_that_is_given_up_is_followed_by_another(hand: Hand) -> None:
    pace = hand.pace(failures=1)
    begun(pace, "a").failed(UNREACHABLE)
    hand.time += 30
    begun(pace, "a").end()
    begun(pace, "b")
    assert waits(pace, "c") == 30


@pytest.mark.parametrize(("status", "is_open"), [(500, 1), (503, 1), (404, 0), (403, 0), (429, 0), (200, 0)])
def test_only_a_server_error_is_a_fault(hand: Hand, status: int, is_open: int) -> None:
    pace = hand.pace()
    for name in "ab":
        begun(pace, name).answered(status, None)
    assert pace.fields()["is_open"] == is_open


def test_a_source_says_itself_when_it_wants_to_be_asked(hand: Hand) -> None:
    pace = hand.pace()
    begun(pace, "a").answered(429, 120.0)
    assert pace.held(of("b")) == Held(Reason.SOURCE_DOWN, 120)
    hand.time += 120
    begun(pace, "b")
    assert hand.said == []


async def test_a_body_that_breaks_off_is_a_fault(hand: Hand) -> None:
    pace = hand.pace(failures=1)

    async def body() -> AsyncIterator[bytes]:
        yield b"half"
        raise OriginError(Reason.ORIGIN_CUT, "site: the body ended before it was whole")

    asking = begun(pace, "a")
    asking.answered(200, None)
    with pytest.raises(OriginError):
        async for _ in asking.through(body()):
            pass
    assert pace.fields()["is_open"] == 1
