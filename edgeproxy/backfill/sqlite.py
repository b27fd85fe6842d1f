"""The queue in a file: it outlives the process, however that ends, and several processes share it.

What has to wait for the disk waits in a thread, and viewers do not wait for that: a job that is offered
goes to the file a moment later, together with those that came meanwhile.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from edgeproxy.backfill.job import LIVE, Ending, Entry, Job, Lease, Lost, State, Wanted
from edgeproxy.backfill.ledger import Ledger, LedgerError, Settling, Turned
from edgeproxy.backfill.queue import POLL_S, Bell, QueueError, Terms
from edgeproxy.backfill.rows import Moment
from edgeproxy.clock import Clock
from edgeproxy.core.reason import Reason
from edgeproxy.store.faults import Faults

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_SURE_S = 1.0
"""How long it is believed without asking the file that a job is still live."""
_REST_S = 1.0
"""How long to wait before jobs are again put into a file that did not take them."""
_AT_ONCE = 1000
"""Jobs that are put in, or changed, together."""
_BEYOND = 2**63 - 1
"""No job has this number."""


class SqliteQueue:
    """See `Queue`. Leases jobs of `groups`; those of others are for other processes.

    `on_fault` hears what is out of order, `on_refused` of each job that turned out not to be wanted.
    """

    is_durable = True
    shared = frozenset(State)

    def __init__(
        self,
        path: Path,
        terms: Terms,
        clock: Clock,
        groups: frozenset[str],
        *,
        on_fault: Callable[[str], None],
        on_refused: Callable[[Reason], None],
    ) -> None:
        self._path = path
        self._ledger = Ledger(path, terms)
        self._terms = terms
        self._clock = clock
        self._groups = groups
        self._faults = Faults(on_fault, clock.elapsed)
        self._on_refused = on_refused
        # One thread for everything: things happen in the order in which they were asked for.
        self._thread = ThreadPoolExecutor(1, "backfill")
        self._bell = Bell()
        self._pending: dict[tuple[str, bytes], Job] = {}
        self._live_since: dict[tuple[str, bytes], float] = {}
        self._live = 0
        self._next_due: float | None = None
        self._offered = asyncio.Event()
        self._closing = asyncio.Event()
        self._written = asyncio.Event()
        self._written.set()
        self._putting: asyncio.Task[None] | None = None
        self._settling: list[tuple[Settling, asyncio.Future[bool]]] = []
        self._leasing: list[asyncio.Future[Lease | Lost | None]] = []
        self._turning: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make the file ready.  Raises `QueueError`."""
        await self._or_raise(self._ledger.prepare, self._moment())
        counts = await self._or_raise(self._ledger.counts)
        self._live = sum(counts[state] for state in LIVE)
        self._putting = asyncio.get_running_loop().create_task(self._put_all())

    def offer(self, job: Job) -> Reason | None:
        """See `Queue`; that an object is missing at its source, or queued by others, is found out later."""
        if job.identity in self._pending or self._is_surely_live(job.identity):
            return Reason.QUEUED_ALREADY
        if self._live + len(self._pending) >= self._terms.capacity:
            return Reason.QUEUE_FULL
        self._pending[job.identity] = job
        self._written.clear()
        self._offered.set()
        return None

    @property
    def faults(self) -> int:
        """See `Queue`."""
        return self._faults.count

    async def lease(self) -> Lease | Lost | None:
        """See `Queue`."""
        self._bell.hush()
        leased: asyncio.Future[Lease | Lost | None] = asyncio.get_running_loop().create_future()
        self._leasing.append(leased)
        self._take_turns()
        return await leased

    async def take(self, job: Job) -> Lease | Reason:
        """See `Queue`."""
        try:
            taken, self._live = await self._do(self._ledger.take, job, self._moment())
        except LedgerError as error:
            self._note(error)
            return Reason.QUEUE_FAILED
        return taken

    async def is_held(self, job: Job) -> bool:
        """See `Queue`."""
        try:
            return await self._do(self._ledger.is_held, job, self._moment())
        except LedgerError as error:
            self._note(error)
            return False

    async def arrival(self) -> None:
        """See `Queue`."""
        rest_s = POLL_S if self._next_due is None else min(POLL_S, self._next_due - self._clock.elapsed())
        await self._bell.heard(rest_s)

    def wake(self) -> None:
        """See `Queue`."""
        self._bell.ring()

    async def extend(self, leases: Iterable[Lease]) -> list[Lease]:
        """See `Queue`."""
        try:
            return await self._do(self._ledger.extend, list(leases), self._moment())
        except LedgerError as error:
            self._note(error)
            return []

    async def settle(self, lease: Lease, ending: Ending, took_s: float, retry_in_s: float = 0.0) -> bool:
        """See `Queue`."""
        self._live_since.pop(lease.job.identity, None)
        settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._settling.append((Settling(lease, ending, took_s, retry_in_s), settled))
        self._take_turns()
        done = await settled
        if done and ending.state is State.QUEUED:
            self._bell.ring()
        return done

    def _take_turns(self) -> None:
        if self._turning is None or self._turning.done():
            self._turning = asyncio.get_running_loop().create_task(self._turns())

    async def _turns(self) -> None:
        """Settle and lease: together, while the thread is at it, what many want."""
        while self._settling or self._leasing:
            (settling, self._settling), (leasing, self._leasing) = (self._settling, []), (self._leasing, [])
            try:
                turned = await self._do(
                    self._ledger.turn,
                    [one for one, _ in settling],
                    len(leasing),
                    self._groups,
                    self._moment(),
                )
                self._live = turned.live
            except LedgerError as error:
                # The leases will run out; whoever takes the jobs then finds that the objects are there.
                self._note(error)
                turned = Turned([True] * len(settling), [], None, self._live)
            if leasing:
                self._next_due = turned.next_due
            if turned.next_due is not None and turned.next_due <= self._clock.elapsed():
                self._bell.ring()
            for (_, settled), held in zip(settling, turned.settled, strict=True):
                _tell(settled, held)
            for leased, lease in zip_longest(leasing, turned.leased):
                _tell(leased, lease)

    async def release(self, lease: Lease, in_s: float = 0.0, reason: Reason | None = None) -> None:
        """See `Queue`."""
        try:
            await self._do(self._ledger.release, lease, in_s, reason, self._moment())
        except LedgerError as error:
            self._note(error)
        self._bell.ring()

    async def written(self) -> int:
        """See `Queue`."""
        await self._written.wait()
        return len(self._pending)

    async def counts(self) -> Mapping[State, int]:
        """See `Queue`; none where the file cannot be read."""
        try:
            counts = await self._do(self._ledger.counts)
        except LedgerError as error:
            self._note(error)
            return dict.fromkeys(State, 0)
        self._live = sum(counts[state] for state in LIVE)
        return counts

    async def entries(self, wanted: Wanted) -> list[Entry]:
        """See `Queue`."""
        return await self._or_raise(self._ledger.entries, wanted)

    async def retry(self, wanted: Wanted) -> int:
        """See `Queue`."""
        done, below = 0, _BEYOND
        while below and done < wanted.limit:
            # Not all in one transaction: other processes wait for its end.
            some = replace(wanted, limit=min(wanted.limit - done, _AT_ONCE))
            batch, below = await self._or_raise(self._ledger.retry, some, self._moment(), below)
            done += batch
            self._live += batch
            self._bell.ring()
        return done

    async def cancel(self, wanted: Wanted) -> int:
        """See `Queue`; jobs that are not in the file yet are put there first."""
        await self._written.wait()
        done = 0
        while done < wanted.limit:
            # Not all in one transaction: other processes wait for its end.
            limit = min(wanted.limit - done, _AT_ONCE)
            batch = await self._or_raise(self._ledger.cancel, replace(wanted, limit=limit), self._moment())
            done += batch
            if batch < limit:
                break
        self._live_since.clear()
        self._bell.ring()
        return done

    async def pause(self, is_paused: bool) -> None:
        """See `Queue`."""
        await self._or_raise(self._ledger.pause, is_paused)
        self._bell.ring()

    async def is_paused(self) -> bool:
        """See `Queue`."""
        return await self._or_raise(self._ledger.is_paused)

    async def close(self) -> None:
        """See `Queue`."""
        self._closing.set()
        self._offered.set()
        if self._putting is not None:
            await self._putting
        if self._turning is not None:
            await self._turning
        self._thread.shutdown()
        self._ledger.close()

    async def _put_all(self) -> None:
        """Put into the file what is offered, until the queue is closed."""
        while True:
            await self._offered.wait()
            self._offered.clear()
            is_last = self._closing.is_set()
            while self._pending:
                if not await self._put():
                    if is_last:
                        break
                    await self._rest()
                    is_last = self._closing.is_set()
            self._written.set()
            if self._closing.is_set():
                return

    async def _put(self) -> bool:
        """Put some of what waits into the file; False if that cannot be done now."""
        batch = list(self._pending.items())[:_AT_ONCE]
        try:
            verdicts, live = await self._do(self._ledger.add, [job for _, job in batch], self._moment())
        except LedgerError as error:
            self._note(error)
            return False
        self._live = live
        for (identity, _), reason in zip(batch, verdicts, strict=True):
            del self._pending[identity]
            if reason is None or reason is Reason.QUEUED_ALREADY:
                self._remember(identity)
            if reason is not None:
                self._on_refused(reason)
        self._bell.ring()
        return True

    async def _rest(self) -> None:
        # Whoever waits for what cannot be had waits for ever: it is where it stays for now.
        self._written.set()
        try:
            async with asyncio.timeout(_REST_S):
                await self._closing.wait()
        except TimeoutError:
            return

    def _is_surely_live(self, identity: tuple[str, bytes]) -> bool:
        since = self._live_since.get(identity)
        return since is not None and self._clock.elapsed() - since < _SURE_S

    def _remember(self, identity: tuple[str, bytes]) -> None:
        """That this job is live, so that a key that is asked for all the time does not go to the file."""
        now = self._clock.elapsed()
        self._live_since.pop(identity, None)
        self._live_since[identity] = now
        while now - next(iter(self._live_since.values())) >= _SURE_S:
            del self._live_since[next(iter(self._live_since))]

    def _moment(self) -> Moment:
        return Moment(self._clock.now(), self._clock.elapsed())

    def _note(self, error: LedgerError) -> None:
        """Count a fault, and tell it, but not each."""
        waiting = f", {len(self._pending)} jobs wait in memory" if self._pending else ""
        self._faults.note(f"backfill queue: {self._path}: {error}", waiting)

    async def _or_raise(self, act: Callable[[*Ts], T], *arguments: *Ts) -> T:
        try:
            return await self._do(act, *arguments)
        except LedgerError as error:
            raise QueueError(f"{self._path}: {error}") from error

    async def _do(self, act: Callable[[*Ts], T], *arguments: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act, *arguments)

    def __repr__(self) -> str:
        return f"SqliteQueue({self._path.name}, {self._live} of {self._terms.capacity})"


def _tell(waiting: "asyncio.Future[T]", result: T) -> None:
    # Whoever waited may have gone: a lease runs out by itself.
    if not waiting.done():
        waiting.set_result(result)
