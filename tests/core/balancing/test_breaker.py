"""A node that fails again and again is left alone for a while, then tried with one request."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.balancing.breaker import Breaker, Ejection, Outcome, Phase, let_through, settled
from tests.core.conftest import rows, steady

RULE = Ejection(failures=3, base_s=10, cap_s=35, forgiven_after_s=60)
OK, FAILED, ABANDONED = Outcome.OK, Outcome.FAILED, Outcome.ABANDONED


def after(*outcomes: Outcome, start: Breaker = Breaker(), at: float = 0.0) -> Breaker:
    """Requests that are sent and end at `at`, one after the other."""
    for outcome in outcomes:
        start = settled(let_through(start, at), outcome, at, at, RULE)
    return start


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    rows(
        ("nothing happened", [], Phase.CLOSED, "Envoy, consecutive 5xx"),
        ("too few", [FAILED] * 2, Phase.CLOSED, "Envoy, consecutive 5xx"),
        ("enough", [FAILED] * 3, Phase.OPEN, "Envoy, consecutive 5xx"),
        ("a success between", [FAILED, FAILED, OK, FAILED, FAILED], Phase.CLOSED, "Envoy, consecutive 5xx"),
        ("nobody waited", [FAILED, FAILED, ABANDONED], Phase.CLOSED, "our choice"),
        ("which is no success", [FAILED, FAILED, ABANDONED, FAILED], Phase.OPEN, "our choice"),
    ),
)
def test_consecutive_failures_eject(outcomes: list[Outcome], expected: Phase) -> None:
    assert after(*outcomes).phase(0.0) is expected


def test_the_ejection_ends_with_one_request_that_decides() -> None:
    ejected = after(FAILED, FAILED, FAILED)
    assert [ejected.phase(now) for now in (0, 9.9, 10)] == [Phase.OPEN, Phase.OPEN, Phase.HALF_OPEN]
    assert not let_through(ejected, 9.9).is_probed
    probed = let_through(ejected, 10)
    assert probed.is_probed
    assert settled(probed, OK, 10, 11, RULE).phase(11) is Phase.CLOSED
    assert settled(probed, FAILED, 10, 11, RULE).phase(11) is Phase.OPEN
    assert settled(probed, ABANDONED, 10, 11, RULE) == ejected


def test_each_ejection_is_longer_up_to_the_cap() -> None:
    breaker, now, lasted = after(FAILED, FAILED, FAILED), 0.0, []
    for _ in range(4):
        assert breaker.until is not None
        lasted.append(breaker.until - now)
        now = breaker.until
        breaker = after(FAILED, start=breaker, at=now)
    assert lasted == [10, 20, 35, 35]


def test_a_node_that_stays_well_is_forgiven_one_ejection_at_a_time() -> None:
    breaker = Breaker(ejections=2, changed_at=100)
    assert after(OK, start=breaker, at=159).ejections == 2
    breaker = after(OK, start=breaker, at=160)
    assert breaker.ejections == 1
    assert after(OK, start=breaker, at=200).ejections == 1
    assert after(OK, start=breaker, at=220).ejections == 0
    assert after(OK, start=after(FAILED, start=breaker, at=219), at=220).ejections == 0


def test_what_was_sent_before_a_change_says_nothing() -> None:
    hung = [settled(Breaker(), FAILED, 0, 5, RULE)]
    for _ in range(20):
        hung.append(settled(hung[-1], FAILED, 0, 5, RULE))
    assert hung[-1].ejections == 1
    assert settled(hung[-1], OK, 4.9, 5.1, RULE) == hung[-1]
    probed = let_through(hung[-1], 15)
    assert settled(probed, FAILED, 4, 16, RULE) == probed
    back = settled(probed, OK, 15, 16, RULE)
    assert settled(back, FAILED, 4, 17, RULE) == back


@steady
@given(st.lists(st.tuples(st.sampled_from(Outcome), st.floats(0, 30), st.floats(0, 100)), max_size=25))
def test_whatever_comes_the_breaker_keeps_its_bounds(events: list[tuple[Outcome, float, float]]) -> None:
    breaker, now = Breaker(), 0.0
    for outcome, took, gap in events:
        now += gap
        breaker = settled(let_through(breaker, now), outcome, now, now + took, RULE)
        now += took
        assert 0 <= breaker.failures < RULE.failures
        assert breaker.ejections >= 0
        assert breaker.until is None or breaker.until - breaker.changed_at <= RULE.cap_s + 1e-6
        assert breaker.phase(inf) is not Phase.OPEN
