"""Which answer to a ping is a good one, and the head that it tells."""

import json
from dataclasses import dataclass

from edgeproxy.core.pointer import ABSENT, as_number, as_text, at


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a good answer is like."""

    statuses: frozenset[int] = frozenset({200})
    pointer: str | None = None
    """Where there has to be a value."""
    value: str | None = None
    """Which, as text; None: any but null and false."""
    head_pointer: str | None = None
    """Where there has to be a number that grows."""

    @property
    def looks_inside(self) -> bool:
        """Whether the body matters."""
        return self.pointer is not None or self.head_pointer is not None


@dataclass(frozen=True, slots=True)
class Good:
    """The node is well, and this is its newest block, row or version."""

    head: int | None = None


@dataclass(frozen=True, slots=True)
class Bad:
    """It is not, and why, in words."""

    why: str


def answered(status: int, body: bytes, wanted: Wanted) -> Good | Bad:
    """What an answer says of the node that gave it; `body` does not matter unless `wanted.looks_inside`."""
    if status not in wanted.statuses:
        return Bad(f"it answered {status}")
    if not wanted.looks_inside:
        return Good()
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return Bad("its answer is not JSON")
    if wanted.pointer is not None:
        value = at(document, wanted.pointer)
        if value is ABSENT or (wanted.value is None and (value is None or value is False)):
            return Bad(f"its answer has nothing at {_shown(wanted.pointer)}")
        if wanted.value is not None and as_text(value) != wanted.value:
            return Bad(f"its answer has another value at {_shown(wanted.pointer)}")
    if wanted.head_pointer is None:
        return Good()
    head = as_number(at(document, wanted.head_pointer))
    return Bad(f"its answer has no number at {_shown(wanted.head_pointer)}") if head is None else Good(head)


def _shown(pointer: str) -> str:
    return pointer or "its top"
