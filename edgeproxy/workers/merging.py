"""The state of several workers as that of one gateway."""

from typing import Any

from edgeproxy.backfill.job import State

_OF_THE_OLDEST = frozenset({"uptime_s"})
_OF_ALL_TOGETHER = frozenset({"entries", "used_bytes", "max_bytes", *map(str, State)})
"""Of what the workers share, as the disk: each of them tells of the whole."""


def merged(states: list[dict[str, Any]], shared: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The sum of all numbers, the longest uptime, what is `shared` once; plus how many workers there are."""
    return {"workers": len(states), **_merged(states, shared)}


def _merged(
    states: list[dict[str, Any]], shared: frozenset[str], *, is_shared: bool = False
) -> dict[str, Any]:
    names = dict.fromkeys(name for state in states for name in state)
    return {
        name: _value(name, [s[name] for s in states if name in s], shared, is_shared=is_shared)
        for name in names
    }


def _value(name: str, values: list[Any], shared: frozenset[str], *, is_shared: bool) -> Any:
    if isinstance(values[0], dict):
        return _merged(values, shared, is_shared=name in shared)
    if is_shared and name in _OF_ALL_TOGETHER:
        return values[0]
    if name in _OF_THE_OLDEST:
        return max(values)
    return sum(values)
