"""What a worker does about jobs that come at the wrong moment, or to the wrong place."""

import asyncio
from typing import Any, cast

from edgeproxy.backfill.attempts import Attempts
from edgeproxy.backfill.job import Job, Lease, Outcome, Skipped, State
from edgeproxy.backfill.memory import MemoryQueue
from edgeproxy.backfill.queue import Terms
from edgeproxy.backfill.tombstones import Tombstones
from edgeproxy.backfill.worker import Schedule, Worker
from edgeproxy.clock import SystemClock
from edgeproxy.core.reason import Reason

JOB = Job("media", b"a", "/a", None, 9)


class Slow(MemoryQueue):
    """Keeps whoever takes a job waiting, as a disk may."""

    is_durable = True

    def __init__(self) -> None:
        super().__init__(Terms(9, 5, 30, 60, 9), SystemClock())
        self.gate = asyncio.Event()
        self.gate.set()

    async def take(self, job: Job) -> Lease | Reason:
        taken = await super().take(job)
        await self.gate.wait()
        return taken


def worker(queue: MemoryQueue, heard: list[Outcome]) -> Worker:
    clock = SystemClock()
    return Worker(
        queue,
        Attempts(cast(Any, None), {}, (), Tombstones(None, clock)),
        Schedule(5, 1, 1, 10),
        concurrency=1,
        clock=clock,
        random=lambda: 0.5,
        on_outcome=lambda _, outcome: heard.append(outcome),
    )


async def test_what_is_taken_too_late_is_given_back_at_once() -> None:
    """Or it would be held until its lease runs out, by nobody."""
    queue = Slow()
    ours = worker(queue, [])
    queue.gate.clear()
    taking = asyncio.ensure_future(ours.take(JOB))
    await asyncio.sleep(0)
    await ours.drain(0)
    queue.gate.set()
    assert await taking is Reason.DRAINING
    assert (await queue.counts())[State.QUEUED] == 1


class Silent:
    """A witness that has seen nothing."""

    def asked(self, trail: Any) -> None: ...

    def passing(self, reply: Any) -> Any:
        return reply


async def test_a_job_of_a_group_without_a_bucket_is_passed_over() -> None:
    heard: list[Outcome] = []
    ours = worker(Slow(), heard)
    lease = await ours.take(JOB)
    assert isinstance(lease, Lease)
    assert await ours.begin(lease, Silent()) == Skipped(Reason.PRIMARY_NOT_S3)
    assert heard == [Skipped(Reason.PRIMARY_NOT_S3)]
    await ours.drain(0)
