"""When stale is better than nothing, or than waiting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.freshness import TtlPolicy
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.staleness import as_wanted, on_failure, while_revalidating
from edgeproxy.core.storing import CachePolicy, Stored
from tests.core.conftest import rows, steady

NOW = 784_111_777.0
CLOUD = CachePolicy(TtlPolicy(0, 60, 1_000))
RFC = CachePolicy(TtlPolicy(0, 0, 1_000))
DOC = "CloudFront, Managing how long content stays"


def stored(control: str) -> Stored:
    """Fresh for 60 seconds from NOW."""
    return Stored(Head(200, Headers([("Cache-Control", control)])), 60, 0, NOW)


@pytest.mark.parametrize(
    ("control", "after_s", "expected"),
    rows(
        ("within the window", "stale-while-revalidate=30", 80, True, "RFC 5861 §3"),
        ("at its end", "stale-while-revalidate=30", 90, False, "RFC 5861 §3"),
        ("without the directive", "max-age=60", 61, False, "RFC 5861 §3"),
        ("no longer than the max TTL", "stale-while-revalidate=9999", 1_061, False, DOC),
        ("must-revalidate", "stale-while-revalidate=30, must-revalidate", 61, False, "RFC 9111 §5.2.2.2"),
        ("no-cache", "stale-while-revalidate=30, no-cache", 61, False, "RFC 9111 §5.2.2.4"),
    ),
)
def test_while_revalidating(control: str, after_s: float, expected: bool) -> None:
    assert while_revalidating(stored(control), CLOUD, NOW + after_s) is expected


@pytest.mark.parametrize(
    ("control", "after_s", "policy", "expected"),
    rows(
        ("nothing said", "max-age=60", 900, CLOUD, True, DOC),
        ("nothing said, past the max TTL", "max-age=60", 1_001, CLOUD, False, DOC),
        ("nothing said, the origin has the word", "max-age=60", 61, RFC, False, "RFC 9111 §4.2.4"),
        ("within the window", "stale-if-error=30", 80, RFC, True, "RFC 5861 §4"),
        ("past the window", "stale-if-error=30", 91, CLOUD, False, "RFC 5861 §4"),
        ("a window of 0", "stale-if-error=0", 61, CLOUD, False, DOC),
        ("must-revalidate", "stale-if-error=30, must-revalidate", 61, CLOUD, False, "RFC 9111 §5.2.2.2"),
        ("proxy-revalidate", "stale-if-error=30, proxy-revalidate", 61, CLOUD, False, "RFC 9111 §5.2.2.8"),
    ),
)
def test_on_failure(control: str, after_s: float, policy: CachePolicy, expected: bool) -> None:
    assert on_failure(stored(control), policy, NOW + after_s) is expected


@pytest.mark.parametrize(
    ("control", "after_s", "wanted_s", "expected"),
    rows(
        ("within what is wanted", "max-age=60", 90, 30, True, "RFC 9111 §5.2.1.2"),
        ("beyond", "max-age=60", 91, 30, False, "RFC 9111 §5.2.1.2"),
        ("no longer than the max TTL", "max-age=60", 1_061, 9_999, False, DOC),
        ("must-revalidate", "must-revalidate", 61, 30, False, "RFC 9111 §5.2.2.2"),
        ("proxy-revalidate", "proxy-revalidate", 61, 30, False, "RFC 9111 §5.2.2.8"),
        ("s-maxage", "s-maxage=60", 61, 30, False, "RFC 9111 §5.2.2.10"),
        ("no-cache", "no-cache", 61, 30, False, "RFC 9111 §5.2.2.4"),
    ),
)
def test_as_wanted(control: str, after_s: float, wanted_s: int, expected: bool) -> None:
    assert as_wanted(stored(control), RFC, NOW + after_s, wanted_s) is expected
    if after_s < 1_000:
        assert on_failure(stored(control), RFC, NOW + after_s, wanted_s) is expected


def test_a_viewers_window_adds_to_the_origins() -> None:
    """RFC 5861 §4."""
    assert on_failure(stored("stale-if-error=10"), RFC, NOW + 80, 30)
    assert on_failure(stored("stale-if-error=30, s-maxage=60"), RFC, NOW + 80, 0)
    assert not on_failure(stored("stale-if-error=10"), RFC, NOW + 80, 15)


@steady
@given(st.integers(0, 5_000), st.integers(0, 5_000))
def test_nothing_is_served_stale_past_its_window(window: int, after_s: int) -> None:
    found = stored(f"stale-if-error={window}, stale-while-revalidate={window}")
    if on_failure(found, RFC, NOW + after_s) or while_revalidating(found, RFC, NOW + after_s):
        assert after_s <= 60 + window
