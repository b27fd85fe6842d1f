"""JSON pointers, and numbers as nodes write them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.pointer import ABSENT, as_number, as_text, at
from tests.core.conftest import rows, steady

EXAMPLE = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
    "~1": 9,
    "nothing": None,
}
TABLE = "RFC 6901 §5"


@pytest.mark.parametrize(
    ("pointer", "value"),
    rows(
        ("the whole", "", EXAMPLE, TABLE),
        ("a member", "/foo", ["bar", "baz"], TABLE),
        ("an element", "/foo/0", "bar", TABLE),
        ("the empty name", "/", 0, TABLE),
        ("an escaped slash", "/a~1b", 1, TABLE),
        ("a percent sign means itself", "/c%d", 2, TABLE),
        ("a backslash too", "/i\\j", 5, TABLE),
        ("a quotation mark", '/k"l', 6, TABLE),
        ("a blank", "/ ", 7, TABLE),
        ("an escaped tilde", "/m~0n", 8, TABLE),
        ("~01 is ~1 and no slash", "/~01", 9, "RFC 6901 §4"),
        ("null is a value", "/nothing", None, "RFC 8259 §3"),
        ("no such member", "/bar", ABSENT, "RFC 6901 §7"),
        ("behind the end", "/foo/2", ABSENT, "RFC 6901 §7"),
        ("the element after the last", "/foo/-", ABSENT, "RFC 6901 §4"),
        ("no leading zeros", "/foo/01", ABSENT, "RFC 6901 §4"),
        ("no element has a name", "/foo/bar", ABSENT, "RFC 6901 §4"),
        ("below what holds nothing", "/foo/0/0", ABSENT, "RFC 6901 §7"),
        ("below null", "/nothing/x", ABSENT, "RFC 6901 §7"),
        ("an index of other digits", "/foo/١", ABSENT, "RFC 6901 §4"),
    ),
)
def test_at(pointer: str, value: Any) -> None:
    assert at(EXAMPLE, pointer) == value


@steady
@given(st.lists(st.text(), min_size=1, max_size=4), st.integers())
def test_what_is_put_below_names_is_found_by_them(names: list[str], value: int) -> None:
    document: Any = value
    for name in reversed(names):
        document = {name: document}
    pointer = "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
    assert at(document, pointer) == value


HEX = "Ethereum JSON-RPC, quantities"


@pytest.mark.parametrize(
    ("value", "number"),
    rows(
        ("a number", 436, 436, "plain"),
        ("nought", 0, 0, "plain"),
        ("hex", "0x1b4", 436, HEX),
        ("hex with zeros", "0x0001B4", 436, HEX),
        ("decimal text", "436", 436, "text"),
        ("a float without a fraction", 4.36e2, 436, "RFC 8259 §6"),
        ("a fraction", 4.5, None, "RFC 8259 §6"),
        ("below nought", -1, None, "range"),
        ("too large", 2**63, None, "range"),
        ("too large in hex", "0x8000000000000000", None, "range"),
        ("without end", float("inf"), None, "range"),
        ("true is no number", True, None, "RFC 8259 §3"),
        ("null", None, None, "RFC 8259 §3"),
        ("not there", ABSENT, None, "absent"),
        ("empty text", "", None, "text"),
        ("no digits", "0x", None, HEX),
        ("blanks", " 1", None, "text"),
        ("what Python alone reads", "1_000", None, "text"),
        ("digits of others", "١", None, "text"),
        ("many digits", "9" * 10_000, None, "range"),
        ("a list", [1], None, "text"),
    ),
)
def test_as_number(value: Any, number: int | None) -> None:
    assert as_number(value) == number


@steady
@given(st.integers(0, 2**63 - 1))
def test_a_number_is_the_same_however_it_is_written(number: int) -> None:
    assert {as_number(number), as_number(str(number)), as_number(hex(number))} == {number}


@pytest.mark.parametrize(
    ("written", "text"), [('"a b"', "a b"), ("true", "true"), ("12", "12"), ("null", "null"), ("[1]", "[1]")]
)
def test_as_text(written: str, text: str) -> None:
    assert as_text(json.loads(written)) == text
