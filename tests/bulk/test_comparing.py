"""Which wanted keys a bucket has, and how often that is asked."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.bulk.comparing import Comparison
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


async def test_what_is_far_apart_is_leapt_over() -> None:
    bucket = Bucket({f"img/{number:06}.jpg".encode() for number in range(50_000)}, 1000)
    comparison = Comparison(bucket)
    assert [await comparison.has(key) for key in (b"a", b"img/020000.jpg", b"img/040000.jpg")] == [
        False,
        True,
        True,
    ]
    assert bucket.asked == 3
