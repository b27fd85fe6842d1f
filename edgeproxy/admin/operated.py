"""What can be asked of a running gateway, be it one process or several."""

from collections.abc import Sequence
from typing import Protocol

from edgeproxy.backfill.job import Wanted
from edgeproxy.core.message import Request
from edgeproxy.core.s3_events import ObjectEvent
from edgeproxy.explain import Explanation
from edgeproxy.gateway.changes import Applied


class NotDoneError(Exception):
    """What was asked for could not be done; the message says why."""


class Operated(Protocol):
    """What can be asked of a running gateway."""

    async def stats(self) -> dict[str, object]:
        """Counters and sizes."""
        ...

    async def explain(self, request: Request) -> Explanation:
        """What would happen to a request."""
        ...

    async def invalidate(self, paths: list[str]) -> int:
        """Purge; gives how many keys were stored.

        Raises `ValueError` for a path that is none, `DiskError` and `NotDoneError`.
        """
        ...

    async def changed(self, events: Sequence[ObjectEvent]) -> Applied:
        """Purge what objects that have changed in a bucket made invalid.

        Raises `DiskError` and `NotDoneError`.
        """
        ...

    async def jobs(self, wanted: Wanted) -> tuple[bool, list[dict[str, object]]]:
        """Whether the backfill is paused, and these jobs of it as plain values, the newest first.

        Raises `QueueError` and `NotDoneError`, as the next two do.
        """
        ...

    async def retry_jobs(self, wanted: Wanted) -> int:
        """Queue these jobs again; gives how many."""
        ...

    async def pause_jobs(self, is_paused: bool) -> None:
        """Begin no more jobs, or go on."""
        ...
