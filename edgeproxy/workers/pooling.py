"""The pools of several workers as those of one gateway."""

from typing import Any

_SUMS = frozenset({"in_flight", "requests", "failures"})
_WORST = frozenset({"ewma_ms", "p50_ms", "p99_ms", "ping_ms", "rank"})
"""Each worker learns for itself: the largest of what they know."""


def merged_pools(listings: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Each pool with each of its nodes once, in the order of whoever has it first.

    While a reload is under way, or names are looked up, workers may have different nodes.
    """
    return [
        {**pools[0], "nodes": [merged_node(nodes) for nodes in _by_name([pool["nodes"] for pool in pools])]}
        for pools in _by_name(listings)
    ]


def _by_name(listings: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for listing in listings:
        for one in listing:
            found.setdefault(one["name"], []).append(one)
    return list(found.values())


def merged_node(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """One node as several workers see it; where they differ, as the first sees it that does not ask it."""
    first = next((node for node in nodes if node["why"]), nodes[0])
    told = dict(first)
    for name in told:
        values = [node[name] for node in nodes if node[name] is not None]
        if name in _SUMS:
            told[name] = sum(values)
        elif name in _WORST:
            told[name] = max(values, default=None)
    if any(node["why"] for node in nodes) and not all(node["why"] for node in nodes):
        told["why"] = f"{first['why']} at {sum(bool(node['why']) for node in nodes)} of {len(nodes)} workers"
    return told
