"""Checks in a row change the verdict; a head may lag so far."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.balancing.health import Health, Thresholds, Verdict, best_head, checked, is_lagging
from tests.core.conftest import rows, steady

THRESHOLDS = Thresholds(fall=3, rise=2)
CHECK = "HAProxy, fall and rise"
NEW, UP, DOWN = Verdict.NEW, Verdict.UP, Verdict.DOWN


@pytest.mark.parametrize(
    ("checks", "verdict", "since"),
    rows(
        ("no check yet", "", NEW, 0, CHECK),
        ("the first decides: up", "+", UP, 1, CHECK),
        ("the first decides: down", "-", DOWN, 1, CHECK),
        ("two failures are too few", "+--", UP, 1, CHECK),
        ("three are enough", "+---", DOWN, 4, CHECK),
        ("in a row", "+--+--", UP, 1, CHECK),
        ("one success is too few", "-+", DOWN, 1, CHECK),
        ("two are enough", "-++", UP, 3, CHECK),
        ("these too in a row", "-+-+", DOWN, 1, CHECK),
        ("a node that flaps stays where it is", "+-+-+-+-+-", UP, 1, CHECK),
        ("also below", "-+-+-+-+-+", DOWN, 1, CHECK),
    ),
)
def test_checked(checks: str, verdict: Verdict, since: float) -> None:
    health = Health()
    for number, check in enumerate(checks, start=1):
        health = checked(health, check == "+", float(number), THRESHOLDS)
    assert (health.verdict, health.since) == (verdict, since)


@steady
@given(st.lists(st.booleans()), st.integers(1, 5), st.integers(1, 5))
def test_a_verdict_changes_only_after_enough_in_a_row(checks: list[bool], fall: int, rise: int) -> None:
    health, row = Health(), 0
    for number, has_passed in enumerate(checks):
        row = row + 1 if number and checks[number - 1] == has_passed else 1
        before = health
        health = checked(health, has_passed, number, Thresholds(fall, rise))
        if health.verdict is not before.verdict and before.verdict is not NEW:
            assert row >= (rise if has_passed else fall)


@pytest.mark.parametrize(
    ("head", "best", "max_lag", "expected"),
    rows(
        ("it is the best", 100, 100, 3, False, "at most k behind"),
        ("just within", 97, 100, 3, False, "at most k behind"),
        ("just outside", 96, 100, 3, True, "at most k behind"),
        ("no lag allowed", 99, 100, 0, True, "at most k behind"),
        ("does not matter", 1, 100, None, False, "off"),
        ("not known of this one", None, 100, 3, False, "trusted"),
        ("not known of any", None, None, 3, False, "trusted"),
    ),
)
def test_is_lagging(head: int | None, best: int | None, max_lag: int | None, expected: bool) -> None:
    assert is_lagging(head, best, max_lag) is expected


WITNESS = "a second node bears it out"


@pytest.mark.parametrize(
    ("heads", "max_lag", "expected"),
    rows(
        ("none is known", [None], 3, None, "none"),
        ("one", [None, 7], 3, 7, "alone"),
        ("the highest", [None, 103, 107, None, 105], 3, 107, WITNESS),
        ("one that is wrongly high", [10**9, 105, 103, 104], 3, 105, WITNESS),
        ("two, each on its own chain", [10**9, 10**8, 105, 103], 3, 105, WITNESS),
        ("a lagging one is no witness", [107, 50, 106], 3, 107, WITNESS),
        ("no two are near each other", [10**9, 105, 50], 3, 105, "at most one is wrong"),
        ("of two the higher", [107, 50], 3, 107, "lagging is more common"),
        ("no lag allowed", [107, 106, 106], 0, 106, WITNESS),
    ),
)
def test_best_head(heads: list[int | None], max_lag: int | None, expected: int | None) -> None:
    assert best_head(heads, max_lag) == expected


HEADS = st.lists(st.none() | st.integers(0, 1000), min_size=1)


@steady
@given(HEADS, st.none() | st.integers(0, 1000))
def test_never_do_all_lag(heads: list[int | None], max_lag: int | None) -> None:
    best = best_head(heads, max_lag)
    assert not is_lagging(best, best, max_lag)
    assert not all(is_lagging(head, best, max_lag) for head in heads)


@steady
@given(st.integers(0, 1000), st.integers(2, 6), st.integers(0, 50), st.integers(0, 10**9), st.data())
def test_one_wrong_head_makes_no_other_lag(
    newest: int, others: int, max_lag: int, wrong: int, data: st.DataObject
) -> None:
    heads = [newest + data.draw(st.integers(0, max_lag)) for _ in range(others)]
    best = best_head([*heads, wrong], max_lag)
    assert not any(is_lagging(head, best, max_lag) for head in heads)
