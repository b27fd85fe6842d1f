"""Takes jobs from the queue and gets them done."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from edgeproxy import __version__
from edgeproxy.backfill.job import (
    LIVE,
    Failed,
    Held,
    Job,
    Lease,
    Lost,
    Outcome,
    Skipped,
    State,
    Wanted,
    ending,
)
from edgeproxy.backfill.queue import POLL_S, Queue, QueueError
from edgeproxy.backfill.source import Source
from edgeproxy.backfill.tombstones import Tombstones
from edgeproxy.backfill.writer import BucketWriter, Manner, Present
from edgeproxy.clock import Clock
from edgeproxy.core.backfilling import Rule, rule_for, unfit_head, unfit_object
from edgeproxy.core.errors import EdgeError, WriteError
from edgeproxy.core.failover import Attempt, backoff_s
from edgeproxy.core.provenance import conditions, is_marked, is_unchanged, notes
from edgeproxy.core.reason import Reason
from edgeproxy.origins.base import Reply

_LOOK_S = 0.1
"""How often it is looked whether a queue that keeps nothing has been paused."""


class Witness(Protocol):
    """Sees an attempt."""

    def asked(self, trail: tuple[Attempt, ...]) -> None:
        """A source was asked; `trail` says how it did."""
        ...

    def passing(self, reply: Reply) -> Reply:
        """What a source gave, before it is written."""
        ...


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
        rules: tuple[Rule, ...],
        schedule: Schedule,
        *,
        concurrency: int,
        clock: Clock,
        random: Callable[[], float],
        on_outcome: Callable[[Job, Outcome], None],
        tombstones: Tombstones,
    ) -> None:
        self._tombstones = tombstones
        self._queue = queue
        self._source = source
        self._writers = writers
        self._rules = rules
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
        if self._writers:
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
        self._on_outcome(job, Failed(Reason.WORKER_LOST, message, is_final=True))
        self._settled.set()

    async def _do(self, lease: Lease, witness: Witness | None) -> Outcome | Held | None:
        started = self._clock.elapsed()
        attempt = asyncio.get_running_loop().create_task(self._attempt(lease.job, witness))
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

    async def _attempt(self, job: Job, witness: Witness | None) -> Outcome | Held:
        writer = self._writers.get(job.group)
        if writer is None:
            return Skipped(Reason.PRIMARY_NOT_S3)
        try:
            rule = rule_for(job.path, self._rules)
            if rule is None or not rule.enabled:
                return Skipped(Reason.NO_RULE if rule is None else Reason.NO_BACKFILL)
            # What others have buried is found out just before the object is there.
            if self._tombstones.is_known(job.identity):
                return Skipped(Reason.TOMBSTONE)
            wait = await self._source.held(job, rule)
            if wait is not None:
                return wait
            present = await writer.look(job.key)
            reason = _unfit(job, present)
            if reason is not None:
                return Skipped(reason)
            asked = conditions(present.notes) if present is not None else ()
            on_asked = witness.asked if witness is not None else None
            reply = await self._source.open(job, rule, asked, on_asked=on_asked)
            if not isinstance(reply, Reply):
                return reply
            if witness is not None:
                reply = witness.passing(reply)
            try:
                if present is not None and is_unchanged(present.notes, reply.head):
                    return Skipped(Reason.UNCHANGED)
                if not reply.is_delimited:
                    return Skipped(Reason.LENGTH_UNKNOWN)
                max_bytes = min(job.max_bytes, rule.max_object_bytes)
                reason = unfit_head(reply.head) or unfit_object(
                    replace(rule, max_object_bytes=max_bytes), reply.head
                )
                if reason is not None:
                    return Skipped(reason)
                body = _not_below(rule.min_object_bytes, reply.body)
                return await writer.write(
                    job.key, reply.head, body, self._manner(job, reply, present, max_bytes)
                )
            finally:
                reply.close()
        except _TooSmallError:
            return Skipped(Reason.TOO_SMALL)
        except WriteError as error:
            return Failed(error.reason, error.message, error.is_final)
        except EdgeError as error:
            return Failed(error.reason, error.message)
        except QueueError as error:
            return Failed(Reason.INTERNAL, str(error))
        except Exception as error:  # a worker that dies would stop all that follow
            return Failed(Reason.INTERNAL, f"{type(error).__name__}: {error}")

    def _manner(self, job: Job, reply: Reply, present: Present | None, max_bytes: int) -> Manner:
        """How the object of `job` is to be written, in place of the one that is `present`."""

        async def veto() -> Reason | None:
            return Reason.TOMBSTONE if await self._tombstones.holds(job.identity) else None

        return Manner(
            max_bytes,
            notes(reply.head, reply.url, f"edgeproxy/{__version__}"),
            over=present.etag if present is not None else None,
            # What only looks like a digest must not keep an object out for ever: it counts but once.
            doubts=job.attempt > 1,
            veto=veto,
        )

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


def _unfit(job: Job, present: Present | None) -> Reason | None:
    """Why nothing is to be done about `job`, where the bucket has `present`."""
    if not job.refresh:
        return Reason.EXISTS if present is not None else None
    if present is None:
        return Reason.NOT_THERE
    return None if is_marked(present.notes) else Reason.NOT_OURS


class _TooSmallError(Exception):
    """A body of unknown length has ended too soon."""


async def _not_below(size: int, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes.  Raises `_TooSmallError` if there were fewer than `size`."""
    async for chunk in body:
        size -= len(chunk)
        yield chunk
    if size > 0:
        raise _TooSmallError
