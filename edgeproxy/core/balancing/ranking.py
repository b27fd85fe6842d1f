"""In which order the fit nodes are tried. Each algorithm is a permutation of those it is given.

Randomness comes in as a function that gives numbers in [0, 1).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from math import log
from types import MappingProxyType
from typing import TypeAlias, assert_never

from edgeproxy.core.balancing.nodes import Node, NodeState

Random: TypeAlias = Callable[[], float]
Order: TypeAlias = tuple[Node, ...]
Turns: TypeAlias = Mapping[str, float]
"""By name of the node, what round-robin owes it; negative if it had more than its share."""

NO_TURNS: Turns = MappingProxyType({})
_UNPROVEN_S = 1e6
"""What a node that has never answered is expected to take while it has its first request."""
_NOISE = 2.0
"""Up to so many times the least work is as good as the least."""
_DRAWN = 8
_SHORT_S = 0.001
"""Work that is expected to take less counts as much."""


class Algorithm(StrEnum):
    """How a balancer chooses."""

    RACE = "race"
    FASTEST_PING = "fastest-ping"
    ROUND_ROBIN = "round-robin"
    RANDOM = "random"
    IP_HASH = "ip-hash"
    LEAST_LOAD = "least-load"
    DNS = "dns"
    P2C_EWMA = "p2c-ewma"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an order may depend on besides the nodes."""

    now: float
    random: Random
    client: str = ""
    """Whom `ip-hash` keeps at one node."""
    max_ping_age_s: float = 10.0
    decay_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Ranked:
    """The order in which to try, and the turns to hand in the next time."""

    order: Order
    turns: Turns


def ranked(algorithm: Algorithm, fit: Sequence[NodeState], asked: Asked, turns: Turns = NO_TURNS) -> Ranked:
    """The `fit` nodes in the order in which to try them; for RACE, in which to ping them."""
    match algorithm:
        case Algorithm.ROUND_ROBIN:
            return round_robin(fit, turns)
        case Algorithm.RACE | Algorithm.RANDOM:
            order = by_lot(fit, asked.random)
        case Algorithm.FASTEST_PING:
            order = fastest_ping(fit, asked.now, asked.max_ping_age_s, asked.random)
        case Algorithm.IP_HASH:
            order = ip_hash(fit, asked.client)
        case Algorithm.LEAST_LOAD:
            order = least_load(fit, asked.random)
        case Algorithm.DNS:
            order = tuple(state.node for state in fit)
        case Algorithm.P2C_EWMA:
            order = p2c_ewma(fit, asked.now, asked.decay_s, asked.random)
        case _:
            assert_never(algorithm)
    return Ranked(order, turns)


def round_robin(fit: Sequence[NodeState], turns: Turns) -> Ranked:
    """Each in turn, as often as its weight says and as evenly spread as can be.

    nginx's smooth round-robin: everybody earns their weight, the richest is chosen and pays what all earned.
    """
    earned = {state.node.name: turns.get(state.node.name, 0.0) + state.node.weight for state in fit}
    order = tuple(sorted((state.node for state in fit), key=lambda node: -earned[node.name]))
    if order:
        earned[order[0].name] -= sum(node.weight for node in order)
    return Ranked(order, {**turns, **earned})


def by_lot(fit: Sequence[NodeState], random: Random) -> Order:
    """At random: each place goes to one of those left, by weight."""
    return _by_numbers(fit, lambda node: 1.0 - random())


def ip_hash(fit: Sequence[NodeState], client: str) -> Order:
    """The same for the same client, in every process. When a node leaves, only its clients move, by weight.

    Weighted rendezvous hashing: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit
    Rates", 1998; with weights by Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", 2005.
    """

    def number(node: Node) -> float:
        digest = hashlib.blake2b(f"{client}\0{node.name}".encode(), digest_size=8).digest()
        return (int.from_bytes(digest, "big") + 1) / 2.0**64

    return _by_numbers(fit, number)


