"""What makes two requests one object."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.key import (
    CacheKey,
    KeyPolicy,
    Pick,
    Selection,
    accept_encoding,
    cache_key,
    selected_cookies,
    selected_query,
    variant,
    vary_names,
)
from edgeproxy.core.message import Headers, Request
from edgeproxy.core.paths import key_path, normalise, object_key
from tests.core.conftest import rows, steady

NONE, ALL = Selection(Pick.NONE), Selection(Pick.ALL)


def only(*names: str) -> Selection:
    return Selection(Pick.ONLY, frozenset(names))


def but(*names: str) -> Selection:
    return Selection(Pick.EXCEPT, frozenset(names))


def test_the_ways_to_choose_have_the_words_of_the_configuration() -> None:
    """CloudFront, Cache key settings."""
    assert [pick.value for pick in Pick] == ["none", "all", "whitelist", "all_except"]


@pytest.mark.parametrize(
    ("selection", "expected"),
    rows(
        ("none", NONE, [False, False, False], "CloudFront, Cache key settings"),
        ("all", ALL, [True, True, True], "CloudFront, Cache key settings"),
        ("whitelist", only("a"), [True, False, False], "CloudFront, Cache key settings"),
        ("all but", but("a"), [False, True, True], "CloudFront, Cache key settings"),
        ("an empty whitelist", only(), [False, False, False], "CloudFront, Cache key settings"),
        ("all but none", but(), [True, True, True], "CloudFront, Cache key settings"),
        ("a star is a name", only("*"), [False, False, False], "CloudFront, Cache key settings"),
    ),
)
def test_selection(selection: Selection, expected: list[bool]) -> None:
    assert [selection.takes(name) for name in ("a", "A", "")] == expected


QUERY = "b=2&a=1&A=3&&c&a=4&=5&d;e=6&%61=7&"


@pytest.mark.parametrize(
    ("query", "selection", "expected"),
    rows(
        ("none", QUERY, NONE, "", "CloudFront, Query string parameters"),
        ("all, as it came", QUERY, ALL, QUERY, "CloudFront, Query string parameters"),
        ("repeats stay in order", QUERY, only("a"), "a=1&a=4", "CloudFront, Query string parameters"),
        (
            "order is the viewer's",
            QUERY,
            only("a", "b"),
            "b=2&a=1&a=4",
            "CloudFront, Query string parameters",
        ),
        ("case matters", QUERY, only("A"), "A=3", "CloudFront, Query string parameters"),
        ("no =", QUERY, only("c"), "c", "CloudFront, Query string parameters"),
        ("no name", QUERY, only(""), "=5", "CloudFront, Query string parameters"),
        ("a semicolon is a character", QUERY, only("d;e"), "d;e=6", "CloudFront, Query string parameters"),
        ("names are not decoded", QUERY, only("%61"), "%61=7", "CloudFront, Query string parameters"),
        ("all but", QUERY, but("a", "b", "c"), "A=3&=5&d;e=6&%61=7", "CloudFront, Query string parameters"),
        ("a name that is not there", QUERY, only("z"), "", "CloudFront, Query string parameters"),
        ("empty", "", but("a"), "", "CloudFront, Query string parameters"),
        ("ampersands alone", "&&", but("a"), "", "CloudFront, Query string parameters"),
        ("= in a value", "a=1=2", only("a"), "a=1=2", "CloudFront, Query string parameters"),
    ),
)
def test_selected_query(query: str, selection: Selection, expected: str) -> None:
    assert selected_query(query, selection) == expected


@pytest.mark.parametrize(
    ("lines", "selection", "expected"),
    rows(
        ("none", ["a=1"], NONE, "", "CloudFront, Caching content based on cookies"),
        ("absent", [], ALL, "", "CloudFront, Caching content based on cookies"),
        ("sorted by name", ["b=2; a=1"], ALL, "a=1; b=2", "CloudFront, Caching content based on cookies"),
        ("by name, not by value", ["a=2; ab=1; a=1"], ALL, "a=2; a=1; ab=1", "RFC 6265 §4.2.2"),
        ("several lines", ["b=2", "a=1"], ALL, "a=1; b=2", "RFC 9113 §8.2.3"),
        ("case matters", ["A=1; a=2"], only("a"), "a=2", "CloudFront, Caching content based on cookies"),
        ("all but", ["a=1; b=2; c=3"], but("b"), "a=1; c=3", "CloudFront, Caching content based on cookies"),
        ("= in a value", ["a=b=c=="], only("a"), "a=b=c==", "RFC 6265 §5.2"),
        ("an empty value", ["a="], ALL, "a=", "RFC 6265 §5.2"),
        ("quotes are part of it", ['a="x y"'], ALL, 'a="x y"', "RFC 6265 §4.1.1"),
        ("and hide no semicolon", ['a="x;b=2"'], ALL, 'a="x; b=2"', "RFC 6265 §5.2"),
        ("blanks around", ["  a=1 ;b=2;"], ALL, "a=1; b=2", "RFC 6265 §5.2"),
        ("no =", ["a; b=2"], ALL, "b=2", "CloudFront, Caching content based on cookies"),
        ("$ is dropped", ["$Version=1; a=1"], ALL, "a=1", "CloudFront, Caching content based on cookies"),
        ("a comma is part of a value", ["a=1,b=2"], only("a"), "a=1,b=2", "RFC 6265 §5.2"),
        ("a star is a name", ["a=1; *=2"], only("*"), "*=2", "CloudFront, Cache key settings"),
    ),
)
def test_selected_cookies(lines: list[str], selection: Selection, expected: str) -> None:
    assert selected_cookies(Headers(("Cookie", line) for line in lines), selection) == expected


@pytest.mark.parametrize(
    ("value", "both", "gzip", "brotli"),
    rows(
        ("both", "gzip, br", "br,gzip", "gzip", "br", "CloudFront, Compression support"),
        (
            "in any order and case",
            "BR,deflate, GZip",
            "br,gzip",
            "gzip",
            "br",
            "CloudFront, Compression support",
        ),
        ("gzip", "gzip", "gzip", "gzip", "identity", "CloudFront, Compression support"),
        ("br", "br", "br", "identity", "br", "CloudFront, Compression support"),
        ("others", "deflate, zstd", "identity", "identity", "identity", "CloudFront, Compression support"),
        ("absent", None, None, None, None, "CloudFront, Compression support"),
        ("empty", "", "identity", "identity", "identity", "RFC 9110 §12.5.3"),
        ("identity", "identity", "identity", "identity", "identity", "RFC 9110 §12.5.3"),
        (
            "a star is not documented",
            "*",
            "identity",
            "identity",
            "identity",
            "CloudFront, Compression support",
        ),
        ("weights", "br;q=0.1, gzip;q=1.0", "br,gzip", "gzip", "br", "RFC 9110 §12.4.2"),
        ("weight 0", "br;q=0, gzip", "gzip", "gzip", "identity", "RFC 9110 §12.4.2"),
        ("weight 0.000", "br ; Q=0.000 , gzip;q=0.001", "gzip", "gzip", "identity", "RFC 9110 §12.4.2"),
        ("weight 0 and a point", "br;q=0., gzip", "gzip", "gzip", "identity", "RFC 9110 §12.4.2"),
        ("tabs", "br\t;\tq=0\t,\tgzip", "gzip", "gzip", "identity", "RFC 9110 §5.6.3"),
        ("a longer name is another", "xgzip, brx", "identity", "identity", "identity", "RFC 9110 §8.4.1"),
    ),
)
def test_accept_encoding(value: str | None, both: str | None, gzip: str | None, brotli: str | None) -> None:
    headers = Headers([("Accept-Encoding", value)] if value is not None else [])
    assert accept_encoding(headers, KeyPolicy(gzip=True, brotli=True)) == both
    assert accept_encoding(headers, KeyPolicy(gzip=True)) == gzip
    assert accept_encoding(headers, KeyPolicy(brotli=True)) == brotli


REQUEST = Request(
    "GET",
    "/a",
    "b=1&c=2",
    Headers([("X-A", "1"), ("Cookie", "e=1; d=2"), ("Accept-Encoding", "gzip"), ("X-A", "2")]),
    host="Example.com",
)


@pytest.mark.parametrize(
    ("request_", "policy", "expected"),
    rows(
        ("method and path", REQUEST, KeyPolicy(), CacheKey("GET", "/a"), "RFC 9111 §2"),
        (
            "HEAD shares with GET",
            Request("HEAD", "/a"),
            KeyPolicy(),
            CacheKey("GET", "/a"),
            "CloudFront, Cache key",
        ),
        (
            "OPTIONS has its own",
            Request("OPTIONS", "/a"),
            KeyPolicy(),
            CacheKey("OPTIONS", "/a"),
            "CloudFront, Cache key settings",
        ),
        (
            "query",
            REQUEST,
            KeyPolicy(query=only("c")),
            CacheKey("GET", "/a", "c=2"),
            "CloudFront, Cache key settings",
        ),
        (
            "cookies",
            REQUEST,
            KeyPolicy(cookies=ALL),
            CacheKey("GET", "/a", cookies="d=2; e=1"),
            "CloudFront, Cache key settings",
        ),
        (
            "headers, sorted, the lines of one joined, absence told apart",
            REQUEST,
            KeyPolicy(headers=only("x-b", "x-a")),
            CacheKey("GET", "/a", headers=(("x-a", "1, 2"), ("x-b", None))),
            "CloudFront, Cache key settings",
        ),
        (
            "the viewer's host",
            REQUEST,
            KeyPolicy(headers=only("host")),
            CacheKey("GET", "/a", headers=(("host", "Example.com"),)),
            "CloudFront, Cache key settings",
        ),
        (
            "codings",
            REQUEST,
            KeyPolicy(gzip=True, brotli=True),
            CacheKey("GET", "/a", headers=(("accept-encoding", "gzip"),)),
            "CloudFront, Compression support",
        ),
        (
            "identity is as good as nothing said",
            Request("GET", "/a", headers=Headers([("Accept-Encoding", "zstd")])),
            KeyPolicy(gzip=True),
            CacheKey("GET", "/a", headers=(("accept-encoding", None),)),
            "CloudFront, Compression support",
        ),
        (
            "a field of one connection is not forwarded, and does not count",
            Request("GET", "/a", headers=Headers([("Origin", "o"), ("Connection", "Origin"), ("TE", "t")])),
            KeyPolicy(headers=only("origin", "te")),
            CacheKey("GET", "/a", headers=(("origin", None), ("te", None))),
            "RFC 9110 §7.6.1",
        ),
        (
            "what the origin gets in any case counts in any case",
            Request(
                "GET", "/a", headers=Headers([("Connection", "accept-encoding"), ("Accept-Encoding", "br")])
            ),
            KeyPolicy(headers=only("accept-encoding")),
            CacheKey("GET", "/a", headers=(("accept-encoding", "br"),)),
            "RFC 9110 §7.6.1",
        ),
    ),
)
def test_cache_key(request_: Request, policy: KeyPolicy, expected: CacheKey) -> None:
    assert cache_key(request_, policy) == expected


@pytest.mark.parametrize(
    ("key", "text"),
    rows(
        ("path", CacheKey("GET", "/a"), "GET /a", "our choice"),
        ("query", CacheKey("GET", "/a", "b=1"), "GET /a?b=1", "our choice"),
        (
            "headers; cookies are secret",
            CacheKey("GET", "/a", headers=(("x", "1"), ("y", None)), cookies="s=1"),
            "GET /a x=1 y=- +cookies",
            "our choice",
        ),
    ),
)
def test_a_key_tells_itself(key: CacheKey, text: str) -> None:
    assert str(key) == text


# Spellings of one and the same piece of a path.  RFC 3986 §6.2.2.
SPELLINGS: tuple[tuple[str, ...], ...] = (
    ("/",),
    ("a", "%61"),
    ("~", "%7E", "%7e"),
    ("é", "%C3%A9", "%c3%a9"),
    ('"', "%22"),
)
SPELLINGS += (("%2B", "%2b"), ("+",), ("%25",), ("|", "%7C", "%7c"), ("\udcff", "%FF", "%ff"))
TWO_SPELLINGS = st.lists(
    st.sampled_from(SPELLINGS).flatmap(
        lambda piece: st.tuples(st.sampled_from(piece), st.sampled_from(piece))
    )
)


@steady
@given(TWO_SPELLINGS)
def test_two_spellings_of_a_path_have_one_key(pieces: list[tuple[str, str]]) -> None:
    paths = ["/" + "".join(piece[which] for piece in pieces) for which in (0, 1)]
    one, other = (cache_key(Request("GET", normalise(path)), KeyPolicy()) for path in paths)
    assert one == other


@steady
@given(st.binary(max_size=12), st.binary(max_size=12))
def test_different_objects_have_different_keys(one: bytes, other: bytes) -> None:
    one, other = one.replace(b"\0", b""), other.replace(b"\0", b"")
    paths = [normalise(key_path(name), allow_ambiguous=True) for name in (one, other)]
    assert [object_key(path) for path in paths] == [one, other]
    keys = [cache_key(Request("GET", path), KeyPolicy()) for path in paths]
    assert (keys[0] == keys[1]) is (one == other)


@pytest.mark.parametrize(
    ("lines", "names"),
    rows(
        ("absent", [], (), "RFC 9110 §12.5.5"),
        ("empty", [""], (), "RFC 9110 §5.6.1"),
        (
            "lower case and sorted",
            ["Origin, ACCEPT-Encoding"],
            ("accept-encoding", "origin"),
            "RFC 9110 §12.5.5",
        ),
        ("repeats", ["a, A,a", "b, a"], ("a", "b"), "RFC 9110 §12.5.5"),
        ("empty members", [", ,a,"], ("a",), "RFC 9110 §5.6.1"),
        ("a star", ["*"], ("*",), "RFC 9110 §12.5.5"),
        ("a star among others", ["Origin, *"], ("*", "origin"), "RFC 9110 §12.5.5"),
        ("two names without a comma", ["Origin Accept"], ("*",), "the stricter reading"),
        ("a semicolon", ["Origin; Accept, X"], ("*", "x"), "the stricter reading"),
        ("quotes", ['"Origin"'], ("*",), "the stricter reading"),
        ("names beyond ASCII", ["Örigin"], ("*",), "the stricter reading"),
    ),
)
def test_vary_names(lines: list[str], names: tuple[str, ...]) -> None:
    assert vary_names(Headers(("Vary", line) for line in lines)) == names


NAMES = st.sampled_from(["a", "B", "x-c", "*", "", " ", "a b", "é"])
SENT = st.lists(
    st.tuples(st.sampled_from(["a", "A", "b", "X-C"]), st.sampled_from(["1", "2", ""])), max_size=4
)


@steady
@given(st.lists(NAMES, max_size=5), st.randoms(use_true_random=False))
def test_the_spelling_of_vary_does_not_matter(names: list[str], random: Random) -> None:
    """RFC 9110 §5.3, §5.6.1: case, order, repeats, lines, empty members."""
    others = [random.choice([name.upper(), name.lower(), f" {name}\t"]) for name in names * 2]
    random.shuffle(others)
    lines = [("Vary", ",".join(others[:3])), ("vary", ",".join(others[3:]))]
    assert vary_names(Headers([("Vary", ",".join(names))])) == vary_names(Headers(lines))


@steady
@given(st.lists(NAMES, max_size=5), SENT, SENT)
def test_a_variant_fits_those_who_sent_the_same(
    names: list[str], one: list[tuple[str, str]], other: list[tuple[str, str]]
) -> None:
    """RFC 9111 §4.1."""
    listed = vary_names(Headers([("Vary", ",".join(names))]))
    same = all(Headers(one).get(name) == Headers(other).get(name) for name in listed)
    assert (variant(listed, Headers(one)) == variant(listed, Headers(other))) is same


QUERIES = st.lists(st.sampled_from(["a=1", "a=2", "b=1", "c", ""]), max_size=4).map("&".join)
COOKIES = st.lists(st.sampled_from(["a=1", "a=2", "b=1", "c=1"]), max_size=3).map("; ".join)


@steady
@given(QUERIES, QUERIES, COOKIES, COOKIES, SENT, SENT)
def test_what_is_not_in_the_key_splits_nothing_and_what_is_in_it_does(
    query: str,
    other_query: str,
    cookie: str,
    other_cookie: str,
    fields: list[tuple[str, str]],
    other_fields: list[tuple[str, str]],
) -> None:
    """What the policy takes of two requests is the same, or they are two objects."""
    policy = KeyPolicy(
        query=Selection(Pick.ONLY, frozenset({"a"})),
        headers=Selection(Pick.ONLY, frozenset({"a"})),
        cookies=Selection(Pick.EXCEPT, frozenset({"b", "c"})),
    )

    def taken(query: str, cookie: str, fields: list[tuple[str, str]]) -> tuple[object, ...]:
        pairs = [pair for pair in query.split("&") if pair.startswith("a=")]
        crumbs = [crumb for crumb in cookie.split("; ") if crumb.startswith("a=")]
        return pairs, crumbs, Headers(fields).get("a")

    one, other = (
        (query, cookie, fields),
        (other_query, other_cookie, other_fields),
    )
    keys = [
        cache_key(Request("GET", "/x", q, Headers([*f, ("Cookie", c)])), policy) for q, c, f in (one, other)
    ]
    assert (keys[0] == keys[1]) is (taken(*one) == taken(*other))


def test_variant_has_the_values_of_the_request_that_was_sent() -> None:
    """RFC 9111 §4.1: absent matches absent only."""
    sent = Headers([("X", "1"), ("Y", ""), ("x", "2")])
    assert variant(("x", "y", "z"), sent) == ("1, 2", "", None)
    assert variant((), sent) == ()
