"""A process that only works at jobs: no viewers, no cache, and an admin port only if it is wanted."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from edgeproxy.admin.operated import NotDoneError
from edgeproxy.app import Drained, Observers
from edgeproxy.assembly.filling import Works, works_of
from edgeproxy.assembly.origins import origins_of
from edgeproxy.backfill.steered import Steered
from edgeproxy.clock import Clock, SystemClock
from edgeproxy.config.schema import Config
from edgeproxy.core.message import Request
from edgeproxy.core.s3_events import ObjectEvent
from edgeproxy.explain import Explanation
from edgeproxy.gateway.changes import Applied
from edgeproxy.origins.pools import Order
from edgeproxy.serve import administered, told_of, until_signal
from edgeproxy.store.flight import Flights
from edgeproxy.store.memory import MemoryCache
from edgeproxy.store.tiers import Tiers

_NO_VIEWERS = "this process works at jobs and answers no viewers"


class Filling(Steered):
    """The sources, the buckets and a worker between them; `Operated`, to the admin port."""

    def __init__(self, works: Works, clock: Clock) -> None:
        super().__init__(works.worker, works.filler)
        self.is_draining = False
        self._source = works.source
        self._clock = clock
        self._started = clock.elapsed()

    @property
    def groups(self) -> list[str]:
        """The targets whose buckets are filled."""
        return sorted(self._filler.prefixes)

    async def stats(self) -> dict[str, object]:
        """Counters and sizes."""
        jobs = {state.value: number for state, number in (await self._worker.queue.counts()).items()}
        return {
            "uptime_s": round(self._clock.elapsed() - self._started, 3),
            "backfill": {"at_work": self._worker.at_work, **dict(sorted(self._worker.counts.items()))},
            "sources": self._source.fields(),
            "jobs": {**jobs, "faults": self._worker.queue.faults},
        }

    async def explain(self, request: Request) -> Explanation:
        """Raises `NotDoneError`."""
        raise NotDoneError(_NO_VIEWERS)

    async def invalidate(self, paths: list[str]) -> int:
        """Raises `NotDoneError`."""
        raise NotDoneError(_NO_VIEWERS)

    async def changed(self, events: Sequence[ObjectEvent]) -> Applied:
        """Raises `NotDoneError`."""
        raise NotDoneError(_NO_VIEWERS)

    async def pools(self) -> list[dict[str, Any]]:
        """Raises `NotDoneError`."""
        raise NotDoneError(_NO_VIEWERS)

    async def order_node(self, order: Order, pool: str, node: str) -> dict[str, Any]:
        """Raises `NotDoneError`."""
        raise NotDoneError(_NO_VIEWERS)

    async def drain(self, timeout_s: float) -> Drained:
        """Finish what is at work; what is not done after `timeout_s` is given up, or kept, and counted."""
        self.is_draining = True
        left = await self._worker.drain(timeout_s)
        return Drained(0, left.given_up, left.kept)


@asynccontextmanager
async def filling(
    config: Config, *, observers: Observers | None = None, clock: Clock | None = None
) -> AsyncIterator[Filling]:
    """What fills the buckets of `config`, at work until the context ends.

    Ends at once: `drain` first to end in peace.  Raises `QueueError`.
    """
    clock = clock or SystemClock()
    observers = observers or Observers()
    async with AsyncExitStack() as stack:
        origins = await origins_of(config, clock, stack)
        works = await works_of(
            config,
            origins,
            Tiers(MemoryCache(0, 0), None),
            Flights(),
            clock,
            stack,
            fills=True,
            on_fault=observers.fault,
            on_outcome=observers.job,
        )
        works.worker.start()
        yield Filling(works, clock)


async def fill(config: Config, observers: Observers, say: Callable[[str], None], *, has_admin: bool) -> int:
    """Work until told to stop, drain, and give the exit status: 0 if nothing was lost.

    Raises `ListenError` and `QueueError`.
    """
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(filling(config, observers=observers))

        def why_not_ready() -> str | None:
            return "draining" if process.is_draining else None

        where = ""
        if has_admin:
            # Events are for those who have a cache.
            deaf = config.model_copy(update={"events": config.events.model_copy(update={"sqs": None})})
            admin = await stack.enter_async_context(
                administered(deaf, process, why_not_ready, observers.fault)
            )
            where = f" (admin on http://{admin})"
        groups, jobs = ", ".join(process.groups), config.backfill.concurrency
        say(f"edgeproxy works at jobs of {groups}, {jobs} at once{where}")
        name = await until_signal()
        say(f"{name}: draining, for at most {config.server.drain_timeout:g} s")
        return told_of(0, await process.drain(config.server.drain_timeout), say)
