"""What the checks of a node have found, in a form that outlives the process and goes from one to another."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

from edgeproxy.core.balancing.health import Health, Thresholds, Verdict, checked
from edgeproxy.core.balancing.nodes import NodeState, Ping

MAX_SKEW_S = 60.0
"""By how much the clocks of two machines may differ; what is from later than that is not believed."""
_MAX_WHY = 200
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What comes of a text that is not what was written."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of a node by its checks. Times are POSIX seconds."""

    node: str
    """Pool and node, such as `api/a.example.com`."""
    at: float
    """When the last check began."""
    took_s: float | None
    """What it took; None: it failed."""
    head: int | None = None
    """The last that the node told."""
    health: Health = Health()
    """What follows from this check and those before; `since` is POSIX as well."""
    why: str = ""
    """Why it failed, in words."""
    by: str = ""
    """Who checked."""


def added(
    before: Finding | None, node: str, ping: Ping, began_at: float, by: str, thresholds: Thresholds
) -> Finding:
    """The finding after one more check, which began at `began_at` (POSIX).

    `before` is the last finding that may be trusted; without one this check decides alone.
    """
    health = before.health if before is not None else Health()
    head = before.head if before is not None and ping.head is None else ping.head
    health = checked(health, ping.took_s is not None, began_at, thresholds)
    return Finding(node, began_at, ping.took_s, head, health, ping.why[:_MAX_WHY], by)


def is_fresh(finding: Finding, now: float, max_age_s: float) -> bool:
    """Whether it may be trusted at `now` (POSIX)."""
    return -MAX_SKEW_S <= now - finding.at <= max_age_s


def max_age_s(interval_s: float, timeout_s: float) -> float:
    """How old a finding may be where a check is due every `interval_s` and takes up to `timeout_s`: two may
    have been missed."""
    return 3 * interval_s + timeout_s


def known(state: NodeState, finding: Finding | None, ahead_s: float) -> NodeState:
    """The state of a node that is checked by others alone: what they found counts as found here.

    `ahead_s` is how far the clock of the state is ahead of POSIX time; below zero as a rule. None: there is
    no finding that may be trusted, and so the node is.
    """
    if finding is None:
        return replace(state, health=Health(), ping=None, head=None)
    at = finding.at + ahead_s + (finding.took_s or 0.0)
    health = replace(finding.health, since=finding.health.since + ahead_s)
    return replace(
        state, health=health, ping=Ping(at, finding.took_s, finding.head, finding.why), head=finding.head
    )


def text_of(finding: Finding) -> str:
    """As JSON."""
    return json.dumps(asdict(finding))


def finding_of(text: str | bytes) -> Finding:
    """The finding that `text` is of.  Raises one of `UNREADABLE`."""
    return finding_from(json.loads(text))


def finding_from(values: Mapping[str, Any]) -> Finding:
    """The finding that these are the fields of.  Raises one of `UNREADABLE`."""
    health, took_s, head = values["health"], values["took_s"], values["head"]
    numbers = [float(values["at"]), float(health["since"])] + ([] if took_s is None else [float(took_s)])
    if not all(map(isfinite, numbers)):
        raise ValueError("a time without end")
    return Finding(
        str(values["node"]),
        float(values["at"]),
        None if took_s is None else float(took_s),
        None if head is None else int(head),
        Health(Verdict(health["verdict"]), int(health["against"]), float(health["since"])),
        str(values["why"]),
        str(values["by"]),
    )
