"""What most answers take: a histogram with fixed, logarithmic buckets, in which the old counts less and less.

Nothing is ever scaled down when time passes: what is new weighs more instead. Cormode, Shkapenyuk, Srivastava
and Xu, "Forward Decay: A Practical Time Decay Model for Streaming Systems", ICDE 2009.
"""

from dataclasses import dataclass
from math import ceil, exp, log

_LOWEST_S = 0.0001
_GROWTH = 1.1
"""From bucket to bucket: a quantile is at most 10 % above the truth."""
_BUCKETS = 150
"""Up to two minutes; what takes longer counts as that."""
_MAX_EXPONENT = 50.0


@dataclass(frozen=True, slots=True)
class Durations:
    """How long answers took. `decay_s`: in so much time one loses 63 % of what it counts."""

    decay_s: float = 60.0
    counts: tuple[float, ...] = (0.0,) * _BUCKETS
    total: float = 0.0
    start: float = 0.0
    """When an answer counts 1; a later one more, an earlier one less."""

    def weight(self, now: float) -> float:
        """How many answers there are, counting each at `now`."""
        return self.total * exp((self.start - now) / self.decay_s)

    def quantile_s(self, share: float) -> float | None:
        """Seconds in which `share` (0 to 1) of the answers came, up to a bucket's end; None: no answers."""
        if self.total <= 0:
            return None
        wanted, seen = share * self.total, 0.0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted * (1 - 1e-9):
                return _LOWEST_S * _GROWTH**bucket
        return _LOWEST_S * _GROWTH ** max(bucket for bucket, count in enumerate(self.counts) if count)


def noted(durations: Durations, took_s: float, now: float) -> Durations:
    """With one more answer, which took `took_s`."""
    if (now - durations.start) / durations.decay_s > _MAX_EXPONENT:
        durations = _restarted(durations, now)
    counts_as = exp((now - durations.start) / durations.decay_s)
    bucket = 0 if took_s <= _LOWEST_S else min(ceil(log(took_s / _LOWEST_S) / log(_GROWTH)), _BUCKETS - 1)
    counts = durations.counts
    return Durations(
        durations.decay_s,
        (*counts[:bucket], counts[bucket] + counts_as, *counts[bucket + 1 :]),
        durations.total + counts_as,
        durations.start,
    )


def _restarted(durations: Durations, now: float) -> Durations:
    """The same with a new start, before the weights grow out of what a float holds."""
    scale = exp((durations.start - now) / durations.decay_s)
    counts = tuple(count * scale for count in durations.counts)
    return Durations(durations.decay_s, counts, sum(counts), now)
