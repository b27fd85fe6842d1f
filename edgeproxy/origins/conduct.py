"""How a pool treats requests."""

from dataclasses import dataclass

from edgeproxy.core.balancing.budget import Allowance
from edgeproxy.core.balancing.nodes import Rules
from edgeproxy.core.balancing.ranking import Algorithm
from edgeproxy.origins.pinging import Check


@dataclass(frozen=True, slots=True)
class Conduct:
    """What the operator has settled. Durations are seconds, sizes bytes."""

    algorithm: Algorithm = Algorithm.P2C_EWMA
    rules: Rules = Rules()
    check: Check = Check()
    """What a ping is."""
    check_every_s: float = 5.0
    is_checked: bool = True
    """Whether nodes are pinged all the time, besides."""
    attempts: int = 3
    retry_on: frozenset[int] = frozenset({502, 503, 504})
    retry_budget: Allowance = Allowance()
    failures: frozenset[int] = frozenset({500, 502, 503, 504})
    """Statuses that speak against a node."""
    max_ejected: float = 0.5
    hedges: bool = False
    total_s: float | None = None
    idempotent_calls: frozenset[str] = frozenset()
    max_held: int = 256 * 2**10
    """Largest body that is held."""
    held_together: int = 64 * 2**20
    annotates: bool = False
    tells: bool = False
    """Whether viewers are told which node it was."""
