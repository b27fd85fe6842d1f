"""One value out of a JSON document.  RFC 6901."""

import json
import re
from typing import Any, Final, TypeAlias

Json: TypeAlias = Any
"""What `json.loads` gives."""

ABSENT: Final = object()
"""There is no such value; null is one."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_DECIMAL = re.compile(r"[0-9]{1,30}")
_HEX = re.compile(r"0[xX][0-9A-Fa-f]{1,32}")
_LARGEST = 2**63 - 1
"""Every store can keep it."""


def at(document: Json, pointer: str) -> Json:
    """The value at `pointer`, `ABSENT` if there is none.

    §4: `~1` is "/", `~0` is "~", in that order. "-", which is behind the last element, has no value.
    """
    here = document
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict):
            here = here.get(name, ABSENT)
        elif isinstance(here, list) and _INDEX.fullmatch(name) and int(name) < len(here):
            here = here[int(name)]
        else:
            return ABSENT
        if here is ABSENT:
            return ABSENT
    return here


def as_text(value: Json) -> str:
    """A string as it is, all else as JSON writes it: `true`, `12`, `null`."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def as_number(value: Json) -> int | None:
    """The whole number that `value` is or tells as text: decimal, or hex as in "0x1b4"; None if it is none.

    From 0 to 2^63 - 1: Ethereum's JSON-RPC writes quantities in hex, others write plain numbers, and some put
    these into strings.
    """
    if isinstance(value, str):
        if _HEX.fullmatch(value):
            number = int(value, 16)
        elif _DECIMAL.fullmatch(value):
            number = int(value)
        else:
            return None
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        return None
    return number if 0 <= number <= _LARGEST else None
