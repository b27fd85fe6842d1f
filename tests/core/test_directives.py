"""`Cache-Control` as values."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.directives import MAX_SECONDS, CacheControl, cache_control, delta_seconds
from edgeproxy.core.message import Headers
from tests.core.conftest import rows, steady


def parsed(*values: str) -> CacheControl:
    return cache_control(Headers(("Cache-Control", value) for value in values))


@pytest.mark.parametrize(
    ("value", "expected"),
    rows(
        ("empty", "", CacheControl(), "RFC 9111 §5.2"),
        ("no directive", " , ,", CacheControl(), "RFC 9110 §5.6.1"),
        ("max-age", "max-age=60", CacheControl(max_age=60), "RFC 9111 §5.2.2.1"),
        ("s-maxage", "s-maxage=60", CacheControl(s_maxage=60), "RFC 9111 §5.2.2.10"),
        ("no-cache", "no-cache", CacheControl(no_cache=True), "RFC 9111 §5.2.2.4"),
        ("no-store", "no-store", CacheControl(no_store=True), "RFC 9111 §5.2.2.5"),
        ("private", "private", CacheControl(private=True), "RFC 9111 §5.2.2.7"),
        ("public", "public", CacheControl(public=True), "RFC 9111 §5.2.2.9"),
        ("must-revalidate", "must-revalidate", CacheControl(must_revalidate=True), "RFC 9111 §5.2.2.2"),
        ("proxy-revalidate", "proxy-revalidate", CacheControl(proxy_revalidate=True), "RFC 9111 §5.2.2.8"),
        ("swr", "stale-while-revalidate=5", CacheControl(stale_while_revalidate=5), "RFC 5861 §3"),
        ("sie", "stale-if-error=5", CacheControl(stale_if_error=5), "RFC 5861 §4"),
        ("unknown ones", "immutable, x=1, y", CacheControl(), "RFC 9111 §5.2.3"),
        (
            "several",
            "public, max-age=60,s-maxage=5 ,  no-cache",
            CacheControl(public=True, max_age=60, s_maxage=5, no_cache=True),
            "RFC 9111 §5.2",
        ),
        (
            "names without case",
            "MAX-AGE=5, No-Store",
            CacheControl(max_age=5, no_store=True),
            "RFC 9111 §5.2",
        ),
        ("a quoted argument", 'max-age="60"', CacheControl(max_age=60), "RFC 9111 §5.2"),
        (
            "field names of no-cache",
            'no-cache="Set-Cookie"',
            CacheControl(no_cache=True),
            "RFC 9111 §5.2.2.4",
        ),
        ("field names of private", 'private="x, y"', CacheControl(private=True), "RFC 9111 §5.2.2.7"),
        ("private with a token", "private=x", CacheControl(private=True), "RFC 9111 §5.2.2.7"),
        ("a needless argument", "no-store=1", CacheControl(no_store=True), "RFC 9111 §5.2"),
        ("blanks around =", "max-age =\t60", CacheControl(max_age=60), "RFC 9111 §5.2, lenient"),
        ("zero", "max-age=0", CacheControl(max_age=0), "RFC 9111 §1.2.2"),
        ("leading zeros", "max-age=00000000000060", CacheControl(max_age=60), "RFC 9111 §1.2.2"),
        ("100 years", "max-age=3153600000", CacheControl(max_age=MAX_SECONDS), "RFC 9111 §1.2.2"),
        ("a number too large", "max-age=99999999999", CacheControl(max_age=MAX_SECONDS), "RFC 9111 §1.2.2"),
        (
            "more digits than int takes",
            "max-age=" + "9" * 5000,
            CacheControl(max_age=MAX_SECONDS),
            "RFC 9111 §1.2.2",
        ),
        ("twice: the smaller", "max-age=60, max-age=10", CacheControl(max_age=10), "RFC 9111 §4.2.1"),
        ("in either order", "max-age=10, max-age=60", CacheControl(max_age=10), "RFC 9111 §4.2.1"),
        ("one of two is none", "max-age=60, max-age=x", CacheControl(max_age=0), "RFC 9111 §4.2.1"),
    ),
)
def test_directives(value: str, expected: CacheControl) -> None:
    assert parsed(value) == expected


def test_lines_are_one_list_and_absence_is_nothing() -> None:
    """RFC 9110 §5.3."""
    assert parsed("max-age=60", "no-store") == CacheControl(max_age=60, no_store=True)
    assert cache_control(Headers([("Expires", "0")])) == CacheControl()


NOT_NUMBERS = rows(
    ("negative", "-1", "RFC 9111 §1.2.2"),
    ("signed", "+60", "RFC 9111 §1.2.2"),
    ("exponent", "1e3", "RFC 9111 §1.2.2"),
    ("fraction", "60.5", "RFC 9111 §1.2.2"),
    ("hexadecimal", "0x10", "RFC 9111 §1.2.2"),
    ("unit", "60s", "RFC 9111 §1.2.2"),
    ("grouped", "6_0", "RFC 9111 §1.2.2"),
    ("digits of another script", "٦٠", "RFC 9111 §1.2.2"),
    ("superscript", "6²", "RFC 9111 §1.2.2"),
    ("empty", "", "RFC 9111 §1.2.2"),
    ("empty quotes", '""', "RFC 9111 §1.2.2"),
    ("single quotes", "'60'", "RFC 9111 §1.2.2"),
    ("a quote left open", '"60', "RFC 9110 §5.6.4"),
    ("a quote left over", '60"', "RFC 9110 §5.6.4"),
    ("an escape", '"6\\0"', "RFC 9110 §5.6.4"),
    ("a blank in quotes", '" 60"', "RFC 9110 §5.6.4"),
    ("NUL", "60\x00", "RFC 9110 §5.5"),
    ("an odd space", "\xa060", "RFC 9110 §5.6.3"),
)


@pytest.mark.parametrize("argument", NOT_NUMBERS)
def test_a_number_that_is_none_is_stale_at_once(argument: str) -> None:
    """RFC 9111 §4.2.1: caches are encouraged to consider such responses stale."""
    assert parsed(f"max-age={argument}") == CacheControl(max_age=0)
    assert parsed(f"max-age={argument}, max-age=60") == CacheControl(max_age=0)


@pytest.mark.parametrize("value", ["max-age", "max-age 60", "max-age;60", "max-age:60", "max-age, 60"])
def test_a_number_that_is_missing_is_stale_at_once(value: str) -> None:
    assert parsed(value) == CacheControl(max_age=0)


@pytest.mark.parametrize(
    ("value", "expected"),
    rows(
        ("within quotes nothing is a directive", 'x="a, no-store, b"', CacheControl(), "RFC 9110 §5.6.4"),
        ("an escaped quote does not end them", r'x="a\", no-store, \\"', CacheControl(), "RFC 9110 §5.6.4"),
        ("after them it goes on", r'x="\\", no-store', CacheControl(no_store=True), "RFC 9110 §5.6.4"),
        ("an open quote hides nothing", 'x="a, no-store', CacheControl(no_store=True), "our choice"),
        ("nor does an escaped end", r'x="a\", no-store', CacheControl(no_store=True), "our choice"),
        ("nor a quote within a token", 'x=a"b, no-store, c"', CacheControl(no_store=True), "our choice"),
        ("nor quotes without a name", '"no-store"', CacheControl(no_store=True), "our choice"),
        ("single quotes are no quotes", "x='a, no-store, b'", CacheControl(no_store=True), "RFC 9110 §5.6.4"),
        ("a semicolon parts", "public; no-store", CacheControl(public=True, no_store=True), "our choice"),
        ("and ends a number", "max-age=60; private", CacheControl(max_age=60, private=True), "our choice"),
        ("a blank parts", "max-age=60 private", CacheControl(max_age=60, private=True), "our choice"),
        ("a quoted-string parts", 'x="a"no-store', CacheControl(no_store=True), "our choice"),
        ("junk parts", "@()no-store@", CacheControl(no_store=True), "our choice"),
    ),
)
def test_where_a_sender_is_unclear_the_stricter_reading_wins(value: str, expected: CacheControl) -> None:
    assert parsed(value) == expected


@pytest.mark.parametrize("value", ["no-store2", "x-no-store", "private-ish=1", "s-max-age=5", "nostore"])
def test_a_longer_name_is_another_name(value: str) -> None:
    assert parsed(value) == CacheControl()


TEXT = st.text('nostre-mx=1,; "\\\t\n@é', max_size=40) | st.text(max_size=40)


@steady
@given(TEXT)
def test_nothing_raises_and_every_number_is_within_bounds(value: str) -> None:
    control = parsed(value)
    for seconds in (
        control.max_age,
        control.s_maxage,
        control.stale_while_revalidate,
        control.stale_if_error,
    ):
        assert seconds is None or 0 <= seconds <= MAX_SECONDS


@steady
@given(st.text(max_size=12))
def test_a_malformed_number_never_gives_a_longer_life(argument: str) -> None:
    control = parsed(f"max-age={argument}")
    digits = "".join(c for c in argument if c in "0123456789")
    assert control.max_age is not None
    assert 0 <= control.max_age <= int(digits or "0")


@steady
@given(TEXT)
def test_what_else_is_in_the_field_never_undoes_a_no_store(other: str) -> None:
    assert parsed(f"no-store, {other}").no_store
    assert parsed(other, "no-store").no_store


@pytest.mark.parametrize(
    ("text", "seconds"),
    rows(
        ("absent", None, 0, "RFC 9111 §1.2.2"),
        ("zero", "0", 0, "RFC 9111 §1.2.2"),
        ("below the limit", str(MAX_SECONDS - 1), MAX_SECONDS - 1, "RFC 9111 §1.2.2"),
        ("at the limit", str(MAX_SECONDS), MAX_SECONDS, "RFC 9111 §1.2.2"),
        ("above the limit", str(MAX_SECONDS + 1), MAX_SECONDS, "RFC 9111 §1.2.2"),
        ("ten nines", "9" * 10, MAX_SECONDS, "RFC 9111 §1.2.2"),
        ("zeros alone", "0" * 5000, 0, "RFC 9111 §1.2.2"),
    ),
)
def test_delta_seconds(text: str | None, seconds: int) -> None:
    assert delta_seconds(text) == seconds


@pytest.mark.parametrize(
    "unit",
    [
        '"\\',
        'a="\\',
        '"',
        "\\",
        " ",
        ", ",
        "a",
        "a=",
        'a="',
        'a = "',
        "a\t",
        " =",
        "a ",
        'a=",',
        'a=" \\"',
        "@ ",
    ],
)
def test_a_hostile_field_costs_no_more_than_its_length(unit: str) -> None:
    """Blanks in front of the next name made it quadratic: 4 s for the 32 KiB that a head may have."""
    headers = Headers([("Cache-Control", (unit * 32768)[:32768])])
    begun = time.perf_counter()
    cache_control(headers)
    assert time.perf_counter() - begun < 0.25
