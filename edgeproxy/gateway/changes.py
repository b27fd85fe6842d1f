"""What is done when a bucket tells that objects have changed."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

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

    def __init__(
        self,
        buckets: Buckets,
        invalidate: Callable[[Invalidation], Awaitable[int]],
        bury: Callable[[str, bytes], Awaitable[None]],
    ) -> None:
        """`bury(bucket, key)` sees to it that an object that somebody took away stays so for a while."""
        self._buckets = buckets
        self._invalidate = invalidate
        self._bury = bury

    async def apply(self, events: Iterable[ObjectEvent]) -> Applied:
        """Nothing that these made invalid is served any more.  Raises `DiskError` and `QueueError`."""
        told, wanted = Counter[str](), dict[Invalidation, None]()
        for event in events:
            verdict = on_event(event, self._buckets)
            if isinstance(verdict, Reason):
                told[verdict.value] += 1
                continue
            told[PURGED] += 1
            if event.change is Change.REMOVED and not event.is_expiry:
                await self._bury(event.bucket, event.key)
            wanted |= dict.fromkeys(verdict)
        return Applied(told, sum([await self._invalidate(one) for one in wanted]))
