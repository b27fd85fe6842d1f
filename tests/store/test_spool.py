"""A spool: every reader gets the whole body at its own pace, and the writer waits once nothing is kept."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from edgeproxy.core.errors import OriginError
from edgeproxy.core.reason import Reason
from edgeproxy.store.spool import WINDOW_BYTES, Reader, Spool

FAULT = OriginError(Reason.ORIGIN_CUT, "cut")


async def settled(turns: int = 5) -> None:
    """Let every task that can go on do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def rest(reader: Reader) -> bytes:
    return b"".join([chunk async for chunk in reader])


def started(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(coroutine)


async def test_each_reader_gets_the_whole_body_whenever_it_joins() -> None:
    spool = Spool()
    early = spool.reader()
    spool.feed(b"one ")
    assert await anext(early) == b"one "
    late = spool.reader()
    spool.feed(b"two")
    spool.end()
    assert await rest(early) == b"two"
    assert await rest(late) == b"one two" == spool.whole()
    assert await rest(spool.reader()) == b"one two"


async def test_a_reader_waits_for_what_has_not_come() -> None:
    spool = Spool()
    reading = started(anext(spool.reader()))
    await settled()
    assert not reading.done()
    spool.feed(b"x")
    assert await reading == b"x"


async def test_all_who_wait_are_woken() -> None:
    spool = Spool()
    reading = [started(rest(spool.reader())) for _ in range(3)]
    await settled()
    spool.feed(b"x")
    spool.end()
    assert await asyncio.gather(*reading) == [b"x"] * 3


async def test_after_a_fault_readers_get_what_came_and_then_the_fault() -> None:
    spool = Spool()
    waiting, late = spool.reader(), spool.reader()
    spool.feed(b"x")
    reading = started(rest(waiting))
    await settled()
    spool.fail(FAULT)
    with pytest.raises(OriginError, match="cut"):
        await reading
    assert await anext(late) == b"x"
    with pytest.raises(OriginError, match="cut"):
        await anext(late)


async def test_a_body_of_nothing_ends_at_once() -> None:
    spool = Spool()
    spool.end()
    assert await rest(spool.reader()) == b"" == spool.whole()


async def test_while_it_keeps_the_writer_never_waits() -> None:
    spool = Spool()
    spool.reader()
    spool.feed(bytes(2 * WINDOW_BYTES))
    await asyncio.wait_for(spool.settle(), 1)
    assert spool.held_bytes == 2 * WINDOW_BYTES


async def test_once_it_keeps_nothing_the_writer_waits_for_the_slowest() -> None:
    spool = Spool()
    fast, slow = spool.reader(), spool.reader()
    spool.let_go()
    for _ in range(3):
        spool.feed(bytes(WINDOW_BYTES // 2))
    writing = started(spool.settle())
    for _ in range(3):
        await anext(fast)
    await settled()
    assert not writing.done()
    await anext(slow)
    await anext(slow)
    await writing
    assert spool.held_bytes <= WINDOW_BYTES


@pytest.mark.parametrize("leaves", ["first", "last"])
async def test_the_writer_does_not_wait_for_one_who_has_left(leaves: str) -> None:
    spool = Spool()
    reader = spool.reader()
    spool.let_go()
    if leaves == "first":
        reader.close()
    spool.feed(bytes(2 * WINDOW_BYTES))
    writing = started(spool.settle())
    await settled()
    assert writing.done() is (leaves == "first")
    reader.close()
    await writing


async def test_letting_go_drops_what_all_have_read_and_no_more() -> None:
    spool = Spool()
    one, other = spool.reader(), spool.reader()
    for chunk in (b"a", b"bb", b"ccc"):
        spool.feed(chunk)
    await anext(one)
    await anext(one)
    await anext(other)
    spool.let_go()
    assert spool.held_bytes == 5
    spool.end()
    assert await rest(one) == b"ccc"
    assert await rest(other) == b"bbccc"
    one.close()
    other.close()
    assert spool.held_bytes == 0


async def test_a_spool_that_has_let_go_takes_nobody_in() -> None:
    spool = Spool()
    spool.let_go()
    with pytest.raises(AssertionError):
        spool.reader()
    with pytest.raises(AssertionError):
        spool.whole()


async def test_what_is_to_be_done_when_all_have_left_is_done_once() -> None:
    spool = Spool()
    done: list[str] = []
    one, other = spool.reader(), spool.reader()
    spool.feed(b"x")
    spool.when_left(lambda: done.append("left"))
    one.close()
    assert (done, spool.has_readers) == ([], True)
    other.close()
    other.close()
    assert (done, spool.has_readers) == (["left"], False)
    spool.when_left(lambda: done.append("at once"))
    assert done == ["left", "at once"]


async def test_a_reader_that_is_cancelled_does_not_take_the_others_chunk() -> None:
    spool = Spool()
    reader, other = spool.reader(), spool.reader()
    reading = started(anext(reader))
    waiting = started(anext(other))
    await settled()
    reading.cancel()
    await settled()
    spool.feed(b"x")
    assert await waiting == b"x"
    assert await anext(reader) == b"x"
