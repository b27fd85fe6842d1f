"""Jobs that wait. One interface; the queue in memory is its first form."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from edgeproxy.backfill.job import Job
from edgeproxy.core.reason import Reason


class Queue(Protocol):
    """Where jobs wait. A job that was taken is done or put back; at most one a `Job.identity` at a time."""

    def offer(self, job: Job) -> Reason | None:
        """Take `job` in, never waiting; else say why not."""
        ...

    async def take(self) -> Job:
        """The next job that is due; waits for one."""
        ...

    def done(self, job: Job) -> None:
        """The job needs no more work, however it ended."""
        ...

    def put_back(self, job: Job, delay_s: float) -> None:
        """The job is due again after `delay_s`."""
        ...

    def __len__(self) -> int:
        """Jobs waiting and at work."""
        ...


class MemoryQueue:
    """Jobs in this process, first in, first out; they are gone with it.

    `call_later` arms timers (`loop.call_later`), so that tests can turn time by hand.
    """

    def __init__(self, capacity: int, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self._capacity = capacity
        self._call_later = call_later
        self._due: deque[Job] = deque()
        self._known: set[tuple[str, bytes]] = set()
        self._arrived = asyncio.Event()

    def offer(self, job: Job) -> Reason | None:
        """Refuses with QUEUED_ALREADY or QUEUE_FULL."""
        if job.identity in self._known:
            return Reason.QUEUED_ALREADY
        if len(self._known) >= self._capacity:
            return Reason.QUEUE_FULL
        self._known.add(job.identity)
        self._arrive(job)
        return None

    async def take(self) -> Job:
        """Waits until a job is due."""
        while not self._due:
            self._arrived.clear()
            await self._arrived.wait()
        return self._due.popleft()

    def done(self, job: Job) -> None:
        """Its key may be queued again."""
        self._known.discard(job.identity)

    def put_back(self, job: Job, delay_s: float) -> None:
        """Keeps its place in the capacity meanwhile."""
        self._call_later(delay_s, lambda: self._arrive(job))

    def _arrive(self, job: Job) -> None:
        self._due.append(job)
        self._arrived.set()

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"MemoryQueue({len(self._due)} due, {len(self)} of {self._capacity})"
