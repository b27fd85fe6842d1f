"""What checks have found: it outlives the process, and is trusted for a while."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.balancing.findings import (
    UNREADABLE,
    Finding,
    added,
    finding_of,
    is_fresh,
    known,
    max_age_s,
    text_of,
)
from edgeproxy.core.balancing.health import Health, Thresholds, Verdict
from edgeproxy.core.balancing.nodes import Duty, Node, NodeState, Ping, sent
from tests.core.conftest import rows, steady

THRESHOLDS = Thresholds(fall=3, rise=2)
finite = st.floats(allow_nan=False, allow_infinity=False)
findings = st.builds(
    Finding,
    node=st.text(),
    at=finite,
    took_s=st.none() | finite,
    head=st.none() | st.integers(0, 2**63 - 1),
    health=st.builds(Health, st.sampled_from(Verdict), st.integers(0, 100), finite),
    why=st.text(),
    by=st.text(),
)


def after(checks: str) -> Finding:
    """After checks each second: `+` passed, `-` failed."""
    found: Finding | None = None
    for number, check in enumerate(checks):
        ping = Ping(7.0, 0.1, number) if check == "+" else Ping(7.0, None, why="it answered 500")
        found = added(found, "api/a", ping, 1000.0 + number, "me", THRESHOLDS)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("checks", "verdict", "head"),
    rows(
        ("the first decides", "-", Verdict.DOWN, None, "health.checked"),
        ("two failures are too few", "+--", Verdict.UP, 0, "health.checked"),
        ("three are enough, and the head stays", "++---", Verdict.DOWN, 1, "health.checked"),
        ("one success is too few", "+---+", Verdict.DOWN, 4, "health.checked"),
        ("two are enough", "+---++", Verdict.UP, 5, "health.checked"),
    ),
)
def test_added(checks: str, verdict: Verdict, head: int | None) -> None:
    found = after(checks)
    assert (found.health.verdict, found.head) == (verdict, head)
    assert found.at == 1000.0 + len(checks) - 1
    assert (found.took_s is None, found.why) == (
        (True, "it answered 500") if checks.endswith("-") else (False, "")
    )


def test_what_came_before_and_cannot_be_trusted_decides_nothing() -> None:
    assert added(None, "api/a", Ping(7.0, 0.1), 2000.0, "me", THRESHOLDS).health.verdict is Verdict.UP


@pytest.mark.parametrize(
    ("age_s", "expected"),
    rows(
        ("just now", 0.0, True, "max_age_s"),
        ("two were missed", 17.0, True, "max_age_s"),
        ("three", 17.1, False, "max_age_s"),
        ("a clock that is a little ahead", -60.0, True, "MAX_SKEW_S"),
        ("one that is wrong", -61.0, False, "MAX_SKEW_S"),
    ),
)
def test_is_fresh(age_s: float, expected: bool) -> None:
    assert is_fresh(Finding("a", 1000.0, 0.1), 1000.0 + age_s, max_age_s(5.0, 2.0)) is expected


def test_what_others_found_counts_as_found_here() -> None:
    state = sent(NodeState(Node("a"), duty=Duty.DRAINED), 40.0)
    down = Finding("api/a", 1000.0, None, 7, Health(Verdict.DOWN, 1, 990.0), "it answered 500", "canary")
    found = known(state, down, -950.0)
    assert found.health == Health(Verdict.DOWN, 1, 40.0)
    assert (found.ping, found.head) == (Ping(50.0, None, 7, "it answered 500"), 7)
    # What requests have shown stays.
    assert (found.duty, found.pending, found.breaker) == (state.duty, state.pending, state.breaker)
    up = known(found, Finding("api/a", 1010.0, 0.5, 8, Health(Verdict.UP, 0, 1005.0)), -950.0)
    assert (up.ping, up.health.verdict) == (Ping(60.5, 0.5, 8), Verdict.UP)
    # A finding that is too old is none: a node is not down for ever because nobody checks any more.
    assert known(found, None, -950.0) == state


@steady
@given(findings)
def test_the_text_says_all(finding: Finding) -> None:
    assert finding_of(text_of(finding)) == finding


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        "[]",
        '"x"',
        text_of(Finding("a", 1.0, None)).replace("new", "odd"),
        "{",
        "\xff",
        text_of(Finding("a", float("nan"), None)),
        text_of(Finding("a", 1.0, float("inf"))),
        text_of(Finding("api/a", 1.0, 0.1)).replace('"head": null', '"head": 1e999'),
    ],
)
def test_a_text_of_others_is_told_apart(text: str) -> None:
    with pytest.raises(UNREADABLE):
        finding_of(text)
