"""The fetch that serves all who wait for an object: viewers, the cache, the backfill."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import assert_never

from edgeproxy.backfill.filler import Filler
from edgeproxy.clock import Clock
from edgeproxy.core.decision import Excuse, Fetch, Keep, Pass, Refresh, on_error, on_head, on_reply
from edgeproxy.core.errors import EdgeError, OriginError
from edgeproxy.core.forwarding import unconditional
from edgeproxy.core.invalidation import Invalidation, by_unsafe_method
from edgeproxy.core.message import Head, Request
from edgeproxy.core.ranges import complete_length
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import Stored, may_store
from edgeproxy.core.validation import is_about
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

    async def straight(self, visit: Visit) -> Reply:
        """The answer for this viewer alone; nothing is stored.  Raises `OriginError`."""
        target = visit.behavior.target
        requested_at = self._clock.now()
        reply = await self._targets[target].fetch(visit.sent)
        if visit.request.method == "HEAD":
            self._learn(visit, reply.head, requested_at)
        visit.record.backfill = self._filler.consider(target, visit.key, visit.sent, reply)
        for invalidation in by_unsafe_method(visit.request, reply.head.status, reply.head.headers):
            self.invalidate(invalidation)
        return reply

    def _learn(self, visit: Visit, head: Head, requested_at: float) -> None:
        """See whether the answer to a HEAD tells something of the stored answer to GET."""
        entry, _ = self._cache.find(visit.key, lambda: visit.sent.headers)
        if entry is None:
            return
        policy, length = visit.behavior.cache, len(entry.body)
        new = on_head(visit.sent, head, policy, entry.stored, length, requested_at, self._clock.now())
        if new is not None:
            self._cache.store(visit.key, replace(entry, stored=new))

    def invalidate(self, invalidation: Invalidation) -> int:
        """Nothing that is covered is served again, nor what is on its way; gives the number of keys."""
        self._flights.invalidate(invalidation)
        return self._cache.invalidate(invalidation)

    def flight(self, visit: Visit, fetch: Fetch, entry: Entry | None) -> tuple[Flight, bool]:
        """The flight for this key, and whether it was started for this visit."""
        flight = self._flights.find(visit.key)
        if flight is not None:
            return flight, False
        flight = Flight(fetch)
        self._flights.start(visit.key, flight, self._fly(visit, flight, entry))
        return flight, True

    def fill_behind(self, visit: Visit, fetch: Fetch, part: Reply) -> None:
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
        if self._flights.find(visit.key) is None:
            flight = Flight(fetch, has_leader=False)
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
                entry = replace(entry, stored=verdict.stored)
                if isinstance(verdict, Refresh) and verdict.reason is not None:
                    self._cache.discard(visit.key)
                    flight.land(Refreshed(entry, reply.trail, status, is_kept=False))
                else:
                    reason = verdict.reason
                    self._keep_on(visit, flight, Refreshed(entry, reply.trail, status, reason))
            case Keep():
                unkept = self._reserve(reply)
                if unkept is not None:
                    self._hand_over(visit, flight, reply, unkept)
                    return
                flight.land(Shared(verdict.stored, reply.head, reply.trail))
                await self._take_in(visit, flight, reply, verdict.stored)
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
