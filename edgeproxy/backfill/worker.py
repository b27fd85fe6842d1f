"""Takes jobs from the queue and gets them done."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgeproxy.backfill.job import LIVE, Failed, Job, Lease, Outcome, Skipped, State, ending
from edgeproxy.backfill.queue import POLL_S, Queue
from edgeproxy.backfill.source import Source
from edgeproxy.backfill.writer import BucketWriter
from edgeproxy.clock import Clock
from edgeproxy.core.backfilling import unfit_head
from edgeproxy.core.errors import EdgeError, WriteError
from edgeproxy.core.failover import backoff_s
from edgeproxy.core.reason import Reason

_MISSING = frozenset({404, 410})
"""The source has it not: nothing to copy, and nothing to try again soon."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often a job is tried and how long to wait between."""

    attempts: int
    base_s: float
    cap_s: float
    extend_every_s: float
    """How often leases are extended; well below the time that one holds."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is undone at the end: jobs that are gone, and jobs that wait for another start."""

    given_up: int
    kept: int


class Worker:
    """`concurrency` tasks over one queue, which is the worker's to close.

    `on_outcome(job, outcome)` hears of every attempt's end; `random` gives numbers in [0, 1).
    """

    def __init__(
        self,
        queue: Queue,
        source: Source,
        writers: Mapping[str, BucketWriter],
        schedule: Schedule,
        *,
        concurrency: int,
        clock: Clock,
        random: Callable[[], float],
        on_outcome: Callable[[Job, Outcome], None],
    ) -> None:
        self._queue = queue
        self._source = source
        self._writers = writers
        self._schedule = schedule
        self._concurrency = concurrency
        self._clock = clock
        self._random = random
        self._on_outcome = on_outcome
        self._tasks: list[asyncio.Task[None]] = []
        self._extending: asyncio.Task[None] | None = None
        self._attempts: dict[Lease, asyncio.Task[Outcome]] = {}
        self._lost: set[Lease] = set()
        self._turn = asyncio.Lock()
        self._is_draining = False
        self._is_stopping = False
        self._settled = asyncio.Event()
        self.counts: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to work, if there is a bucket to fill."""
        loop = asyncio.get_running_loop()
        if self._writers:
            self._tasks = [loop.create_task(self._work()) for _ in range(self._concurrency)]
            self._extending = loop.create_task(self._extend())

    def offer(self, job: Job) -> Reason | None:
        """Queue a job without waiting; else say why not."""
        is_late = self._is_draining and not self._queue.is_durable
        reason = Reason.DRAINING if is_late else self._queue.offer(job)
        self.counts[f"refused-{reason}" if reason is not None else "queued"] += 1
        return reason

    def refused(self, reason: Reason) -> None:
        """A job that was taken in turned out not to be wanted."""
        self.counts["queued"] -= 1
        self.counts[f"refused-{reason}"] += 1

    async def idle(self) -> None:
        """Return when no job waits or is at work."""
        await self._queue.written()
        while await self.live():
            # Others may settle the last one.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._settled.wait()
            self._settled.clear()

    async def live(self) -> int:
        """Jobs that wait or are at work, those of other processes on the same queue included."""
        counts = await self._queue.counts()
        return sum(counts[state] for state in LIVE)

    async def drain(self, timeout_s: float) -> Left:
        """Finish what is at work, and unless another start can do that, what waits; stop after `timeout_s`.

        Gives what is left undone.
        """
        self._is_draining = True
        ending = self._clock.elapsed() + timeout_s
        if not self._queue.is_durable:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self.idle()
        self._is_stopping = True
        self._queue.wake()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0.0, ending - self._clock.elapsed()))
        for attempt in self._attempts.values():
            attempt.cancel()
        await asyncio.gather(*self._tasks)
        self._tasks = []
        if self._extending is not None:
            self._extending.cancel()
            await asyncio.gather(self._extending, return_exceptions=True)
            self._extending = None
        unwritten = await self._queue.written()
        live = await self.live()
        return Left(unwritten, live) if self._queue.is_durable else Left(live, 0)

    async def _work(self) -> None:
        while (lease := await self._next()) is not None:
            await self._do(lease)

    async def _next(self) -> Lease | None:
        """A job; None when the worker is to stop."""
        async with self._turn:
            while not self._is_stopping:
                lease = await self._queue.lease()
                if lease is not None and self._is_stopping:
                    await self._queue.release(lease)
                elif lease is not None:
                    return lease
                elif not self._is_stopping:
                    await self._queue.arrival()
        return None

    async def _do(self, lease: Lease) -> None:
        started = self._clock.elapsed()
        attempt = asyncio.get_running_loop().create_task(self._attempt(lease.job))
        self._attempts[lease] = attempt
        try:
            await asyncio.wait([attempt])
            if not attempt.cancelled():
                await self._settle(lease, attempt.result(), self._clock.elapsed() - started)
            elif lease in self._lost:
                self.counts["lost"] += 1
            else:
                await self._queue.release(lease)
        finally:
            attempt.cancel()
            self._lost.discard(lease)
            del self._attempts[lease]
            self._settled.set()

    async def _extend(self) -> None:
        """Keep the leases; leave the jobs alone that others have taken over."""
        while True:
            await asyncio.sleep(self._schedule.extend_every_s)
            if self._attempts:
                for lease in await self._queue.extend(self._attempts):
                    if lease in self._attempts:
                        self._lost.add(lease)
                        self._attempts[lease].cancel()

    async def _attempt(self, job: Job) -> Outcome:
        writer = self._writers[job.group]
        try:
            if await writer.exists(job.key):
                return Skipped(Reason.EXISTS)
            reply = await self._source.open(job)
            try:
                if reply.head.status in _MISSING:
                    return Skipped(Reason.SOURCE_STATUS)
                if reply.head.status != 200:
                    is_final = reply.head.status < 500 and reply.head.status != 429
                    return Failed(Reason.SOURCE_STATUS, f"the source answered {reply.head.status}", is_final)
                if not reply.is_delimited:
                    return Skipped(Reason.LENGTH_UNKNOWN)
                reason = unfit_head(reply.head)
                if reason is not None:
                    return Skipped(reason)
                if reply.head.length is not None and reply.head.length > job.max_bytes:
                    return Skipped(Reason.TOO_LARGE)
                return await writer.write(job.key, reply.head, reply.body, job.max_bytes)
            finally:
                reply.close()
        except WriteError as error:
            return Failed(error.reason, error.message, error.is_final)
        except EdgeError as error:
            return Failed(error.reason, error.message)
        except Exception as error:  # a worker that dies would stop all that follow
            return Failed(Reason.INTERNAL, f"{type(error).__name__}: {error}")

    async def _settle(self, lease: Lease, outcome: Outcome, took_s: float) -> None:
        job, schedule = lease.job, self._schedule
        how = ending(outcome, is_last=job.attempt >= schedule.attempts)
        delay_s = backoff_s(job.attempt, schedule.base_s, schedule.cap_s, self._random)
        if not await self._queue.settle(lease, how, took_s, delay_s):
            self.counts["lost"] += 1
            return
        word = "retried" if how.state is State.QUEUED else how.state.value
        is_bare = how.reason is None or how.state is State.QUEUED
        self.counts[word if is_bare else f"{word}-{how.reason}"] += 1
        self._on_outcome(job, outcome)

    @property
    def at_work(self) -> int:
        """Jobs that this process works at."""
        return len(self._attempts)

    @property
    def queue(self) -> Queue:
        """Where the jobs wait."""
        return self._queue

    def __repr__(self) -> str:
        return f"Worker({self.at_work} at work, {self._queue!r})"
