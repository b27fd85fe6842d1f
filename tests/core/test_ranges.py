"""Byte ranges."""

import time
from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.ranges import (
    MAX_RANGES,
    Multipart,
    Slice,
    Unsatisfiable,
    complete_length,
    multipart,
    requested_slices,
)
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
def test_one_range(value: str | None, length: int, expected: Slice | Unsatisfiable | None) -> None:
    assert requested_slices(value, length) == ((expected,) if isinstance(expected, Slice) else expected)


def slices(*bounds: tuple[int, int]) -> tuple[Slice, ...]:
    return tuple(Slice(first, last, 100) for first, last in bounds)


ORDER = "CloudFront, Range GETs"


@pytest.mark.parametrize(
    ("value", "expected"),
    rows(
        ("two", "bytes=0-9,20-29", slices((0, 9), (20, 29)), "RFC 9110 §14.1.2"),
        ("and the end", "bytes=0-9, 20-29 ,-5", slices((0, 9), (20, 29), (95, 99)), "RFC 9110 §14.1.2"),
        ("an open one at the end", "bytes=0-0,50-", slices((0, 0), (50, 99)), "RFC 9110 §14.1.2"),
        ("next to each other", "bytes=0-9,10-19", slices((0, 9), (10, 19)), "RFC 9110 §14.2"),
        ("beyond the end", "bytes=0-9,90-200", slices((0, 9), (90, 99)), "RFC 9110 §14.1.2"),
        ("one of which nothing exists", "bytes=0-9,100-", slices((0, 9)), "RFC 9110 §14.1.2"),
        ("the first of which nothing exists", "bytes=100-,0-9", slices((0, 9)), "RFC 9110 §14.1.2"),
        ("the last 0 bytes", "bytes=0-9,-0", slices((0, 9)), "RFC 9110 §14.1.2"),
        ("none of which anything exists", "bytes=100-,200-300,-0", Unsatisfiable(100), "RFC 9110 §14.1.2"),
        ("out of order", "bytes=20-29,0-9", None, ORDER),
        ("overlapping", "bytes=0-9,9-19", None, ORDER),
        ("one within the other", "bytes=0-99,5-6", None, ORDER),
        ("the same twice", "bytes=0-9,0-9", None, ORDER),
        ("overlapping at the end", "bytes=0-95,-5", None, ORDER),
        ("one is nonsense", "bytes=0-9,x", None, ORDER),
        ("one is backwards", "bytes=0-9,30-20", None, ORDER),
        ("one is empty", "bytes=0-9,,20-29", None, ORDER),
        ("the unit twice", "bytes=0-9,bytes=20-29", None, ORDER),
        (
            "as many as we serve",
            "bytes=" + ",".join(f"{n}-{n}" for n in range(16)),
            slices(*[(n, n) for n in range(16)]),
            "our choice",
        ),
        ("one more", "bytes=" + ",".join(f"{n}-{n}" for n in range(17)), None, "our choice"),
        ("very many", "bytes=" + "0-0," * 5000, None, "RFC 9110 §14.2"),
    ),
)
def test_several_ranges(value: str, expected: tuple[Slice, ...] | Unsatisfiable | None) -> None:
    assert requested_slices(value, 100) == expected


@pytest.mark.parametrize("start", ["", "1", "1-", "-", "-1", "1-2"])
@pytest.mark.parametrize("blank", [" ", "\t"])
def test_a_hostile_range_costs_no_more_than_its_length(start: str, blank: str) -> None:
    begun = time.perf_counter()
    assert requested_slices(f"bytes={start}{blank * 32_000}x", 100) is None
    assert time.perf_counter() - begun < 0.25


SPECS = st.tuples(st.integers(0, 60), st.integers(0, 9)).map(
    lambda t: f"{t[0]}-{t[0] + t[1]}"
) | st.sampled_from(["-5", "-0", "50-", "5-2", ""])
NUMBERS = st.integers(0, 40).map(str) | st.just("")


@steady
@given(NUMBERS, NUMBERS, st.integers(0, 20))
def test_a_slice_lies_within_the_length_and_is_what_was_asked(first: str, last: str, length: int) -> None:
    asked = requested_slices(f"bytes={first}-{last}", length)
    if not isinstance(asked, tuple):
        return
    (part,) = asked
    body = bytes(range(length))
    assert 0 <= part.first <= part.last < part.length == length
    wanted = body[int(first) : int(last) + 1 if last else None] if first else body[-int(last) :]
    assert body[part.first : part.last + 1] == wanted
    assert part.size == len(wanted) > 0


@steady
@given(
    st.text("bytes=-0123456789, ", max_size=30)
    | st.lists(SPECS).map(",".join).map("bytes={}".format)
    | st.text(),
    st.integers(0, 60),
)
def test_nothing_raises_and_slices_lie_in_order_within_the_length(value: str, length: int) -> None:
    asked = requested_slices(value, length)
    if not isinstance(asked, tuple):
        assert asked in (None, Unsatisfiable(length))
        return
    assert 0 < len(asked) <= MAX_RANGES
    assert sum(part.size for part in asked) <= length
    end = -1
    for part in asked:
        assert end < part.first <= part.last < part.length == length
        end = part.last


def joined(parts: Multipart, body: bytes) -> bytes:
    return b"".join(body[p.first : p.last + 1] if isinstance(p, Slice) else p for p in parts.parts)


def test_multipart() -> None:
    """RFC 9110 §14.6."""
    parts = multipart((Slice(0, 1, 10), Slice(8, 9, 10)), "text/plain", "xyz")
    assert parts.content_type == "multipart/byteranges; boundary=xyz"
    assert joined(parts, b"0123456789") == (
        b"--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
        b"\r\n--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89"
        b"\r\n--xyz--\r\n"
    )


@steady
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=16),
    st.none() | st.sampled_from(["text/plain", "text/html; charset=utf-8", "x/é"]),
)
def test_what_a_mail_reader_makes_of_it(gaps: list[tuple[int, int]], content_type: str | None) -> None:
    """RFC 2046 §5.1: the parts, their types and places; and the size is exact."""
    bounds, end = [], 0
    for gap, size in gaps:
        bounds.append((end + gap, end + gap + size - 1))
        end += gap + size
    body = bytes(n % 251 for n in range(end))
    wanted = tuple(Slice(first, last, end) for first, last in bounds)
    parts = multipart(wanted, content_type, "a-b_C9")
    text = joined(parts, body)
    assert len(text) == parts.size
    read = message_from_bytes(f"Content-Type: {parts.content_type}\r\n\r\n".encode() + text).get_payload()
    assert len(read) == len(wanted)
    for part, (first, last) in zip(read, bounds, strict=True):
        assert part["Content-Range"] == f"bytes {first}-{last}/{end}"
        assert (part["Content-Type"] is None) is (content_type is None)
    pieces = text.split(b"\r\n\r\n")
    assert [p.split(b"\r\n--")[0] for p in pieces[1:]] == [body[f : last + 1] for f, last in bounds]


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
