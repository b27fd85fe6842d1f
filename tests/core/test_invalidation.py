"""What an invalidation covers."""

from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgeproxy.core.invalidation import (
    Invalidation,
    Reach,
    by_unsafe_method,
    cache_tags,
    invalidation,
    of_object,
)
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.paths import normalise
from tests.core.conftest import rows, steady

DOC = "CloudFront, Specify objects to invalidate"


@pytest.mark.parametrize(
    ("text", "path", "query", "expected"),
    rows(
        ("the path", "/a.jpg", "/a.jpg", "", True, DOC),
        ("another path", "/a.jpg", "/b.jpg", "", False, DOC),
        ("case matters", "/a.jpg", "/A.jpg", "", False, DOC),
        ("a folder is not its contents", "/images/", "/images/a.jpg", "", False, DOC),
        ("a path without its query", "/a.jpg", "/a.jpg", "w=1", False, DOC),
        ("a path with its query", "/a.jpg?w=1", "/a.jpg", "w=1", True, DOC),
        ("a star takes queries along", "/a.jpg*", "/a.jpg", "w=1", True, DOC),
        ("a star in a query", "/a.jpg?w=*", "/a.jpg", "w=12", True, DOC),
        ("contents", "/images/*", "/images/x/a.jpg", "", True, DOC),
        ("contents are not the siblings", "/images/*", "/images2/a.jpg", "", False, DOC),
        ("siblings", "/images*", "/images2/a.jpg", "", True, DOC),
        ("everything", "/*", "/anything", "x", True, DOC),
        ("a star in the middle is itself", "/a*b", "/axb", "", False, DOC),
        ("another spelling", "/%7ea", "/~a", "", True, "RFC 3986 §6.2.2"),
    ),
)
def test_covers(text: str, path: str, query: str, expected: bool) -> None:
    assert invalidation(text).covers(CacheKey("GET", path, query), frozenset()) is expected


@pytest.mark.parametrize(
    ("text", "expected"), [("/*", True), ("/", False), ("/?*", False), ("/a*", False), ("#/", False)]
)
def test_everything(text: str, expected: bool) -> None:
    assert invalidation(text).is_of_all is expected


@pytest.mark.parametrize(
    ("key", "prefix", "path", "query", "expected"),
    rows(
        ("the path", "a/b.jpg", "", "/a/b.jpg", "", True, "S3 keys"),
        ("any query", "a/b.jpg", "", "/a/b.jpg", "versionId=1", True, "S3 keys"),
        ("another path", "a/b.jpg", "", "/a/b", "", False, "S3 keys"),
        ("no prefix", "a/b", "", "/a/b.jpg", "", False, "S3 keys"),
        ("case matters", "a/b.jpg", "", "/a/B.jpg", "", False, "S3 keys"),
        ("a blank", "a b", "", "/a%20b", "", True, "RFC 3986 §2.1"),
        ("not escaped", "a(1)+b", "", "/a(1)+b", "", True, "RFC 3986 §2.2"),
        ("escaped", "a(1)+b", "", "/a%281%29%2Bb", "", True, "RFC 3986 §2.2"),
        ("half of it escaped", "a(1)+b", "", "/a%281)+b", "", True, "RFC 3986 §2.2"),
        ("an escaped slash", "a/b", "", "/a%2Fb", "", True, "RFC 3986 §2.2"),
        ("decoded once", "a%20b", "", "/a%20b", "", False, "RFC 3986 §2.4"),
        ("a percent sign", "a%20b", "", "/a%2520b", "", True, "RFC 3986 §2.4"),
        ("below the origin path", "site/a", "/site", "/a", "", True, "CloudFront, OriginPath"),
        (
            "an origin path that is escaped",
            "the site/a",
            "/the%20site",
            "/a",
            "",
            True,
            "CloudFront, OriginPath",
        ),
        ("two slashes", "/a", "", "//a", "", True, "S3 keys"),
    ),
)
def test_an_object_goes_under_all_its_spellings(
    key: str, prefix: str, path: str, query: str, expected: bool
) -> None:
    one = of_object(key.encode(), prefix)
    assert one is not None
    assert one.covers(CacheKey("GET", path, query), frozenset()) is expected


@pytest.mark.parametrize("key", ["site", "a", "sites/a"])
def test_no_path_leads_to_what_is_not_below_the_origin_path(key: str) -> None:
    assert of_object(key.encode(), "/site") is None


@steady
@given(st.binary(min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_whatever_spelling_a_viewer_takes(key: bytes, random: Random) -> None:
    raw = frozenset(b"ABab01-._~!$&'()*+,;=:@/")
    path = "/" + "".join(chr(b) if b in raw and random.random() < 0.5 else f"%{b:02x}" for b in key)
    assume(b"\0" not in key)
    one = of_object(key)
    assert one is not None
    assert one.covers(CacheKey("GET", normalise(path, allow_ambiguous=True)), frozenset())


def test_tags_are_compared_without_case() -> None:
    tags = cache_tags(Head(200, Headers([("Cache-Tag", "News, Front Page"), ("Surrogate-Key", "a B")])))
    assert tags == {"news", "front page", "a", "b"}
    assert invalidation("#NEWS").covers(CacheKey("GET", "/x"), tags)
    assert not invalidation("#new").covers(CacheKey("GET", "/x"), tags)


@pytest.mark.parametrize("text", ["", "a.jpg", "#", "*", "http://a/b", "/100%", "/" + "a" * 4000])
def test_what_is_no_path_is_told_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^path: got .*, (want|but) [^\n]*$"):
        invalidation(text)


@pytest.mark.parametrize(
    ("method", "status", "fields", "expected"),
    rows(
        ("a write", "POST", 200, {}, ["/a"], "RFC 9111 §4.4"),
        ("a write that failed", "POST", 400, {}, [], "RFC 9111 §4.4"),
        ("a read", "GET", 200, {}, [], "RFC 9111 §4.4"),
        (
            "where it went",
            "POST",
            201,
            {"Location": "/b", "Content-Location": "/c"},
            ["/a", "/b", "/c"],
            "RFC 9111 §4.4",
        ),
        ("on this host", "PUT", 204, {"Location": "http://edge.test/b"}, ["/a", "/b"], "RFC 9111 §4.4"),
        ("on another host", "PUT", 204, {"Location": "http://other.test/b"}, ["/a"], "RFC 9111 §4.4"),
        ("nowhere", "DELETE", 303, {"Location": "http://[/b"}, ["/a"], "our choice"),
    ),
)
def test_by_unsafe_method(method: str, status: int, fields: dict[str, str], expected: list[str]) -> None:
    request = Request(method, "/a", host="edge.test")
    found = by_unsafe_method(request, status, Headers(fields.items()))
    assert found == tuple(Invalidation(Reach.PATH, path) for path in expected)
