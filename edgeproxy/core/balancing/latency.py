"""How long a node is expected to take: a moving average that jumps up at once and comes down slowly.

After "peak EWMA" of Finagle and Linkerd. Theirs learns of a slow node when it answers. Here a request that is
still waiting counts as well (`ranking.costs`), as an answer that takes at least so long: a node that hangs
gives no samples at all.
"""

from dataclasses import dataclass
from math import exp

_FAILURE_FACTOR = 10.0
"""A failure counts as an answer so many times slower than expected: a node that fails fast is not fast."""


@dataclass(frozen=True, slots=True)
class Latency:
    """The average `peak_s` as it was at `at`; None if there was no answer yet."""

    peak_s: float | None = None
    at: float = 0.0

    def expected_s(self, now: float, decay_s: float) -> float | None:
        """The average at `now`: it falls to 1/e in `decay_s` without answers, so that the node is tried."""
        return None if self.peak_s is None else self.peak_s * exp((self.at - now) / decay_s)


UNKNOWN = Latency()


def answered(latency: Latency, took_s: float, now: float, decay_s: float) -> Latency:
    """The average after an answer that took `took_s`: at least that, or on the way down to it."""
    if latency.peak_s is None or took_s >= latency.peak_s:
        return Latency(took_s, now)
    kept = exp((latency.at - now) / decay_s)
    return Latency(latency.peak_s * kept + took_s * (1 - kept), now)


def failed(latency: Latency, took_s: float, now: float, decay_s: float, cap_s: float) -> Latency:
    """The average after a failure, which counts as an answer of up to `cap_s`; a node's first as `cap_s`."""
    expected_s = latency.expected_s(now, decay_s)
    counted_s = cap_s if expected_s is None else min(_FAILURE_FACTOR * expected_s, cap_s)
    return answered(latency, max(took_s, counted_s), now, decay_s)


def left(latency: Latency, took_s: float, now: float, decay_s: float) -> Latency:
    """The average after nobody waited any longer: the answer would have taken more than `took_s`."""
    expected_s = latency.expected_s(now, decay_s)
    return latency if expected_s is None or took_s <= expected_s else Latency(took_s, now)
