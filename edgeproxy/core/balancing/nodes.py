"""A node, what is known of it at a moment, and what becomes of that when something happens to it."""

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from enum import StrEnum

from edgeproxy.core.balancing.breaker import Breaker, Ejection, Outcome, let_through, settled
from edgeproxy.core.balancing.health import Health, Thresholds, checked
from edgeproxy.core.balancing.latency import UNKNOWN, Latency, answered, failed, left


class Tier(StrEnum):
    """Backups are asked where no primary is fit."""

    PRIMARY = "primary"
    BACKUP = "backup"


class Duty(StrEnum):
    """What the operator lets a node do."""

    READY = "ready"
    DRAINED = "drained"
    """No new requests; what it has it finishes, and it is pinged on."""
    CORDONED = "cordoned"
    """Nothing at all is sent to it, pings included."""


@dataclass(frozen=True, slots=True)
class Node:
    """One of several that give the same answers. Raises `ValueError` for a weight that is not above 0."""

    name: str
    weight: float = 1.0
    tier: Tier = Tier.PRIMARY

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"{self.name}: weight {self.weight:g}, want a number above 0")


@dataclass(frozen=True, slots=True)
class Ping:
    """What a check of a node found: seconds that it took, or None if it failed; the node's newest head."""

    at: float
    took_s: float | None
    head: int | None = None
    why: str = ""
    """Why it failed, in words."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a node is judged by."""

    checks: Thresholds = Thresholds()
    ejection: Ejection = Ejection()
    max_lag: int | None = None
    """How far its head may be behind the best; None: it may."""
    decay_s: float = 5.0
    """In so much time a slow answer loses 63 % of what it counts."""
    failure_s: float = 5.0
    """The most that a failure counts, as an answer that took so long."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """All that is known of a node."""

    node: Node
    duty: Duty = Duty.READY
    health: Health = Health()
    breaker: Breaker = Breaker()
    latency: Latency = UNKNOWN
    ping: Ping | None = None
    """The last."""
    head: int | None = None
    """The last that it told."""
    pending: tuple[float, ...] = field(default=(), repr=False)
    """When the requests that it has not answered were sent, the oldest first."""
    answering: int = 0
    """Requests to which it has begun to answer, and whose body is on its way."""

    @property
    def in_flight(self) -> int:
        """How many requests it has not answered to the end."""
        return len(self.pending) + self.answering


def sent(state: NodeState, now: float) -> NodeState:
    """The state after a request went to the node."""
    breaker = let_through(state.breaker, now)
    return _at_work(state, (*state.pending, now), state.answering, state.latency, breaker)


def ended(state: NodeState, sent_at: float, outcome: Outcome, now: float, rules: Rules) -> NodeState:
    """The state after a request that was `sent` at `sent_at` ended; each has to end once."""
    return _at_work(
        state,
        _less(state.pending, sent_at),
        state.answering,
        _learnt(state.latency, outcome, now - sent_at, now, rules),
        settled(state.breaker, outcome, sent_at, now, rules.ejection),
    )


def begun(state: NodeState, sent_at: float, now: float, rules: Rules) -> NodeState:
    """The state after the head of a good answer came: `finished` tells of its body, in place of `ended`.

    What a body takes lies with its size and with whoever reads it. So it is the head that is waited for and
    whose time is learnt, and the head that closes the breaker of a node on probation: a stream may never end.
    """
    breaker = state.breaker
    if breaker.until is not None:
        breaker = settled(breaker, Outcome.OK, sent_at, now, rules.ejection)
    return _at_work(
        state,
        _less(state.pending, sent_at),
        state.answering + 1,
        answered(state.latency, now - sent_at, now, rules.decay_s),
        breaker,
    )


def finished(state: NodeState, sent_at: float, outcome: Outcome, now: float, rules: Rules) -> NodeState:
    """The state after the body of an answer that had `begun` came, was cut or was not wanted any more."""
    breaker = settled(state.breaker, outcome, sent_at, now, rules.ejection)
    return _at_work(state, state.pending, state.answering - 1, state.latency, breaker)


def pinged(state: NodeState, ping: Ping, rules: Rules) -> NodeState:
    """The state after a check. It opens and closes no breaker: what answers pings may fail requests."""
    return replace(
        state,
        health=checked(state.health, ping.took_s is not None, ping.at, rules.checks),
        ping=ping,
        head=state.head if ping.head is None else ping.head,
    )


def _at_work(
    state: NodeState, pending: tuple[float, ...], answering: int, latency: Latency, breaker: Breaker
) -> NodeState:
    """The rest stays. Each request comes by here three times, and `replace` is slow."""
    return NodeState(
        state.node, state.duty, state.health, breaker, latency, state.ping, state.head, pending, answering
    )


def _less(pending: tuple[float, ...], sent_at: float) -> tuple[float, ...]:
    place = bisect_left(pending, sent_at)
    return pending[:place] + pending[place + 1 :]


def _learnt(latency: Latency, outcome: Outcome, took_s: float, now: float, rules: Rules) -> Latency:
    match outcome:
        case Outcome.OK:
            return answered(latency, took_s, now, rules.decay_s)
        case Outcome.FAILED:
            return failed(latency, took_s, now, rules.decay_s, rules.failure_s)
        case Outcome.ABANDONED:
            return left(latency, took_s, now, rules.decay_s)
