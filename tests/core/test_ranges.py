"""Byte ranges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.ranges import Slice, Unsatisfiable, complete_length, requested_slice
from tests.core.conftest import rows, steady

HUGE = "9" * 19
NONE_AT_ALL = "9" * 20


@pytest.mark.parametrize(
    ("value", "length", "expected"),
    rows(
        ("absent", None, 10, None, "RFC 9110 §14.2"),
        ("first and last", "bytes=2-5", 10, Slice(2, 5, 10), "RFC 9110 §14.1.2"),
        ("one byte", "bytes=0-0", 10, Slice(0, 0, 10), "RFC 9110 §14.1.2"),
        ("the last byte", "bytes=9-9", 10, Slice(9, 9, 10), "RFC 9110 §14.1.2"),
        ("open", "bytes=2-", 10, Slice(2, 9, 10), "RFC 9110 §14.1.2"),
        ("everything", "bytes=0-", 10, Slice(0, 9, 10), "RFC 9110 §14.1.2"),
        ("a suffix", "bytes=-3", 10, Slice(7, 9, 10), "RFC 9110 §14.1.2"),
        ("a suffix longer than all", "bytes=-30", 10, Slice(0, 9, 10), "RFC 9110 §14.1.2"),
        ("last beyond the end", "bytes=5-30", 10, Slice(5, 9, 10), "RFC 9110 §14.1.2"),
        ("last as large as numbers go", f"bytes=5-{HUGE}", 10, Slice(5, 9, 10), "RFC 9110 §14.1.2"),
        ("first at the end", "bytes=10-", 10, Unsatisfiable(10), "RFC 9110 §14.1.2"),
        ("first beyond the end", "bytes=10-20", 10, Unsatisfiable(10), "RFC 9110 §14.1.2"),
        ("first as large as numbers go", f"bytes={HUGE}-", 10, Unsatisfiable(10), "RFC 9110 §14.1.2"),
        ("a suffix of nothing", "bytes=-0", 10, Unsatisfiable(10), "RFC 9110 §14.1.2"),
        ("empty, from 0", "bytes=0-", 0, Unsatisfiable(0), "RFC 9110 §14.1.2"),
        ("empty, first and last", "bytes=0-0", 0, Unsatisfiable(0), "RFC 9110 §14.1.2"),
        ("empty, a suffix", "bytes=-5", 0, None, "RFC 9110 §14.1.2"),
        ("empty, a suffix of nothing", "bytes=-0", 0, Unsatisfiable(0), "RFC 9110 §14.1.2"),
        ("unit without case", "BYTES=2-5", 10, Slice(2, 5, 10), "RFC 9110 §14.1"),
        ("blanks", " bytes = 2 - 5 ", 10, Slice(2, 5, 10), "lenient"),
        ("leading zeros", "bytes=002-05", 10, Slice(2, 5, 10), "RFC 9110 §14.1.2"),
        ("last before first", "bytes=5-2", 10, None, "RFC 9110 §14.1.1"),
        ("last before first, beyond the end", "bytes=50-20", 10, None, "RFC 9110 §14.1.1"),
        ("several", "bytes=0-1,4-5", 10, None, "RFC 9110 §14.2"),
        ("several, one empty", "bytes=0-1,", 10, None, "RFC 9110 §14.2"),
        ("two fields", "bytes=0-1, bytes=4-5", 10, None, "RFC 9110 §5.3"),
        ("another unit", "seconds=0-1", 10, None, "RFC 9110 §14.2"),
        ("no unit", "0-1", 10, None, "RFC 9110 §14.2"),
        ("no range", "bytes=", 10, None, "RFC 9110 §14.1.1"),
        ("a dash", "bytes=-", 10, None, "RFC 9110 §14.1.1"),
        ("two dashes", "bytes=--1", 10, None, "RFC 9110 §14.1.1"),
        ("one number", "bytes=5", 10, None, "RFC 9110 §14.1.1"),
        ("signed", "bytes=+1-5", 10, None, "RFC 9110 §14.1.1"),
        ("hexadecimal", "bytes=0x1-5", 10, None, "RFC 9110 §14.1.1"),
        ("digits of another script", "bytes=١-٥", 10, None, "RFC 9110 §14.1.1"),
        ("trailing garbage", "bytes=0-1 x", 10, None, "RFC 9110 §14.1.1"),
        ("empty field", "", 10, None, "RFC 9110 §14.2"),
        ("last too large to count", f"bytes=5-{NONE_AT_ALL}", 10, None, "RFC 9110 §14.2, may be ignored"),
        ("first too large to count", f"bytes={NONE_AT_ALL}-", 10, None, "RFC 9110 §14.2, may be ignored"),
        (
            "more digits than int takes",
            "bytes=" + "9" * 5000 + "-",
            10,
            None,
            "RFC 9110 §14.2, may be ignored",
        ),
    ),
)
def test_requested_slice(value: str | None, length: int, expected: Slice | Unsatisfiable | None) -> None:
    assert requested_slice(value, length) == expected


NUMBERS = st.integers(0, 40).map(str) | st.just("")


@steady
@given(NUMBERS, NUMBERS, st.integers(0, 20))
def test_a_slice_lies_within_the_length_and_is_what_was_asked(first: str, last: str, length: int) -> None:
    part = requested_slice(f"bytes={first}-{last}", length)
    if not isinstance(part, Slice):
        return
    body = bytes(range(length))
    assert 0 <= part.first <= part.last < part.length == length
    wanted = body[int(first) : int(last) + 1 if last else None] if first else body[-int(last) :]
    assert body[part.first : part.last + 1] == wanted
    assert part.size == len(wanted) > 0


@steady
@given(st.text("bytes=-0123456789, ", max_size=30) | st.text(), st.integers(0))
def test_nothing_raises_and_no_slice_leaves_the_length(value: str, length: int) -> None:
    part = requested_slice(value, length)
    if isinstance(part, Slice):
        assert 0 <= part.first <= part.last < part.length == length
    elif part is not None:
        assert part == Unsatisfiable(length)


def test_content_range() -> None:
    """RFC 9110 §14.4."""
    assert str(Slice(2, 5, 10)) == "bytes 2-5/10"
    assert str(Unsatisfiable(10)) == "bytes */10"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes 0-9/100", 100),
        ("BYTES 0-0/1", 1),
        ("bytes 0-9/*", None),
        ("bytes */100", None),
        ("items 0-9/100", None),
        ("", None),
        (None, None),
    ],
)
def test_complete_length(value: str | None, expected: int | None) -> None:
    """RFC 9110 §14.4."""
    assert complete_length(value) == expected
