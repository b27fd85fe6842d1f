"""The fetch that serves all who wait for an object: viewers, the cache, the backfill."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import assert_never

from edgeproxy.backfill.filler import Filler
from edgeproxy.clock import Clock
from edgeproxy.core.compression import Coding, coding_for, still_coded
from edgeproxy.core.decision import Excuse, Fail, Fetch, Keep, Pass, Refresh, on_error, on_reply
from edgeproxy.core.errors import EdgeError, OriginError, RememberedError
from edgeproxy.core.forwarding import unconditional
from edgeproxy.core.invalidation import Invalidation, by_unsafe_method
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Request
from edgeproxy.core.ranges import complete_length
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import Stored, may_store
from edgeproxy.core.validation import is_about
from edgeproxy.gateway.coding import in_coding, working_bytes
from edgeproxy.gateway.failures import Failures
from edgeproxy.gateway.visit import Visit
from edgeproxy.origins.base import Origin, Reply
from edgeproxy.store.flight import Failed, Flight, Flights, Refreshed, Shared, Unshared
from edgeproxy.store.memory import Entry, MemoryCache


class Fetcher:
    """Asks origins, for one viewer (`straight`) or for everybody (`flight`)."""

    def __init__(
        self,
        targets: Mapping[str, Origin],
        cache: MemoryCache,
        flights: Flights,
        filler: Filler,
        clock: Clock,
    ) -> None:
        self._targets = targets
        self._cache = cache
        self._flights = flights
        self._filler = filler
        self._clock = clock
        self._failures = Failures(cache.max_bytes // 64)

    async def straight(self, visit: Visit) -> Reply:
        """The answer for this viewer alone; nothing is stored.  Raises `OriginError`."""
        target = visit.behavior.target
        reply = await self._targets[target].fetch(visit.sent)
        visit.record.backfill = self._filler.consider(target, visit.key, visit.sent, reply)
        for invalidation in by_unsafe_method(visit.request, reply.head.status, reply.head.headers):
            self.invalidate(invalidation)
        return reply

    def invalidate(self, invalidation: Invalidation) -> int:
        """Nothing that is covered is served again, nor what is on its way; gives the number of keys."""
        self._flights.invalidate(invalidation)
        return self._cache.invalidate(invalidation) + self._failures.invalidate(invalidation)

    def failure(self, key: CacheKey) -> RememberedError | None:
        """Why no origin could answer for `key` a moment ago, if it is to be left alone for that."""
        return self._failures.find(key, self._clock.now())

    async def part(self, visit: Visit, fetch: Fetch) -> Reply:
        """The answer for this viewer alone, of which only the whole is stored.  Raises `OriginError`.

        What went wrong over a viewer's odd Range is not remembered: it must not be everybody's error.
        """
        try:
            reply = await self.straight(visit)
        except OriginError as error:
            if error.was_asked_nothing:
                self._remember(visit, error)
            raise
        self._fill_behind(visit, fetch, reply)
        return reply

    def _remember(self, visit: Visit, error: EdgeError) -> None:
        now = self._clock.now()
        verdict = on_error(error, visit.behavior.cache, None, now)
        if isinstance(verdict, Fail) and verdict.rest_s > 0:
            self._failures.add(visit.key, error, now + verdict.rest_s)

    def flight(self, visit: Visit, fetch: Fetch, entry: Entry | None) -> tuple[Flight, bool]:
        """The flight for this key, and whether it was started for this visit."""
        flight = self._flights.find(visit.key)
        if flight is not None:
            return flight, False
        flight = Flight(fetch)
        self._flights.start(visit.key, flight, self._fly(visit, flight, entry))
        return flight, True

    def _fill_behind(self, visit: Visit, fetch: Fetch, part: Reply) -> None:
        """A viewer gets a part: fetch the whole behind its back, if it is one that can be kept."""
        head = part.head
        length = complete_length(head.headers.get("content-range"))
        if visit.request.method != "GET" or head.status != 206:
            return
        if length is None or length > self._cache.max_object_bytes:
            return
        whole = Head(200, head.headers.without({"content-range"}))
        if may_store(visit.sent, whole, visit.behavior.cache, self._clock.now()) is None:
            self.refresh(visit, fetch, None)

    def refresh(self, visit: Visit, fetch: Fetch, entry: Entry | None) -> None:
        """Fetch or validate behind the viewer's back, unless that is under way."""
        if self._flights.find(visit.key) is None and self.failure(visit.key) is None:
            flight = Flight(fetch, has_leader=False)
            # What happens from here on is not for the viewer's log line.
            visit = replace(visit, record=replace(visit.record))
            self._flights.start(visit.key, flight, self._fly(visit, flight, entry))

    async def _fly(self, visit: Visit, flight: Flight, entry: Entry | None) -> None:
        """Ask, and see to it that all who wait hear how it went."""
        sent = unconditional(visit.sent)
        if flight.fetch.conditions:
            sent = replace(sent, headers=sent.headers.having(*flight.fetch.conditions))
        requested_at = self._clock.now()
        try:
            reply = await self._asked(visit, sent, entry)
        except EdgeError as error:
            found = entry.stored if entry is not None else None
            verdict = on_error(error, visit.behavior.cache, found, self._clock.now())
            if entry is not None and isinstance(verdict, Excuse):
                trail = error.trail if isinstance(error, OriginError) else ()
                entry = replace(entry, stored=verdict.stored)
                self._keep_on(visit, flight, Refreshed(entry, trail, error.status, verdict.reason))
            else:
                if not flight.is_invalid:
                    self._remember(visit, error)
                flight.land(Failed(error))
            return
        try:
            await self._receive(visit, flight, entry, sent, reply, requested_at)
        except BaseException:
            reply.close()
            raise

    async def _asked(self, visit: Visit, sent: Request, entry: Entry | None) -> Reply:
        """The origin's answer; once more without conditions if it is a 304 about something else than ours."""
        target = self._targets[visit.behavior.target]
        reply = await target.fetch(sent)
        if reply.head.status == 304 and entry is not None and not is_about(entry.stored.head, reply.head):
            reply.close()
            reply = await target.fetch(unconditional(visit.sent))
        return reply

    async def _receive(
        self,
        visit: Visit,
        flight: Flight,
        entry: Entry | None,
        sent: Request,
        reply: Reply,
        requested_at: float,
    ) -> None:
        """Judge the answer, tell those who wait, take the body in, store it."""
        flight.backfill = self._filler.consider(visit.behavior.target, visit.key, sent, reply)
        status = reply.head.status
        # A 304 that nobody asked for refreshes nothing.
        found = entry.stored if entry is not None and (status != 304 or flight.fetch.conditions) else None
        verdict = on_reply(sent, reply.head, visit.behavior.cache, found, requested_at, self._clock.now())
        match verdict:
            case Refresh() | Excuse():
                assert entry is not None
                reply.close()
                reason = verdict.reason if isinstance(verdict, Excuse) else None
                entry = replace(entry, stored=still_coded(entry.stored, verdict.stored))
                self._keep_on(visit, flight, Refreshed(entry, reply.trail, status, reason))
            case Keep():
                with ExitStack() as held:
                    reply, kept = self._compressed(visit, sent, reply, verdict.stored, held)
                    unkept = self._reserve(reply)
                    if unkept is not None:
                        self._hand_over(visit, flight, reply, unkept)
                        return
                    flight.land(Shared(kept, reply.trail))
                    await self._take_in(visit, flight, reply, kept)
                    reply.close()
            case Pass():
                if status < 400 or status in (404, 410):
                    # It may not be stored, but what is stored is no longer the answer either.
                    self._cache.discard(visit.key)
                self._hand_over(visit, flight, reply, verdict.reason)
            case _:
                assert_never(verdict)

    def _keep_on(self, visit: Visit, flight: Flight, landing: Refreshed) -> None:
        """What is stored goes on to be served, under its new head."""
        if not flight.is_invalid:
            self._cache.store(visit.key, landing.entry)
        flight.land(landing)

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
            if self._cache.reserve(room):
                held.callback(self._cache.release, room)
            else:
                coding = Reason.NO_ROOM
        if behavior.compress:
            visit.record.compression = coding
        if isinstance(coding, Reason):
            return reply, kept
        reply = in_coding(reply, coding)
        # The key holds the codings that are accepted: no variants are needed beside it.
        return reply, replace(kept, head=Head(kept.head.status, reply.head.headers.end_to_end()))

    def _reserve(self, reply: Reply) -> Reason | None:
        """Set the body's room aside; else why it cannot be kept."""
        length = reply.head.length
        if not reply.is_delimited:
            return Reason.LENGTH_UNKNOWN
        if length is not None and length > self._cache.max_object_bytes:
            return Reason.TOO_LARGE
        return None if self._cache.reserve(length or 0) else Reason.NO_ROOM

    def _hand_over(self, visit: Visit, flight: Flight, reply: Reply, reason: Reason) -> None:
        """The reply is for the one who asked first; others may start anew at once."""
        self._flights.withdraw(visit.key, flight)
        flight.land(Unshared(reply, reason))

    async def _take_in(self, visit: Visit, flight: Flight, reply: Reply, stored: Stored) -> None:
        """Read the body into the spool, and into the cache once it is whole.

        A body of unknown length that outgrows its room goes on to those who read it, and is not kept.
        """
        spool = flight.spool
        reserved = reply.head.length or 0
        size = 0
        try:
            async for chunk in reply.body:
                size += len(chunk)
                if spool.keeps and size > reserved:
                    more = self._more_room(size, reserved)
                    reserved += more
                    if not more:
                        self._flights.withdraw(visit.key, flight)
                        spool.let_go()
                spool.feed(chunk)
                await spool.has_room()
                if not spool.keeps and not spool.has_readers:
                    return
        except EdgeError as error:
            spool.fail(error)
            return
        finally:
            # Slow viewers hold the bytes for longer than the origin took to send them.
            spool.when_left(partial(self._cache.release, reserved))
        if reply.head.length not in (None, size):
            spool.fail(OriginError(Reason.ORIGIN_CUT, "the body is not as long as its Content-Length says"))
            return
        if spool.keeps and not flight.is_invalid:
            self._cache.store(visit.key, Entry(stored, spool.whole()))
        spool.end()

    def _more_room(self, size: int, reserved: int) -> int:
        """Bytes newly reserved for a body that has grown to `size`; 0 if there are none to be had."""
        limit = self._cache.max_object_bytes
        more = max(size, min(2 * reserved, limit)) - reserved
        return more if size <= limit and self._cache.reserve(more) else 0
