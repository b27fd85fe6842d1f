"""Has an object made while viewers wait for it: once, however many they are."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from edgeproxy.backfill.copying import OF_THE_BUCKET
from edgeproxy.backfill.job import Failed, Held, Job, Lease, Outcome, Skipped, Stored
from edgeproxy.backfill.worker import Worker
from edgeproxy.core.failover import Attempt
from edgeproxy.core.message import Head
from edgeproxy.core.reason import Reason
from edgeproxy.origins.base import Reply, no_body, whole_body

STORED = "stored"
_LOOK_S = 0.1
"""How often it is looked whether somebody else has ended."""
_UNTRIED = frozenset({Reason.PAUSED, Reason.QUEUE_FULL, Reason.QUEUE_FAILED, Reason.DRAINING})
"""Why nobody was asked for an object: because of us."""
_LATE_S = 0.01
"""A turn must not be missed because a clock is a little behind."""


@dataclass(frozen=True, slots=True)
class Copy:
    """An object as its source gave it, whole and verified."""

    head: Head
    body: bytes

    def reply(self, method: str) -> Reply:
        """As an origin's answer to GET or HEAD."""
        head = Head(200, self.head.headers.end_to_end().having(("Content-Length", str(len(self.body)))))
        return Reply(head, no_body() if method == "HEAD" else whole_body(self.body))


@dataclass(frozen=True, slots=True)
class Made:
    """What all who wait for an object hear."""

    word: str
    """"stored", or the Reason why it was not."""
    is_there: bool = False
    """The bucket should have it now."""
    is_final: bool = False
    """It will not be there soon."""
    trail: tuple[Attempt, ...] = ()
    """The sources that were asked."""
    copy: Copy | None = None
    """The object itself, where it is whole and small."""

    @property
    def by_others(self) -> bool:
        """It is not known how it ended."""
        return self.word == Reason.QUEUED_ALREADY

    @property
    def is_untried(self) -> bool:
        """No source was asked, and none is to blame."""
        return self.word in _UNTRIED


class Maker:
    """Takes jobs and has them done by `worker`, at most `slots` at once; the others wait for a slot.

    Who waits does so for `timeout_s` at most, and may leave: the job goes on. An object of up to
    `copy_bytes` is held while it is written, for those who wait. `most` are in the making or wait for it:
    viewers that ask and leave at once must not make them more and more.
    """

    def __init__(self, worker: Worker, *, slots: int, timeout_s: float, copy_bytes: int, most: int) -> None:
        self._worker = worker
        self._slots = asyncio.Semaphore(slots)
        self._timeout_s = timeout_s
        self._copy_bytes = copy_bytes
        self._most = most
        self._making: dict[tuple[str, bytes], asyncio.Task[Made]] = {}

    async def make(self, job: Job) -> Made:
        """Have `job` done now, or wait for who is at it."""
        task = self._making.get(job.identity)
        if task is None and len(self._making) >= self._most:
            return Made(Reason.QUEUE_FULL)
        if task is None:
            task = self._making[job.identity] = asyncio.get_running_loop().create_task(self._made(job))
            task.add_done_callback(lambda _: self._making.pop(job.identity))
        done, _ = await asyncio.wait([task], timeout=self._timeout_s)
        return task.result() if done else Made(Reason.MAKE_TIMEOUT)

    async def close(self) -> None:
        """Let nobody wait any more. What has begun is the worker's to end."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _made(self, job: Job) -> Made:
        """As soon as there is a slot, and the sources of `job` may be asked."""
        loop = asyncio.get_running_loop()
        ending = loop.time() + self._timeout_s
        while True:
            try:
                async with asyncio.timeout_at(ending):
                    await self._slots.acquire()
            except TimeoutError:
                # Nobody waits any more, and it has not begun: it is done when there is time.
                self._worker.offer(job)
                return Made(Reason.MAKE_TIMEOUT)
            said = await self._tried(job)
            if isinstance(said, Made):
                return said
            if said.reason is Reason.SOURCE_DOWN or loop.time() + said.in_s > ending:
                return Made(said.reason)
            await asyncio.sleep(said.in_s + _LATE_S)

    async def _tried(self, job: Job) -> Made | Held:
        """What became of it, in a slot that is given back when it has ended, however long that takes."""
        try:
            lease = await self._worker.take(job)
            if isinstance(lease, Lease):
                seen = _Seen(self._copy_bytes)
                outcome = await asyncio.shield(self._worker.begin(lease, seen))
                return outcome if isinstance(outcome, Held) else _told(outcome, seen)
        finally:
            self._slots.release()
        if lease is Reason.QUEUED_ALREADY:
            return await self._made_by_others(job)
        if lease is Reason.PAUSED:
            self._worker.offer(job)
        return Made(lease, is_final=lease is Reason.SOURCE_STATUS)

    async def _made_by_others(self, job: Job) -> Made:
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    if not await self._worker.is_held(job):
                        return Made(Reason.QUEUED_ALREADY, is_there=True)
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            return Made(Reason.MAKE_TIMEOUT)

    def __repr__(self) -> str:
        return f"Maker({len(self._making)} in the making)"


def _told(outcome: Outcome | None, seen: "_Seen") -> Made:
    copy = seen.copy
    match outcome:
        case Stored():
            return Made(STORED, is_there=True, trail=seen.trail, copy=copy)
        case Skipped(Reason.EXISTS):
            return Made(Reason.EXISTS, is_there=True, trail=seen.trail)
        case Skipped():
            return Made(outcome.reason, is_final=True, trail=seen.trail)
        case Failed():
            is_good = outcome.reason in OF_THE_BUCKET
            return Made(
                outcome.reason,
                is_final=outcome.is_final,
                trail=seen.trail,
                copy=copy if is_good else None,
            )
        case None:
            return Made(Reason.CANCELLED)


class _Seen:
    """What goes by on its way from a source into the bucket; the bytes while they are few."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._head: Head | None = None
        self._body = bytearray()
        self._is_whole = False
        self.trail: tuple[Attempt, ...] = ()

    def asked(self, trail: tuple[Attempt, ...]) -> None:
        """See `Witness`."""
        self.trail += trail

    def passing(self, reply: Reply) -> Reply:
        """See `Witness`."""
        self._head = reply.head
        return replace(reply, body=self._copied(reply.body))

    async def _copied(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        fits = True
        async for chunk in body:
            fits = fits and len(self._body) + len(chunk) <= self._max_bytes
            if fits:
                self._body += chunk
            else:
                self._body.clear()
            yield chunk
        self._is_whole = fits

    @property
    def copy(self) -> Copy | None:
        """All of it, if it has gone by and is small."""
        if self._head is None or not self._is_whole:
            return None
        return Copy(self._head, bytes(self._body))
