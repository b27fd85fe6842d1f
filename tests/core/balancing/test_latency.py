"""Up at once, down slowly."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.balancing.latency import UNKNOWN, Latency, answered, failed, left
from tests.core.conftest import rows, steady

DECAY_S, CAP_S = 5.0, 3.0
PEAK = "Finagle, peak EWMA"
seconds = st.floats(0.0001, 100)


@pytest.mark.parametrize(
    ("before", "took_s", "now", "expected"),
    rows(
        ("the first answer", UNKNOWN, 0.2, 7.0, 0.2, PEAK),
        ("a slow one: up at once", Latency(0.1, 7.0), 2.0, 7.0, 2.0, PEAK),
        ("a fast one at the same time", Latency(2.0, 7.0), 0.1, 7.0, 2.0, PEAK),
        ("a fast one later: on the way", Latency(2.0, 7.0), 1.0, 12.0, 1 + exp(-1), PEAK),
        ("long after: all the way", Latency(2.0, 7.0), 1.0, 1e6, 1.0, PEAK),
    ),
)
def test_answered(before: Latency, took_s: float, now: float, expected: float) -> None:
    assert answered(before, took_s, now, DECAY_S) == Latency(pytest.approx(expected), now)


@pytest.mark.parametrize(
    ("before", "took_s", "expected"),
    rows(
        ("a node's first answer", UNKNOWN, 0.001, CAP_S, "our choice"),
        ("fast, but ten times as slow as expected", Latency(0.1, 7.0), 0.001, 1.0, "our choice"),
        ("again", Latency(1.0, 7.0), 0.001, CAP_S, "our choice"),
        ("slower than all that", Latency(0.1, 7.0), 9.0, 9.0, "our choice"),
    ),
)
def test_failed(before: Latency, took_s: float, expected: float) -> None:
    assert failed(before, took_s, 7.0, DECAY_S, CAP_S) == Latency(expected, 7.0)


@pytest.mark.parametrize(
    ("before", "took_s", "expected"),
    rows(
        ("nothing is known", UNKNOWN, 9.0, UNKNOWN, "no answer"),
        ("left before an answer was due", Latency(0.1, 7.0), 0.05, Latency(0.1, 7.0), "no answer"),
        ("waited longer than expected", Latency(0.1, 7.0), 0.5, Latency(0.5, 7.0), "a lower bound"),
    ),
)
def test_left(before: Latency, took_s: float, expected: Latency) -> None:
    assert left(before, took_s, 7.0, DECAY_S) == expected


def test_a_node_that_is_not_asked_is_forgotten() -> None:
    assert UNKNOWN.expected_s(0.0, DECAY_S) is None
    latency = Latency(2.0, 7.0)
    assert latency.expected_s(7.0, DECAY_S) == 2.0
    assert latency.expected_s(12.0, DECAY_S) == pytest.approx(2 * exp(-1))
    assert latency.expected_s(1e9, DECAY_S) == 0.0


@steady
@given(st.lists(st.tuples(seconds, seconds), min_size=1, max_size=15))
def test_it_stays_between_the_last_and_the_slowest(samples: list[tuple[float, float]]) -> None:
    latency, now = UNKNOWN, 0.0
    for took_s, gap_s in samples:
        now += gap_s
        latency = answered(latency, took_s, now, DECAY_S)
        assert latency.peak_s is not None
        assert took_s * (1 - 1e-9) <= latency.peak_s <= max(took for took, _ in samples) * (1 + 1e-9)


@steady
@given(seconds, seconds, seconds)
def test_a_failure_never_counts_less_than_an_answer(before_s: float, took_s: float, gap_s: float) -> None:
    before = Latency(before_s, 0.0)
    well, ill = answered(before, took_s, gap_s, DECAY_S), failed(before, took_s, gap_s, DECAY_S, CAP_S)
    assert well.peak_s is not None
    assert ill.peak_s is not None
    assert ill.peak_s >= well.peak_s * (1 - 1e-9)
