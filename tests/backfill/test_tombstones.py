"""Tombstones hold as long as they should, for all who share the file, and are bounded."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgeproxy.backfill.queue import QueueError
from edgeproxy.backfill.tombstones import Tombstones

A, B = ("media", b"a"), ("media", b"\xff")
Opened = Callable[..., Awaitable[Tombstones]]


@dataclass
class Hand:
    """A clock that is turned by hand."""

    date: float = 1e9
    time: float = 0.0

    def now(self) -> float:
        return self.date

    def elapsed(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture(params=["memory", "file"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path, clock: Hand) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:

        async def make(**options: int) -> Tombstones:
            path = tmp_path / "state" / "t.sqlite" if request.param == "file" else None
            tombstones = Tombstones(path, clock, **options)
            await tombstones.open()
            stack.push_async_callback(tombstones.close)
            return tombstones

        yield make


async def test_what_is_buried_is_so_for_a_while(opened: Opened, clock: Hand) -> None:
    tombstones = await opened()
    await tombstones.bury([A, B], 60)
    for identity in (A, B):
        assert (tombstones.is_known(identity), await tombstones.holds(identity)) == (True, True)
    assert not tombstones.is_known(("other", b"a"))
    clock.date += 60
    assert (tombstones.is_known(A), await tombstones.holds(A)) == (False, False)


async def test_it_can_be_lifted(opened: Opened) -> None:
    tombstones = await opened()
    await tombstones.bury([A, B], 60)
    await tombstones.bury([A], 0)
    assert [tombstones.is_known(A), await tombstones.holds(A), await tombstones.holds(B)] == [
        False,
        False,
        True,
    ]


async def test_they_are_bounded_and_those_that_are_over_first_go(opened: Opened) -> None:
    tombstones = await opened(most=2)
    for key, for_s in ((b"long", 90), (b"short", 10), (b"middle", 50)):
        await tombstones.bury([("media", key)], for_s)
    there = [await tombstones.holds(("media", key)) for key in (b"long", b"short", b"middle")]
    assert there == [True, False, True]


@pytest.mark.parametrize("opened", ["file"], indirect=True)
async def test_others_know_and_so_does_the_next_start(opened: Opened, clock: Hand) -> None:
    one, other = await opened(), await opened()
    await one.bury([A], 60)
    assert (other.is_known(A), await other.holds(A), other.is_known(A)) == (False, True, True)
    assert (await opened()).is_known(A)
    clock.date += 61
    assert not (await opened()).is_known(A)


async def test_a_file_that_cannot_be_used_is_told(tmp_path: Path, clock: Hand) -> None:
    (tmp_path / "t.sqlite").write_bytes(b"no database" * 100)
    tombstones = Tombstones(tmp_path / "t.sqlite", clock)
    with pytest.raises(QueueError, match="file is not a database"):
        await tombstones.open()
    await tombstones.close()
