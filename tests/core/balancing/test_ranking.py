"""In which order the fit nodes are tried: one table, and one suite of properties for all algorithms."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.balancing.breaker import Outcome
from edgeproxy.core.balancing.fitness import Fit, candidates
from edgeproxy.core.balancing.latency import Latency
from edgeproxy.core.balancing.nodes import Duty, Node, NodeState, Ping, Rules, ended, sent
from edgeproxy.core.balancing.ranking import NO_TURNS, Algorithm, Asked, costs, ip_hash, ranked, round_robin
from tests.core.conftest import rows, steady

NOW = 100.0
A, B, C = (NodeState(Node(name), latency=Latency(0.1, NOW)) for name in "abc")
HEAVY = replace(A, node=Node("a", 4.0))


def loaded(state: NodeState, *ages: float) -> NodeState:
    return replace(state, pending=tuple(NOW - age for age in ages))


def took(state: NodeState, seconds: float, at: float = NOW) -> NodeState:
    return replace(state, latency=Latency(seconds, at))


def pinged(state: NodeState, seconds: float | None, age: float = 0.0) -> NodeState:
    return replace(state, ping=Ping(NOW - age, seconds))


def unknown(state: NodeState) -> NodeState:
    return replace(state, latency=Latency())


def first(algorithm: Algorithm, fit: list[NodeState], seed: int = 0, client: str = "") -> str:
    return ranked(algorithm, fit, Asked(NOW, Random(seed).random, client)).order[0].name


@pytest.mark.parametrize(
    ("algorithm", "fit", "expected"),
    rows(
        ("the first as resolved", Algorithm.DNS, [B, A, C], "b", "RFC 6724 §6"),
        ("the fewest in flight", Algorithm.LEAST_LOAD, [loaded(A, 1), B, loaded(C, 1)], "b", "least_conn"),
        ("per weight", Algorithm.LEAST_LOAD, [loaded(HEAVY, 1), loaded(B, 1)], "a", "least_conn"),
        ("the fastest ping", Algorithm.FASTEST_PING, [pinged(A, 0.3), pinged(B, 0.1)], "b", "last ranking"),
        ("an old ping", Algorithm.FASTEST_PING, [pinged(A, 0.3), pinged(B, 0.1, 11)], "a", "maximum age"),
        (
            "just young enough",
            Algorithm.FASTEST_PING,
            [pinged(A, 0.3), pinged(B, 0.1, 10)],
            "b",
            "maximum age",
        ),
        (
            "a ping that failed",
            Algorithm.FASTEST_PING,
            [pinged(A, 0.3), pinged(B, None)],
            "a",
            "last ranking",
        ),
        ("never pinged", Algorithm.FASTEST_PING, [B, pinged(A, 0.3)], "a", "last ranking"),
        ("the faster", Algorithm.P2C_EWMA, [took(A, 0.9), B], "b", "peak EWMA"),
        ("almost equal: the idle one", Algorithm.P2C_EWMA, [loaded(A, 0), took(B, 0.19)], "b", "noise"),
        ("the idle one", Algorithm.P2C_EWMA, [loaded(A, 0), B], "b", "peak EWMA"),
        ("the heavy one", Algorithm.P2C_EWMA, [loaded(HEAVY, 0), B], "a", "peak EWMA"),
        ("slow, but long ago", Algorithm.P2C_EWMA, [took(A, 0.9, 0), loaded(B, 0)], "a", "peak EWMA"),
        (
            "one request hangs",
            Algorithm.P2C_EWMA,
            [loaded(A, 9), loaded(B, 0, 0, 0)],
            "b",
            "in flight as evidence",
        ),
        (
            "a far node",
            Algorithm.P2C_EWMA,
            [pinged(took(A, 0.01, 0), 0.9), took(B, 0.1)],
            "b",
            "not below a ping",
        ),
        ("one never asked", Algorithm.P2C_EWMA, [took(A, 0.001), unknown(B)], "b", "a probe's worth"),
        ("it has its probe", Algorithm.P2C_EWMA, [took(A, 9), unknown(loaded(B, 0))], "a", "a probe's worth"),
    ),
)
def test_the_first(algorithm: Algorithm, fit: list[NodeState], expected: str) -> None:
    assert {first(algorithm, fit, seed) for seed in range(20)} == {expected}


def test_smooth_round_robin() -> None:
    """The example of nginx: weights 5, 1, 1 do not come in bursts."""
    fit = [NodeState(Node("a", 5)), NodeState(Node("b")), NodeState(Node("c"))]
    turns, names = NO_TURNS, ""
    for _ in range(14):
        result = round_robin(fit, turns)
        turns, names = result.turns, names + result.order[0].name
    assert names == "aabacaa" * 2
    assert set(turns.values()) == {0}


def test_a_node_that_was_away_is_not_owed_its_turns() -> None:
    fit, turns = [A, B], NO_TURNS
    for _ in range(100):
        turns = round_robin([A], turns).turns
    names = []
    for _ in range(6):
        result = round_robin(fit, turns)
        turns, names = result.turns, [*names, result.order[0].name]
    assert sorted(names) == ["a", "a", "a", "b", "b", "b"]


def test_a_node_that_hangs_is_left_before_it_has_failed_once() -> None:
    """Without any answer, and before any timeout: only requests in flight tell."""
    fit, rand, now = [A, B, C], Random(1), NOW
    to_a = []
    for _ in range(200):
        now += 0.05
        name = ranked(Algorithm.P2C_EWMA, fit, Asked(now, rand.random)).order[0].name
        if name == "a":
            to_a.append(now - NOW)
        fit = [
            sent(s, now) if s.node.name == name == "a"
            else ended(sent(s, now - 0.1), now - 0.1, Outcome.OK, now, Rules()) if s.node.name == name
            else s
            for s in fit
        ]  # fmt: skip
    assert len(to_a) <= 3
    assert max(to_a, default=0) < 1


def test_a_node_that_fails_fast_is_not_fast() -> None:
    state = A
    for _ in range(3):
        state = ended(sent(state, NOW), NOW, Outcome.FAILED, NOW, Rules())
    cost = costs([state, loaded(B, 0, 0, 0)], NOW, 5.0)
    assert cost["a"] > 5 * cost["b"]


def test_nodes_that_nobody_asked_for_a_day_are_equal() -> None:
    fit = [took(loaded(A, 0), 0.1, NOW - 86_400), took(B, 5.0, NOW - 86_400)]
    assert {first(Algorithm.P2C_EWMA, fit, seed) for seed in range(20)} == {"b"}


# Properties of all.


def made_up(seed: int) -> list[NodeState]:
    """Up to ten nodes in any state: drawn here, as strategies within strategies take seconds."""
    rand = Random(seed)
    moments = (0.0, 50.0, 99.9, NOW)

    def state(name: str) -> NodeState:
        return NodeState(
            Node(name, rand.choice((0.5, 1.0, 2.0, 5.0))),
            duty=rand.choice((Duty.READY, Duty.READY, Duty.DRAINED)),
            latency=Latency(rand.choice((None, 0.0, 0.01, 0.1, 1e3)), rand.choice(moments)),
            ping=rand.choice((None, Ping(rand.choice(moments), rand.choice((None, 0.0, 0.01, 10.0))))),
            pending=tuple(sorted(rand.choices(moments, k=rand.randrange(4)))),
        )

    return [state(name) for name in "abcdefghij"[: rand.randrange(11)]]


states = st.integers(0, 10**6).map(made_up)


@pytest.mark.parametrize("algorithm", Algorithm)
@steady
@given(all_states=states, seed=st.integers(0, 9), client=st.text(max_size=5))
def test_the_order_has_each_fit_node_once_and_no_other(
    algorithm: Algorithm, all_states: list[NodeState], seed: int, client: str
) -> None:
    found = candidates(all_states, NOW, None)
    fit = found.states if isinstance(found, Fit) else ()
    one, other = (ranked(algorithm, fit, Asked(NOW, Random(seed).random, client)) for _ in range(2))
    assert one == other, "the same chance gives the same order"
    assert sorted(node.name for node in one.order) == [
        state.node.name for state in all_states if state.duty is Duty.READY
    ]


WEIGHTS = {"a": 5.0, "b": 2.0, "c": 1.0}
FIT = [NodeState(Node(name, weight), latency=Latency(0.1, NOW)) for name, weight in WEIGHTS.items()]
SHARES = {name: weight / sum(WEIGHTS.values()) for name, weight in WEIGHTS.items()}


@pytest.mark.parametrize(
    ("algorithm", "tolerance"),
    [
        (Algorithm.ROUND_ROBIN, 0.001),
        (Algorithm.RANDOM, 0.02),
        (Algorithm.RACE, 0.02),
        (Algorithm.IP_HASH, 0.02),
        (Algorithm.LEAST_LOAD, 0.02),
        (Algorithm.FASTEST_PING, 0.02),
    ],
)
def test_idle_nodes_are_first_as_often_as_they_weigh(algorithm: Algorithm, tolerance: float) -> None:
    rand, turns, seen = Random(4), NO_TURNS, Counter[str]()
    for number in range(4000):
        result = ranked(algorithm, FIT, Asked(NOW, rand.random, f"192.0.2.{number}"), turns)
        turns = result.turns
        seen[result.order[0].name] += 1
    assert {name: seen[name] / 4000 for name in WEIGHTS} == pytest.approx(SHARES, abs=tolerance)


@pytest.mark.parametrize("algorithm", [Algorithm.LEAST_LOAD, Algorithm.P2C_EWMA])
def test_busy_nodes_have_as_much_in_flight_as_they_weigh(algorithm: Algorithm) -> None:
    fit, rand = FIT, Random(4)
    for _ in range(160):
        name = ranked(algorithm, fit, Asked(NOW, rand.random)).order[0].name
        fit = [sent(state, NOW) if state.node.name == name else state for state in fit]
    assert {s.node.name: s.in_flight / 160 for s in fit} == pytest.approx(SHARES, abs=0.03)


@steady
@given(states, st.text(max_size=20), st.sampled_from("abcdefghij"))
def test_when_a_node_leaves_only_its_clients_move(fit: list[NodeState], client: str, leaver: str) -> None:
    """And all others keep even their second choice."""
    before = ip_hash(fit, client)
    after = ip_hash([state for state in fit if state.node.name != leaver], client)
    assert after == tuple(node for node in before if node.name != leaver)


def test_a_client_stays_whatever_process_and_order_it_comes_to() -> None:
    assert first(Algorithm.IP_HASH, [A, B, C], client="192.0.2.7") == "c"
    assert first(Algorithm.IP_HASH, [C, B, A], client="192.0.2.7") == "c"


@steady
@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True), max_size=80))
def test_what_round_robin_owes_is_bounded(rounds: list[list[int]]) -> None:
    """However nodes come and go."""
    all_states = [NodeState(Node(f"n{number}", number + 1.0)) for number in range(4)]
    turns = NO_TURNS
    for here in rounds:
        turns = round_robin([all_states[number] for number in here], turns).turns
    assert all(abs(owed) <= 4 * (1 + 2 + 3 + 4) for owed in turns.values())
