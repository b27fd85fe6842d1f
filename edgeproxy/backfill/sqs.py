"""The queue in Amazon SQS: shared by gateways, workers and Lambda functions on as many machines as there are.

SQS delivers a message at least once, lists none, and does not know that two mean the same. So what is
known here is what passed through this process: two that queue the same object make two messages, and
whoever gets the second finds the object there. A job that is taken for somebody who waits is a lease of
this process alone, with no message: it becomes one when it is given back or has to be tried again. A
message for the same object that comes meanwhile is held with it.
"""

import asyncio
import itertools
import math
import secrets
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from edgeproxy.backfill.clerk import Clerk
from edgeproxy.backfill.dead_letters import exhumed
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
from edgeproxy.backfill.message import MessageError, job_of
from edgeproxy.backfill.outbox import Outbox
from edgeproxy.backfill.post import (
    MAX_DELAY_S,
    MAX_HIDDEN_S,
    Delivery,
    Facts,
    Post,
    PostError,
)
from edgeproxy.backfill.queue import POLL_S, Bell, QueueError, Terms
from edgeproxy.backfill.until import Until
from edgeproxy.clock import Clock
from edgeproxy.core.failover import backoff_s
from edgeproxy.core.reason import Reason
from edgeproxy.store.faults import Faults

_REST_BASE_S = 0.5
_REST_CAP_S = 30.0
_PATIENCE_S = 5.0
"""How much longer than SQS is asked to wait."""
_RETRY_S = 3.0
"""How long `retry` goes through the dead-letter queue at most, as somebody waits for it."""
_WELL = frozenset({State.STORED, State.SKIPPED})
_BADLY = frozenset({State.FAILED, State.DEAD})


@dataclass(frozen=True, slots=True)
class Place:
    """Which queue, and what becomes of messages."""

    url: str | None
    name: str | None
    dead_letter_url: str | None
    wait_s: float
    group: str | None
    """The group of messages that name none."""
    prefixes: Mapping[str, str]
    """The groups whose jobs are worked at here, and the origin path of each one's bucket."""
    appetite: int
    """Jobs that are worked at here at the same time; no more are taken."""


@dataclass(slots=True)
class _Message:
    """A message that is or was here, or a job that was taken without one."""

    delivery: Delivery | None
    entry: Entry
    until: float
    """Ours until then, by the monotonic clock."""
    turn: int = 1
    given_back: int = 0
    """How many of its receipts led to no attempt."""
    is_taken: bool = False
    """It is done for somebody who waits, beside those that are worked at."""

    @property
    def is_cancelled(self) -> bool:
        """It is to be left as soon as that can be."""
        return self.entry.state is State.LEASED and self.entry.reason is Reason.CANCELLED


