"""Jobs that wait: one interface, whether they are kept in memory, in a file or in SQS."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from edgeproxy.backfill.job import Ending, Entry, Job, Lease, Lost, State, Wanted
from edgeproxy.core.reason import Reason

POLL_S = 1.0
"""How long at most until it is looked for jobs that were put in, or have become due, without a word."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a queue holds to, whatever keeps it."""

    capacity: int
    """Live jobs; more are refused."""
    attempts: int
    """Leases that a job may have without one of them having ended; then it is dead."""
    lease_s: float
    """How long a lease holds unless it is extended."""
    missing_s: float
    """How long an object that its source has not is not queued again."""
    history: int
    """Ended jobs that are remembered; the oldest go first."""


class QueueError(Exception):
    """What keeps the jobs is out of order; the message says why."""


class Queue(Protocol):
    """Where jobs wait, are leased and end. Nothing waits for a disk on the loop, and nothing fails:

    where what keeps the jobs is out of order, that is counted and told, and jobs stay what they were.
    """

    is_durable: bool
    """Whether the jobs outlive this process."""

    @property
    def shared(self) -> frozenset[State]:
        """The states of which every process on this queue sees the same jobs.

        Where these are not all, it knows of the others what it had itself: that is what `entries`, `retry`,
        `cancel`, `is_held` and a job's "live already" are of then, and `pause` is for this process alone.
        A `take` keeps nobody elsewhere from the same job, and puts nothing in before it is given back:
        whoever does it twice finds it done. Such a queue may also hold more jobs than its capacity, which
        bounds what has not been handed over yet, and other processes count a `release` as an attempt.
        """
        ...

    def offer(self, job: Job) -> Reason | None:
        """Take `job` in, never waiting; else QUEUED_ALREADY, QUEUE_FULL or SOURCE_STATUS.

        A refusal may be found out only later: then whoever made the queue is told.
        """
        ...

    async def lease(self) -> Lease | Lost | None:
        """A job that is due, for this process alone; None if there is none. Its attempt counts.

        `Lost` for one that has ended now because it was leased too often; then there may be more.
        """
        ...

    async def take(self, job: Job) -> Lease | Reason:
        """This very job at once, put in if it is not there; else why nobody may begin it now.

        QUEUED_ALREADY: somebody is at it. RETRY_LATER: it has failed and waits for its next attempt.
        PAUSED, QUEUE_FULL, SOURCE_STATUS: as for others. QUEUE_FAILED: what keeps the jobs is out of order.
        """
        ...

    async def is_held(self, job: Job) -> bool:
        """Whether somebody is at a job with this one's identity."""
        ...

    async def arrival(self) -> None:
        """Wait until there may be a job that is due, or `wake` is called."""
        ...

    def wake(self) -> None:
        """End an `arrival`."""
        ...

    async def extend(self, leases: Iterable[Lease]) -> list[Lease]:
        """Let these begin anew; gives those that are lost."""
        ...

    async def settle(self, lease: Lease, ending: Ending, took_s: float, retry_in_s: float = 0.0) -> bool:
        """An attempt has ended, and with it the job unless that is QUEUED: then it is due in `retry_in_s`.

        False if the lease was lost: then nothing has changed.
        """
        ...

    async def release(self, lease: Lease, in_s: float = 0.0, reason: Reason | None = None) -> None:
        """Give the job back as it was before; the attempt does not count. It is due in `in_s`.

        `reason` is why it has to wait, if there is one.
        """
        ...

    async def written(self) -> int:
        """Return when the jobs that were offered are where they stay; gives how many cannot be put there."""
        ...

    async def counts(self) -> Mapping[State, int]:
        """How many jobs there are in each state."""
        ...

    async def entries(self, wanted: Wanted) -> list[Entry]:
        """What is known of these jobs, the newest first.  Raises `QueueError`."""
        ...

    async def retry(self, wanted: Wanted) -> int:
        """Queue these again, as if they were new; gives how many.  Raises `QueueError`.

        What is live or stored stays so, and there must be room.
        """
        ...

    async def cancel(self, wanted: Wanted) -> int:
        """Let these be done no more; gives how many.  Raises `QueueError`.

        Those that wait end as skipped. Those at work do so when they are to be extended or tried again,
        unless they have ended by then.
        """
        ...

    async def pause(self, is_paused: bool) -> None:
        """From now on lease no jobs, or go on with it, everywhere.  Raises `QueueError`."""
        ...

    async def is_paused(self) -> bool:
        """Whether no jobs are leased because somebody wants it so."""
        ...

    @property
    def faults(self) -> int:
        """How often what keeps the jobs was out of order."""
        ...

    async def close(self) -> None:
        """Put where they stay the jobs that were offered. Nobody may ask any more."""
        ...


class Bell:
    """Rings when there may be something to do."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Whoever listens hears it, or else the next one who does."""
        self._rung.set()

    def hush(self) -> None:
        """What has rung so far is being looked after."""
        self._rung.clear()

    async def heard(self, within_s: float) -> None:
        """Return when it rings, or after `within_s`."""
        try:
            async with asyncio.timeout(within_s):
                await self._rung.wait()
        except TimeoutError:
            return
