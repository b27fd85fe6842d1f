"""Which origin next, and when to try again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.failover import FAILOVER_METHODS, FAILOVER_STATUSES, Attempt, backoff_s, fails_over
from edgeproxy.core.reason import Reason
from tests.core.conftest import rows, steady

GROUP = "CloudFront, Origin failover"


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    rows(
        ("a listed status", "GET", 404, True, GROUP),
        ("HEAD", "HEAD", 404, True, GROUP),
        ("OPTIONS", "OPTIONS", 404, True, GROUP),
        ("never a POST", "POST", 404, False, GROUP),
        ("nor a PUT", "PUT", 404, False, GROUP),
        ("nor a PATCH", "PATCH", 404, False, GROUP),
        ("nor a DELETE", "DELETE", 404, False, GROUP),
        ("a status that is not listed", "GET", 500, False, GROUP),
        ("a success", "GET", 200, False, GROUP),
        ("a redirection", "GET", 301, False, GROUP),
    ),
)
def test_fails_over(method: str, status: int, expected: bool) -> None:
    assert fails_over(method, status, frozenset({403, 404})) is expected


def test_what_may_be_listed() -> None:
    assert {400, 403, 404, 416, 429, 500, 502, 503, 504} == FAILOVER_STATUSES
    assert {"GET", "HEAD", "OPTIONS"} == FAILOVER_METHODS


def test_an_attempt_tells_its_status_or_its_fault() -> None:
    assert str(Attempt("bucket", 404)) == "bucket=404"
    assert str(Attempt("bucket", 504, Reason.ORIGIN_TIMEOUT)) == "bucket=origin-timeout"


@pytest.mark.parametrize(
    ("failures", "random", "seconds"),
    rows(
        ("the first, at most", 1, 1.0, 2.0, "full jitter"),
        ("the first, at least", 1, 0.0, 0.2, "full jitter"),
        ("in the middle", 1, 0.5, 1.1, "full jitter"),
        ("it doubles", 2, 1.0, 4.0, "exponential"),
        ("and again", 4, 1.0, 16.0, "exponential"),
        ("up to the cap", 5, 1.0, 20.0, "exponential"),
        ("and no further", 10_000, 1.0, 20.0, "exponential"),
    ),
)
def test_backoff(failures: int, random: float, seconds: float) -> None:
    assert backoff_s(failures, 2.0, 20.0, lambda: random) == pytest.approx(seconds)


@steady
@given(
    st.integers(1, 10**6),
    st.floats(0.001, 60),
    st.floats(0.001, 3600),
    st.floats(0, 1, exclude_max=True),
)
def test_backoff_is_above_0_and_within_the_cap(failures: int, base: float, cap: float, random: float) -> None:
    assert 0 < backoff_s(failures, base, cap, lambda: random) <= cap
