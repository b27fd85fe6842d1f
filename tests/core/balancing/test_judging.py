"""Whether an answer speaks against the node that gave it."""

from dataclasses import replace

import pytest

from edgeproxy.core.balancing.breaker import Breaker, Outcome
from edgeproxy.core.balancing.judging import judged
from edgeproxy.core.balancing.nodes import Node, NodeState

FAILURES = frozenset({500, 503})


def nodes(count: int, ejected: str = "") -> list[NodeState]:
    states = [NodeState(Node(name)) for name in "abcdefgh"[:count]]
    return [replace(s, breaker=Breaker(until=9.0)) if s.node.name in ejected else s for s in states]


@pytest.mark.parametrize(
    ("status", "count", "ejected", "max_share", "wanted"),
    [
        (200, 2, "", 0.5, Outcome.OK),
        (404, 2, "", 0.5, Outcome.OK),
        (500, 2, "", 0.5, Outcome.FAILED),
        (500, 2, "b", 0.5, Outcome.ABANDONED),
        (500, 1, "", 0.5, Outcome.ABANDONED),
        (500, 1, "", 1.0, Outcome.FAILED),
        (500, 4, "b", 0.5, Outcome.FAILED),
        (500, 4, "bc", 0.5, Outcome.ABANDONED),
        (500, 2, "", 0.0, Outcome.ABANDONED),
        # One that is on probation has failed it, whatever the others do.
        (500, 2, "ab", 0.5, Outcome.FAILED),
    ],
)
def test_judged(status: int, count: int, ejected: str, max_share: float, wanted: Outcome) -> None:
    assert judged("a", status, nodes(count, ejected), FAILURES, max_share) is wanted
