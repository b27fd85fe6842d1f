"""Where findings are kept and shared: the last of each node."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from edgeproxy.core.balancing.findings import MAX_SKEW_S, Finding

KEEP_S = 86_400.0
"""Findings of nodes that nobody checks any more go after so long, at least."""


def key_of(pool: str, node: str) -> str:
    """What a node is called on a board."""
    return f"{pool}/{node}"


class BoardError(Exception):
    """The board cannot be read or written; the message says why."""


class Board(Protocol):
    """All that have the same board check each node once an interval, together.

    A finding is put only over an older one, so that a check that hung does not hide what came after it; one
    from the future (`MAX_SKEW_S`) counts as older: a machine with a wrong clock must not shut out the others.
    """

    async def open(self) -> None:
        """Before it is used; what is reached over the network may be reached later.  Raises `BoardError`."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...

    async def read(self, nodes: Sequence[str]) -> Mapping[str, Finding]:
        """The findings of `nodes`, of those that have one that can be read.  Raises `BoardError`."""
        ...

    async def put(self, finding: Finding, now: float) -> bool:
        """Keep it; False if there is a newer one. `now` is POSIX.  Raises `BoardError`."""
        ...


class MemoryBoard:
    """See `Board`. For one process."""

    def __init__(self) -> None:
        self._findings: dict[str, Finding] = {}

    async def open(self) -> None:
        """See `Board`."""

    async def close(self) -> None:
        """See `Board`."""

    async def read(self, nodes: Sequence[str]) -> Mapping[str, Finding]:
        """See `Board`."""
        return {node: self._findings[node] for node in nodes if node in self._findings}

    async def put(self, finding: Finding, now: float) -> bool:
        """See `Board`."""
        before = self._findings.get(finding.node)
        if before is not None and finding.at <= before.at <= now + MAX_SKEW_S:
            return False
        self._findings = {node: kept for node, kept in self._findings.items() if now - kept.at <= KEEP_S} | {
            finding.node: finding
        }
        return True
