"""The race: all nodes are pinged at once, and the first that answers well gets the request."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeproxy.core.balancing.nodes import Node
from edgeproxy.core.balancing.ranking import Order


@dataclass(frozen=True, slots=True)
class Finish:
    """A ping that ended."""

    node: Node
    is_ok: bool


def winner(finishes: Iterable[Finish]) -> Node | None:
    """The first whose ping was answered well, of `finishes` in the order in which they came."""
    return next((finish.node for finish in finishes if finish.is_ok), None)


def after_race(racers: Sequence[Node], finishes: Sequence[Finish]) -> Order:
    """Whom to try: those who finished well as they came, then those who still run; who failed is out."""
    well = tuple(finish.node for finish in finishes if finish.is_ok)
    heard_of = {finish.node for finish in finishes}
    return well + tuple(node for node in racers if node not in heard_of)
