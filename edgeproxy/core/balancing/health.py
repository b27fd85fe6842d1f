"""Whether a node passes its checks: so many in a row change the verdict, so that it does not flap.

The words `fall` and `rise`, and their defaults, are HAProxy's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


class Verdict(StrEnum):
    """What the checks say of a node."""

    NEW = "new"
    """None has ended yet: the node is trusted, and the first check decides alone."""
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How many checks in a row, from 1, turn the verdict."""

    fall: int = 3
    rise: int = 2


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict, and how many checks in a row have spoken against it."""

    verdict: Verdict = Verdict.NEW
    against: int = 0
    since: float = 0.0
    """When the verdict was reached."""


def checked(health: Health, has_passed: bool, now: float, thresholds: Thresholds) -> Health:
    """The health after one more check."""
    says = Verdict.UP if has_passed else Verdict.DOWN
    if says is health.verdict:
        return health if not health.against else Health(health.verdict, 0, health.since)
    needed = {Verdict.NEW: 1, Verdict.UP: thresholds.fall, Verdict.DOWN: thresholds.rise}[health.verdict]
    if health.against + 1 >= needed:
        return Health(says, 0, now)
    return Health(health.verdict, health.against + 1, health.since)


def best_head(heads: Iterable[int | None], max_lag: int | None) -> int | None:
    """The head that the others are measured by; None if none is known.

    The highest that a second node bears out, being at most `max_lag` behind: one node that follows another
    chain, or makes its numbers up, would have all others count as lagging. Where no two bear each other
    out, the second highest counts, as one is wrong at most; of two nodes the higher, as most often one lags.
    """
    known = sorted((head for head in heads if head is not None), reverse=True)
    for head, witness in pairwise(known):
        if head - witness <= (max_lag or 0):
            return head
    return next(iter(known[1 if len(known) > 2 else 0 :]), None)


def is_lagging(head: int | None, best: int | None, max_lag: int | None) -> bool:
    """Whether a node whose newest block, row or version is `head` is more than `max_lag` behind the `best`.

    `max_lag` has to cover what is added between two checks; None: it does not matter. A node whose head is
    not known is trusted.
    """
    return max_lag is not None and head is not None and best is not None and best - head > max_lag
