"""The state of several workers as that of one gateway."""

from typing import Any

_OF_THE_OLDEST = frozenset({"uptime_s"})
_OF_ALL_TOGETHER = frozenset({"entries", "used_bytes", "max_bytes"})
"""On disk, which the workers share: each of them tells of the whole."""


def merged(states: list[dict[str, Any]]) -> dict[str, Any]:
    """The sum of all numbers, the longest uptime, the disk once; plus how many workers there are."""
    return {"workers": len(states), **_merged(states)}


def _merged(states: list[dict[str, Any]], *, is_disk: bool = False) -> dict[str, Any]:
    names = dict.fromkeys(name for state in states for name in state)
    return {name: _value(name, [s[name] for s in states if name in s], is_disk=is_disk) for name in names}


def _value(name: str, values: list[Any], *, is_disk: bool) -> Any:
    if isinstance(values[0], dict):
        return _merged(values, is_disk=name == "disk")
    if is_disk and name in _OF_ALL_TOGETHER:
        return values[0]
    if name in _OF_THE_OLDEST:
        return max(values)
    return sum(values)