class SqsQueue:
    """See `Queue`. `random` gives numbers in [0, 1).

    `on_fault` hears what is out of order, `on_refused` of each job that SQS does not want. Numbers are
    `first`, `first + step`, ...: several workers give each their own.
    """

    is_durable = True

    def __init__(
        self,
        post: Post,
        place: Place,
        terms: Terms,
        clock: Clock,
        *,
        first: int = 1,
        step: int = 1,
        random: Callable[[], float],
        on_fault: Callable[[str], None],
        on_refused: Callable[[Reason], None],
    ) -> None:
        self._post = post
        self._place = place
        self._terms = terms
        self._clock = clock
        self._random = random
        self._faulty = Faults(on_fault, clock.elapsed)
        self._malformed = Faults(on_fault, clock.elapsed)
        self._on_fault = on_fault
        # A lease is whole seconds, and one at least.
        self._lease_s = min(max(1, round(terms.lease_s)), MAX_HIDDEN_S)
        self._facts: Facts | None = None
        self._finding = asyncio.Lock()
        self._bell = Bell()
        self._is_paused = False
        self._failures = 0
        self._missing = Until(terms.history)
        # Those that were given back here, or are to be tried again: until then nobody may begin them.
        self._waiting = Until(terms.history)
        self._clerk = Clerk(
            post,
            self._url,
            place.dead_letter_url,
            is_redriven=lambda: self._facts is not None and self._facts.max_receives is not None,
            rest_s=self._rest_s,
            on_fault=self._note,
        )
        self._outbox = Outbox(
            post,
            self._url,
            clock,
            capacity=terms.capacity,
            rest_s=self._rest_s,
            on_fault=self._note,
            on_refused=on_refused,
        )
        # What came. A message has the same number each time.
        self._numbers = itertools.count(first, step)
        self._number_of: dict[str, int] = {}
        self._held: dict[int, _Message] = {}
        self._past: OrderedDict[int, _Message] = OrderedDict()
        self._by_identity: dict[tuple[str, bytes], int] = {}
        self._ready: deque[Lease | Lost] = deque()

    @property
    def shared(self) -> frozenset[State]:
        """See `Queue`."""
        dead = {State.DEAD} if self._dead_url is not None else set()
        return frozenset({State.QUEUED, State.LEASED, *dead})

    @property
    def faults(self) -> int:
        """See `Queue`."""
        return self._faulty.count

    async def open(self) -> None:
        """Look whether the queue is there.  Raises `QueueError` if it is not, or not for us.

        An SQS that does not answer may do so later: that is told, and viewers are served.
        """
        await self._post.open()
        try:
            await self._found()
            if self._place.dead_letter_url is not None:
                await self._post.counts(self._place.dead_letter_url)
        except PostError as error:
            if error.is_final:
                await self._post.close()
                raise QueueError(f"{self._name}: {error}") from error
            self._note(str(error))
        self._outbox.open()

    async def _url(self) -> str:
        """The queue's URL.  Raises `PostError`."""
        return (await self._found()).url

    async def _found(self) -> Facts:
        """What there is to know of the queue.  Raises `PostError`."""
        async with self._finding:
            if self._facts is None:
                facts = await self._post.facts(self._place.url, self._place.name)
                if facts.max_receives is not None and facts.max_receives < self._terms.attempts:
                    self._on_fault(
                        f"backfill queue: {self._name}: gives up after {facts.max_receives} receipts,"
                        f" before backfill.attempts, which is {self._terms.attempts}"
                    )
                self._facts = facts
            return self._facts

    @property
    def _name(self) -> str:
        return self._place.url or f"queue {self._place.name}"

    @property
    def _dead_url(self) -> str | None:
        return self._place.dead_letter_url or (self._facts.dead_url if self._facts is not None else None)

    def offer(self, job: Job) -> Reason | None:
        """See `Queue`; what other processes have queued is not known."""
        now = self._clock.elapsed()
        identity = job.identity
        if (
            identity in self._by_identity
            or self._outbox.knows(identity)
            or self._waiting.holds(identity, now)
        ):
            return Reason.QUEUED_ALREADY
        if self._outbox.is_full:
            return Reason.QUEUE_FULL
        if self._missing.holds(identity, now):
            return Reason.SOURCE_STATUS
        self._outbox.put(job)
        return None

    async def take(self, job: Job) -> Lease | Reason:
        """See `Queue`; whether somebody elsewhere is at it is not known, and nothing is sent."""
        if self._is_paused:
            return Reason.PAUSED
        now = self._clock.elapsed()
        message = self._held.get(self._by_identity.get(job.identity, 0))
        if message is None and self._waiting.holds(job.identity, now):
            return Reason.RETRY_LATER
        if message is None and self._missing.holds(job.identity, now):
            return Reason.SOURCE_STATUS
        before = None
        if message is not None and now < message.until:
            lease = self._unbegun(message)
            if lease is None:
                return Reason.QUEUED_ALREADY
            self._ready.remove(lease)
            job = replace(job, attempt=lease.job.attempt)
            message.entry = replace(message.entry, job=job)
        else:
            if message is not None and (
                message.is_cancelled or message.entry.job.attempt >= self._terms.attempts
            ):
                if message.delivery is None:
                    self._outlived(message)
                return Reason.RETRY_LATER  # whoever receives it next will bury it
            if message is not None and message.delivery is not None:
                # Others may have it by now.
                self._forget(message)
            elif message is not None:
                before = self._held.pop(message.entry.number)
            message = self._begun(None, job, before)
            message.until = now + self._lease_s
        message.is_taken = True
        return Lease(message.entry.number, message.turn, message.entry.job)

    def _unbegun(self, message: _Message) -> Lease | None:
        """Its lease, if that has not been given to anybody yet."""
        at = message.entry.number, message.turn
        leases = (lease for lease in self._ready if isinstance(lease, Lease))
        return next((lease for lease in leases if (lease.number, lease.turn) == at), None)

    async def is_held(self, job: Job) -> bool:
        """See `Queue`; by this process."""
        message = self._held.get(self._by_identity.get(job.identity, 0))
        return message is not None and self._clock.elapsed() < message.until

    async def lease(self) -> Lease | Lost | None:
        """See `Queue`; what has come while one waited for its `arrival`."""
        self._bell.hush()
        while self._ready and not self._is_paused:
            lease = self._ready.popleft()
            if isinstance(lease, Lost) or self._is_held(lease):
                return lease
        return None

    async def arrival(self) -> None:
        """See `Queue`. While nobody waits, no message is asked for: none is held that nobody works at.

        Messages that come for a request that is given up are hidden until their lease has run out.
        """
        room = self._place.appetite - sum(not message.is_taken for message in self._held.values())
        if self._is_paused or self._ready or room <= 0:
            await self._bell.heard(0.0 if self._ready else POLL_S)
            return
        loop = asyncio.get_running_loop()
        polling = loop.create_task(self._poll(room))
        ringing = loop.create_task(self._bell.heard(self._place.wait_s + 2 * _PATIENCE_S))
        try:
            await asyncio.wait([polling, ringing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (polling, ringing):
                task.cancel()
            await asyncio.gather(polling, ringing, return_exceptions=True)
        if polling.done() and not polling.cancelled():
            polling.result()

    async def _poll(self, room: int) -> None:
        try:
            facts = await self._found()
            came = await self._post.receive(
                facts.url, room, wait_s=self._place.wait_s, hidden_s=self._lease_s
            )
        except PostError as error:
            self._note(str(error))
            self._failures += 1
            await asyncio.sleep(self._rest_s(self._failures))
            return
        self._failures = 0
        until = self._clock.elapsed() + self._lease_s
        for delivery in came:
            self._take(delivery, until)

    def _rest_s(self, failures: int) -> float:
        return backoff_s(failures, _REST_BASE_S, _REST_CAP_S, self._random)

    def _take(self, delivery: Delivery, until: float) -> None:
        """Hold what was delivered, unless there is nothing to be done for it here."""
        try:
            job = job_of(delivery.text, group=self._place.group, prefix=self._place.prefixes)
        except MessageError as error:
            self._tell_malformed(f"a message is no job: {error}")
            self._clerk.bury(delivery)
            return
        if job.group not in self._place.prefixes:
            self._tell_malformed(f"a job is for the group {job.group[:60]!a}, which is not here")
            if delivery.count > self._terms.attempts:
                self._clerk.bury(delivery)
            return
        number = self._number_of.get(delivery.id, 0)
        before = self._held.pop(number, None) or self._past.pop(number, None)
        if before is not None and self._is_over(before, delivery):
            return
        other = self._held.get(self._by_identity.get(job.identity, 0))
        if other is not None and self._clock.elapsed() < other.until:
            # It is being done, for another message: that one stays until it is.
            self._number_of.pop(delivery.id, None)
            if other.delivery is None:
                other.delivery, other.until = delivery, until
                self._number_of[delivery.id] = other.entry.number
            else:
                self._clerk.delete(delivery.receipt)
            return
        message = self._begun(delivery, job, before)
        message.until = until
        if message.entry.job.attempt > self._terms.attempts:
            attempts = message.entry.job.attempt - 1
            message.entry = replace(message.entry, job=replace(job, attempt=attempts))
            self._outlived(message)
        else:
            self._ready.append(Lease(message.entry.number, message.turn, message.entry.job))

    def _is_over(self, before: _Message, delivery: Delivery) -> bool:
        """Whether nothing more is to be done for a message that was here before: that was not heard."""
        if before.is_cancelled:
            self._end(before, CANCELLED, None)
        state = before.entry.state
        if state in _WELL:
            self._clerk.delete(delivery.receipt)
        elif state in _BADLY and before.delivery is not None and delivery.count > before.delivery.count:
            self._clerk.bury(delivery)
        else:
            return False
        self._past[before.entry.number] = before
        return True

    def _begun(self, delivery: Delivery | None, job: Job, before: _Message | None) -> _Message:
        """`job` is held here from now on, as it perhaps was `before`."""
        now = self._clock.now()
        number = before.entry.number if before is not None else next(self._numbers)
        added_at = before.entry.added_at if before is not None else now
        given_back = before.given_back if before is not None else 0
        attempt = before.entry.job.attempt + 1 if before is not None else 1
        if delivery is not None:
            self._number_of[delivery.id] = number
            attempt = delivery.count - given_back
        job = replace(job, attempt=attempt)
        entry = Entry(number, job, State.LEASED, added_at, now)
        turn = before.turn + 1 if before is not None else 1
        message = self._held[number] = _Message(delivery, entry, 0.0, turn, given_back)
        self._by_identity[job.identity] = number
        return message

    def _outlived(self, message: _Message) -> None:
        """Nobody is at it any more, and it was cancelled, or leased too often."""
        ending = CANCELLED if message.is_cancelled else Ending(State.DEAD, Reason.WORKER_LOST)
        self._ended(message, ending, None)
        if ending.state is State.DEAD:
            self._ready.append(Lost(message.entry.job))
            self._bell.ring()

    def wake(self) -> None:
        """See `Queue`."""
        self._bell.ring()

    async def extend(self, leases: Iterable[Lease]) -> list[Lease]:
        """See `Queue`."""
        lost: list[Lease] = []
        asked: list[tuple[Lease, _Message, str]] = []
        now = self._clock.elapsed()
        for lease in leases:
            message = self._held[lease.number] if self._is_held(lease) else None
            if message is None:
                lost.append(lease)
            elif message.is_cancelled:
                self._ended(message, CANCELLED, None)
                lost.append(lease)
            elif message.delivery is None:
                message.until = now + self._lease_s
            elif now >= message.until:
                self._forget(message)
                lost.append(lease)
            else:
                asked.append((lease, message, message.delivery.receipt))
        fates = await asyncio.gather(*(self._clerk.hidden(receipt, self._lease_s) for _, _, receipt in asked))
        for (lease, message, _), fate in zip(asked, fates, strict=True):
            if not fate.code:
                message.until = now + self._lease_s
            elif not self._is_held(lease):
                lost.append(lease)
            elif fate.is_final:
                self._forget(message)
                lost.append(lease)
            else:
                self._note(fate.code)
        return lost

    async def settle(self, lease: Lease, ending: Ending, took_s: float, retry_in_s: float = 0.0) -> bool:
        """See `Queue`. SQS hears of it a moment later."""
        if not self._is_held(lease):
            return False
        message = self._held[lease.number]
        is_late = message.delivery is not None and self._clock.elapsed() >= message.until
        if ending.state not in _WELL and is_late:
            # Others may have it by now. What is stored is done whoever did it.
            self._forget(message)
            return False
        if ending.state is State.QUEUED and not message.is_cancelled:
            self._put_back(message, ending, took_s, retry_in_s)
        else:
            self._ended(message, CANCELLED if ending.state is State.QUEUED else ending, took_s)
        return True

    async def release(self, lease: Lease, in_s: float = 0.0, reason: Reason | None = None) -> None:
        """See `Queue`; SQS counts it as an attempt, and so do other processes."""
        if not self._is_held(lease):
            return
        message = self._held[lease.number]
        if message.is_cancelled:
            self._ended(message, CANCELLED, None)
            return
        message.given_back += 1
        job = replace(message.entry.job, attempt=message.entry.job.attempt - 1)
        message.entry = replace(message.entry, job=job)
        hidden = self._put_back(message, Ending(State.QUEUED, reason), None, in_s)
        if hidden is not None:
            await asyncio.wait([hidden])

    def _put_back(
        self, message: _Message, ending: Ending, took_s: float | None, in_s: float
    ) -> "asyncio.Task[None] | None":
        """Let it be due again in `in_s`; gives what tells SQS so, unless that is a new message."""
        identity = message.entry.job.identity
        # Not a moment before: whoever gets it then would have to give it back.
        hidden_s = min(math.ceil(in_s), MAX_HIDDEN_S)
        self._end(message, ending, took_s)
        if in_s > 0:
            self._waiting.note(identity, self._clock.elapsed() + in_s)
        if message.delivery is not None:
            return self._clerk.hide(message.delivery.receipt, hidden_s)
        if self._outbox.is_full:
            self._end(message, Ending(State.DEAD, Reason.QUEUE_FULL, ending.message), took_s)
            return None
        self._drop(message.entry.number)
        if not self._outbox.knows(identity):
            self._outbox.put(message.entry.job, secrets.token_hex(8), min(hidden_s, MAX_DELAY_S))
        return None

    def _ended(self, message: _Message, ending: Ending, took_s: float | None) -> None:
        """The job is done, or never will be; SQS is to hear of it."""
        self._end(message, ending, took_s)
        if ending.state not in _WELL:
            self._clerk.bury(message.delivery or message.entry.job)
        elif message.delivery is not None:
            self._clerk.delete(message.delivery.receipt)

    async def written(self) -> int:
        """See `Queue`."""
        left = await self._outbox.written()
        await self._clerk.written()
        return left

    async def counts(self) -> Mapping[State, int]:
        """See `Queue`; about as many as there are, and where SQS does not answer those of this process."""
        own = Counter(message.entry.state for message in (*self._held.values(), *self._past.values()))
        counts = {state: own[state] for state in State} | {State.QUEUED: 0}
        try:
            waiting, hidden = await self._post.counts(await self._url())
            counts[State.QUEUED] = waiting
            counts[State.LEASED] = hidden + sum(message.delivery is None for message in self._held.values())
            if self._dead_url is not None:
                counts[State.DEAD] = sum(await self._post.counts(self._dead_url))
        except PostError as error:
            self._note(str(error))
        return counts

    async def entries(self, wanted: Wanted) -> list[Entry]:
        """See `Queue`; those that were here."""
        entries = [message.entry for message in (*self._held.values(), *self._past.values())]
        covered = sorted(filter(wanted.covers, entries), key=lambda entry: -entry.number)
        return covered[: wanted.limit]

    async def retry(self, wanted: Wanted) -> int:
        """See `Queue`; also what lies in the dead-letter queue, as much as can be gone through in 3 s."""
        badly = replace(wanted, states=wanted.states & ENDED_BADLY)
        done = 0
        for entry in await self.entries(badly):
            has_message = self._past[entry.number].delivery is not None
            grave = self._dead_url if has_message else self._place.dead_letter_url
            is_buried = entry.state in _BADLY and grave is not None
            is_live = entry.job.identity in self._by_identity or self._outbox.knows(entry.job.identity)
            if is_buried or is_live or self._outbox.is_full:
                continue
            done += 1
            self._drop(entry.number)
            self._missing.forget(entry.job.identity)
            self._outbox.put(entry.job, secrets.token_hex(8))
        if self._dead_url is not None and badly.states & _BADLY:
            try:
                done += await self._exhume(self._dead_url, replace(badly, limit=max(0, badly.limit - done)))
            except PostError as error:
                raise QueueError(f"{self._dead_url}: {error}") from error
        return done

    async def _exhume(self, dead_url: str, wanted: Wanted) -> int:
        """Send back what lies in the dead-letter queue and is `wanted`.  Raises `PostError`."""
        ending = self._clock.elapsed() + _RETRY_S
        number_of = {
            entry.job.identity: entry.number
            for entry in await self.entries(Wanted(limit=self._terms.history))
        }

        def meant(delivery: Delivery) -> Job | None:
            with suppress(MessageError):
                job = job_of(delivery.text, group=self._place.group, prefix=self._place.prefixes)
                now = self._clock.now()
                entry = Entry(number_of.get(job.identity, 0), job, min(wanted.states & _BADLY), now, now)
                return job if wanted.covers(entry) else None
            return None

        def is_over() -> bool:
            return self._clock.elapsed() >= ending

        jobs = await exhumed(self._post, dead_url, await self._url(), meant, wanted.limit, is_over)
        for job in jobs:
            self._drop(number_of.get(job.identity, 0))
            self._missing.forget(job.identity)
        return len(jobs)

    async def cancel(self, wanted: Wanted) -> int:
        """See `Queue`; those that are here, or were put back from here. What lies in SQS lists nobody."""
        done = 0
        for entry in await self.entries(replace(wanted, states=wanted.states & LIVE)):
            message = self._held.get(entry.number) or self._past[entry.number]
            if message.is_cancelled:
                continue
            done += 1
            lease = self._unbegun(message)
            if entry.state is State.LEASED and lease is None:
                message.entry = replace(entry, reason=Reason.CANCELLED)
                continue
            if lease is not None:
                self._ready.remove(lease)
            self._waiting.forget(entry.job.identity)
            self._ended(message, CANCELLED, None)
        return done

    async def pause(self, is_paused: bool) -> None:
        """See `Queue`; for this process."""
        self._is_paused = is_paused
        self._bell.ring()

    async def is_paused(self) -> bool:
        """See `Queue`."""
        return self._is_paused

    async def close(self) -> None:
        """See `Queue`."""
        self._clerk.hurry()
        await self._outbox.close()
        for lease in self._ready:
            if isinstance(lease, Lease):
                await self.release(lease)
        await self._clerk.close()
        await self._post.close()

    def _is_held(self, lease: Lease) -> bool:
        message = self._held.get(lease.number)
        return message is not None and message.turn == lease.turn

    def _forget(self, message: _Message) -> None:
        """It is somebody else's."""
        self._held.pop(message.entry.number, None)
        if message.delivery is not None:
            self._number_of.pop(message.delivery.id, None)
        self._leave(message)

    def _leave(self, message: _Message) -> None:
        if self._by_identity.get(message.entry.job.identity) == message.entry.number:
            del self._by_identity[message.entry.job.identity]

    def _end(self, message: _Message, ending: Ending, took_s: float | None) -> None:
        """It is held no more, and remembered for a while."""
        number, identity = message.entry.number, message.entry.job.identity
        self._held.pop(number, None)
        self._leave(message)
        message.entry = replace(
            message.entry,
            state=ending.state,
            changed_at=self._clock.now(),
            reason=ending.reason,
            message=ending.message,
            size=ending.size,
            took_s=took_s,
        )
        self._past[number] = message
        while len(self._past) > self._terms.history:
            self._drop(next(iter(self._past)))
        if ending.state is not State.QUEUED:
            self._outbox.forget(identity)
        if ending.reason is Reason.SOURCE_STATUS and ending.state is State.SKIPPED:
            self._missing.note(identity, self._clock.elapsed() + self._terms.missing_s)

    def _drop(self, number: int) -> None:
        """Remember it no longer."""
        message = self._past.pop(number, None)
        if message is not None and message.delivery is not None:
            self._number_of.pop(message.delivery.id, None)

    def _note(self, why: str) -> None:
        waiting = f", {len(self._outbox)} jobs wait in memory" if len(self._outbox) else ""
        self._faulty.note(f"backfill queue: {self._name}: {why}", waiting)

    def _tell_malformed(self, why: str) -> None:
        self._malformed.note(f"backfill queue: {self._name}: {why}")

    def __repr__(self) -> str:
        return f"SqsQueue({self._name}, {len(self._held)} held, {len(self._outbox)} to be sent)"
