"""The fetch that serves all who wait for an object: viewers, the cache, the backfill."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any, assert_never

from edgeproxy.backfill.filler import Filler
from edgeproxy.backfill.queue import QueueError
from edgeproxy.clock import Clock
from edgeproxy.core.compression import Coding, coded, coding_for, still_coded
from edgeproxy.core.decision import Excuse, Fail, Fetch, Keep, Pass, Refresh, on_error, on_head, on_reply
from edgeproxy.core.errors import EdgeError, OriginError, RememberedError
from edgeproxy.core.forwarding import to_be_shared
from edgeproxy.core.invalidation import Invalidation, Reach, by_unsafe_method
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Request
from edgeproxy.core.ranges import complete_length
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import Stored, may_store
from edgeproxy.core.validation import is_about
from edgeproxy.gateway.coding import in_coding, working_bytes
from edgeproxy.gateway.failures import Failures
from edgeproxy.gateway.intake import Intake
from edgeproxy.gateway.passes import Passes
from edgeproxy.gateway.reads import looked_into
from edgeproxy.gateway.visit import Visit
from edgeproxy.origins.base import Origin, Reply
from edgeproxy.store.flight import Failed, Flight, Flights, Refreshed, Shared, Unshared
from edgeproxy.store.folder import DiskError
from edgeproxy.store.tiers import Found, Tiers

_DELETED = frozenset({200, 202, 204})


class Fetcher:
    """Asks origins, for one viewer (`straight`) or for everybody (`flight`)."""

    def __init__(
        self,
        targets: Mapping[str, Origin],
        cache: Tiers,
        flights: Flights,
        filler: Filler,
        clock: Clock,
        elsewhere: Callable[[Invalidation], Awaitable[str | None]] | None = None,
    ) -> None:
        """`elsewhere` tells other processes what they have to forget, and gives why one did not."""
        self._targets = targets
        self._cache = cache
        self._flights = flights
        self._intake = Intake(cache, flights)
        self._filler = filler
        self._clock = clock
        self._elsewhere = elsewhere
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures = Failures(cache.memory.max_bytes // 64)
        self._passes = Passes()

    async def straight(self, visit: Visit, conditions: tuple[tuple[str, str], ...] = ()) -> Reply:
        """The answer for this viewer alone; nothing is stored.  Raises `OriginError`.

        With `conditions` the whole is asked for on these, instead of what the viewer asks for.
        """
        target = visit.behavior.target
        sent = to_be_shared(visit.sent, conditions) if conditions else visit.sent
        requested_at = self._clock.now()
        reply = await self._targets[target].fetch(sent)
        if reply.switched is not None:
            return reply
        try:
            if sent.method == "HEAD":
                self._learn(visit, reply.head, requested_at)
            visit.record.backfill = self._filler.consider(target, visit.key, sent, reply)
            if sent.method == "DELETE" and reply.head.status in _DELETED:
                await self._to_the_end(self._bury(visit, target, sent.path))
            # Where some POST requests are reads, the address is that of all calls, and changes with none.
            is_call = visit.behavior.posts is not None and sent.method == "POST"
            written = (
                () if is_call else by_unsafe_method(visit.request, reply.head.status, reply.head.headers)
            )
            if written:
                # A viewer that leaves does not undo what it has written.
                await self._to_the_end(self._forget(visit, written))
        except BaseException:
            reply.close()
            raise
        return reply

    async def _bury(self, visit: Visit, target: str, path: str) -> None:
        """See to it that what was deleted from a bucket stays so for a while."""
        try:
            await self._filler.deleted(target, path)
        except QueueError as error:
            visit.record.fault = f"what was deleted may be filled again: {error}"

    async def _to_the_end(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _forget(self, visit: Visit, written: tuple[Invalidation, ...]) -> None:
        """Forget what a write that succeeded made invalid, here and in other processes."""
        for what in written:
            if what.text == visit.request.path and visit.behavior.cache.ttl.is_off:
                continue  # nothing is ever stored under it
            try:
                await self.invalidate(what)
            except DiskError as error:
                # What was asked for is done; only the operator can do something about the rest.
                visit.record.fault = f"the disk cache was not invalidated: {error}"
            fault = await self._elsewhere(what) if self._elsewhere is not None else None
            if fault is not None:
                visit.record.fault = f"another worker did not forget {what}: {fault}"

    def _learn(self, visit: Visit, head: Head, requested_at: float) -> None:
        """See whether the answer to a HEAD tells something of the stored answer to GET."""
        entry, _ = self._cache.find(visit.key, lambda: visit.sent.headers)
        if entry is None or ("content-encoding" in entry.stored.head.headers) != (
            "content-encoding" in head.headers
        ):
            return
        policy, length = visit.behavior.cache, len(entry.body)
        new = on_head(visit.sent, head, policy, entry.stored, length, requested_at, self._clock.now())
        if new is not None:
            self._cache.keep(visit.key, replace(entry, stored=new))

    def failure(self, key: CacheKey) -> RememberedError | None:
        """Why no origin could answer for `key` a moment ago, if it is to be left alone for that."""
        return self._failures.find(key, self._clock.now())

    def is_for_one(self, visit: Visit) -> bool:
        """Whether the answer would be for this viewer alone, by what the last one was."""
        return visit.read is None and self._passes.has(visit.key, self._clock.elapsed())

    async def alone(self, visit: Visit) -> tuple[Reply, Reason | None]:
        """The answer for this viewer, and why it may not be stored.  Raises `OriginError`.

        If it might have been, the next one is fetched for everybody again.
        """
        reply = await self._for_one(visit)
        reason = None
        if reply.head.status != 304:
            reason = may_store(visit.sent, reply.head, visit.behavior.cache, self._clock.now())
            if reason is None:
                self._passes.drop(visit.key)
            else:
                self._passes.add(visit.key, self._clock.elapsed())
        return reply, reason

    async def part(self, visit: Visit, fetch: Fetch) -> Reply:
        """The answer for this viewer alone, of which only the whole is stored.  Raises `OriginError`."""
        reply = await self._for_one(visit)
        self._fill_behind(visit, fetch, reply)
        return reply

    async def _for_one(self, visit: Visit) -> Reply:
        """What goes wrong over a viewer's odd Range or conditions is not remembered as everybody's error."""
        try:
            return await self.straight(visit)
        except OriginError as error:
            if error.was_asked_nothing:
                self._remember(visit, error)
            raise

    def _remember(self, visit: Visit, error: EdgeError) -> None:
        now = self._clock.now()
        verdict = on_error(error, visit.behavior.cache, None, now)
        if isinstance(verdict, Fail) and verdict.rest_s > 0:
            self._failures.add(visit.key, error, now + verdict.rest_s)

    async def invalidate(self, invalidation: Invalidation) -> int:
        """Nothing that is covered is served again, nor what is on its way; gives the number of keys.

        Raises `DiskError`.
        """
        self._flights.invalidate(invalidation)
        self._passes.clear()
        forgiven = self._failures.invalidate(invalidation)
        return forgiven + await self._cache.invalidate(invalidation)

    def refilled(self, path: str) -> None:
        """The bucket has something else under `path` than a moment ago: forget it, here and elsewhere."""
        task = asyncio.get_running_loop().create_task(self._forget_old(path))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forget_old(self, path: str) -> None:
        what = Invalidation(Reach.PATH, path)
        # Where it cannot be done, what is stored goes when its time is up.
        with suppress(DiskError):
            await self.invalidate(what)
        if self._elsewhere is not None:
            await self._elsewhere(what)

    def is_under_way(self, key: CacheKey) -> bool:
        """Whether there is a flight that a request with this key would join."""
        return self._flights.find(key) is not None

    def flight(self, visit: Visit, fetch: Fetch, entry: Found | None) -> tuple[Flight, bool]:
        """The flight for this key, and whether it was started for this visit."""
        flight = self._flights.find(visit.key)
        if flight is not None:
            return flight, False
        flight = Flight(fetch)
        self._flights.start(visit.key, flight, self._fly(visit, flight, entry))
        return flight, True

    def _fill_behind(self, visit: Visit, fetch: Fetch, part: Reply) -> None:
        """A viewer asked for a part: fetch the whole behind its back, if it is one that can be kept.

        Also where the origin gave the whole at once, as some do whatever the Range.
        """
        head = part.head
        if visit.request.method != "GET" or head.status not in (200, 206):
            return
        is_part = head.status == 206
        length = complete_length(head.headers.get("content-range")) if is_part else head.length or 0
        if length is None or length > self._cache.max_object_bytes:
            return
        whole = Head(200, head.headers.without({"content-range"}))
        if may_store(visit.sent, whole, visit.behavior.cache, self._clock.now()) is None:
            self.refresh(visit, fetch, None)

    def refresh(self, visit: Visit, fetch: Fetch, entry: Found | None) -> None:
        """Fetch or validate behind the viewer's back, unless that is under way."""
        if self._flights.find(visit.key) is None and self.failure(visit.key) is None:
            flight = Flight(fetch, has_leader=False)
            # What happens from here on is not for the viewer's log line.
            visit = replace(visit, record=replace(visit.record))
            self._flights.start(visit.key, flight, self._fly(visit, flight, entry))

    async def _fly(self, visit: Visit, flight: Flight, entry: Found | None) -> None:
        """Ask, and see to it that all who wait hear how it went."""
        sent = to_be_shared(visit.sent, flight.fetch.conditions)
        requested_at = self._clock.now()
        try:
            reply = await self._asked(visit, sent, entry)
        except EdgeError as error:
            found = entry.stored if entry is not None else None
            verdict = on_error(error, visit.behavior.cache, found, self._clock.now())
            if entry is not None and isinstance(verdict, Excuse):
                trail = error.trail if isinstance(error, OriginError) else ()
                old, entry = entry.stored, replace(entry, stored=verdict.stored)
                landing = Refreshed(entry, trail, error.status, verdict.reason)
                await self._keep_on(visit, flight, old, landing)
            else:
                if not flight.is_invalid:
                    self._remember(visit, error)
                flight.land(Failed(error))
            return
        try:
            await self._receive(visit, flight, entry, sent, reply, requested_at)
        except OriginError as error:
            reply.close()
            flight.land(Failed(error))
        except BaseException:
            reply.close()
            raise

    async def _asked(self, visit: Visit, sent: Request, entry: Found | None) -> Reply:
        """The origin's answer; once more without conditions if it is a 304 about something else than ours."""
        target = self._targets[visit.behavior.target]
        reply = await target.fetch(sent)
        if reply.head.status == 304 and entry is not None and not is_about(entry.stored.head, reply.head):
            reply.close()
            reply = await target.fetch(to_be_shared(visit.sent))
        return reply

    async def _receive(
        self,
        visit: Visit,
        flight: Flight,
        entry: Found | None,
        sent: Request,
        reply: Reply,
        requested_at: float,
    ) -> None:
        """Judge the answer, tell those who wait, take the body in, store it."""
        flight.backfill = self._filler.consider(visit.behavior.target, visit.key, sent, reply)
        status = reply.head.status
        # A 304 that nobody asked for refreshes nothing.
        found = entry.stored if entry is not None and (status != 304 or flight.fetch.conditions) else None
        verdict = on_reply(
            sent, reply.head, visit.behavior.cache, found, requested_at, self._clock.now(), reply.keep_s
        )
        match verdict:
            case Refresh() | Excuse():
                assert entry is not None
                reply.close()
                old, entry = entry.stored, replace(entry, stored=still_coded(entry.stored, verdict.stored))
                if isinstance(verdict, Refresh) and verdict.reason is not None:
                    await self._cache.discard(visit.key)
                    flight.land(Refreshed(entry, reply.trail, status, is_kept=False))
                else:
                    reason = verdict.reason
                    landing = Refreshed(entry, reply.trail, status, reason)
                    await self._keep_on(visit, flight, old, landing)
            case Keep():
                stored = verdict.stored
                if visit.read is not None:
                    reply, looked = await looked_into(visit, reply, stored, self._cache.memory)
                    if isinstance(looked, Reason):
                        self._hand_over(visit, flight, reply, looked)
                        return
                    stored = looked
                with ExitStack() as held:
                    reply, kept = self._compressed(visit, sent, reply, stored, held)
                    room = await self._intake.room(visit.key, reply, kept)
                    if isinstance(room, Reason):
                        self._hand_over(visit, flight, reply, room)
                        return
                    flight.land(Shared(kept, reply.head, reply.trail))
                    await self._intake.take_in(visit.key, flight, reply, kept, room)
                    reply.close()
            case Pass():
                if status < 400 or status in (404, 410):
                    # It may not be stored, but what is stored is no longer the answer either.
                    await self._cache.discard(visit.key)
                if not flight.is_invalid:
                    self._passes.add(visit.key, self._clock.elapsed())
                self._hand_over(visit, flight, reply, verdict.reason)
            case _:
                assert_never(verdict)

    async def _keep_on(self, visit: Visit, flight: Flight, old: Stored, landing: Refreshed) -> None:
        """What is stored under the head `old` goes on to be served, under its new one."""
        if not flight.is_invalid:
            self._cache.keep(visit.key, landing.entry)
        flight.land(landing)
        if not flight.is_invalid:
            await self._cache.refresh_below(visit.key, old, landing.entry.stored)

    def _compressed(
        self, visit: Visit, sent: Request, reply: Reply, kept: Stored, held: ExitStack
    ) -> tuple[Reply, Stored]:
        """The answer as it is to be kept: in a coding, if it may have one and there is room for the work.

        The room is given back when `held` is left.
        """
        behavior, length = visit.behavior, reply.head.length or 0
        coding = coding_for(sent, reply.head, behavior.cache, compress=behavior.compress)
        if length > self._cache.max_object_bytes:
            coding = Reason.TOO_LARGE
        if isinstance(coding, Coding):
            room = working_bytes(coding, length)
            if self._cache.memory.reserve(room):
                held.callback(self._cache.memory.release, room)
            else:
                coding = Reason.NO_ROOM
        if behavior.compress:
            visit.record.compression = coding
        if isinstance(coding, Reason):
            return reply, kept
        # The key holds the codings that are accepted: no variants are needed beside it.
        return in_coding(reply, coding), replace(kept, head=coded(kept.head, coding))

    def _hand_over(self, visit: Visit, flight: Flight, reply: Reply, reason: Reason) -> None:
        """The reply is for the one who asked first; others may start anew at once."""
        self._flights.withdraw(visit.key, flight)
        flight.land(Unshared(reply, reason))
