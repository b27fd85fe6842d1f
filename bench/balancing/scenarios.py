"""Worlds to balance in: four nodes, clients who come whether or not they are answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from random import Random

from bench.balancing.events import Timeline
from bench.balancing.machines import Machine, Make, Mood, lognormal, pareto
from bench.balancing.pool import Manner, Pool
from edgeproxy.core.balancing.nodes import Node

MEAN_S = 0.05
CLIENTS = 200


@dataclass(frozen=True, slots=True)
class Scenario:
    """Nodes, and how many requests a second come for them."""

    name: str
    tells: str
    makes: tuple[Make, ...]
    rate: float


@dataclass(frozen=True, slots=True)
class Result:
    """What the clients saw."""

    took_s: tuple[float, ...]
    """Of all requests, the fastest first; who got no right answer counts as `PATIENCE_S`."""
    wrong: int
    """Requests without a right answer."""
    sends: int
    """Requests to nodes, pings not counted."""

    def quantile_s(self, share: float) -> float:
        """Seconds within which `share` (0 to 1) of the requests were answered."""
        return self.took_s[min(int(share * len(self.took_s)), len(self.took_s) - 1)]

    @property
    def errors(self) -> float:
        """Share of the requests that got no right answer."""
        return self.wrong / len(self.took_s)


def merged(results: Sequence[Result]) -> Result:
    """The requests of several runs as one."""
    return Result(
        tuple(sorted(chain.from_iterable(result.took_s for result in results))),
        sum(result.wrong for result in results),
        sum(result.sends for result in results),
    )


def _flapping(now: float) -> Mood:
    return Mood.FAILING if now % 4 >= 2 else Mood.WELL


def _dead(now: float) -> Mood:
    return Mood.HANGING if now >= 2 else Mood.WELL


def _nodes(*odd: Make, service: Callable[[float], Callable[[Random], float]] = lognormal) -> tuple[Make, ...]:
    """Four nodes: the odd ones first, the rest as they should be."""
    return odd + tuple(Make(Node(f"node-{number}"), service(MEAN_S)) for number in range(len(odd), 4))


SCENARIOS = (
    Scenario("even", "four equal nodes at 70 % of what they can do", _nodes(), 220),
    Scenario(
        "slow node", "one takes ten times as long", _nodes(Make(Node("slow"), lognormal(10 * MEAN_S))), 150
    ),
    Scenario(
        "flapping node",
        "one fails at once for 2 s, is well for 2 s, and so on",
        _nodes(Make(Node("flapping"), pareto(MEAN_S), mood=_flapping), service=pareto),
        150,
    ),
    Scenario(
        "lagging node",
        "one is ten blocks behind after 2 s; what it answers is wrong",
        _nodes(Make(Node("lagging"), lognormal(MEAN_S), lag=lambda now: 10 if now >= 2 else 0)),
        150,
    ),
    Scenario(
        "dead node",
        "one accepts everything after 2 s and answers nothing",
        _nodes(Make(Node("dead"), pareto(MEAN_S), mood=_dead), service=pareto),
        150,
    ),
    Scenario(
        "near and far",
        "round trips of 5, 40, 120 and 250 ms, little to do",
        tuple(
            Make(Node(f"node-{number}"), lognormal(MEAN_S), round_trip_s=trip_s)
            for number, trip_s in enumerate((0.005, 0.04, 0.12, 0.25))
        ),
        30,
    ),
    Scenario(
        "unequal weights",
        "weights 4, 2, 1, 1, and workers to match",
        tuple(
            Make(Node(f"node-{number}", weight), lognormal(MEAN_S), workers=2 * int(weight))
            for number, weight in enumerate((4.0, 2.0, 1.0, 1.0))
        ),
        220,
    ),
)


def run(scenario: Scenario, manner: Manner, seed: int, seconds: float) -> Result:
    """Clients come for so many seconds, by Poisson's law; all of them are waited for."""
    timeline = Timeline()
    # Each source of chance has its own, so that all manners see the same clients.
    arrivals, choices = Random(seed), Random(seed + 1)
    machines = [
        Machine(make, timeline, Random(seed + 2 + number)) for number, make in enumerate(scenario.makes)
    ]
    pool = Pool(manner, machines, timeline, choices)
    size = lognormal(1.0)
    took: list[float] = []
    wrong = 0

    def done(took_s: float, is_right: bool) -> None:
        nonlocal wrong
        took.append(took_s)
        wrong += not is_right

    def arrive() -> None:
        pool.request(f"192.0.2.{arrivals.randrange(CLIENTS)}", size(arrivals), done)
        gap_s = arrivals.expovariate(scenario.rate)
        if timeline.now + gap_s < seconds:
            timeline.after(gap_s, arrive)

    timeline.after(arrivals.expovariate(scenario.rate), arrive)
    timeline.run(seconds + 60)
    return Result(tuple(sorted(took)), wrong, pool.sends)
