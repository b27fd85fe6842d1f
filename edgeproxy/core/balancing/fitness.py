"""Which nodes may be asked, and of each that may not, why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from edgeproxy.core.balancing.breaker import Phase
from edgeproxy.core.balancing.health import Verdict, best_head, is_lagging
from edgeproxy.core.balancing.nodes import Duty, NodeState, Tier
from edgeproxy.core.reason import Reason


@dataclass(frozen=True, slots=True)
class Fit:
    """Those of one tier that may be asked; never empty."""

    tier: Tier
    states: tuple[NodeState, ...]


@dataclass(frozen=True, slots=True)
class NobodyFit:
    """No node may be asked; why not, by name of the node, in the order in which they were given."""

    why: tuple[tuple[str, Reason], ...]
    reason: Reason = Reason.NO_NODE

    def __str__(self) -> str:
        return " ".join(f"{name}={reason}" for name, reason in self.why)


Candidates: TypeAlias = Fit | NobodyFit


def candidates(
    states: Sequence[NodeState], now: float, max_lag: int | None, tried: frozenset[str] = frozenset()
) -> Candidates:
    """Those that may be asked next: the fit primaries, or if there is none the fit backups.

    `tried` are the names of those that this request was at already. Where all primaries have failed it, it
    goes to the backups, as if they were not fit.
    """
    best = best_head((state.head for state in states), max_lag)
    why: list[tuple[str, Reason]] = []
    fit: list[NodeState] = []
    for state in states:
        reason = unfit(state, best, now, max_lag)
        if reason is None and state.node.name in tried:
            reason = Reason.NODE_TRIED
        if reason is None:
            fit.append(state)
        else:
            why.append((state.node.name, reason))
    for tier in Tier:
        if of_tier := tuple(state for state in fit if state.node.tier is tier):
            return Fit(tier, of_tier)
    return NobodyFit(tuple(why))


def unfit(state: NodeState, best: int | None, now: float, max_lag: int | None) -> Reason | None:
    """Why the node may not be asked at `now`; None if it may. `best` is `best_head` of all nodes."""
    if state.duty is Duty.CORDONED:
        return Reason.NODE_CORDONED
    if state.duty is Duty.DRAINED:
        return Reason.NODE_DRAINED
    if state.health.verdict is Verdict.DOWN:
        return Reason.NODE_DOWN
    if is_lagging(state.head, best, max_lag):
        return Reason.NODE_LAGGING
    match state.breaker.phase(now):
        case Phase.OPEN:
            return Reason.NODE_EJECTED
        case Phase.HALF_OPEN if state.breaker.is_probed:
            return Reason.NODE_PROBED
    return None
