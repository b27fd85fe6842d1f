"""What most answers take."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.balancing.quantiles import Durations, noted
from tests.core.conftest import steady


def of(*took_s: float, now: float = 0.0, start: Durations = Durations()) -> Durations:
    for took in took_s:
        start = noted(start, took, now)
    return start


def test_without_answers_there_is_none() -> None:
    assert Durations().quantile_s(0.95) is None
    assert Durations().weight(0.0) == 0


def test_the_slowest_of_a_hundred() -> None:
    durations = of(*[0.010] * 94, *[0.5] * 6)
    assert durations.quantile_s(0.5) == pytest.approx(0.010, rel=0.1)
    assert durations.quantile_s(0.94) == pytest.approx(0.010, rel=0.1)
    assert durations.quantile_s(0.95) == pytest.approx(0.5, rel=0.1)


def test_the_old_counts_less() -> None:
    durations = of(*[1.0] * 100)
    assert durations.weight(60.0) == pytest.approx(100 * exp(-1))
    durations = of(*[0.01] * 100, now=300.0, start=durations)
    assert durations.quantile_s(0.95) == pytest.approx(0.01, rel=0.1)


def test_weeks_do_not_overflow() -> None:
    durations = Durations()
    for day in range(30):
        durations = of(*[0.01] * 10, now=86_400.0 * day, start=durations)
    assert durations.weight(86_400.0 * 29) == pytest.approx(10)
    assert durations.quantile_s(0.95) == pytest.approx(0.01, rel=0.1)


@steady
@given(st.lists(st.floats(0.0001, 100), min_size=1, max_size=40), st.floats(0.01, 1))
def test_a_quantile_is_the_true_one_or_a_tenth_above(took_s: list[float], share: float) -> None:
    truth = sorted(took_s)[max(0, -int(-share * len(took_s) // 1) - 1)]
    found = of(*took_s).quantile_s(share)
    assert found is not None
    assert truth * 0.999 <= found <= truth * 1.101


@steady
@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 100)), min_size=1, max_size=30))
def test_its_size_is_bounded_and_its_weight_is_what_came(events: list[tuple[float, float]]) -> None:
    durations, now = Durations(), 0.0
    for took_s, gap_s in events:
        now += gap_s
        durations = noted(durations, took_s, now)
    assert len(durations.counts) == len(Durations().counts)
    assert 1 - 1e-6 <= durations.weight(now) <= len(events) * (1 + 1e-6)
