"""Simulated nodes: a number of workers, a queue before them, and ways to be ill."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from math import log
from random import Random
from typing import TypeAlias

from bench.balancing.events import Timeline
from edgeproxy.core.balancing.nodes import Node

FAILS_IN_S = 0.001
PING_S = 0.002
"""A ping is a small request: it waits for a worker like any other."""
BLOCK_S = 1.0
"""All nodes follow a chain that grows by one block in so many seconds."""


class Mood(Enum):
    """How a machine is at a moment."""

    WELL = "well"
    FAILING = "failing"
    """Everything fails at once, pings too."""
    HANGING = "hanging"
    """Everything is accepted and nothing answered."""


Service: TypeAlias = Callable[[Random], float]
"""Draws the seconds of work of a request of size 1."""
Reply: TypeAlias = Callable[[bool], None]
"""What to do with the answer: was it a success?"""


def lognormal(mean_s: float, sigma: float = 0.7) -> Service:
    """With sigma 0.7 the slowest percent take 4 times the mean; times the size of requests, 6 times."""
    mu = log(mean_s) - sigma**2 / 2
    return lambda rand: rand.lognormvariate(mu, sigma)


def pareto(mean_s: float, alpha: float = 2.1) -> Service:
    """A power law: most are alike, a few take very long."""
    least_s = mean_s * (alpha - 1) / alpha
    return lambda rand: least_s * rand.paretovariate(alpha)


def _well(now: float) -> Mood:
    return Mood.WELL


def _no_lag(now: float) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Make:
    """What a machine is like."""

    node: Node
    service: Service
    workers: int = 4
    mood: Callable[[float], Mood] = _well
    round_trip_s: float = 0.002
    lag: Callable[[float], int] = _no_lag
    """Blocks that it is behind."""


class Machine:
    """A node at work."""

    def __init__(self, make: Make, timeline: Timeline, rand: Random) -> None:
        self.make = make
        self._timeline = timeline
        self._rand = rand
        self._busy = 0
        self._queue: deque[tuple[float, Reply, Callable[[], bool]]] = deque()

    @property
    def head(self) -> int:
        """Its newest block."""
        now = self._timeline.now
        return int(now / BLOCK_S) - self.make.lag(now)

    def ask(self, size: float, reply: Reply, is_wanted: Callable[[], bool]) -> None:
        """A request of `size`, 1 on the average: part of what is slow lies in the request, part in the node.

        One that nobody wants any more when its turn comes is dropped; one begun is finished.
        """
        self._take(size * self.make.service(self._rand), reply, is_wanted)

    def ping(self, reply: Reply) -> None:
        """A check."""
        self._take(PING_S, reply, lambda: True)

    def _take(self, work_s: float, reply: Reply, is_wanted: Callable[[], bool]) -> None:
        match self.make.mood(self._timeline.now):
            case Mood.HANGING:
                return
            case Mood.FAILING:
                self._timeline.after(self.make.round_trip_s + FAILS_IN_S, partial(reply, False))
            case Mood.WELL:
                self._queue.append((work_s, reply, is_wanted))
                self._work()

    def _work(self) -> None:
        while self._busy < self.make.workers and self._queue:
            work_s, reply, is_wanted = self._queue.popleft()
            if is_wanted():
                self._busy += 1
                self._timeline.after(work_s, partial(self._done, reply))

    def _done(self, reply: Reply) -> None:
        self._busy -= 1
        if self.make.mood(self._timeline.now) is not Mood.HANGING:
            self._timeline.after(self.make.round_trip_s, partial(reply, True))
        self._work()
