"""The algorithms against each other in made-up worlds: bench/balancing, with fixed seeds."""

from random import Random
from xml.etree import ElementTree

import pytest

from bench.balancing.events import Timeline
from bench.balancing.machines import Machine, Make, Mood
from bench.balancing.picture import picture
from bench.balancing.pool import MANNERS, PATIENCE_S, Manner
from bench.balancing.scenarios import SCENARIOS, Result, merged, run
from edgeproxy.core.balancing.nodes import Node

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
MANNER = {manner.name: manner for manner in MANNERS}
RACE, TURNS, P2C, HEDGED = "race as published", "round-robin", "p2c-ewma", "p2c-ewma, hedged"
SEEDS = (1, 2, 3)


def of(scenario: str, manner: str) -> list[Result]:
    return [run(BY_NAME[scenario], MANNER[manner], seed, seconds=8) for seed in SEEDS]


def p99(results: list[Result]) -> float:
    return merged(results).quantile_s(0.99)


@pytest.mark.parametrize(
    ("scenario", "hedged_beats", "unhedged_beats"),
    [
        ("even", [TURNS, RACE], []),
        ("slow node", [TURNS, RACE], [TURNS, RACE]),
        ("flapping node", [TURNS, RACE], []),
        ("lagging node", [TURNS, RACE], [RACE]),
        ("dead node", [TURNS, RACE], [TURNS]),
        # Of idle nodes far apart the race takes the nearest, and pays for it with the shortest ping.
        ("near and far", [TURNS], []),
        ("unequal weights", [TURNS, RACE], []),
    ],
)
def test_the_best_we_know_beats_turns_and_races(
    scenario: str, hedged_beats: list[str], unhedged_beats: list[str]
) -> None:
    """With hedges in every world but one, with every seed; without them by far where a node is ill."""
    others = {name: of(scenario, name) for name in {TURNS, *hedged_beats}}
    hedged = of(scenario, HEDGED)
    for name, other in others.items():
        assert p99(hedged) < 0.95 * p99(other), name
        assert all(p99([ours]) < p99([theirs]) for ours, theirs in zip(hedged, other, strict=True)), name
    assert merged(hedged).sends < 1.12 * len(merged(hedged).took_s)
    assert merged(hedged).errors < 0.005
    if unhedged_beats:
        unhedged = of(scenario, P2C)
        assert all(p99(unhedged) < 0.8 * p99(others[name]) for name in unhedged_beats)
    # A race cannot see that a node lags.
    assert scenario != "lagging node" or merged(others[RACE]).errors > 0.1


@pytest.mark.parametrize("manner", MANNERS, ids=lambda manner: manner.name)
def test_every_client_gets_one_answer_and_chance_has_a_seed(manner: Manner) -> None:
    scenario = BY_NAME["dead node"]
    once, again = (run(scenario, manner, 7, seconds=2.5) for _ in range(2))
    assert once == again
    assert len(once.took_s) == len(run(scenario, MANNER[TURNS], 7, seconds=2.5).took_s)
    assert once.took_s[0] > 0
    assert once.wrong <= sum(took == PATIENCE_S for took in once.took_s)


def test_things_happen_in_their_order() -> None:
    timeline, seen = Timeline(), list[tuple[str, float]]()
    timeline.after(2, lambda: seen.append(("c", timeline.now)))
    timeline.after(1, lambda: timeline.after(0.5, lambda: seen.append(("b", timeline.now))))
    timeline.after(1, lambda: seen.append(("a", timeline.now)))
    timeline.after(9, lambda: seen.append(("never", timeline.now)))
    timeline.run(until=8)
    assert seen == [("a", 1), ("b", 1.5), ("c", 2)]


def test_a_queue_is_as_long_as_the_theory_says() -> None:
    """M/M/1 at 60 %: a request takes 1 / (1 - 0.6) times its work on the average."""
    timeline, rand, took = Timeline(), Random(5), list[float]()
    make = Make(Node("one"), lambda rand: rand.expovariate(1.0), workers=1)
    machine = Machine(make, timeline, Random(6))

    def arrive() -> None:
        start = timeline.now
        machine.ask(1.0, lambda is_ok: took.append(timeline.now - start), lambda: True)
        timeline.after(rand.expovariate(0.6), arrive)

    arrive()
    timeline.run(until=10_000)
    assert sum(took) / len(took) == pytest.approx(2.5, rel=0.1)


@pytest.mark.parametrize(
    ("mood", "answers"), [(Mood.WELL, [True]), (Mood.FAILING, [False]), (Mood.HANGING, [])]
)
def test_machines_can_be_ill(mood: Mood, answers: list[bool]) -> None:
    timeline, seen = Timeline(), list[bool]()
    machine = Machine(Make(Node("one"), lambda rand: 1.0, mood=lambda now: mood), timeline, Random(1))
    machine.ask(1.0, seen.append, lambda: True)
    timeline.run(until=10)
    assert seen == answers


def test_the_picture_has_a_row_for_each_result() -> None:
    some = Result((0.1, 0.2), 1, 2)
    results = {scenario: dict.fromkeys((TURNS, HEDGED), some) for scenario in SCENARIOS}
    root = ElementTree.fromstring(picture(results))
    names = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert names.count(HEDGED) == names.count(TURNS) == len(SCENARIOS)
    assert set(BY_NAME) <= set(names)
