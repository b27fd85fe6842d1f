"""Calls over a pair of sockets, and who answers when a worker dies."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edgeproxy.admin.operated import NotDoneError
from edgeproxy.backfill.job import State
from edgeproxy.workers import supervisor
from edgeproxy.workers.channel import Channel, ChannelClosedError
from edgeproxy.workers.merging import OF_THE_DISK, merged
from edgeproxy.workers.supervisor import Slot


@asynccontextmanager
async def linked(handler: Any) -> AsyncIterator[tuple[Channel, Channel]]:
    """Two channels that answer one another by `handler`."""
    ends = [Channel(end, handler) for end in socket.socketpair()]
    running = []
    for end in ends:
        await end.open()
        running.append(asyncio.ensure_future(end.run()))
    yield ends[0], ends[1]
    for end in ends:
        end.close()
    await asyncio.gather(*running)


async def test_either_side_asks_many_at_a_time() -> None:
    gate = asyncio.Event()

    async def handler(what: str, value: Any) -> Any:
        if what == "wait":
            await gate.wait()
        return what, value

    async with linked(handler) as (one, other):
        waiting = asyncio.ensure_future(one.ask("wait", 1))
        large = bytes(5_000_000)
        assert await asyncio.gather(one.ask("a", large), other.ask("b", 2)) == [("a", large), ("b", 2)]
        gate.set()
        assert await waiting == ("wait", 1)


async def test_what_the_other_side_raises_is_raised_here() -> None:
    async def handler(what: str, value: Any) -> Any:
        raise ValueError(f"{what}: {value}")

    async with linked(handler) as (one, _):
        with pytest.raises(ValueError, match=r"^a: 1$"):
            await one.ask("a", 1)


async def test_who_waits_hears_that_the_other_side_has_gone() -> None:
    async def handler(what: str, value: Any) -> Any:
        await asyncio.Event().wait()

    async with linked(handler) as (one, other):
        waiting = asyncio.ensure_future(one.ask("a"))
        await asyncio.sleep(0)
        other.close()
        with pytest.raises(ChannelClosedError):
            await waiting
        with pytest.raises(ChannelClosedError):
            await one.ask("a")


async def test_the_successor_of_one_that_died_is_asked_as_well() -> None:
    async def dies(what: str, value: Any) -> Any:
        raise ChannelClosedError

    async def answers(what: str, value: Any) -> Any:
        return value

    slot = Slot(0)
    async with linked(answers) as (_, successor):
        async with linked(dies) as (dead, far):
            slot.taken(dead)
            asked = asyncio.ensure_future(slot.ask("invalidate", ["/x"]))
            await asyncio.sleep(0)
            far.close()
            while not dead.is_closed:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not asked.done()
        slot.taken(successor)
        assert await asked == ["/x"]


async def test_one_that_does_not_answer_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_PATIENCE_S", 0.01)

    async def hangs(what: str, value: Any) -> Any:
        await asyncio.Event().wait()

    slot = Slot(3)
    with pytest.raises(NotDoneError, match=r"^worker 3 does not answer$"):
        await slot.ask("invalidate", ["/x"])
    async with linked(hangs) as (one, _):
        slot.taken(one)
        with pytest.raises(NotDoneError, match=r"^worker 3 does not answer$"):
            await slot.ask("invalidate", ["/x"])
        with contextlib.suppress(ChannelClosedError):
            one.close()


def test_the_state_of_all() -> None:
    one = {"uptime_s": 5.0, "requests": {"by_status": {"200": 2}}, "cache": {"max_bytes": 10}}
    other = {"uptime_s": 9.0, "requests": {"by_status": {"200": 1, "404": 1}}, "cache": {"max_bytes": 10}}
    disk = {"entries": 4, "used_bytes": 5, "max_bytes": 6, "faults": 1}
    jobs = {"queued": 2, "dead": 1, "faults": 1}
    states = [{**one, "disk": disk, "jobs": jobs}, {**other, "disk": disk, "jobs": jobs}]
    assert merged(states, {"disk": OF_THE_DISK})["jobs"] == {"queued": 4, "dead": 2, "faults": 2}
    assert merged(states, {"jobs": {State.QUEUED}})["jobs"] == {"queued": 2, "dead": 2, "faults": 2}
    assert merged(states, {"disk": OF_THE_DISK, "jobs": frozenset(State)}) == {
        "workers": 2,
        "uptime_s": 9.0,
        "requests": {"by_status": {"200": 3, "404": 1}},
        "cache": {"max_bytes": 20},
        "disk": {"entries": 4, "used_bytes": 5, "max_bytes": 6, "faults": 2},
        "jobs": {"queued": 2, "dead": 1, "faults": 2},
    }


async def test_one_that_comes_and_goes_at_once_is_not_asked() -> None:
    async def answers(what: str, value: Any) -> Any:
        return value

    slot = Slot(0)
    async with linked(answers) as (one, _):
        asked = asyncio.ensure_future(slot.ask("invalidate", ["/x"]))
        await asyncio.sleep(0)
        slot.taken(one)
        slot.left()
        await asyncio.sleep(0)
        slot.taken(one)
        assert await asked == ["/x"]
