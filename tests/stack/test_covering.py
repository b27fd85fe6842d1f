"""Patterns beside each other; `core.paths.Pattern` says what they match."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.paths import Pattern
from edgeproxy.stack.covering import meet, within


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("/a", "/a"),
        ("a", "/a"),
        ("/a/*", "*"),
        ("*", "/*"),
        ("/*", "*"),
        ("/a/b/*", "/a/*"),
        ("/a?", "/a*"),
        ("/a/*.jpg", "*.jpg"),
        ("/a*b*c", "/a*c"),
        ("/*?", "/?*"),
        ("/**", "/*"),
    ],
)
def test_within(inner: str, outer: str) -> None:
    assert within(inner, outer)


@pytest.mark.parametrize(
    ("inner", "outer"), [("/*", "/a"), ("/a", "/A"), ("/a*", "/a?"), ("*.jpg", "/a/*"), ("/a", "/a?")]
)
def test_not_within(inner: str, outer: str) -> None:
    assert not within(inner, outer)


@pytest.mark.parametrize(
    ("one", "other", "does"),
    [
        ("/a/*", "/b/*", False),
        ("/a/*", "*.jpg", True),
        ("/a?", "/?b", True),
        ("/a?", "/b?", False),
        ("/a", "/a/*", False),
        ("*.jpg", "*.png", False),
    ],
)
def test_meet(one: str, other: str, does: bool) -> None:
    assert meet(one, other) is meet(other, one) is does


patterns = st.text("ab*?/", max_size=6).map(lambda text: f"/{text}") | st.just("*") | st.just("*a")
paths = st.text("ab/", max_size=7).map(lambda text: f"/{text}")


@given(patterns, patterns, paths)
def test_what_matches_agrees(one: str, other: str, path: str) -> None:
    by_one, by_other = Pattern(one).matches(path), Pattern(other).matches(path)
    assert not (by_one and by_other) or meet(one, other)
    assert not (by_one and not by_other) or not within(one, other)
