"""What is done when a bucket tells that objects have changed."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import assert_never

from edgeproxy.core.changes import Buckets, on_event
from edgeproxy.core.invalidation import Invalidation
from edgeproxy.core.reason import Reason
from edgeproxy.core.s3_events import Change, ObjectEvent

PURGED = "purged"


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of events: how many were `PURGED`, or ignored for which Reason; and the keys that went."""

    events: Counter[str] = field(default_factory=Counter)
    keys: int = 0


class Changes:
    """Applies events, wherever they come from; twice or in another order than they happened is as well."""

    def __init__(self, buckets: Buckets, invalidate: Callable[[Invalidation], Awaitable[int]]) -> None:
        self._buckets = buckets
        self._invalidate = invalidate

    async def apply(self, events: Iterable[ObjectEvent]) -> Applied:
        """Nothing that these made invalid is served any more.  Raises `DiskError`."""
        told, wanted = Counter[str](), dict[Invalidation, ObjectEvent]()
        for event in events:
            verdict = on_event(event, self._buckets)
            if isinstance(verdict, Reason):
                told[verdict.value] += 1
            else:
                told[PURGED] += 1
                wanted |= dict.fromkeys(verdict, event)
        return Applied(told, sum([await self._forget(one, event) for one, event in wanted.items()]))

    async def _forget(self, what: Invalidation, event: ObjectEvent) -> int:
        match event.change:
            case Change.CREATED:
                return await self._invalidate(what)
            case Change.REMOVED:
                return await self._removed(what)
            case _:
                assert_never(event.change)

    async def _removed(self, what: Invalidation) -> int:
        """Here belongs what else is to become of an object that somebody took away."""
        return await self._invalidate(what)
