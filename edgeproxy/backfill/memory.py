"""The queue in memory: for where there is nothing to keep it in."""

import heapq
import itertools
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from edgeproxy.backfill.job import (
    CANCELLED,
    ENDED_BADLY,
    LIVE,
    Ending,
    Entry,
    Job,
    Lease,
    Lost,
    State,
    Wanted,
)
from edgeproxy.backfill.queue import POLL_S, Bell, Terms
from edgeproxy.backfill.until import Until
from edgeproxy.clock import Clock
from edgeproxy.core.reason import Reason


@dataclass(slots=True)
class _Live:
    entry: Entry
    until: float
    """It is not due before: it is leased, or its next attempt has to wait. By the monotonic clock."""
    turn: int = 0

    @property
    def is_cancelled(self) -> bool:
        """It is to be left as soon as that can be."""
        return self.entry.state is State.LEASED and self.entry.reason is Reason.CANCELLED


class MemoryQueue:
    """Jobs in this process, in the order in which they become due; they are gone with it.

    Their numbers are `first`, `first + step`, ...: several workers give each their own.
    """

    is_durable = False
    shared: frozenset[State] = frozenset()
    faults = 0

    def __init__(self, terms: Terms, clock: Clock, *, first: int = 1, step: int = 1) -> None:
        self._terms = terms
        self._clock = clock
        self._numbers = itertools.count(first, step)
        # Of all jobs: one that has ended and is tried again must not have a turn twice.
        self._turns = itertools.count(1)
        self._live: dict[int, _Live] = {}
        self._by_identity: dict[tuple[str, bytes], int] = {}
        # What is due when; a row that is not what its job has to say is out of date.
        self._due: list[tuple[float, int]] = []
        self._ended: OrderedDict[int, Entry] = OrderedDict()
        self._missing = Until(terms.history)
        self._is_paused = False
        self._bell = Bell()

    def offer(self, job: Job) -> Reason | None:
        """See `Queue`; every refusal is told at once."""
        if job.identity in self._by_identity:
            return Reason.QUEUED_ALREADY
        if len(self._live) >= self._terms.capacity:
            return Reason.QUEUE_FULL
        if self._missing.holds(job.identity, self._clock.elapsed()):
            return Reason.SOURCE_STATUS
        number = next(self._numbers)
        now = self._clock.now()
        self._live[number] = _Live(Entry(number, job, State.QUEUED, now, now), 0.0)
        self._by_identity[job.identity] = number
        self._hold(number, self._clock.elapsed())
        self._bell.ring()
        return None

    async def lease(self) -> Lease | Lost | None:
        """See `Queue`."""
        self._bell.hush()
        now = self._clock.elapsed()
        while not self._is_paused and (until := self._next_due()) is not None and until <= now:
            _, number = heapq.heappop(self._due)
            live = self._live[number]
            if live.is_cancelled:
                self._end(number, CANCELLED, None)
            elif live.entry.state is State.LEASED and live.entry.job.attempt >= self._terms.attempts:
                self._end(number, Ending(State.DEAD, Reason.WORKER_LOST), None)
                return Lost(live.entry.job)
            else:
                return self._leased(number, live)
        return None

    async def take(self, job: Job) -> Lease | Reason:
        """See `Queue`."""
        if self._is_paused:
            return Reason.PAUSED
        number = self._by_identity.get(job.identity)
        if number is None:
            refusal = self.offer(job)
            if refusal is not None:
                return refusal
            number = self._by_identity[job.identity]
        live = self._live[number]
        if live.until > self._clock.elapsed():
            return Reason.QUEUED_ALREADY if live.entry.state is State.LEASED else Reason.RETRY_LATER
        if live.is_cancelled or (
            live.entry.state is State.LEASED and live.entry.job.attempt >= self._terms.attempts
        ):
            return Reason.RETRY_LATER  # whoever leases it next will bury it
        live.entry = replace(live.entry, job=replace(job, attempt=live.entry.job.attempt))
        return self._leased(number, live)

    async def is_held(self, job: Job) -> bool:
        """See `Queue`."""
        live = self._live.get(self._by_identity.get(job.identity, 0))
        return live is not None and live.entry.state is State.LEASED and live.until > self._clock.elapsed()

    def _leased(self, number: int, live: _Live) -> Lease:
        live.turn = next(self._turns)
        self._change(number, State.LEASED, replace(live.entry.job, attempt=live.entry.job.attempt + 1))
        self._hold(number, self._clock.elapsed() + self._terms.lease_s)
        return Lease(number, live.turn, live.entry.job)

    async def arrival(self) -> None:
        """See `Queue`."""
        until = None if self._is_paused else self._next_due()
        await self._bell.heard(POLL_S if until is None else min(POLL_S, until - self._clock.elapsed()))

    def wake(self) -> None:
        """See `Queue`."""
        self._bell.ring()

    async def extend(self, leases: Iterable[Lease]) -> list[Lease]:
        """See `Queue`."""
        lost = []
        for lease in leases:
            if self._is_held(lease) and self._live[lease.number].is_cancelled:
                self._end(lease.number, CANCELLED, None)
            if self._is_held(lease):
                self._hold(lease.number, self._clock.elapsed() + self._terms.lease_s)
            else:
                lost.append(lease)
        return lost

    async def settle(self, lease: Lease, ending: Ending, took_s: float, retry_in_s: float = 0.0) -> bool:
        """See `Queue`."""
        if not self._is_held(lease):
            return False
        live = self._live[lease.number]
        if ending.state is State.QUEUED and not live.is_cancelled:
            self._change(lease.number, State.QUEUED, lease.job)
            live.entry = replace(live.entry, reason=ending.reason, message=ending.message, took_s=took_s)
            self._hold(lease.number, self._clock.elapsed() + retry_in_s)
            self._bell.ring()
        else:
            self._end(lease.number, CANCELLED if ending.state is State.QUEUED else ending, took_s)
        return True

    async def release(self, lease: Lease, in_s: float = 0.0, reason: Reason | None = None) -> None:
        """See `Queue`."""
        if self._is_held(lease) and self._live[lease.number].is_cancelled:
            self._end(lease.number, CANCELLED, None)
        elif self._is_held(lease):
            self._change(lease.number, State.QUEUED, replace(lease.job, attempt=lease.job.attempt - 1))
            live = self._live[lease.number]
            live.entry = replace(live.entry, reason=reason if reason is not None else live.entry.reason)
            self._hold(lease.number, self._clock.elapsed() + in_s)
            self._bell.ring()

    async def written(self) -> int:
        """See `Queue`."""
        return 0

    async def counts(self) -> Mapping[State, int]:
        """See `Queue`."""
        entries = [*(live.entry for live in self._live.values()), *self._ended.values()]
        states = Counter(entry.state for entry in entries)
        return {state: states[state] for state in State}

    async def entries(self, wanted: Wanted) -> list[Entry]:
        """See `Queue`."""
        entries = [*(live.entry for live in self._live.values()), *self._ended.values()]
        covered = sorted(filter(wanted.covers, entries), key=lambda entry: -entry.number)
        return covered[: wanted.limit]

    async def retry(self, wanted: Wanted) -> int:
        """See `Queue`."""
        done = 0
        for entry in await self.entries(replace(wanted, states=wanted.states & ENDED_BADLY)):
            identity = entry.job.identity
            if identity in self._by_identity or len(self._live) >= self._terms.capacity:
                continue
            done += 1
            del self._ended[entry.number]
            self._missing.forget(identity)
            self._live[entry.number] = _Live(entry, 0.0)
            self._by_identity[identity] = entry.number
            self._live[entry.number].entry = replace(entry, reason=None, message="")
            self._change(entry.number, State.QUEUED, replace(entry.job, attempt=0))
            self._hold(entry.number, self._clock.elapsed())
        self._bell.ring()
        return done

    async def cancel(self, wanted: Wanted) -> int:
        """See `Queue`."""
        done = 0
        for entry in await self.entries(replace(wanted, states=wanted.states & LIVE)):
            if entry.state is State.QUEUED:
                self._end(entry.number, CANCELLED, None)
            elif entry.reason is Reason.CANCELLED:
                continue
            else:
                self._live[entry.number].entry = replace(entry, reason=Reason.CANCELLED)
            done += 1
        return done

    async def pause(self, is_paused: bool) -> None:
        """See `Queue`."""
        self._is_paused = is_paused
        self._bell.ring()

    async def is_paused(self) -> bool:
        """See `Queue`."""
        return self._is_paused

    async def close(self) -> None:
        """See `Queue`."""

    def _is_held(self, lease: Lease) -> bool:
        live = self._live.get(lease.number)
        return live is not None and live.entry.state is State.LEASED and live.turn == lease.turn

    def _hold(self, number: int, until: float) -> None:
        """Let it be due at `until`."""
        self._live[number].until = until
        heapq.heappush(self._due, (until, number))

    def _next_due(self) -> float | None:
        """When the next job is due, by the monotonic clock."""
        while self._due:
            until, number = self._due[0]
            if number in self._live and self._live[number].until == until:
                return until
            heapq.heappop(self._due)
        return None

    def _change(self, number: int, state: State, job: Job) -> None:
        live = self._live[number]
        live.entry = replace(live.entry, state=state, job=job, changed_at=self._clock.now())

    def _end(self, number: int, ending: Ending, took_s: float | None) -> None:
        """The job is live no more."""
        entry = self._live.pop(number).entry
        identity = entry.job.identity
        del self._by_identity[identity]
        self._ended[number] = replace(
            entry,
            state=ending.state,
            changed_at=self._clock.now(),
            reason=ending.reason,
            message=ending.message,
            size=ending.size,
            took_s=took_s,
        )
        while len(self._ended) > self._terms.history:
            self._ended.popitem(last=False)
        if ending.reason is Reason.SOURCE_STATUS and ending.state is State.SKIPPED:
            self._missing.note(identity, self._clock.elapsed() + self._terms.missing_s)

    def __repr__(self) -> str:
        return f"MemoryQueue({len(self._live)} of {self._terms.capacity})"
