"""Caps of a run: so many fetches, and so many bytes, a second."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from edgeproxy.backfill.job import Job
from edgeproxy.backfill.source import Source
from edgeproxy.origins.base import Reply

_NAP_S = 0.005
"""A wait that is shorter than this is put with the next one."""


class Pace:
    """So many units a second, each as early as that allows; what was not used is not saved up."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._free_at = float("-inf")

    def take(self, units: float, now: float) -> float:
        """Take `units`; gives how many seconds to wait for them. `now` is monotonic."""
        begin = max(self._free_at, now)
        self._free_at = begin + units / self._per_s
        return begin - now


class PacedSource(Source):
    """A source that is asked at most so often, and read at most so fast, by all jobs together."""

    def __init__(
        self,
        source: Source,
        *,
        fetches: Pace | None,
        octets: Pace | None,
        elapsed: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._fetches = fetches
        self._octets = octets
        self._elapsed = elapsed
        self._sleep = sleep

    async def open(self, job: Job) -> Reply:
        """See `Source`."""
        if self._fetches is not None:
            await self._sleep(self._fetches.take(1, self._elapsed()))
        reply = await self._source.open(job)
        if self._octets is not None:
            reply = replace(reply, body=self._slow(reply.body, self._octets))
        return reply

    async def _slow(self, body: AsyncIterator[bytes], pace: Pace) -> AsyncIterator[bytes]:
        async for chunk in body:
            wait_s = pace.take(len(chunk), self._elapsed())
            if wait_s > _NAP_S:
                await self._sleep(wait_s)
            yield chunk
