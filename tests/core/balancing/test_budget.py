"""How many requests may be sent twice, and after how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.balancing.budget import Allowance, Budget, Hedging, earned, hedge_after_s, opened, spent
from edgeproxy.core.balancing.quantiles import Durations, noted
from edgeproxy.core.reason import Reason
from tests.core.conftest import rows, steady

ALLOWANCE = Allowance(share=0.2, per_s=1.0, most=50.0)
FULL = "Finagle, retry budget"


@pytest.mark.parametrize(
    ("budget", "now", "expected"),
    rows(
        ("a token", Budget(1.0, 0.0), 0.0, Budget(0.0, 0.0), FULL),
        ("not quite a token", Budget(0.9, 0.0), 0.0, Reason.RETRY_BUDGET, FULL),
        ("but time brings some", Budget(0.9, 0.0), 0.5, Budget(0.4, 0.5), FULL),
        ("never more than it holds", Budget(49.0, 0.0), 1e6, Budget(49.0, 1e6), FULL),
        ("a clock that stands", Budget(2.0, 5.0), 4.0, Budget(1.0, 4.0), FULL),
    ),
)
def test_spent(budget: Budget, now: float, expected: Budget | Reason) -> None:
    outcome = spent(budget, now, ALLOWANCE)
    if isinstance(outcome, Budget) and isinstance(expected, Budget):
        assert (outcome.tokens, outcome.at) == (pytest.approx(expected.tokens), expected.at)
    else:
        assert outcome is expected


def test_it_starts_with_a_tenth() -> None:
    assert opened(3.0, ALLOWANCE) == Budget(5.0, 3.0)


@steady
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 0.1)), max_size=60))
def test_no_more_is_sent_twice_than_the_share(events: list[tuple[bool, float]]) -> None:
    budget, now, again = opened(0.0, ALLOWANCE), 0.0, 0
    for requests, (fails, gap_s) in enumerate(events, start=1):
        now += gap_s
        budget = earned(budget, now, ALLOWANCE)
        while fails and not isinstance(after := spent(budget, now, ALLOWANCE), Reason):
            budget, again = after, again + 1
        assert 0 <= budget.tokens <= ALLOWANCE.most
        assert again <= ALLOWANCE.most / 10 + ALLOWANCE.share * requests + ALLOWANCE.per_s * now + 1e-6


def test_a_second_node_is_asked_when_the_first_is_slower_than_most() -> None:
    durations = Durations()
    for _ in range(19):
        durations = noted(durations, 0.010, 0.0)
    assert hedge_after_s(durations, 0.0, Hedging()) is None
    durations = noted(durations, 1.0, 0.0)
    assert hedge_after_s(durations, 0.0, Hedging()) == pytest.approx(0.010, rel=0.1)
    assert hedge_after_s(durations, 0.0, Hedging(quantile=0.99)) == pytest.approx(1.0, rel=0.1)
    assert hedge_after_s(durations, 0.0, Hedging(at_least_s=0.05)) == 0.05
    assert hedge_after_s(durations, 600.0, Hedging()) is None
