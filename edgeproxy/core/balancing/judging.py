"""Whether an answer speaks for the node that gave it, or against it."""

from collections.abc import Sequence

from edgeproxy.core.balancing.breaker import Outcome
from edgeproxy.core.balancing.nodes import NodeState


def judged(
    name: str, status: int, states: Sequence[NodeState], failures: frozenset[int], max_share: float
) -> Outcome:
    """How a request ended that the node called `name` answered with `status`.

    A request that no node can do would have all of them ejected one after the other. So where more than
    `max_share` of the nodes would be, an answer, however bad, counts for nothing; no answer always does.
    After the maximal ejection percentage of Envoy's outlier detection.
    """
    if status not in failures:
        return Outcome.OK
    others = sum(state.breaker.until is not None for state in states if state.node.name != name)
    is_ejected = any(state.breaker.until is not None for state in states if state.node.name == name)
    if is_ejected or others + 1 <= max_share * len(states):
        return Outcome.FAILED
    return Outcome.ABANDONED
