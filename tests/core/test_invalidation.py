"""What an invalidation covers."""

import pytest

from edgeproxy.core.invalidation import Invalidation, Reach, by_unsafe_method, cache_tags, invalidation
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers, Request
from tests.core.conftest import rows

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
