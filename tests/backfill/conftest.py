"""Queues to try, and a clock that is turned by hand."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from moto.sqs import models as moto_models

from edgeproxy.backfill.job import Ending, Job, Lease, Lost, State
from edgeproxy.backfill.post import Post
from edgeproxy.backfill.queue import Queue, Terms
from edgeproxy.backfill.sqs import Place, SqsQueue
from edgeproxy.core.key import CacheKey
from edgeproxy.core.reason import Reason
from tests.conftest import Box

TERMS = Terms(capacity=3, attempts=2, lease_s=30, missing_s=60, history=2)
STORED = Ending(State.STORED, size=4)
AGAIN = Ending(State.QUEUED, Reason.ORIGIN_CUT, "cut")
MISSING = Ending(State.SKIPPED, Reason.SOURCE_STATUS)


def job(name: str, group: str = "media") -> Job:
    key = CacheKey("GET", f"/{name}", "q=\udcff", (("accept-encoding", None), ("x-a", "ü")), "a=1")
    return Job(group, name.encode(), f"/{name}\udcff", key, 2**62)


@dataclass
class Hand:
    """A clock that is turned by hand."""

    time: float = 1000.0
    date: float = 5e9

    def now(self) -> float:
        return self.date + self.time

    def elapsed(self) -> float:
        return self.time


@dataclass
class Made:
    """A queue, and what it says later."""

    queue: Queue
    refused: list[Reason] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def knows_all(self) -> bool:
        """Whether it lists, bounds and cancels also what other processes have, or what nobody has yet."""
        return not isinstance(self.queue, SqsQueue)

    @property
    def post(self) -> Post:
        """What asks SQS."""
        assert isinstance(self.queue, SqsQueue)
        return self.queue._post

    async def put(self, *jobs: Job) -> list[Reason | None]:
        """What became of each."""
        said: list[Reason | None] = []
        for one in jobs:
            self.refused.clear()
            reason = self.queue.offer(one)
            await self.queue.written()
            said.append(reason or next(iter(self.refused), None))
        return said

    async def leased(self) -> Lease | Lost | None:
        """A job that is due. Those of SQS come while one waits for them."""
        lease = await self.queue.lease()
        if lease is None and isinstance(self.queue, SqsQueue):
            await self.queue.written()
            await self.queue.arrival()
            lease = await self.queue.lease()
        return lease

    async def taken(self) -> Lease:
        lease = await self.leased()
        assert isinstance(lease, Lease)
        return lease

    async def took(self, job: Job) -> Lease:
        lease = await self.queue.take(job)
        assert isinstance(lease, Lease)
        return lease

    async def counts(self) -> dict[str, int]:
        if isinstance(self.queue, SqsQueue):
            await self.queue.written()
        return {state.value: n for state, n in (await self.queue.counts()).items() if n}


Make = Callable[..., Awaitable[Made]]


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
async def remote(box: Box, clock: Hand, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Opens queues on one queue of SQS, whose clock is turned with ours."""
    real = moto_models.unix_time_millis
    monkeypatch.setattr(moto_models, "unix_time_millis", lambda: real() + (clock.time - 1000) * 1000)
    async with AsyncExitStack() as stack:

        async def make(
            terms: Terms = TERMS,
            *,
            endpoint: str | None = None,
            first: int = 1,
            step: int = 1,
            **changes: Any,
        ) -> Made:
            refused: list[Reason] = []
            faults: list[str] = []
            place = Place(
                url=box.url,
                name=None,
                dead_letter_url=None,
                wait_s=0,
                group="media",
                prefixes={"media": ""},
                appetite=4,
            )
            server = endpoint or box.client.meta.endpoint_url
            queue = SqsQueue(
                Post("us-east-1", server, ("test", "test-secret", None), wait_s=0),
                replace(place, **changes),
                terms,
                clock,
                first=first,
                step=step,
                random=lambda: 0.0,
                on_fault=faults.append,
                on_refused=refused.append,
            )
            await queue.open()
            stack.push_async_callback(queue.close)
            return Made(queue, refused, faults)

        yield make
