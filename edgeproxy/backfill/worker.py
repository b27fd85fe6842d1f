"""Takes jobs from the queue and gets them done."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from edgeproxy.backfill.job import Failed, Job, Outcome, Skipped, Stored
from edgeproxy.backfill.queue import Queue
from edgeproxy.backfill.source import Source
from edgeproxy.backfill.writer import BucketWriter
from edgeproxy.core.backfilling import unfit_head
from edgeproxy.core.errors import EdgeError, WriteError
from edgeproxy.core.reason import Reason
from edgeproxy.core.selection import backoff_s


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often a job is tried and how long to wait between."""

    attempts: int
    base_s: float
    cap_s: float


class Worker:
    """`concurrency` tasks over one queue.

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
        random: Callable[[], float],
        on_outcome: Callable[[Job, Outcome], None],
    ) -> None:
        self._queue = queue
        self._source = source
        self._writers = writers
        self._schedule = schedule
        self._concurrency = concurrency
        self._random = random
        self._on_outcome = on_outcome
        self._tasks: list[asyncio.Task[None]] = []
        self._is_draining = False
        self._settled = asyncio.Event()
        self.counts: Counter[str] = Counter()
        self.at_work = 0

    def start(self) -> None:
        """Begin to work."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._work()) for _ in range(self._concurrency)]

    def offer(self, job: Job) -> Reason | None:
        """Queue a job without waiting; else say why not."""
        reason = Reason.DRAINING if self._is_draining else self._queue.offer(job)
        self.counts[f"refused-{reason}" if reason is not None else "queued"] += 1
        return reason

    async def idle(self) -> None:
        """Return when no job waits or is at work."""
        while len(self._queue):
            self._settled.clear()
            await self._settled.wait()

    async def drain(self, timeout_s: float) -> int:
        """Take no new jobs, work off those that wait, stop after `timeout_s`; gives how many are left."""
        self._is_draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.idle()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        return len(self._queue)

    async def _work(self) -> None:
        while True:
            job = await self._queue.take()
            self.at_work += 1
            try:
                outcome = await self._attempt(job)
            finally:
                self.at_work -= 1
            self._settle(job, outcome)

    async def _attempt(self, job: Job) -> Outcome:
        writer = self._writers[job.group]
        try:
            if await writer.exists(job.key):
                return Skipped(Reason.EXISTS)
            reply = await self._source.open(job)
            try:
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

    def _settle(self, job: Job, outcome: Outcome) -> None:
        match outcome:
            case Stored():
                self.counts["stored"] += 1
                self._queue.done(job)
            case Skipped():
                self.counts[f"skipped-{outcome.reason}"] += 1
                self._queue.done(job)
            case Failed() if outcome.is_final or job.attempt >= self._schedule.attempts:
                self.counts[f"failed-{outcome.reason}"] += 1
                self._queue.done(job)
            case Failed():
                self.counts["retried"] += 1
                delay_s = backoff_s(job.attempt, self._schedule.base_s, self._schedule.cap_s, self._random)
                self._queue.put_back(replace(job, attempt=job.attempt + 1), delay_s)
            case _:
                assert_never(outcome)
        self._settled.set()
        self._on_outcome(job, outcome)

    @property
    def waiting(self) -> int:
        """Jobs that are neither done nor at work."""
        return len(self._queue) - self.at_work

    def __repr__(self) -> str:
        return f"Worker({self.at_work} at work, {self._queue!r})"
