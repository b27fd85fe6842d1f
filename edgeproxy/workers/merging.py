"""The state of several workers as that of one gateway."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

_OF_THE_OLDEST = frozenset({"uptime_s"})
OF_THE_DISK = frozenset({"entries", "used_bytes", "max_bytes"})
"""What each worker tells of the disk that all of them share."""


def merged(states: list[dict[str, Any]], shared: Mapping[str, AbstractSet[str]]) -> dict[str, Any]:
    """The sum of all numbers, the longest uptime; plus how many workers there are.

    `shared` has, by the name of a section, what in it each worker tells of the whole: that counts once.
    """
    return {"workers": len(states), **_merged(states, shared, frozenset())}


def _merged(
    states: list[dict[str, Any]], shared: Mapping[str, AbstractSet[str]], of_all: AbstractSet[str]
) -> dict[str, Any]:
    names = dict.fromkeys(name for state in states for name in state)
    return {name: _value(name, [s[name] for s in states if name in s], shared, of_all) for name in names}


def _value(
    name: str, values: list[Any], shared: Mapping[str, AbstractSet[str]], of_all: AbstractSet[str]
) -> Any:
    if isinstance(values[0], dict):
        return _merged(values, shared, shared.get(name, frozenset()))
    if name in of_all:
        return values[0]
    if name in _OF_THE_OLDEST:
        return max(values)
    return sum(values)
