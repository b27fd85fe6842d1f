"""Which origin next, and when to try again.

CloudFront Developer Guide, "Optimizing high availability with CloudFront origin failover".
"""

from collections.abc import Callable
from dataclasses import dataclass

from edgeproxy.core.reason import Reason

# "CloudFront fails over to the secondary origin only when the HTTP method of the viewer request is
# GET, HEAD, or OPTIONS."
FAILOVER_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FAILOVER_STATUSES = frozenset({400, 403, 404, 416, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one origin did: a status, or the reason why there was none (then `status` is what it counts as)."""

    origin: str
    status: int
    reason: Reason | None = None
    node: str = ""
    """Which of the origin's equal nodes it was; empty if it has none."""
    took_s: float | None = None
    """Seconds until the head of the answer came; None if none did."""
    is_told: bool = False
    """Whether viewers are told of the node."""

    def __str__(self) -> str:
        where = f"{self.origin}/{self.node}" if self.node else self.origin
        return f"{where}={self.reason or self.status}"


def fails_over(method: str, status: int, failover_on: frozenset[int]) -> bool:
    """Whether the secondary is tried after the primary's `status`, or what its fault counts as."""
    return method in FAILOVER_METHODS and status in failover_on


def backoff_s(failures: int, base_s: float, cap_s: float, random: Callable[[], float]) -> float:
    """Seconds to wait after `failures` failures (from 1): exponential with full jitter.

    `random` gives numbers in [0, 1). Never below a tenth of the step, so that a retry is never at once.
    """
    step = min(cap_s, base_s * 2.0 ** min(failures - 1, 32))
    return step * (0.1 + 0.9 * random())
