"""What becomes of a node's state when something happens to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.balancing.breaker import Ejection, Outcome, Phase
from edgeproxy.core.balancing.health import Verdict
from edgeproxy.core.balancing.nodes import Node, NodeState, Ping, Rules, begun, ended, finished, pinged, sent
from tests.core.conftest import steady

RULES = Rules(ejection=Ejection(failures=2))
STATE = NodeState(Node("a"))


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_a_weight_is_above_0(weight: float) -> None:
    with pytest.raises(ValueError, match="a: weight"):
        Node("a", weight)


def test_requests_in_flight_are_known_by_when_they_were_sent() -> None:
    state = sent(sent(sent(STATE, 1.0), 2.0), 2.0)
    assert (state.in_flight, state.pending) == (3, (1.0, 2.0, 2.0))
    state = ended(state, 2.0, Outcome.OK, 2.5, RULES)
    assert state.pending == (1.0, 2.0)
    assert state.latency.peak_s == 0.5
    state = ended(state, 1.0, Outcome.ABANDONED, 4.0, RULES)
    assert state.pending == (2.0,)
    assert state.latency.peak_s == 3.0


def test_failures_reach_the_latency_and_the_breaker() -> None:
    state = STATE
    for _ in range(2):
        state = ended(sent(state, 1.0), 1.0, Outcome.FAILED, 1.1, RULES)
    assert state.latency.peak_s == RULES.failure_s
    assert state.breaker.phase(1.1) is Phase.OPEN
    assert state.in_flight == 0


def test_a_ping_tells_health_and_head() -> None:
    state = pinged(STATE, Ping(1.0, 0.02, 900), RULES)
    assert (state.health.verdict, state.head, state.ping) == (Verdict.UP, 900, Ping(1.0, 0.02, 900))
    state = pinged(state, Ping(2.0, None), RULES)
    assert (state.health.verdict, state.head, state.ping) == (Verdict.UP, 900, Ping(2.0, None))
    for at in (3.0, 4.0):
        state = pinged(state, Ping(at, None), RULES)
    assert state.health.verdict is Verdict.DOWN


def test_a_ping_closes_no_breaker() -> None:
    state = STATE
    for _ in range(2):
        state = ended(sent(state, 1.0), 1.0, Outcome.FAILED, 1.1, RULES)
    assert pinged(state, Ping(2.0, 0.01), RULES).breaker == state.breaker


@steady
@given(st.lists(st.tuples(st.sampled_from(Outcome), st.integers(0, 9), st.integers(0, 5)), max_size=20))
def test_what_was_sent_and_has_ended_is_not_in_flight(events: list[tuple[Outcome, int, int]]) -> None:
    state, now, open_ = STATE, 0.0, list[float]()
    for outcome, place, gap in events:
        now += gap
        state, open_ = sent(state, now), [*open_, now]
        if place < len(open_):
            state = ended(state, open_.pop(place), outcome, now, RULES)
        assert state.pending == tuple(open_)


def test_it_is_the_head_that_is_waited_for_and_the_body_that_is_in_flight() -> None:
    state = begun(sent(STATE, 1.0), 1.0, 1.5, RULES)
    assert (state.pending, state.in_flight, state.latency.peak_s) == ((), 1, 0.5)
    state = finished(state, 1.0, Outcome.OK, 900.0, RULES)
    assert (state.in_flight, state.latency.peak_s) == (0, 0.5)


def test_bodies_that_are_cut_eject_a_node_whose_heads_are_well() -> None:
    state = STATE
    for at in (1.0, 2.0):
        state = begun(sent(state, at), at, at + 0.1, RULES)
        state = finished(state, at, Outcome.FAILED, at + 0.2, RULES)
    assert state.breaker.phase(2.2) is Phase.OPEN
    assert state.in_flight == 0


def test_a_stream_that_never_ends_brings_a_node_back_by_its_head() -> None:
    state = STATE
    for _ in range(2):
        state = ended(sent(state, 1.0), 1.0, Outcome.FAILED, 1.1, RULES)
    state = begun(sent(state, 9.0), 9.0, 9.1, RULES)
    assert state.breaker.phase(9.1) is Phase.CLOSED
    assert finished(state, 9.0, Outcome.ABANDONED, 99.0, RULES).breaker == state.breaker