def least_load(fit: Sequence[NodeState], random: Random) -> Order:
    """By requests in flight per weight; by lot where that is the same."""
    load = {state.node.name: state.in_flight / state.node.weight for state in fit}
    return tuple(sorted(by_lot(fit, random), key=lambda node: load[node.name]))


def fastest_ping(fit: Sequence[NodeState], now: float, max_age_s: float, random: Random) -> Order:
    """By the last ping; those whose ping failed or is older than `max_age_s` come last, by lot."""

    def took_s(state: NodeState) -> float | None:
        return state.ping.took_s if state.ping is not None and now - state.ping.at <= max_age_s else None

    known = {state.node.name: took for state in fit if (took := took_s(state)) is not None}
    lot = by_lot(fit, random)
    return tuple(sorted(lot, key=lambda node: (node.name not in known, known.get(node.name, 0.0))))


def p2c_ewma(fit: Sequence[NodeState], now: float, decay_s: float, random: Random) -> Order:
    """Of a few drawn by lot the one that costs least, then of the others and one more, and so on.

    Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001: two keep clear of the worst,
    and not everybody runs to the best. Of few nodes all are compared: in bench/balancing that was better or
    as good in every scenario, also for four balancers that know nothing of each other.
    """
    cost = costs(fit, now, decay_s)
    lot = by_lot(fit, random)
    if len(lot) <= _DRAWN:
        return tuple(sorted(lot, key=lambda node: cost[node.name]))
    drawn, waiting = list(lot[:_DRAWN]), iter(lot[_DRAWN:])
    order: list[Node] = []
    while drawn:
        best = min(drawn, key=lambda node: cost[node.name])
        order.append(best)
        drawn.remove(best)
        drawn += islice(waiting, 1)
    return tuple(order)


def costs(fit: Sequence[NodeState], now: float, decay_s: float) -> dict[str, float]:
    """By name of the node, what one request more costs there: seconds that it is expected to take, times the
    requests in flight with it, per weight.

    What it takes is the last ping and the node's work. As in Finagle the work is what was seen of late; but
    it counts as equal up to twice the least: where some requests take ten times as long as others, what is
    seen of equal nodes differs by more than their loads, and would hide these (measured: bench/balancing).

    Who has never answered gets one request for nothing, and no other before it has answered that.
    """
    work_s = {state.node.name: _work_s(state, now, decay_s) for state in fit}
    known = (took_s for took_s in work_s.values() if took_s is not None)
    least_s = max(_NOISE * min(known, default=0.0), _SHORT_S)
    found: dict[str, float] = {}
    for state in fit:
        took_s = work_s[state.node.name]
        if took_s is None:
            expected_s = _UNPROVEN_S if state.pending else 0.0
        else:
            expected_s = _ping_s(state) + max(took_s, least_s)
        found[state.node.name] = expected_s * (state.in_flight + 1) / state.node.weight
    return found


def _work_s(state: NodeState, now: float, decay_s: float) -> float | None:
    """What answers took of late besides the way to the node and back, and at least what the oldest request in
    flight has taken by now: a node that hangs gives no other sign."""
    expected_s = state.latency.expected_s(now, decay_s)
    if expected_s is None:
        return None
    waiting_s = now - state.pending[0] if state.pending else 0.0
    return max(expected_s, waiting_s) - _ping_s(state)


def _ping_s(state: NodeState) -> float:
    return 0.0 if state.ping is None or state.ping.took_s is None else state.ping.took_s


def _by_numbers(fit: Sequence[NodeState], number: Callable[[Node], float]) -> Order:
    """By the numbers in (0, 1] that each node drew: who weighs twice as much comes first twice as often.

    -ln(u) / weight is when an exponential clock with the rate `weight` first rings.
    """
    return tuple(sorted((state.node for state in fit), key=lambda node: -log(number(node)) / node.weight))
