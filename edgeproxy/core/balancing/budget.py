"""How many requests may be sent twice: a share of all, so that retries cannot bury nodes that are ill.

After Finagle's retry budget: tokens for each request and each second, which run out when everything fails.
"""

from dataclasses import dataclass

from edgeproxy.core.balancing.quantiles import Durations
from edgeproxy.core.reason import Reason


@dataclass(frozen=True, slots=True)
class Allowance:
    """How a budget fills."""

    share: float = 0.2
    """Tokens a request: 0.2 lets one in five be sent again."""
    per_s: float = 1.0
    """Tokens a second, for when there is little traffic."""
    most: float = 100.0
    """Tokens that it holds, and starts with a tenth of."""


RETRIES = Allowance()
HEDGES = Allowance(share=0.1, per_s=0.1, most=20.0)
"""Twice what `Hedging` asks for as long as all is well, so that something is left when a node hangs."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens as they were at `at`."""

    tokens: float
    at: float


def opened(now: float, allowance: Allowance) -> Budget:
    """A budget for a start."""
    return Budget(allowance.most / 10, now)


def earned(budget: Budget, now: float, allowance: Allowance) -> Budget:
    """The budget after a request came from a viewer."""
    return _filled(budget, now, allowance, allowance.share)


def spent(budget: Budget, now: float, allowance: Allowance) -> Budget | Reason:
    """The budget after one request more is sent; a Reason if there is no token for it."""
    budget = _filled(budget, now, allowance)
    return Budget(budget.tokens - 1, now) if budget.tokens >= 1 else Reason.RETRY_BUDGET


def _filled(budget: Budget, now: float, allowance: Allowance, more: float = 0.0) -> Budget:
    passed_s = max(now - budget.at, 0.0)
    return Budget(min(budget.tokens + passed_s * allowance.per_s + more, allowance.most), now)


@dataclass(frozen=True, slots=True)
class Hedging:
    """When a second node is asked although the first may still answer.

    Dean and Barroso, "The Tail at Scale", CACM 2013: after the 95th percentile, it costs 5 % more requests.
    """

    quantile: float = 0.95
    min_answers: float = 20.0
    """So many answers have to be known, the old counted for less."""
    at_least_s: float = 0.001


def hedge_after_s(durations: Durations, now: float, hedging: Hedging) -> float | None:
    """Seconds to wait for the first node before a second is asked; None: not enough is known."""
    if durations.weight(now) < hedging.min_answers:
        return None
    after_s = durations.quantile_s(hedging.quantile)
    return None if after_s is None else max(after_s, hedging.at_least_s)
