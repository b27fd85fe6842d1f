"""`Cache-Control` as values."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.directives import (
    MAX_SECONDS,
    UNDERSTOOD,
    CacheControl,
    cache_control,
    delta_seconds,
    effective,
    targeted,
)
from edgeproxy.core.freshness import TtlPolicy
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.storing import CachePolicy, may_store
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
            CacheControl(no_cache_fields=frozenset({"set-cookie"})),
            "RFC 9111 §5.2.2.4",
        ),
        (
            "field names of private",
            'private="X, y"',
            CacheControl(private_fields=frozenset({"x", "y"})),
            "RFC 9111 §5.2.2.7",
        ),
        (
            "field names in two places",
            'private="x", private=" y ,"',
            CacheControl(private_fields=frozenset({"x", "y"})),
            "RFC 9111 §5.2.2.7",
        ),
        (
            "with field names and without",
            'private="x", private',
            CacheControl(private=True),
            "RFC 9111 §5.2.2.7",
        ),
        ("no field name in quotes", 'private=""', CacheControl(private=True), "RFC 9111 §5.2.2.7"),
        ("a comma in quotes", 'no-cache=","', CacheControl(no_cache=True), "RFC 9111 §5.2.2.4"),
        ("no field name between commas", 'private="x,,y"', CacheControl(private=True), "RFC 9110 §5.6.1"),
        ("what is no field name", 'private="x y"', CacheControl(private=True), "RFC 9111 §5.2.2.7"),
        ("an escape in field names", 'private="x\\y"', CacheControl(private=True), "RFC 9110 §5.6.4"),
        ("field names left open", 'private="x', CacheControl(private=True), "RFC 9110 §5.6.4"),
        ("no-cache with a token", "no-cache=x", CacheControl(no_cache=True), "RFC 9111 §5.2.2.4"),
        (
            "a field that cannot be withheld",
            'private="x, Cache-Control"',
            CacheControl(private=True),
            "RFC 9111 §5.2.2.7, stricter",
        ),
        ("must-understand", "must-understand", CacheControl(must_understand=True), "RFC 9111 §5.2.2.3"),
        (
            "directives inside another's argument",
            'x="no-store, max-age=5", public',
            CacheControl(public=True),
            "RFC 9111 §5.2",
        ),
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
        'private="',
        'private="a,',
        'private="a, a" ',
        'private=" ',
        'no-cache="a",',
    ],
)
def test_a_hostile_field_costs_no_more_than_its_length(unit: str) -> None:
    """Blanks in front of the next name made it quadratic: 4 s for the 32 KiB that a head may have."""
    headers = Headers([("Cache-Control", (unit * 32768)[:32768])])
    begun = time.perf_counter()
    cache_control(headers)
    assert time.perf_counter() - begun < 0.25


def with_targeted(value: str | None, control: str | None = None, status: int = 200) -> Head:
    said = (("CDN-Cache-Control", value), ("Cache-Control", control))
    return Head(status, Headers((name, text) for name, text in said if text is not None))


@pytest.mark.parametrize(
    ("value", "expected"),
    rows(
        ("max-age", "max-age=60", CacheControl(max_age=60, is_targeted=True), "RFC 9213 §2.1"),
        ("a flag", "no-store", CacheControl(no_store=True, is_targeted=True), "RFC 9213 §2.1"),
        (
            "several",
            "max-age=60, must-revalidate, stale-if-error=5",
            CacheControl(max_age=60, must_revalidate=True, stale_if_error=5, is_targeted=True),
            "RFC 9213 §2.1",
        ),
        (
            "field names in a string",
            'no-cache="X-A, x-b"',
            CacheControl(no_cache_fields=frozenset({"x-a", "x-b"}), is_targeted=True),
            "RFC 9213 §2.1",
        ),
        ("a string of no names", 'private=""', CacheControl(private=True, is_targeted=True), "RFC 9213 §2.1"),
        ("true is a flag", "private=?1", CacheControl(private=True, is_targeted=True), "RFC 9651 §3.3.6"),
        ("the last of two", "max-age=1, max-age=60", CacheControl(max_age=60, is_targeted=True), "RFC 9651"),
        (
            "parameters do not count",
            "max-age=60;no-store",
            CacheControl(max_age=60, is_targeted=True),
            "RFC 9213 §2.1",
        ),
        ("others do not count", 'foo="bar", x=(1 2)', CacheControl(is_targeted=True), "RFC 9213 §2.2"),
        (
            "as large as numbers go",
            "max-age=" + "9" * 15,
            CacheControl(max_age=MAX_SECONDS, is_targeted=True),
            "RFC 9111 §1.2.2",
        ),
        ("absent", None, None, "RFC 9213 §2.2"),
        ("empty", "", None, "RFC 9213 §2.1"),
        ("no dictionary", "max-age=60, &&&&&", None, "RFC 9213 §2.1"),
        ("upper case", "Max-Age=60", None, "RFC 9213 §2.1"),
        ("a number in quotes", 'max-age="60"', None, "RFC 9213 §2.1"),
        ("a decimal", "max-age=60.0", None, "RFC 9213 §2.1"),
        ("a number below zero", "max-age=-1", None, "RFC 9111 §1.2.2"),
        ("no number", "max-age", None, "RFC 9213 §2.1"),
        ("a flag that is false", "no-store=?0", None, "RFC 9213 §2.1"),
        ("a flag with a number", "no-store=1", None, "RFC 9213 §2.1"),
        ("field names as a token", "private=x", None, "RFC 9213 §2.1"),
    ),
)
def test_targeted(value: str | None, expected: CacheControl | None) -> None:
    head = with_targeted(value, "max-age=5")
    assert targeted(head.headers) == expected
    assert effective(head, is_targeted=True) == (expected or CacheControl(max_age=5))
    assert effective(head, is_targeted=False) == CacheControl(max_age=5)


def test_lines_of_a_targeted_field_are_one_dictionary() -> None:
    """RFC 9651 §4.2."""
    lines = [("CDN-Cache-Control", "max-age=60"), ("Cdn-Cache-Control", "no-store")]
    assert targeted(Headers(lines)) == CacheControl(max_age=60, no_store=True, is_targeted=True)
    assert targeted(Headers([*lines, ("CDN-Cache-Control", "?")])) is None


@steady
@given(TEXT, TEXT)
def test_a_targeted_field_counts_alone_or_not_at_all(value: str, other: str) -> None:
    """RFC 9213 §2.2."""
    head = with_targeted(value, other)
    control = effective(head, is_targeted=True)
    assert control in (
        effective(with_targeted(value), is_targeted=True),
        effective(with_targeted(None, other), is_targeted=False),
    )


@pytest.mark.parametrize(
    ("status", "no_store"),
    rows(
        ("a status that is understood", 200, False, "RFC 9111 §5.2.2.3"),
        ("an error that is understood", 404, False, "RFC 9111 §5.2.2.3"),
        ("a status of which we know no rules", 201, True, "RFC 9111 §5.2.2.3"),
        ("a part", 206, True, "RFC 9111 §3.3"),
        ("a status that nobody knows", 599, True, "RFC 9111 §5.2.2.3"),
    ),
)
def test_must_understand(status: int, no_store: bool) -> None:
    head = with_targeted(None, "must-understand, no-store, max-age=60", status)
    expected = CacheControl(must_understand=True, no_store=no_store, max_age=60)
    assert effective(head, is_targeted=False) == expected
    assert effective(with_targeted(None, "no-store", status), is_targeted=False).no_store


def test_statuses_that_are_understood_are_those_that_are_stored() -> None:
    """RFC 9111 §3."""
    policy = CachePolicy(TtlPolicy(1, 10, 100))
    said = Headers([("Cache-Control", "max-age=60")])
    stored = {s for s in range(200, 600) if may_store(Request("GET", "/"), Head(s, said), policy, 0) is None}
    assert stored == UNDERSTOOD


WITH_SECONDS = ("max-age", "s-maxage", "stale-while-revalidate", "stale-if-error")
FLAGS = (
    "no-store",
    "no-cache",
    "private",
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
)


@pytest.mark.parametrize("name", WITH_SECONDS)
@pytest.mark.parametrize(
    ("form", "seconds"),
    rows(
        ("plain", "{}=60", 60, "RFC 9111 §5.2"),
        ("quoted", '{}="60"', 60, "RFC 9111 §5.2"),
        ("without a number", "{}", 0, "RFC 9111 §4.2.1"),
        ("empty", "{}=", 0, "RFC 9111 §4.2.1"),
        ("empty quotes", '{}=""', 0, "RFC 9111 §4.2.1"),
        ("negative", "{}=-60", 0, "RFC 9111 §1.2.2"),
        ("a fraction", "{}=60.5", 0, "RFC 9111 §1.2.2"),
        ("repeated", "{0}=60, {0}=70", 60, "RFC 9111 §4.2.1"),
        ("repeated and none", "{0}=60, {0}", 0, "RFC 9111 §4.2.1"),
        ("huge", "{}=" + "9" * 30, MAX_SECONDS, "RFC 9111 §1.2.2"),
        ("blanks", "\t{} = 60 ,", 60, "RFC 9111 §5.2, lenient"),
    ),
)
def test_every_directive_with_seconds(name: str, form: str, seconds: int) -> None:
    field = name.replace("-", "_")
    for spelling in (name, name.upper(), name.title()):
        assert parsed(form.format(spelling)) == CacheControl(**{field: seconds})


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("form", ["{}", "{0}, {0}", "{}=", "{}=1", '{}=""', ",{} ,", "x;{}", '{}="'])
def test_every_directive_without_argument(name: str, form: str) -> None:
    for spelling in (name, name.upper(), name.title()):
        assert parsed(form.format(spelling)) == CacheControl(**{name.replace("-", "_"): True})


@steady
@given(
    st.lists(st.sampled_from([*FLAGS, "max-age=5", "s-maxage=7", 'private="x"', 'no-cache="y"', 'z="a, b"']))
)
def test_the_order_of_directives_does_not_matter(said: list[str]) -> None:
    assert parsed(*said) == parsed(", ".join(reversed(said)))


NAME_LISTS = st.lists(st.from_regex(r"[A-Za-z][A-Za-z0-9\-]{0,8}", fullmatch=True), min_size=1, max_size=4)


@steady
@given(NAME_LISTS, st.sampled_from([",", ", ", " ,\t"]), TEXT)
def test_no_field_that_is_named_is_left_out(names: list[str], comma: str, other: str) -> None:
    """Either the whole is private, or each field that was named is; whatever else was said."""
    control = parsed(f'private="{comma.join(names)}", {other}')
    assert control.private or {name.lower() for name in names} <= control.private_fields
