"""Headers, requests and response heads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.message import Head, Headers, Request, field_text
from tests.core.conftest import rows, steady

NAMES = st.text("AaBbXx-9", min_size=1, max_size=4)
PAIRS = st.lists(st.tuples(NAMES, st.text("ab, ;=", max_size=6)), max_size=6)


@pytest.mark.parametrize(
    ("value", "text"),
    rows(
        ("ASCII", b"a b", "a b", "RFC 9110 §5.5"),
        ("empty", b"", "", "RFC 9110 §5.5"),
        ("UTF-8", "é€".encode(), "é€", "RFC 9110 §5.5"),
        ("ISO-8859-1", b"\xe9", "é", "RFC 9110 §5.5"),
        ("a mixture is taken for the latter", b"\xe9 \xc3\xa9", "é Ã©", "RFC 9110 §5.5"),
        ("UTF-8 that is overlong is none", b"\xc0\xaf", "À¯", "RFC 3629 §3"),
    ),
)
def test_field_text(value: bytes, text: str) -> None:
    assert field_text(value) == text


@pytest.mark.parametrize(
    ("pairs", "expected"),
    rows(
        ("absent", [("A", "1")], None, "RFC 9110 §5.3"),
        ("one line", [("Vary", "Origin")], "Origin", "RFC 9110 §5.3"),
        ("names without case", [("vARY", "Origin")], "Origin", "RFC 9110 §5.1"),
        ("lines are joined in order", [("Vary", "a"), ("X", "-"), ("vary", "b")], "a, b", "RFC 9110 §5.3"),
        ("an empty value is there", [("Vary", "")], "", "RFC 9110 §5.5"),
        ("an empty line counts in a join", [("Vary", ""), ("Vary", "b")], ", b", "RFC 9110 §5.6.1"),
    ),
)
def test_get_joins_the_lines_of_a_field(pairs: list[tuple[str, str]], expected: str | None) -> None:
    headers = Headers(pairs)
    assert headers.get("vary") == expected
    assert headers.get("vary") == expected, "the second look-up comes from the index"
    assert ("vary" in headers) == (expected is not None)


def test_all_keeps_lines_apart() -> None:
    """A Set-Cookie cannot be joined.  RFC 9110 §5.3."""
    headers = Headers([("Set-Cookie", "a=1, b"), ("X", "-"), ("set-cookie", "c=2")])
    assert headers.all("set-cookie") == ("a=1, b", "c=2")
    assert headers.all("cookie") == ()


def test_having_replaces_every_line_and_keeps_the_others_in_order() -> None:
    headers = Headers([("Age", "1"), ("X", "-"), ("AGE", "2"), ("Y", "-")])
    assert headers.having(("age", "3"), ("Z", "-")) == Headers(
        [("X", "-"), ("Y", "-"), ("age", "3"), ("Z", "-")]
    )
    assert headers.having() == headers


def test_without_drops_names_of_any_case() -> None:
    assert Headers([("Age", "1"), ("X", "-"), ("AGE", "2")]).without({"age"}) == Headers([("X", "-")])


HOP_BY_HOP_PAIRS = [
    ("Connection", "close"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Authenticate", "Basic"),
    ("Proxy-Authorization", "Basic eDp5"),
    ("Proxy-Connection", "close"),
    ("TE", "trailers"),
    ("Trailer", "X"),
    ("Transfer-Encoding", "chunked"),
    ("Upgrade", "h2c"),
    ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
]


@pytest.mark.parametrize("pair", HOP_BY_HOP_PAIRS, ids=[name for name, _ in HOP_BY_HOP_PAIRS])
def test_a_field_of_one_connection_is_not_end_to_end(pair: tuple[str, str]) -> None:
    """RFC 9110 §7.6.1."""
    assert Headers([pair, ("X", "-")]).end_to_end() == Headers([("X", "-")])


ODD = [("X-Odd", "1"), ("Close", "2"), ("Cache-Control", "no-store"), ("Vary", "Origin")]


@pytest.mark.parametrize(
    ("connection", "left"),
    rows(
        ("none", [], ODD, "RFC 9110 §7.6.1"),
        ("a field", ["x-odd"], ODD[1:], "RFC 9110 §7.6.1"),
        ("odd case, blanks, empty members", [" , X-ODD\t,, close"], ODD[2:], "RFC 9110 §5.6.1"),
        ("several lines", ["close", "x-odd"], ODD[2:], "RFC 9110 §5.3"),
        ("a name that is not there", ["x-other"], ODD, "RFC 9110 §7.6.1"),
        ("nonsense", ['"x-odd', "", "x odd", "\x00"], ODD, "RFC 9110 §5.6.2"),
        ("fields for everybody stay", ["cache-control, VARY"], ODD, "RFC 9110 §7.6.1, RFC 9111 §5.2"),
    ),
)
def test_what_connection_lists_is_not_end_to_end(connection: list[str], left: list[tuple[str, str]]) -> None:
    listed = [("Connection", value) for value in connection]
    assert Headers([*listed[:1], *ODD, *listed[1:]]).end_to_end() == Headers(left)


@pytest.mark.parametrize(
    "name",
    "accept-encoding age authorization cache-control content-encoding content-length content-range"
    " content-type cookie date etag expires host last-modified vary".split(),
)
def test_connection_cannot_take_away_what_is_for_everybody(name: str) -> None:
    """RFC 9110 §7.6.1: a sender must not list such a field, so one that does is not obeyed."""
    assert Headers([("Connection", f"close, {name}"), (name, "1")]).end_to_end() == Headers([(name, "1")])


@steady
@given(PAIRS)
def test_pairs_survive_the_round_trip(pairs: list[tuple[str, str]]) -> None:
    headers = Headers(iter(pairs))
    assert list(headers) == pairs
    assert len(headers) == len(pairs)
    assert Headers(headers) == headers
    assert hash(Headers(headers)) == hash(headers)
    assert headers.without(()) == headers


@steady
@given(PAIRS)
def test_get_is_the_join_of_all(pairs: list[tuple[str, str]]) -> None:
    headers = Headers(pairs)
    for name, _ in pairs:
        assert headers.get(name.lower()) == ", ".join(headers.all(name.lower()))


@steady
@given(PAIRS)
def test_end_to_end_twice_is_once(pairs: list[tuple[str, str]]) -> None:
    once = Headers([("Connection", "a"), *pairs]).end_to_end()
    assert once.end_to_end() == once
    assert "a" not in once


def test_order_and_case_of_names_make_other_headers() -> None:
    assert Headers([("A", "1"), ("B", "2")]) != Headers([("B", "2"), ("A", "1")])
    assert Headers([("A", "1")]) != Headers([("a", "1")])
    assert Headers() != ()


def test_repr_hides_secrets() -> None:
    pairs = [
        ("Authorization", "s1"),
        ("Proxy-Authorization", "s2"),
        ("COOKIE", "s3"),
        ("Set-Cookie", "s4"),
        ("X-Amz-Security-Token", "s5"),
        ("Range", "bytes=0-1"),
    ]
    assert repr(Headers(pairs)) == (
        "Headers(Authorization: ***, Proxy-Authorization: ***, COOKIE: ***, Set-Cookie: ***,"
        " X-Amz-Security-Token: ***, Range: bytes=0-1)"
    )


@pytest.mark.parametrize(
    ("request_", "target"),
    rows(
        ("without a query", Request("GET", "/a"), "/a", "RFC 9112 §3.2.1"),
        ("with a query", Request("GET", "/a", "b=1&&c"), "/a?b=1&&c", "RFC 9112 §3.2.1"),
        ("an empty query is none", Request("GET", "/a", ""), "/a", "our choice"),
    ),
)
def test_target_is_path_and_query(request_: Request, target: str) -> None:
    assert request_.target == target


@pytest.mark.parametrize(
    ("values", "length"),
    rows(
        ("absent", [], None, "RFC 9110 §8.6"),
        ("zero", ["0"], 0, "RFC 9110 §8.6"),
        ("a number", ["1024"], 1024, "RFC 9110 §8.6"),
        ("leading zeros", ["007"], 7, "RFC 9110 §8.6"),
        ("the largest", ["9" * 19], 10**19 - 1, "RFC 9110 §8.6"),
        ("too large", ["9" * 20], None, "RFC 9110 §8.6"),
        ("more digits than int takes", ["9" * 5000], None, "RFC 9110 §8.6"),
        ("empty", [""], None, "RFC 9110 §8.6"),
        ("negative", ["-1"], None, "RFC 9110 §8.6"),
        ("signed", ["+1"], None, "RFC 9110 §8.6"),
        ("hexadecimal", ["0x10"], None, "RFC 9110 §8.6"),
        ("digits of another script", ["١"], None, "RFC 9110 §8.6"),
        ("superscript", ["²"], None, "RFC 9110 §8.6"),
        ("two lines", ["5", "5"], None, "RFC 9110 §8.6"),
    ),
)
def test_length_is_a_number_or_none(values: list[str], length: int | None) -> None:
    assert Head(200, Headers(("Content-Length", value) for value in values)).length == length
