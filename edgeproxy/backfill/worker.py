"""Takes jobs from the queue, and sees to it that each is tried until it has ended."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from edgeproxy.backfill.attempts import Attempts, Witness
from edgeproxy.backfill.job import LIVE, Failed, Held, Job, Lease, Lost, Outcome, State, Wanted, ending
from edgeproxy.backfill.queue import POLL_S, Queue
from edgeproxy.clock import Clock
from edgeproxy.core.failover import backoff_s
from edgeproxy.core.reason import Reason

_LOOK_S = 0.1
"""How often it is looked whether a queue that keeps nothing has been paused."""


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
        attempts: Attempts,
        schedule: Schedule,
        *,
        concurrency: int,
        clock: Clock,
        random: Callable[[], float],
        on_outcome: Callable[[Job, Outcome], None] | None = None,
    ) -> None:
        self._queue = queue
        self._trying = attempts
        self._schedule = schedule
        self._concurrency = concurrency
        self._clock = clock
        self._random = random
        self._on_outcome = on_outcome
        self._tasks: list[asyncio.Task[None]] = []
        self._begun: set[asyncio.Task[Outcome | Held | None]] = set()
        self._extending: asyncio.Task[None] | None = None
        self._attempts: dict[Lease, asyncio.Task[Outcome | Held]] = {}
        self._lost: set[Lease] = set()
        self._turn = asyncio.Lock()
        self._is_draining = False
        self._is_stopping = False
        self._settled = asyncio.Event()
        self.counts: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to work, if there is a bucket to fill."""
        loop = asyncio.get_running_loop()
        if self._trying.is_possible:
            self._tasks = [loop.create_task(self._work()) for _ in range(self._concurrency)]
            self._keep_extending()

    def _keep_extending(self) -> None:
        if self._extending is None:
            self._extending = asyncio.get_running_loop().create_task(self._extend())

    def offer(self, job: Job) -> Reason | None:
        """Queue a job without waiting; else say why not."""
        is_late = self._is_draining and not self._queue.is_durable
        reason = Reason.DRAINING if is_late else self._queue.offer(job)
        self.counts[f"refused-{reason}" if reason is not None else "queued"] += 1
        return reason

    async def take(self, job: Job) -> Lease | Reason:
        """The right to begin this very job now, else why not: see `Queue.take`. It has to be begun."""
        taken = Reason.DRAINING if self._is_draining else await self._queue.take(job)
        if isinstance(taken, Lease) and self._is_stopping:
            # Nobody waits for the end of what begins now.
            await self._queue.release(taken)
            taken = Reason.DRAINING
        self.counts[f"not-taken-{taken}" if isinstance(taken, Reason) else "taken"] += 1
        return taken

    def begin(self, lease: Lease, witness: Witness) -> "asyncio.Task[Outcome | Held | None]":
        """Do the job of `lease` beside all others, and whoever waits for it; None if it was given up."""
        self._keep_extending()
        task = asyncio.get_running_loop().create_task(self._do(lease, witness))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        return task

    async def is_held(self, job: Job) -> bool:
        """Whether somebody, here or elsewhere, is at it."""
        return await self._queue.is_held(job)

    async def cancel(self, wanted: Wanted) -> int:
        """Let these be done no more, those that are at work here at once; gives how many.

        Raises `QueueError`.
        """
        done = await self._queue.cancel(wanted)
        await self._keep_leases()
        self._settled.set()
        return done

    def refused(self, reason: Reason) -> None:
        """A job that was taken in turned out not to be wanted."""
        self.counts["queued"] -= 1
        self.counts[f"refused-{reason}"] += 1

    async def idle(self) -> None:
        """Return when no job waits or is at work."""
        await self._queue.written()
        while await self.live() or self._attempts:
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
                    await self._all_done()
        self._is_stopping = True
        self._queue.wake()
        at_work = {*self._tasks, *self._begun}
        if at_work:
            await asyncio.wait(at_work, timeout=max(0.0, ending - self._clock.elapsed()))
        for attempt in self._attempts.values():
            attempt.cancel()
        await asyncio.gather(*at_work)
        self._tasks = []
        if self._extending is not None:
            self._extending.cancel()
            await asyncio.gather(self._extending, return_exceptions=True)
            self._extending = None
        unwritten = await self._queue.written()
        live = await self.live()
        return Left(unwritten, live) if self._queue.is_durable else Left(live, 0)

    async def _all_done(self) -> None:
        """Return when nothing more will happen: what waits in a paused queue will not."""
        idle = asyncio.ensure_future(self.idle())
        try:
            while not idle.done() and (self._attempts or not await self._queue.is_paused()):
                await asyncio.wait([idle], timeout=_LOOK_S)
        finally:
            idle.cancel()

    async def _work(self) -> None:
        while (lease := await self._next()) is not None:
            await self._do(lease, None)

    async def _next(self) -> Lease | None:
        """A job; None when the worker is to stop."""
        # All who are free ask at once, which costs a queue in a file no more; but one waits for all.
        lease = await self._leased()
        if lease is not None:
            return lease
        async with self._turn:
            while not self._is_stopping:
                lease = await self._leased()
                if lease is not None:
                    return lease
                if not self._is_stopping:
                    await self._queue.arrival()
        return None

    async def _leased(self) -> Lease | None:
        """A job, if there is one that is due."""
        while not self._is_stopping:
            lease = await self._queue.lease()
            if isinstance(lease, Lost):
                self._bury(lease.job)
            elif lease is not None and self._is_stopping:
                await self._queue.release(lease)
            else:
                return lease
        return None

    def _bury(self, job: Job) -> None:
        """Nobody is left who could tell of this job."""
        self.counts[f"{State.DEAD}-{Reason.WORKER_LOST}"] += 1
        message = f"none of {job.attempt} workers lived to its end"
        self._tell(job, Failed(Reason.WORKER_LOST, message, is_final=True))
        self._settled.set()

    async def _do(self, lease: Lease, witness: Witness | None) -> Outcome | Held | None:
        started = self._clock.elapsed()
        attempt = asyncio.get_running_loop().create_task(self._trying.run(lease.job, witness))
        self._attempts[lease] = attempt
        try:
            await asyncio.wait([attempt])
            result = None if attempt.cancelled() else attempt.result()
            if isinstance(result, Held):
                await self._queue.release(lease, result.in_s, result.reason)
                self.counts[f"held-{result.reason}"] += 1
                return result
            if result is not None:
                await self._settle(lease, result, self._clock.elapsed() - started)
                return result
            if lease in self._lost:
                self.counts["lost"] += 1
            else:
                await self._queue.release(lease)
            return None
        finally:
            attempt.cancel()
            self._lost.discard(lease)
            del self._attempts[lease]
            self._settled.set()

    async def _extend(self) -> None:
        """Keep the leases; leave the jobs alone that others have taken over."""
        while True:
            await asyncio.sleep(self._schedule.extend_every_s)
            await self._keep_leases()

    async def _keep_leases(self) -> None:
        if self._attempts:
            for lease in await self._queue.extend(self._attempts):
                if lease in self._attempts:
                    self._lost.add(lease)
                    self._attempts[lease].cancel()

    async def _settle(self, lease: Lease, outcome: Outcome, took_s: float) -> None:
        job, schedule = lease.job, self._schedule
        how = ending(outcome, is_last=job.attempt >= schedule.attempts)
        delay_s = backoff_s(job.attempt, schedule.base_s, schedule.cap_s, self._random)
        if isinstance(outcome, Failed):
            delay_s = max(delay_s, outcome.after_s)
        if not await self._queue.settle(lease, how, took_s, delay_s):
            self.counts["lost"] += 1
            return
        word = "retried" if how.state is State.QUEUED else how.state.value
        is_bare = how.reason is None or how.state is State.QUEUED
        self.counts[word if is_bare else f"{word}-{how.reason}"] += 1
        self._tell(job, outcome)

    def _tell(self, job: Job, outcome: Outcome) -> None:
        if self._on_outcome is not None:
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
