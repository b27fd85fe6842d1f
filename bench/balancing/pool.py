"""A pool of machines as the product runs one: checks, choice, retries, hedges."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from bench.balancing.events import Timeline
from bench.balancing.machines import Machine
from edgeproxy.core.balancing.breaker import Outcome
from edgeproxy.core.balancing.budget import HEDGES, RETRIES, Hedging, earned, hedge_after_s, opened, spent
from edgeproxy.core.balancing.fitness import Fit, candidates
from edgeproxy.core.balancing.nodes import Node, NodeState, Ping, Rules, ended, pinged, sent
from edgeproxy.core.balancing.quantiles import Durations, noted
from edgeproxy.core.balancing.ranking import NO_TURNS, Algorithm, Asked, ranked
from edgeproxy.core.balancing.retrying import may_retry
from edgeproxy.core.reason import Reason

PATIENCE_S = 3.0
"""So long a client waits; who gets no right answer counts as having waited that long."""
ATTEMPT_S = 1.0
CHECK_EVERY_S = 1.0
MAX_ATTEMPTS = 3
MAX_LAG = 2


@dataclass(frozen=True, slots=True)
class Manner:
    """How a pool goes about it."""

    name: str
    algorithm: Algorithm
    has_rules: bool = True
    """Checks, ejection and retries; without them it only chooses."""
    hedges: bool = False


MANNERS = (
    Manner("race as published", Algorithm.RACE, has_rules=False),
    *(Manner(algorithm.value, algorithm) for algorithm in Algorithm),
    Manner("round-robin, hedged", Algorithm.ROUND_ROBIN, hedges=True),
    Manner("p2c-ewma, hedged", Algorithm.P2C_EWMA, hedges=True),
)


class Pool:
    """Sends requests to machines."""

    def __init__(self, manner: Manner, machines: list[Machine], timeline: Timeline, rand: Random) -> None:
        self.timeline = timeline
        self.manner = manner
        self.rules = Rules(max_lag=MAX_LAG if manner.has_rules else None)
        self.states = {machine.make.node.name: NodeState(machine.make.node) for machine in machines}
        self.machines = {machine.make.node.name: machine for machine in machines}
        self.retries, self.hedges = opened(0.0, RETRIES), opened(0.0, HEDGES)
        self.durations = Durations()
        self.sends = 0
        self._turns = NO_TURNS
        self._rand = rand
        if manner.has_rules:
            self._check()

    def request(self, client: str, size: float, done: Callable[[float, bool], None]) -> None:
        """A request of `client`; `done` gets the seconds that it took, and whether the answer is right."""
        now = self.timeline.now
        self.retries, self.hedges = earned(self.retries, now, RETRIES), earned(self.hedges, now, HEDGES)
        _Visit(self, client, size, done).start()

    def order(self, client: str, tried: frozenset[str]) -> tuple[Node, ...]:
        """Whom to try; nobody if none is fit."""
        now = self.timeline.now
        states = tuple(self.states.values())
        if self.manner.has_rules:
            match candidates(states, now, self.rules.max_lag, tried):
                case Fit(_, states):
                    pass
                case _:
                    return ()
        asked = Asked(now, self._rand.random, client, decay_s=self.rules.decay_s)
        result = ranked(self.manner.algorithm, states, asked, self._turns)
        self._turns = result.turns
        return result.order

    def may_retry(self, attempts: int) -> bool:
        """Whether one more is sent; then it is paid for."""
        if (
            may_retry(attempts=attempts, max_attempts=MAX_ATTEMPTS, was_sent=True, idempotent=True)
            is not None
        ):
            return False
        budget = spent(self.retries, self.timeline.now, RETRIES)
        if isinstance(budget, Reason):
            return False
        self.retries = budget
        return True

    def may_hedge(self) -> bool:
        """Whether a second node is asked; then it is paid for."""
        budget = spent(self.hedges, self.timeline.now, HEDGES)
        if isinstance(budget, Reason):
            return False
        self.hedges = budget
        return True

    def hedge_after_s(self) -> float | None:
        """When a second node is asked; None: never."""
        if not self.manner.hedges:
            return None
        return hedge_after_s(self.durations, self.timeline.now, Hedging())

    def sent(self, name: str) -> None:
        """A request goes to the node."""
        self.sends += 1
        self.states[name] = sent(self.states[name], self.timeline.now)

    def ended(self, name: str, sent_at: float, outcome: Outcome) -> None:
        """It ended."""
        now = self.timeline.now
        self.states[name] = ended(self.states[name], sent_at, outcome, now, self.rules)
        if self.manner.hedges and outcome is Outcome.OK:
            self.durations = noted(self.durations, now - sent_at, now)

    def _check(self) -> None:
        for name in self.states:
            _Check(self, name)
        self.timeline.after(CHECK_EVERY_S, self._check)


class _Check:
    """One ping for the health and the head."""

    def __init__(self, pool: Pool, name: str) -> None:
        self._pool, self._name = pool, name
        self._at = pool.timeline.now
        self._is_over = False
        pool.machines[name].ping(self._over)
        pool.timeline.after(ATTEMPT_S, partial(self._over, False))

    def _over(self, is_ok: bool) -> None:
        if self._is_over:
            return
        self._is_over = True
        pool, now = self._pool, self._pool.timeline.now
        found = Ping(now, now - self._at, pool.machines[self._name].head) if is_ok else Ping(now, None)
        pool.states[self._name] = pinged(pool.states[self._name], found, pool.rules)


class _Visit:
    """One client's request, from the first node to the last."""

    def __init__(self, pool: Pool, client: str, size: float, done: Callable[[float, bool], None]) -> None:
        self._pool, self._client, self._size, self._done = pool, client, size, done
        self._start = pool.timeline.now
        self._tried: frozenset[str] = frozenset()
        self._open: dict[str, float] = {}
        self._attempts = 0
        self._is_over = False

    def start(self) -> None:
        """Try the next node."""
        order = self._pool.order(self._client, self._tried)
        if not order:
            if not self._open:
                self._finish(False)
        elif self._pool.manner.algorithm is Algorithm.RACE:
            self._race(order)
        else:
            self._send(order[0].name)

    def _race(self, racers: tuple[Node, ...]) -> None:
        """All are pinged; the first that answers well gets the request."""
        running = {node.name for node in racers}
        is_decided = False

        def came(name: str, is_ok: bool) -> None:
            nonlocal is_decided
            running.discard(name)
            if not is_decided and (is_ok or not running):
                is_decided = True
                if is_ok:
                    self._send(name)
                else:
                    self._finish(False)

        def timed_out() -> None:
            nonlocal is_decided
            if not is_decided:
                is_decided = True
                self._finish(False)

        for node in racers:
            self._pool.machines[node.name].ping(partial(came, node.name))
        self._pool.timeline.after(ATTEMPT_S, timed_out)

    def _send(self, name: str) -> None:
        pool = self._pool
        self._attempts += 1
        self._tried |= {name}
        self._open[name] = pool.timeline.now
        pool.sent(name)
        pool.machines[name].ask(self._size, partial(self._answer, name), lambda: name in self._open)
        limit_s = ATTEMPT_S if pool.manner.has_rules else PATIENCE_S
        pool.timeline.after(limit_s, partial(self._answer, name, False))
        if self._attempts == 1 and (after_s := pool.hedge_after_s()) is not None:
            pool.timeline.after(after_s, self._hedge)

    def _hedge(self) -> None:
        if not self._is_over and self._attempts == 1 and self._pool.may_hedge():
            self.start()

    def _answer(self, name: str, is_ok: bool) -> None:
        if name not in self._open:
            return
        pool = self._pool
        pool.ended(name, self._open.pop(name), Outcome.OK if is_ok else Outcome.FAILED)
        if is_ok:
            for other, sent_at in self._open.items():
                pool.ended(other, sent_at, Outcome.ABANDONED)
            self._open.clear()
            self._finish(pool.machines[name].make.lag(pool.timeline.now) <= MAX_LAG)
        elif not self._open:
            if pool.manner.has_rules and pool.may_retry(self._attempts):
                self.start()
            else:
                self._finish(False)

    def _finish(self, is_right: bool) -> None:
        if not self._is_over:
            self._is_over = True
            took_s = self._pool.timeline.now - self._start
            self._done(took_s if is_right else PATIENCE_S, is_right)
