"""A process that only works at jobs: no viewers, no cache, and an admin port only if it is wanted."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from edgeproxy.admin.service import NotDoneError
from edgeproxy.app import Drained, Observers
from edgeproxy.assembly.filling import queue_of, worker_of, writers_of
from edgeproxy.assembly.origins import Origins, origins_of
from edgeproxy.backfill.job import Wanted
from edgeproxy.backfill.source import Source
from edgeproxy.backfill.worker import Worker
from edgeproxy.backfill.writer import BucketWriter
from edgeproxy.clock import Clock, SystemClock
from edgeproxy.config.schema import Config
from edgeproxy.core.message import Request
from edgeproxy.explain import Explanation
from edgeproxy.serve import administered, told_of, until_signal
from edgeproxy.store.flight import Flights
from edgeproxy.store.memory import MemoryCache
from edgeproxy.store.tiers import Tiers

_NO_VIEWERS = "this process works at jobs and answers no viewers"


@dataclass(slots=True)
class Filling:
    """The origins, the buckets and a worker between them; `Operated`, to the admin port."""

    config: Config
    origins: Origins
    writers: Mapping[str, BucketWriter]
    """By the name of the group whose primary is the bucket."""
    worker: Worker
    observers: Observers
    clock: Clock
    started: float
    is_draining: bool = False

    async def stats(self) -> dict[str, object]:
        """Counters and sizes."""
        jobs = {state.value: number for state, number in (await self.worker.queue.counts()).items()}
        return {
            "uptime_s": round(self.clock.elapsed() - self.started, 3),
            "backfill": {"at_work": self.worker.at_work, **dict(sorted(self.worker.counts.items()))},
            "jobs": {**jobs, "faults": self.worker.queue.faults},
        }

    async def explain(self, request: Request) -> Explanation:
        """Raises `NotDoneError`."""
        raise NotDoneError(_NO_VIEWERS)

    async def invalidate(self, paths: list[str]) -> int:
        """Raises `NotDoneError`."""
        raise NotDoneError(_NO_VIEWERS)

    async def jobs(self, wanted: Wanted) -> tuple[bool, list[dict[str, object]]]:
        """Whether the backfill is paused, and these jobs of it as plain values.  Raises `QueueError`."""
        entries = await self.worker.queue.entries(wanted)
        return await self.worker.queue.is_paused(), [entry.fields() for entry in entries]

    async def retry_jobs(self, wanted: Wanted) -> int:
        """Queue these jobs again; gives how many.  Raises `QueueError`."""
        return await self.worker.queue.retry(wanted)

    async def pause_jobs(self, is_paused: bool) -> None:
        """Begin no more jobs, or go on.  Raises `QueueError`."""
        await self.worker.queue.pause(is_paused)

    async def drain(self, timeout_s: float) -> Drained:
        """Finish what is at work; what is not done after `timeout_s` is given up, or kept, and counted."""
        self.is_draining = True
        left = await self.worker.drain(timeout_s)
        return Drained(0, left.given_up, left.kept)


@asynccontextmanager
async def filling(
    config: Config, *, observers: Observers | None = None, clock: Clock | None = None
) -> AsyncIterator[Filling]:
    """What fills the buckets of `config`, at work until the context ends.

    Ends at once: `drain` first to end in peace. There need be no rules: whoever put a job into the queue
    has judged it.  Raises `QueueError`.
    """
    clock = clock or SystemClock()
    observers = observers or Observers()
    async with AsyncExitStack() as stack:
        origins = await origins_of(config, clock, stack)
        writers = await writers_of(config, origins.buckets, stack)
        queue = await queue_of(
            config,
            clock,
            frozenset(writers),
            on_fault=observers.fault,
            on_refused=lambda reason: worker.refused(reason),
        )
        stack.push_async_callback(queue.close)
        source = Source(origins.secondaries, Tiers(MemoryCache(0, 0), None), Flights(), clock.now)
        worker = worker_of(config, queue, source, writers, clock, observers.job)
        stack.push_async_callback(worker.drain, 0)
        worker.start()
        yield Filling(config, origins, writers, worker, observers, clock, clock.elapsed())


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
            admin = await stack.enter_async_context(administered(config, process, why_not_ready))
            where = f" (admin on http://{admin})"
        groups = ", ".join(sorted(process.writers))
        say(f"edgeproxy works at jobs of {groups}, {config.backfill.concurrency} at once{where}")
        name = await until_signal()
        say(f"{name}: draining, for at most {config.server.drain_timeout:g} s")
        return told_of(0, await process.drain(config.server.drain_timeout), say)
