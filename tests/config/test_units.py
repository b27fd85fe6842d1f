"""Sizes, durations and addresses: what they read, what they write, what they refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.config.units import (
    MOST_BYTES,
    MOST_SECONDS,
    Address,
    Duration,
    Listen,
    Size,
    address,
    duration_text,
    size_text,
)

WANT_SIZE = "a size with its unit such as 512KiB, 256MiB or 10GB"
WANT_DURATION = "a duration with its unit such as 500ms, 30s, 5m, 24h or 365d"
WANT_ADDRESS = "an address such as 127.0.0.1:8080 or [::1]:8080"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("0B", 0),
        ("1B", 1),
        ("512KiB", 512 * 1024),
        ("256 MiB", 256 * 2**20),
        ("1.5GiB", 3 * 2**29),
        ("5TiB", 5 * 2**40),
        ("1kB", 1000),
        ("1KB", 1000),
        ("10GB", 10**10),
        ("1.5B", 1),
        (0, 0),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert Size().read(text) == size


@pytest.mark.parametrize(
    "value",
    [
        "1",
        "-1B",
        "1mb",
        "1 Gb",
        "MiB",
        "",
        "1e3B",
        "１MiB",
        "1  MiB",
        "1MiB\n",
        1,
        1.5,
        True,
        False,
        None,
        [],
        {},
    ],
    ids=repr,
)
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match=f"^{WANT_SIZE}$"):
        Size().read(value)


@pytest.mark.parametrize("text", ["4MiB", "6GiB"])
def test_a_size_out_of_bounds_is_told_the_bounds(text: str) -> None:
    with pytest.raises(ValueError, match=r"^a size from 5MiB to 5GiB$"):
        Size(5 * 2**20, 5 * 2**30).read(text)


def test_a_size_is_never_too_large_to_work_with() -> None:
    with pytest.raises(ValueError, match=r"^a size from 0B to 8192TiB$"):
        Size().read("9" * 15 + "TiB")
    with pytest.raises(ValueError, match=f"^{WANT_SIZE}$"):
        Size().read("9" * 5000 + "TiB")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("500ms", 0.5),
        ("30s", 30),
        ("1.5m", 90),
        ("24h", 86_400),
        ("365d", 31_536_000),
        ("36500d", MOST_SECONDS),
        ("0.4ms", 0),
        (0, 0),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert Duration().read(text) == seconds


@pytest.mark.parametrize(
    "value", ["30", "1w", "-1s", "1h30m", "s", "", "nan", "1e9d", 30, True, False, None, ["1s"]], ids=repr
)
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match=f"^{WANT_DURATION}$"):
        Duration().read(value)


@pytest.mark.parametrize("text", ["0", "0s", "0.1ms"])
def test_a_duration_above_zero_has_a_millisecond(text: str) -> None:
    with pytest.raises(ValueError, match=r"^a duration of at least 1ms$"):
        Duration(above_zero=True).read(text)


def test_a_duration_ends_after_a_hundred_years() -> None:
    with pytest.raises(ValueError, match=r"^a duration of at most 36500d$"):
        Duration().read("36501d")


@given(st.integers(0, MOST_BYTES))
def test_every_size_is_read_as_it_was_written(size: int) -> None:
    assert Size().read(size_text(size)) == size


@given(st.integers(0, MOST_SECONDS * 1000))
def test_every_duration_is_read_as_it_was_written(milliseconds: int) -> None:
    assert Duration().read(duration_text(milliseconds / 1000)) == milliseconds / 1000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (75, "75s"), (5400, "90m"), (86_400, "1d"), (12_345_678, "12345678s")],
)
def test_duration_text(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1, "1B"), (1024, "1KiB"), (64 * 10**9, "64GB"), (2**28, "256MiB"), (1001, "1001B")],
)
def test_size_text(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("[::1]:0", Address("::1", 0)),
        ("localhost:65535", Address("localhost", 65535)),
        ("my-host.example:80", Address("my-host.example", 80)),
    ],
)
def test_addresses(text: str, read: Address) -> None:
    assert address(text) == read
    assert str(read) == text
    assert Listen().read(read) is read


@pytest.mark.parametrize(
    "value",
    [
        "8080", ":8080", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:-1", "256.0.0.1:80", "::1:80", "[zz]:80",
        "[::g]:80", "[1::2::3]:80", "a b:80", "http://a:80", "", 8080, True, None,
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_address(value: object) -> None:
    with pytest.raises(ValueError, match="^" + WANT_ADDRESS.replace("[", r"\[") + "$"):
        Listen().read(value)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("127.evil.example", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, is_loopback: bool) -> None:
    assert Address(host, 80).is_loopback is is_loopback


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("[::]:80", "127.0.0.1:80", True),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("LOCALHOST:80", "localhost:80", True),
    ],
)
def test_two_listeners_meet(one: str, other: str, meets: bool) -> None:
    assert address(one).meets(address(other)) is meets
    assert address(other).meets(address(one)) is meets
