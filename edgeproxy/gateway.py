"""The one place where the rules meet the world: a request comes in, an answer goes out.

`Gateway.handle` runs the decisions of `core` in order and does what they say. It names no concrete
origin and knows no HTTP library. How it goes: docs/life-of-a-request.md.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from http import HTTPStatus
from typing import assert_never

from edgeproxy.backfill.filler import Filler
from edgeproxy.clock import Clock
from edgeproxy.core.answering import Report, XCache, answer_headers, not_modified
from edgeproxy.core.behavior import Behavior, admit, behavior_for
from edgeproxy.core.decision import Fetch, Forward, Keep, Pass, Refresh, Serve, on_error, on_lookup, on_reply
from edgeproxy.core.errors import EdgeError, OriginError, RequestError
from edgeproxy.core.forwarding import forwarded, is_loop, is_trusted, unconditional, without_claims
from edgeproxy.core.key import CacheKey, cache_key
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.paths import normalise
from edgeproxy.core.ranges import Slice, Unsatisfiable, requested_slice
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import Stored
from edgeproxy.core.validation import is_not_modified, is_range_current
from edgeproxy.origins.base import Origin, Reply
from edgeproxy.record import Record
from edgeproxy.store.flight import Failed, Flight, Flights, Refreshed, Shared, Unshared
from edgeproxy.store.memory import Entry, MemoryCache


@dataclass(frozen=True, slots=True)
class Front:
    """How we present ourselves to viewers, and whom of them we believe."""

    via: str
    loop_id: str
    aliases: frozenset[str] = frozenset()
    trusted_proxies: tuple[str, ...] = ()
    default_root_object: str = ""
    allow_ambiguous_paths: bool = False
    debug_headers: bool = False


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Answer:
    """What goes to the viewer. Whoever holds it closes it, whether the body was read or not."""

    head: Head
    body: bytes | AsyncIterator[bytes]
    record: Record
    close: Callable[[], None] = field(default=_nothing, repr=False)


@dataclass
class Visit:
    """One request on its way through the gateway, with what was found out about it."""

    request: Request
    behavior: Behavior
    record: Record
    front: Front

    @cached_property
    def key(self) -> CacheKey:
        """The cache key."""
        return cache_key(self.request, self.behavior.cache.key)

    @cached_property
    def sent(self) -> Request:
        """The request as the origin gets it."""
        behavior, front = self.behavior, self.front
        return forwarded(
            self.request, behavior.cache.key, behavior.origin_request, via=front.via, loop_id=front.loop_id
        )

    def bypass(self, cache: MemoryCache) -> Fetch | None:
        """Why this request does not go through the cache at all; None if it does."""
        if self.request.method not in self.behavior.cached_methods:
            return Fetch(Forward.METHOD, Reason.METHOD_NOT_CACHED)
        if self.behavior.cache.ttl.is_off or cache.max_bytes == 0:
            return Fetch(Forward.BYPASS, Reason.CACHING_DISABLED)
        return None


class Gateway:
    """Answers requests. Holds no state of its own: that is in the cache, the flights and the queue."""

    def __init__(
        self,
        front: Front,
        behaviors: tuple[Behavior, ...],
        targets: Mapping[str, Origin],
        cache: MemoryCache,
        flights: Flights,
        filler: Filler,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._front = front
        self._behaviors = behaviors
        self._targets = targets
        self._cache = cache
        self._flights = flights
        self._filler = filler
        self._clock = clock
        self._new_id = new_id

    async def handle(self, request: Request) -> Answer:
        """Answer one request. Never raises but for cancellation: a fault becomes an error answer.

        `request.path` is as received; `request.body` is None where the message has none.
        """
        record = self.new_record(request)
        try:
            visit = self.admitted(request, record)
            bypass = visit.bypass(self._cache)
            if bypass is not None:
                return await self._straight(visit, bypass)
            return await self._through_cache(visit)
        except EdgeError as error:
            return self.failure(record, error)
        except Exception as error:  # the viewer gets a 500, the log the cause; the server lives on
            fault = EdgeError(Reason.INTERNAL, f"{type(error).__name__}: {error}", status=500)
            return self.failure(record, fault)

    def new_record(self, request: Request) -> Record:
        """The record of a request that has just come in."""
        now, elapsed = self._clock.now(), self._clock.elapsed()
        return Record(self._new_id(), request.method, request.target, request.viewer, now, elapsed)

    def admitted(self, request: Request, record: Record) -> Visit:
        """The visit of a request that is let in.  Raises `RequestError`."""
        front = self._front
        if front.aliases and request.host.rpartition(":")[0] not in front.aliases | {""}:
            if request.host not in front.aliases:
                raise RequestError(Reason.BAD_HOST, "this host name is not served here", status=403)
        if is_loop(request, front.loop_id):
            raise RequestError(Reason.LOOP, "this request has come through here before", status=508)
        path = normalise(request.path, allow_ambiguous=front.allow_ambiguous_paths)
        if path == "/" and front.default_root_object:
            path = f"/{front.default_root_object}"
        trusted = is_trusted(request.viewer, front.trusted_proxies)
        headers = request.headers if trusted else without_claims(request.headers)
        request = replace(request, path=path, headers=headers)
        behavior = behavior_for(path, self._behaviors)
        admit(request, behavior, has_body=request.body is not None)
        return Visit(request, behavior, record, front)

    # --- through the cache

    async def _through_cache(self, visit: Visit) -> Answer:
        entry, has_variants = self._cache.find(visit.key, lambda: visit.sent.headers)
        found = entry.stored if entry is not None else None
        decision = on_lookup(found, has_variants, self._clock.now())
        match decision:
            case Serve():
                assert entry is not None
                report = Report(XCache.HIT, fresh_for_s=decision.fresh_for_s, age_s=decision.age_s)
                return self._stored_answer(visit, entry, report)
            case Fetch():
                if visit.request.method == "HEAD" or "range" in visit.request.headers:
                    # Nothing whole would come of it that could be kept.
                    return await self._straight(visit, decision)
                return await self._shared(visit, decision, entry)
            case _:
                assert_never(decision)

    async def _shared(self, visit: Visit, fetch: Fetch, entry: Entry | None) -> Answer:
        """Join the fetch that is under way for this key, or start it."""
        flight = self._flights.find(visit.key)
        is_leader = flight is None
        if flight is None:
            flight = Flight(fetch)
            self._flights.start(visit.key, flight, self._fly(visit, flight, entry))
        landing = await (flight.leaders_landing() if is_leader else flight.landing())
        if is_leader:
            visit.record.backfill = flight.backfill
        match landing:
            case Shared():
                if not is_leader and not (flight.spool.keeps and _fits(landing.stored, visit.sent)):
                    return await self._straight(visit, fetch)
                visit.record.trail = landing.trail
                return self._spooled_answer(visit, landing.stored, flight, is_leader)
            case Refreshed():
                if not is_leader and not _fits(landing.entry.stored, visit.sent):
                    return await self._straight(visit, fetch)
                visit.record.trail = landing.trail
                now = self._clock.now()
                report = Report(
                    XCache.REFRESH_HIT,
                    fetch.forward,
                    fetch.reason,
                    fwd_status=304,
                    fresh_for_s=max(0.0, landing.entry.stored.fresh_for(now)),
                    age_s=landing.entry.stored.age(now),
                    is_stored=True,
                    is_collapsed=not is_leader,
                )
                return self._stored_answer(visit, landing.entry, report)
            case Unshared():
                if not is_leader:
                    return await self._straight(visit, fetch)
                return self._passed_answer(visit, landing.reply, fetch, landing.reason)
            case Failed():
                raise landing.error
            case _:
                assert_never(landing)

    async def _fly(self, visit: Visit, flight: Flight, entry: Entry | None) -> None:
        """Fetch for all who wait: judge the answer, tell them, take the body in, store it."""
        sent = unconditional(visit.sent)
        if flight.fetch.conditions:
            sent = replace(sent, headers=sent.headers.having(*flight.fetch.conditions))
        requested_at = self._clock.now()
        try:
            reply = await self._targets[visit.behavior.target].fetch(sent)
        except EdgeError as error:
            flight.land(Failed(error))
            return
        flight.backfill = self._filler.consider(visit.behavior.target, visit.key, sent, reply)
        found = entry.stored if entry is not None and flight.fetch.conditions else None
        verdict = on_reply(sent, reply.head, visit.behavior.cache, found, requested_at, self._clock.now())
        match verdict:
            case Refresh():
                assert entry is not None
                reply.close()
                refreshed = Entry(verdict.stored, entry.body)
                self._cache.store(visit.key, refreshed)
                flight.land(Refreshed(refreshed, reply.trail))
            case Keep():
                reserved = reply.head.length
                reason = self._unkeepable(reply)
                if reason is not None:
                    self._unshared(visit, flight, reply, reason)
                    return
                try:
                    flight.land(Shared(verdict.stored, reply.trail))
                    await self._take_in(visit, flight, reply, verdict.stored, reserved or 0)
                finally:
                    reply.close()
            case Pass():
                if verdict.reason in (Reason.NO_STORE, Reason.PRIVATE, Reason.STATUS_NOT_CACHED):
                    self._forget_if_replaced(visit, reply)
                self._unshared(visit, flight, reply, verdict.reason)
            case _:
                assert_never(verdict)

    def _unkeepable(self, reply: Reply) -> Reason | None:
        """Why a body that may be stored cannot be; else its room is reserved."""
        length = reply.head.length
        if not reply.is_delimited:
            return Reason.LENGTH_UNKNOWN
        if length is not None and length > self._cache.max_object_bytes:
            return Reason.TOO_LARGE
        return None if self._cache.reserve(length or 0) else Reason.NO_ROOM

    def _forget_if_replaced(self, visit: Visit, reply: Reply) -> None:
        """A new answer that may not be stored still means that the old one is no longer the answer."""
        if reply.head.status < 400 or reply.head.status in (404, 410):
            self._cache.discard(visit.key)

    def _unshared(self, visit: Visit, flight: Flight, reply: Reply, reason: Reason) -> None:
        self._flights.withdraw(visit.key, flight)
        flight.land(Unshared(reply, reason))

    async def _take_in(
        self, visit: Visit, flight: Flight, reply: Reply, stored: Stored, reserved: int
    ) -> None:
        """Read the body into the spool, and into the cache once it is whole.

        A body of unknown length that outgrows its room goes on to those who read it, and is not kept.
        """
        spool, cache, expected = flight.spool, self._cache, reserved
        size = 0
        try:
            async for chunk in reply.body:
                size += len(chunk)
                if spool.keeps and size > reserved:
                    grown = max(size, min(2 * reserved, cache.max_object_bytes)) - reserved
                    if size <= cache.max_object_bytes and cache.reserve(grown):
                        reserved += grown
                    else:
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
            cache.release(reserved)
        if spool.keeps and (expected == 0 or size == expected):
            cache.store(visit.key, Entry(stored, spool.whole()))
        spool.end()

    # --- past the cache

    async def _straight(self, visit: Visit, fetch: Fetch) -> Answer:
        """Ask for this viewer alone, and store nothing."""
        reply = await self._targets[visit.behavior.target].fetch(visit.sent)
        visit.record.backfill = self._filler.consider(visit.behavior.target, visit.key, visit.sent, reply)
        return self._passed_answer(visit, reply, fetch, fetch.reason)

    # --- answers

    def _stored_answer(self, visit: Visit, entry: Entry, report: Report) -> Answer:
        """From memory: 200, a part of it, or "you have it already"."""
        head, body, headers = entry.stored.head, entry.body, visit.request.headers
        if is_not_modified(headers, head):
            return self._answer(visit, not_modified(head), b"", report)
        length = ("Content-Length", str(len(body)))
        if visit.request.method == "HEAD":
            return self._answer(visit, Head(head.status, head.headers.having(length)), b"", report)
        part = None
        if head.status == 200 and is_range_current(headers, head):
            part = requested_slice(headers.get("range"), len(body))
        match part:
            case Slice():
                fields = (("Content-Range", str(part)), ("Content-Length", str(part.size)))
                window = body[part.first : part.last + 1]
                return self._answer(visit, Head(206, head.headers.having(*fields)), window, report)
            case Unsatisfiable():
                fields = (("Content-Range", str(part)), ("Content-Length", "0"))
                return self._answer(visit, Head(416, head.headers.having(*fields)), b"", report)
            case None:
                return self._answer(visit, Head(head.status, head.headers.having(length)), body, report)
            case _:
                assert_never(part)

    def _spooled_answer(self, visit: Visit, stored: Stored, flight: Flight, is_leader: bool) -> Answer:
        """As the bytes come in."""
        fetch = flight.fetch
        report = Report(
            XCache.MISS if is_leader else XCache.HIT,
            fetch.forward,
            fetch.reason,
            fwd_status=stored.head.status,
            fresh_for_s=max(0.0, stored.fresh_for(self._clock.now())),
            is_stored=True,
            is_collapsed=not is_leader,
        )
        reader = flight.leaders_reader if is_leader else flight.spool.reader()
        if is_not_modified(visit.request.headers, stored.head):
            reader.close()
            return self._answer(visit, not_modified(stored.head), b"", report)
        return self._answer(visit, stored.head, reader, report, reader.close)

    def _passed_answer(self, visit: Visit, reply: Reply, fetch: Fetch, reason: Reason | None) -> Answer:
        """The origin's answer as it is."""
        visit.record.trail = reply.trail
        status = reply.head.status
        x_cache = XCache.ERROR if status >= 400 else XCache.MISS
        report = Report(x_cache, fetch.forward, reason, fwd_status=status)
        if visit.request.method in ("GET", "HEAD") and is_not_modified(visit.request.headers, reply.head):
            reply.close()
            return self._answer(visit, not_modified(reply.head), b"", report)
        return self._answer(visit, reply.head, reply.body, report, reply.close)

    def failure(self, record: Record, error: EdgeError) -> Answer:
        """The answer to a request that could not be served: a status and one plain sentence."""
        status, reason, sentence = error.status, error.reason, error.message
        forward = None
        if isinstance(error, OriginError):
            failed = on_error(error)
            status, reason = failed.status, failed.reason
            record.trail = error.trail
            forward = Forward.MISS
        if not isinstance(error, RequestError):
            record.fault = error.message
            sentence = _PLAIN.get(status, "edgeproxy could not answer this request")
        body = f"{status} {HTTPStatus(status).phrase}: {sentence}\nrequest id {record.id}\n".encode()
        fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        head = Head(status, Headers([*fields, ("Cache-Control", "no-store"), ("Server", "edgeproxy")]))
        report = Report(XCache.ERROR, forward or Forward.BYPASS, reason)
        return self._finished(record, head, b"" if record.method == "HEAD" else body, report, _nothing)

    def _answer(
        self,
        visit: Visit,
        head: Head,
        body: bytes | AsyncIterator[bytes],
        report: Report,
        close: Callable[[], None] = _nothing,
    ) -> Answer:
        return self._finished(visit.record, head, body, report, close)

    def _finished(
        self,
        record: Record,
        head: Head,
        body: bytes | AsyncIterator[bytes],
        report: Report,
        close: Callable[[], None],
    ) -> Answer:
        record.status, record.report, record.reason = head.status, report, report.reason
        headers = answer_headers(head.headers, report, via=self._front.via, request_id=record.id)
        if self._front.debug_headers:
            if record.trail:
                headers = headers.having(("X-Edge-Origin", " ".join(map(str, record.trail))))
            if record.backfill:
                headers = headers.having(("X-Edge-Backfill", record.backfill))
        return Answer(Head(head.status, headers), body, record, close)

    def __repr__(self) -> str:
        return f"Gateway({len(self._behaviors)} behaviours, {self._cache!r}, {len(self._flights)} in flight)"


# What a viewer is told; the cause goes to the log alone.
_PLAIN = {
    502: "the origin could not be reached, or gave no usable answer",
    503: "edgeproxy is shutting down",
    504: "the origin did not answer in time",
}


def _fits(stored: Stored, sent: Request) -> bool:
    """Whether a response that another request brought is the answer to this one too.  RFC 9111 §4.1."""
    return tuple(sent.headers.get(name) for name in stored.vary) == stored.variant
