"""Dictionaries of structured fields."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.structured import Bare, Token, dictionary
from tests.core.conftest import rows, steady


@pytest.mark.parametrize(
    ("text", "expected"),
    rows(
        ("empty", "", {}, "RFC 9651 §4.2.2"),
        ("blanks alone", "   ", {}, "RFC 9651 §4.2"),
        ("a key alone is true", "a", {"a": True}, "RFC 9651 §3.2"),
        ("an integer", "a=60", {"a": 60}, "RFC 9651 §3.3.1"),
        ("below zero", "a=-60", {"a": -60}, "RFC 9651 §3.3.1"),
        ("leading zeros", "a=007", {"a": 7}, "RFC 9651 §4.2.4"),
        ("15 digits", "a=" + "9" * 15, {"a": 10**15 - 1}, "RFC 9651 §3.3.1"),
        ("a decimal", "a=1.5", {"a": 1.5}, "RFC 9651 §3.3.2"),
        ("a string", r'a="x \"y\" \\"', {"a": 'x "y" \\'}, "RFC 9651 §3.3.3"),
        ("an empty string", 'a=""', {"a": ""}, "RFC 9651 §3.3.3"),
        ("a token", "a=x/y:z", {"a": Token("x/y:z")}, "RFC 9651 §3.3.4"),
        ("a byte sequence", "a=:eHk=:", {"a": b":eHk=:"}, "RFC 9651 §3.3.5"),
        ("false", "a=?0", {"a": False}, "RFC 9651 §3.3.6"),
        ("true", "a=?1", {"a": True}, "RFC 9651 §3.3.6"),
        ("a date", "a=@784111777", {"a": None}, "RFC 9651 §3.3.7"),
        ("a display string", 'a=%"f%c3%bc"', {"a": None}, "RFC 9651 §3.3.8"),
        ("an inner list", 'a=(1 "x";y  z);p=1', {"a": None}, "RFC 9651 §3.1.1"),
        ("an empty inner list", "a=( )", {"a": None}, "RFC 9651 §3.1.1"),
        ("several", "a=1,b , \tc=x", {"a": 1, "b": True, "c": Token("x")}, "RFC 9651 §4.2.2"),
        ("the last of two", "a=1, b, a=2", {"a": 2, "b": True}, "RFC 9651 §4.2.2"),
        ("parameters", "a;x=1; y, b=2;z", {"a": True, "b": 2}, "RFC 9651 §3.1.2"),
        ("odd keys", "*a.b-c_d=1", {"*a.b-c_d": 1}, "RFC 9651 §3.1.2"),
    ),
)
def test_dictionary(text: str, expected: dict[str, Bare | None]) -> None:
    found = dictionary(text)
    assert found == expected
    assert {key: type(value) for key, value in (found or {}).items()} == {
        key: type(value) for key, value in expected.items()
    }


@pytest.mark.parametrize(
    "text",
    rows(
        ("an upper-case key", "Max-Age=1", "RFC 9651 §3.1.2"),
        ("a key of digits", "1=1", "RFC 9651 §3.1.2"),
        ("no key", "=1", "RFC 9651 §4.2.3.3"),
        ("no value", "a=", "RFC 9651 §4.2.3.1"),
        ("a comma at the end", "a,", "RFC 9651 §4.2.2"),
        ("a comma at the start", ",a", "RFC 9651 §4.2.2"),
        ("two commas", "a,,b", "RFC 9651 §4.2.2"),
        ("no comma", "a b", "RFC 9651 §4.2.2"),
        ("a blank before =", "a =1", "RFC 9651 §4.2.2"),
        ("a blank behind =", "a= 1", "RFC 9651 §4.2.3.1"),
        ("a blank before ;", "a ;b", "RFC 9651 §4.2.3.2"),
        ("16 digits", "a=" + "9" * 16, "RFC 9651 §4.2.4"),
        ("a plus sign", "a=+1", "RFC 9651 §4.2.3.1"),
        ("a minus alone", "a=-", "RFC 9651 §4.2.4"),
        ("a point at the end", "a=1.", "RFC 9651 §4.2.4"),
        ("four digits behind the point", "a=1.2345", "RFC 9651 §4.2.4"),
        ("13 digits before the point", "a=1234567890123.5", "RFC 9651 §4.2.4"),
        ("two points", "a=1.2.3", "RFC 9651 §4.2.4"),
        ("a number with a unit", "a=60s", "RFC 9651 §4.2.2"),
        ("digits of another script", "a=٦", "RFC 9651 §4.2.4"),
        ("an open string", 'a="x', "RFC 9651 §4.2.5"),
        ("an escape that is none", r'a="\x"', "RFC 9651 §4.2.5"),
        ("a string beyond ASCII", 'a="é"', "RFC 9651 §4.2.5"),
        ("a tab in a string", 'a="\t"', "RFC 9651 §4.2.5"),
        ("single quotes", "a='x'", "RFC 9651 §4.2.3.1"),
        ("an open byte sequence", "a=:eHk=", "RFC 9651 §4.2.7"),
        ("a boolean of 2", "a=?2", "RFC 9651 §4.2.8"),
        ("a date with a point", "a=@1.5", "RFC 9651 §4.2.9"),
        ("a display string in upper case", 'a=%"%C3%BC"', "RFC 9651 §4.2.10"),
        ("a display string that is no UTF-8", 'a=%"%c3"', "RFC 9651 §4.2.10"),
        ("an open inner list", "a=(1", "RFC 9651 §4.2.1.2"),
        ("an inner list without blanks", 'a=("x""y")', "RFC 9651 §4.2.1.2"),
        ("an inner list in another", "a=((1))", "RFC 9651 §4.2.1.2"),
        ("a parameter without a name", "a;=1", "RFC 9651 §4.2.3.2"),
        ("a tab in front", "\ta", "RFC 9651 §4.2"),
        ("junk at the end", "a=1, &&&&&", "RFC 9651 §4.2.2"),
        ("a line end", "a\n", "RFC 9651 §4.2.2"),
    ),
)
def test_what_is_no_dictionary(text: str) -> None:
    assert dictionary(text) is None


def test_as_many_members_as_the_rfc_wants_and_not_for_ever_more() -> None:
    """RFC 9651 §3.2, §3.1.1, §3.1.2."""
    assert len(dictionary(", ".join(f"k{n}=x;p" for n in range(1024))) or {}) == 1024
    assert dictionary("a=(" + " ".join(["1"] * 256) + ")" + ";p=1" * 256) is not None
    assert dictionary(",".join(["a"] * 10_000)) is None


KEYS = st.from_regex(r"[a-z*][a-z0-9_\-.*]{0,5}", fullmatch=True)
VALUES = (
    st.just(("?1", True))
    | st.just(("?0", False))
    | st.integers(-(10**15) + 1, 10**15 - 1).map(lambda n: (str(n), n))
    | st.from_regex(r"[A-Za-z*][A-Za-z0-9:/]{0,5}", fullmatch=True).map(lambda t: (t, Token(t)))
    | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8).map(
        lambda t: ('"' + t.replace("\\", r"\\").replace('"', r"\"") + '"', t)
    )
)


@steady
@given(st.dictionaries(KEYS, VALUES, max_size=5), st.sampled_from([",", ", ", " ,\t"]))
def test_what_is_written_is_read(members: dict[str, tuple[str, Bare]], comma: str) -> None:
    text = comma.join(f"{key}={written}" for key, (written, _) in members.items())
    assert dictionary(text) == {key: value for key, (_, value) in members.items()}


@steady
@given(st.text('ab1=,;"\\()?:@%*-. \t', max_size=30) | st.text(max_size=30))
def test_nothing_raises(text: str) -> None:
    found = dictionary(text)
    assert found is None or text.isascii()


@pytest.mark.parametrize(
    "unit", ["a,", "a=(", "a=(1 ", 'a="', 'a="\\', "a;", "a ", " ", "1", "a=1", "a=:", 'a=%"']
)
def test_a_hostile_field_costs_no_more_than_its_length(unit: str) -> None:
    text = (unit * 32768)[:32768]
    begun = time.process_time()
    dictionary(text)
    dictionary("a=" + text)
    assert time.process_time() - begun < 0.25
