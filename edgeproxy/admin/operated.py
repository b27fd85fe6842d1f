"""What can be asked of a running gateway, be it one process or several."""

from collections.abc import Sequence
from typing import Any, Protocol

from edgeproxy.backfill.filler import Asked
from edgeproxy.backfill.job import Wanted
from edgeproxy.core.message import Request
from edgeproxy.core.s3_events import ObjectEvent
from edgeproxy.explain import Explanation
from edgeproxy.gateway.changes import Applied
from edgeproxy.origins.pools import Order


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

        Raises `QueueError` and `NotDoneError`, as the next three do.
        """
        ...

    async def retry_jobs(self, wanted: Wanted) -> int:
        """Queue these jobs again; gives how many."""
        ...

    async def cancel_jobs(self, wanted: Wanted) -> int:
        """Let these jobs be done no more; gives how many."""
        ...

    async def refresh_objects(self, asked: Asked) -> dict[str, int]:
        """Look at the sources of these objects; gives how many jobs are "queued", or not for which reason.

        Raises `ValueError` for a group that is none, and as `bury_objects` what the others raise.
        """
        ...

    async def bury_objects(self, asked: Asked) -> int:
        """Do not fill these objects for a while; gives how many tombstones there are."""
        ...

    async def pause_jobs(self, is_paused: bool) -> None:
        """Begin no more jobs, or go on."""
        ...

    async def pools(self) -> list[dict[str, Any]]:
        """The pools with their nodes, as plain values.  Raises `NotDoneError`."""
        ...

    async def order_node(self, order: Order, pool: str, node: str) -> dict[str, Any]:
        """Have something done with a node; gives it as plain values.

        Raises `ValueError` where there is none of this name, and `NotDoneError`.
        """
        ...
