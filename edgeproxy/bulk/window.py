"""The part of the roll that is being worked at, as a queue: as much as there is room for, in order."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

from edgeproxy.backfill.job import LIVE, Ending, Job, Lease, Lost, State
from edgeproxy.backfill.memory import MemoryQueue
from edgeproxy.backfill.queue import Terms
from edgeproxy.bulk.judging import Judge
from edgeproxy.bulk.roll import Roll, RollError, Row
from edgeproxy.clock import Clock
from edgeproxy.core.reason import Reason

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

SIZE = 2_000
"""Jobs at once, most of them because they wait for another attempt."""
_BATCH = 500
_ENDED_AT_ONCE = 200


class Window(MemoryQueue):
    """`todo` = how many objects of the roll are open; `thread` is the one that the roll is used in."""

    # What is in here and not ended is still open in the roll.
    is_durable = True

    def __init__(
        self, roll: Roll, judge: Judge, todo: int, terms: Terms, clock: Clock, thread: ThreadPoolExecutor
    ) -> None:
        super().__init__(terms, clock)
        self._roll = roll
        self._judge = judge
        self._thread = thread
        self._todo = todo
        self._rows: dict[tuple[str, bytes], Row] = {}
        self._last = 0
        self._is_read = False
        # Several ask at once, and each part of the roll is to be read by one of them.
        self._reading = asyncio.Lock()
        self._unwritten: list[tuple[int, Ending]] = []
        self.outcomes: Counter[State] = Counter()
        self.stored_bytes = 0
        self.broken: asyncio.Future[RollError] = asyncio.get_running_loop().create_future()

    async def lease(self) -> Lease | Lost | None:
        """See `Queue`."""
        async with self._reading:
            if not self._is_read and len(self._rows) <= SIZE - _BATCH:
                await self._read()
        lease = await super().lease()
        if isinstance(lease, Lost):
            await self._note(lease.job, Ending(State.DEAD, Reason.WORKER_LOST))
        return lease

    async def _read(self) -> None:
        try:
            rows = await self._do(self._roll.open_items, self._last, _BATCH)
        except RollError as error:
            self._break(error)
            return
        for row in rows:
            job = self._judge.job(row.group, row.path)
            self._rows[job.identity] = row
            self.offer(job)
            self._last = row.id
        self._is_read = len(rows) < _BATCH
        self._todo = 0 if self._is_read else max(0, self._todo - len(rows))

    async def settle(self, lease: Lease, ending: Ending, took_s: float, retry_in_s: float = 0.0) -> bool:
        """See `Queue`."""
        done = await super().settle(lease, ending, took_s, retry_in_s)
        if done and ending.state not in LIVE:
            await self._note(lease.job, ending)
        return done

    async def _note(self, job: Job, ending: Ending) -> None:
        row = self._rows.pop(job.identity)
        self._unwritten.append((row.id, ending))
        self.outcomes[ending.state] += 1
        self.stored_bytes += ending.size or 0
        if len(self._unwritten) >= _ENDED_AT_ONCE:
            await self.write()

    async def write(self) -> None:
        """Put into the roll what has ended."""
        ended, self._unwritten = self._unwritten, []
        if ended:
            try:
                await self._do(self._roll.end, ended)
            except RollError as error:
                self._unwritten = ended + self._unwritten
                self._break(error)

    def _break(self, error: RollError) -> None:
        if not self.broken.done():
            self.broken.set_result(error)

    async def counts(self) -> Mapping[State, int]:
        """See `Queue`; those that are at work are counted with those that wait."""
        return dict.fromkeys(State, 0) | {State.QUEUED: self._todo + len(self._rows)}

    async def _do(self, act: Callable[[*Ts], T], *arguments: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act, *arguments)

    def __repr__(self) -> str:
        return f"Window({len(self._rows)} of {self._todo + len(self._rows)})"
