"""Which wanted keys a bucket has, and how often that is asked; how a pace is kept."""

import asyncio
from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.bulk.comparing import Comparison
from edgeproxy.bulk.pace import Pace, PacedSource
from edgeproxy.core.message import Head
from edgeproxy.origins.base import Reply
from edgeproxy.origins.listing import Page

KEYS = st.sets(st.text("ab/\x7fü\U0001f600", min_size=1, max_size=4).map(str.encode))


class Bucket:
    """Gives `size` keys a page; counts the pages."""

    def __init__(self, keys: set[bytes], size: int) -> None:
        self.keys = sorted(keys)
        self.size = size
        self.asked = 0

    async def __call__(self, after: bytes) -> Page:
        self.asked += 1
        behind = [key for key in self.keys if key > after]
        return Page(tuple((key, 1) for key in behind[: self.size]), len(behind) <= self.size)


@given(KEYS, KEYS, st.integers(1, 5))
def test_a_comparison_is_right_and_asks_little(has: set[bytes], wanted: set[bytes], size: int) -> None:
    bucket = Bucket(has, size)

    async def compared() -> set[bytes]:
        comparison = Comparison(bucket)
        return {key for key in sorted(wanted) if await comparison.has(key)}

    assert asyncio.run(compared()) == has & wanted
    assert bucket.asked <= len(has) // size + 1


def test_a_pace_is_kept_and_not_saved_up() -> None:
    pace = Pace(8)
    assert [pace.take(1, 4.0) for _ in range(3)] == [0, 0.125, 0.25]
    assert pace.take(1, 100.0) == 0
    assert pace.take(4, 100.0) == 0.125
    assert pace.take(1, 100.5) == 0.125


async def test_what_is_far_apart_is_leapt_over() -> None:
    bucket = Bucket({f"img/{number:06}.jpg".encode() for number in range(50_000)}, 1000)
    comparison = Comparison(bucket)
    assert [await comparison.has(key) for key in (b"a", b"img/020000.jpg", b"img/040000.jpg")] == [
        False,
        True,
        True,
    ]
    assert bucket.asked == 3


async def test_fetches_and_bytes_wait_for_their_turn() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(round(seconds, 3))

    class Given:
        async def open(self, job: object) -> Reply:
            async def body() -> AsyncIterator[bytes]:
                for _ in range(3):
                    yield b"x" * 100

            return Reply(Head(200), body())

    source = PacedSource(Given(), fetches=Pace(2), octets=Pace(1000), elapsed=lambda: 0.0, sleep=sleep)  # type: ignore[arg-type]
    for _ in range(2):
        reply = await source.open(None)  # type: ignore[arg-type]
        assert b"".join([chunk async for chunk in reply.body]) == b"x" * 300
    assert waited == [0, 0.1, 0.2, 0.5, 0.3, 0.4, 0.5]
