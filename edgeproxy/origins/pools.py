"""All pools, as operators see and steer them: plain values that fit JSON."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeAlias

from edgeproxy.core.balancing.fitness import Fit, NobodyFit, unfit
from edgeproxy.core.balancing.health import best_head
from edgeproxy.core.balancing.nodes import Duty
from edgeproxy.core.reason import Reason
from edgeproxy.origins.conduct import Conduct
from edgeproxy.origins.member import Endpoint, Member
from edgeproxy.origins.pool import PoolOrigin

Fields: TypeAlias = dict[str, Any]


class Order(StrEnum):
    """What an operator may have done with a node."""

    CORDON = "cordon"
    UNCORDON = "uncordon"
    DRAIN = "drain"
    PING = "ping"


DUTIES: Mapping[Order, Duty] = MappingProxyType(
    {Order.CORDON: Duty.CORDONED, Order.UNCORDON: Duty.READY, Order.DRAIN: Duty.DRAINED}
)
"""What a node is on after it; PING changes nothing."""


class Pools:
    """The pools by name."""

    def __init__(self, by_name: Mapping[str, PoolOrigin]) -> None:
        self._by_name = by_name

    def listed(self) -> list[Fields]:
        """Each pool with its nodes, as they are now."""
        return [_pool_fields(pool) for pool in self._by_name.values()]

    async def obey(self, order: Order, pool: str, node: str) -> Fields:
        """Do it, and give the node's fields.  Raises `ValueError` with one line for a name that is none."""
        found = self._by_name.get(pool)
        if found is None:
            raise ValueError(f'pool: got "{pool}", want one of {_names(self._by_name)}')
        members = {member.name: member for member in found.members}
        if node not in members:
            raise ValueError(f'node: got "{node}", want one of {_names(members)}')
        if order is Order.PING:
            await found.ping(node)
        else:
            found.put_on(node, DUTIES[order])
        return next(fields for fields in _pool_fields(found)["nodes"] if fields["name"] == node)

    def put_back_on(self, duties: Mapping[str, Mapping[str, Duty]]) -> None:
        """What the operator has let nodes do before, by pool and node; names may be of none that there is."""
        for name, pool in self._by_name.items():
            pool.put_back_on(duties.get(name, {}))

    async def change(self, pool: str, endpoints: Sequence[Endpoint], conduct: Conduct) -> None:
        """From now on these are the nodes of `pool`, and that is its conduct."""
        await self._by_name[pool].replace(endpoints, conduct)

    def foretold(self, name: str, viewer: str) -> str | None:
        """Which node of the pool `name` would be asked for `viewer`, and why not others; None: no pool."""
        pool = self._by_name.get(name)
        if pool is None:
            return None
        fit = pool.candidates()
        if isinstance(fit, NobodyFit):
            return f"none: {fit} ({fit.reason})"
        order = [node.name for node in pool.order(fit, viewer)]
        asked = f"{order[0]} of {', '.join(order)} by {pool.conduct.algorithm}"
        others = _not_asked(pool, fit)
        return f"{asked}; not {', '.join(others)}" if others else asked

    def __bool__(self) -> bool:
        return bool(self._by_name)


def _names(known: Mapping[str, object]) -> str:
    return ", ".join(sorted(known)) or "none: there are no pools"


def _not_asked(pool: PoolOrigin, fit: Fit) -> list[str]:
    names = {state.node.name for state in fit.states}
    return [f"{member.name} ({_why(pool, member)})" for member in pool.members if member.name not in names]


def _why(pool: PoolOrigin, member: Member) -> str:
    """Why a node is not asked; the tier if that is all."""
    return _unfit(pool, member) or member.state.node.tier.value


def _unfit(pool: PoolOrigin, member: Member) -> Reason | None:
    max_lag = pool.conduct.rules.max_lag
    best = best_head((other.state.head for other in pool.members), max_lag)
    return unfit(member.state, best, pool.now(), max_lag)


def _pool_fields(pool: PoolOrigin) -> Fields:
    fit = pool.candidates()
    ranks = {}
    if isinstance(fit, Fit):
        ranks = {node.name: place for place, node in enumerate(pool.order(fit, ""), start=1)}
    return {
        "name": pool.name,
        "algorithm": str(pool.conduct.algorithm),
        "nodes": [_node_fields(pool, member, ranks.get(member.name)) for member in pool.members],
    }


def _node_fields(pool: PoolOrigin, member: Member, rank: int | None) -> Fields:
    now, state = pool.now(), member.state
    why = _unfit(pool, member)
    ping = state.ping
    return {
        "name": member.name,
        "url": member.endpoint.url,
        "tier": state.node.tier.value,
        "weight": state.node.weight,
        "rank": rank,
        "duty": state.duty.value,
        "health": state.health.verdict.value,
        "breaker": state.breaker.phase(now).value,
        "why": str(why) if why is not None else None,
        "ewma_ms": _ms(state.latency.expected_s(now, pool.conduct.rules.decay_s)),
        "p50_ms": _ms(member.durations.quantile_s(0.5)),
        "p99_ms": _ms(member.durations.quantile_s(0.99)),
        "ping_ms": _ms(ping.took_s if ping is not None else None),
        "ping_failure": (ping.why or None) if ping is not None else None,
        "ping_age_s": round(now - ping.at, 1) if ping is not None else None,
        "head": state.head,
        "in_flight": state.in_flight,
        "requests": member.requests,
        "failures": member.failures,
        "last_failure": member.last_failure or None,
    }


def _ms(seconds: float | None) -> float | None:
    return round(seconds * 1000, 2) if seconds is not None else None
