"""Keys as CloudFront wants them in an invalidation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.lambdas.invalidation_paths import MAX_PATHS, MAX_WILDCARDS, batches, invalidation_paths


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a.jpg", "/a.jpg"),
        ("a b/ü.jpg", "/a%20b/%C3%BC.jpg"),
        ("my+photo(1)&x=1,2;@:!$'.jpg", "/my+photo(1)&x=1,2;@:!$'.jpg"),
        ("100%.jpg", "/100%25.jpg"),
        ("a#b?c.jpg", "/a%23b%3Fc.jpg"),
        ('a[1]{2}|\\^`"<>', "/a%5B1%5D%7B2%7D%7C%5C%5E%60%22%3C%3E"),
        # Neither way of writing "~" invalidates anything (aws/aws-sdk#525).
        ("home/~me/a.jpg", "/home/*"),
        ("~", "/*"),
        ("a*b/c", "/a*"),
        ("a*", "/a*"),
    ],
)
def test_a_key_as_a_path(key: str, path: str) -> None:
    assert invalidation_paths(key.encode()) == (path,)


def test_a_key_that_is_no_text() -> None:
    assert invalidation_paths(b"\xff.jpg") == ("/%FF.jpg",)


def test_what_the_viewer_does_not_see_of_a_key() -> None:
    assert invalidation_paths(b"production/a", origin_path="/production") == ("/a",)
    assert invalidation_paths(b"productions/a", origin_path="/production") == ()
    assert invalidation_paths(b"a", origin_path="/production") == ()
    assert invalidation_paths("our site/ü/a".encode(), origin_path="/our%20site/%C3%BC") == ("/a",)


def test_other_addresses_of_the_same_object() -> None:
    assert invalidation_paths(b"index.html", default_root_object="index.html") == ("/index.html", "/")
    assert invalidation_paths(b"a/index.html", default_root_object="index.html") == ("/a/index.html",)
    assert invalidation_paths(b"a.jpg", any_query=True) == ("/a.jpg*",)
    root = invalidation_paths(b"index.html", default_root_object="index.html", any_query=True)
    assert root == ("/index.html*", "/", "/?*")


def test_portions_that_cloudfront_takes() -> None:
    assert batches([]) == []
    assert batches(["/b", "/a", "/b"]) == [("/a", "/b")]
    assert batches(["/a/b", "/a/*", "/a/c/*", "/b"]) == [("/a/*", "/b")]
    sizes = [len(portion) for portion in batches(f"/{n}" for n in range(2 * MAX_PATHS + 1))]
    assert sizes == [MAX_PATHS, MAX_PATHS, 1]
    assert [len(portion) for portion in batches(f"/{n:02}/*" for n in range(MAX_WILDCARDS + 1))] == [
        MAX_WILDCARDS,
        1,
    ]


@given(st.lists(st.binary(min_size=1)))
def test_every_path_is_one_that_cloudfront_reads(keys: list[bytes]) -> None:
    for portion in batches(path for key in keys for path in invalidation_paths(key)):
        for path in portion:
            assert path.startswith("/")
            assert path.isascii()
            assert path.isprintable()
            assert not set(path) & set(' ~"<>#?')
            assert "*" not in path[:-1]
