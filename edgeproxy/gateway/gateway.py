"""A request comes in, an answer goes out: the decisions of `core` in order, and what they say done.

The gateway names no concrete origin and knows no HTTP library.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from edgeproxy.clock import Clock
from edgeproxy.core.answering import Report, XCache
from edgeproxy.core.behavior import Behavior
from edgeproxy.core.compression import still_coded
from edgeproxy.core.decision import Fail, Fetch, Lookup, Serve, excused, on_lookup
from edgeproxy.core.error_pages import ErrorPage, page_for, page_request
from edgeproxy.core.errors import EdgeError, OriginError, RememberedError, RequestError
from edgeproxy.core.failover import Attempt
from edgeproxy.core.invalidation import Invalidation
from edgeproxy.core.key import variant
from edgeproxy.core.message import Request
from edgeproxy.core.ranges import Slice
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import Stored, unvalidated
from edgeproxy.core.validation import freshened, is_about, validators
from edgeproxy.gateway.answers import (
    Answer,
    from_entry,
    from_error,
    from_page,
    from_reader,
    from_reply,
    in_dress,
)
from edgeproxy.gateway.fetching import Fetcher
from edgeproxy.gateway.reads import heard
from edgeproxy.gateway.repeat import Repeat, depends_on_viewer, is_repeatable, unheeded
from edgeproxy.gateway.visit import Front, Visit, admitted
from edgeproxy.origins.held import Held, Room
from edgeproxy.record import Record
from edgeproxy.store.flight import Failed, Flight, Landing, Refreshed, Shared, Unshared
from edgeproxy.store.memory import Entry
from edgeproxy.store.tiers import Found, Tiers

_HELD_BYTES = 64 * 2**20
"""What the bodies may take together that are looked into; with no room left, a body is passed on unread."""


class Gateway:
    """Answers requests. Holds no state of its own: that is in the cache, the flights and the queue."""

    def __init__(
        self,
        front: Front,
        behaviors: tuple[Behavior, ...],
        cache: Tiers,
        fetcher: Fetcher,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._front = front
        self._behaviors = behaviors
        self._cache = cache
        self._fetcher = fetcher
        self._clock = clock
        self._room = Room(_HELD_BYTES)
        self.new_id = new_id

    async def handle(self, request: Request) -> Answer:
        """Answer one request. Never raises but for cancellation: a fault becomes an error answer.

        `request.path` is as received; `request.body` is None where the message has none.
        """
        record = self.new_record(request)
        visit = None
        try:
            visit = self.admitted(request, record)
            visit, body = await self.heard(visit)
            try:
                answer = await self._visited(visit)
            finally:
                if body is not None:
                    body.release()
        except EdgeError as error:
            answer = self.refused(record, error)
        except Exception as error:  # the viewer gets a 500, the log the cause; the server lives on
            fault = EdgeError(Reason.INTERNAL, f"{type(error).__name__}: {error}", status=500)
            answer = self.refused(record, fault)
        if record.status >= 400:
            page = page_for(record.status, record.reason, request.path, self._front.error_pages)
            if page is not None:
                answer = await self._paged(request, answer, page)
        if visit is not None and (policy := visit.behavior.response_headers) is not None:
            spent_ms = (self._clock.elapsed() - record.started) * 1000
            answer = in_dress(visit, answer, policy, spent_ms)
        if answer.repeat is not None and depends_on_viewer(request, self._front):
            answer.repeat = None
        return answer

    def again(self, repeat: Repeat, entry: Entry) -> Answer | None:
        """The answer to the same request once more, from `entry`, which is held; None if it is stale."""
        before, behavior = repeat.visit.record, repeat.visit.behavior
        decision = on_lookup(entry.stored, False, behavior.cache, self._clock.now(), repeat.visit.wishes)
        if not isinstance(decision, Serve) or decision.reason is not None:
            return None
        now, elapsed = self._clock.now(), self._clock.elapsed()
        record = Record(self.new_id(), before.method, before.target, before.viewer, now, elapsed)
        visit = Visit(repeat.visit.request, behavior, record, self._front)
        report = Report(XCache.HIT, fresh_for_s=decision.fresh_for_s, age_s=decision.age_s)
        answer = from_entry(visit, _unvalidated(visit, entry), report)
        if behavior.response_headers is not None:
            answer = in_dress(visit, answer, behavior.response_headers, 0.0)
        return answer

    @property
    def unheeded(self) -> frozenset[str]:
        """Names of fields (lower case) that change nothing of an answer that may be repeated."""
        return unheeded(self._behaviors, self._front)

    def _repeat(self, visit: Visit, decision: Serve, entry: Found, part: Slice | None) -> Repeat | None:
        if part is None or not is_repeatable(visit, decision, entry.stored):
            return None
        hold = self._cache.hold(visit.key, entry)
        return Repeat(visit, hold, part) if hold is not None else None

    def new_record(self, request: Request) -> Record:
        """The record of a request that has just come in."""
        now, elapsed = self._clock.now(), self._clock.elapsed()
        return Record(self.new_id(), request.method, request.target, request.viewer, now, elapsed)

    def admitted(self, request: Request, record: Record) -> Visit:
        """The visit of a request that is let in.  Raises `RequestError`."""
        return admitted(request, self._behaviors, self._front, record)

    async def heard(self, visit: Visit) -> tuple[Visit, Held | None]:
        """`visit` with what its body reads, and the body to be released.  Raises `RequestError`."""
        return await heard(visit, self._room)

    async def invalidate(self, invalidation: Invalidation) -> int:
        """Serve nothing that is covered any more; gives how many keys that were.  Raises `DiskError`."""
        return await self._fetcher.invalidate(invalidation)

    def failure(self, visit: Visit) -> RememberedError | None:
        """The error that `visit` would get because an origin failed a moment ago."""
        return self._fetcher.failure(visit.key)

    def is_for_one(self, visit: Visit) -> bool:
        """Whether `visit` would ask for itself, as the last answer was for one viewer alone."""
        return self._fetcher.is_for_one(visit)

    def refused(self, record: Record, error: EdgeError) -> Answer:
        """The answer to a request that cannot be served."""
        return from_error(record, error, self._front)

    async def _paged(self, request: Request, error: Answer, page: ErrorPage) -> Answer:
        """`page` in place of `error`, which stays the answer if there is no page to be had."""
        try:
            asked = page_request(request, page)
            found = await self._visited(self.admitted(asked, self.new_record(asked)))
        except Exception as fault:  # the page was an extra: the error is answer enough
            said = fault.message if isinstance(fault, EdgeError) else type(fault).__name__
            error.record.fault = "; ".join(filter(None, (error.record.fault, f"no {page.path}: {said}")))
            return error
        except BaseException:
            error.close()
            raise
        return from_page(request, error, found, page, self._front)

    async def _visited(self, visit: Visit) -> Answer:
        """Past the cache or through it.  Raises `EdgeError`."""
        bypass = visit.bypass
        return await (self._through_cache(visit) if bypass is None else self._straight(visit, bypass))

    async def _straight(self, visit: Visit, fetch: Fetch) -> Answer:
        """Past the cache."""
        return from_reply(visit, await self._fetcher.straight(visit), fetch, fetch.reason)

    async def _through_cache(self, visit: Visit) -> Answer:
        decision, entry = await self._looked_up(visit)
        match decision:
            case Serve():
                assert entry is not None
                if decision.refresh is not None:
                    self._fetcher.refresh(visit, decision.refresh, entry)
                x_cache = _word(entry.stored, XCache.HIT)
                report = Report(
                    x_cache, reason=decision.reason, fresh_for_s=decision.fresh_for_s, age_s=decision.age_s
                )
                answer = from_entry(visit, _unvalidated(visit, entry), report)
                answer.repeat = self._repeat(visit, decision, entry, answer.excerpt)
                return answer
            case Fetch():
                if visit.is_for_the_origin:
                    return await self._straight(visit, decision)
                failure = self._fetcher.failure(visit.key)
                if failure is not None:
                    instead = self._instead(visit, decision, entry, Failed(failure))
                    if instead is None:
                        raise failure
                    return instead
                if visit.asks_for_part and entry is None:
                    return from_reply(visit, await self._fetcher.part(visit, decision), decision, None)
                if entry is None and self._fetcher.is_for_one(visit):
                    reply, reason = await self._fetcher.alone(visit)
                    return from_reply(visit, reply, decision, reason)
                return await self._together(visit, decision, entry)
            case Fail():
                message = "nothing that is stored here is what this request asks for"
                raise RequestError(decision.reason, message, status=decision.status)
            case _:
                assert_never(decision)

    async def _looked_up(self, visit: Visit) -> tuple[Lookup, Found | None]:
        """What memory has, or else the disk, and what is to be done with it."""
        entry: Found | None
        entry, has_variants = self._cache.find(visit.key, lambda: visit.sent.headers)
        stored = entry.stored if entry is not None else None
        decision = on_lookup(stored, has_variants, visit.behavior.cache, self._clock.now(), visit.wishes)
        if isinstance(decision, Serve) or self._cache.disk is None or self._fetcher.is_under_way(visit.key):
            return decision, entry
        below, has_more = await self._cache.find_below(visit.key, lambda: visit.sent.headers, stored)
        if below is not None:
            entry = below
        else:
            # A fetch may have ended since: what it brought must not be fetched again.
            entry, has_variants = self._cache.find(visit.key, lambda: visit.sent.headers)
        stored = entry.stored if entry is not None else None
        now = self._clock.now()
        return on_lookup(stored, has_variants or has_more, visit.behavior.cache, now, visit.wishes), entry

    async def _together(self, visit: Visit, fetch: Fetch, entry: Found | None) -> Answer:
        """Join the fetch that is under way for this key, or start it."""
        flight, is_leader = self._fetcher.flight(visit, fetch, entry)
        if not is_leader and visit.wishes.no_cache:
            # What is on its way was asked for before this request came.
            return await self._straight(visit, fetch)
        landing = await (flight.leaders_landing() if is_leader else flight.landing())
        if is_leader:
            visit.record.backfill = flight.backfill
        instead = self._instead(visit, fetch, entry, landing)
        if instead is not None:
            if is_leader:
                flight.leaders_reader.close()
                if isinstance(landing, Unshared):
                    landing.reply.close()
            return instead
        match landing:
            case Shared():
                return await self._shared(visit, fetch, flight, landing, is_leader=is_leader)
            case Refreshed():
                return await self._refreshed(visit, fetch, landing, is_leader=is_leader)
            case Unshared():
                if not is_leader:
                    return await self._straight(visit, fetch)
                return from_reply(visit, landing.reply, fetch, landing.reason, was_unconditional=True)
            case Failed():
                raise landing.error
            case _:
                assert_never(landing)

    async def _shared(
        self, visit: Visit, fetch: Fetch, flight: Flight, landing: Shared, *, is_leader: bool
    ) -> Answer:
        """As the bytes come, if they are for this viewer too."""
        stored = landing.stored
        if not is_leader and not (flight.spool.keeps and stored.was_fresh and self._suits(stored, visit)):
            return await self._straight(visit, fetch)
        visit.record.trail = landing.trail
        x_cache = _word(stored, XCache.MISS if is_leader else XCache.HIT)
        report = self._report(x_cache, fetch, stored, stored.head.status, is_leader=is_leader)
        if is_leader:
            return from_reader(visit, landing.head, flight.leaders_reader, report)
        return from_reader(
            visit, unvalidated(stored, visit.behavior.cache).head, flight.spool.reader(), report
        )

    async def _refreshed(self, visit: Visit, fetch: Fetch, landing: Refreshed, *, is_leader: bool) -> Answer:
        """From what is stored, if what was found out about it counts for this viewer too."""
        entry, stored = landing.entry, landing.entry.stored
        if not is_leader and not (landing.is_kept and self._suits(stored, visit)):
            return await self._straight(visit, fetch)
        if not is_leader and landing.reason is None and not stored.was_fresh:
            return await self._validated(visit, fetch, entry)
        visit.record.trail = landing.trail
        report = self._report(
            _word(stored, XCache.REFRESH_HIT),
            replace(fetch, reason=landing.reason or fetch.reason),
            stored,
            landing.fwd_status,
            is_leader=is_leader,
            age_s=stored.age(self._clock.now()),
            is_stored=landing.is_kept,
        )
        return from_entry(visit, entry if landing.reason is None else _unvalidated(visit, entry), report)

    async def _validated(self, visit: Visit, fetch: Fetch, entry: Found) -> Answer:
        """From `entry`, if the origin says to this viewer too that it still holds; nothing is stored."""
        reply = await self._fetcher.straight(visit, validators(entry.stored.head))
        if reply.head.status != 304:
            return from_reply(visit, reply, fetch, fetch.reason, was_unconditional=True)
        reply.close()
        if not is_about(entry.stored.head, reply.head):
            return await self._straight(visit, fetch)
        visit.record.trail = reply.trail
        stored = replace(entry.stored, head=freshened(entry.stored.head, reply.head))
        report = self._report(
            _word(stored, XCache.REFRESH_HIT),
            fetch,
            stored,
            reply.head.status,
            is_leader=True,
            age_s=stored.age(self._clock.now()),
            is_stored=False,
        )
        return from_entry(visit, replace(entry, stored=still_coded(entry.stored, stored)), report)

    def _instead(self, visit: Visit, fetch: Fetch, entry: Found | None, landing: Landing) -> Answer | None:
        """What is stored, for a viewer that takes it in place of a failure though others do not."""
        if entry is None or visit.wishes.stale_if_error is None:
            return None
        status = _failure(landing)
        if status is None:
            return None
        now = self._clock.now()
        excuse = excused(entry.stored, visit.behavior.cache, status, now, visit.wishes)
        if excuse is None:
            return None
        visit.record.trail = _trail(landing)
        age_s, fresh_for_s = entry.stored.age(now), entry.stored.fresh_for(now)
        if isinstance(landing, Failed) and isinstance(landing.error, RememberedError):
            report = Report(XCache.HIT, reason=excuse.reason, fresh_for_s=fresh_for_s, age_s=age_s)
        else:
            report = self._report(
                XCache.REFRESH_HIT,
                replace(fetch, reason=excuse.reason),
                entry.stored,
                status,
                is_leader=True,
                age_s=age_s,
            )
        return from_entry(visit, _unvalidated(visit, entry), report)

    def _suits(self, stored: Stored, visit: Visit) -> bool:
        """Whether a response that another request brought is the answer to this one too.  RFC 9111 §4.1."""
        if variant(stored.vary, visit.sent.headers) != stored.variant:
            return False
        now = self._clock.now()
        return not visit.wishes.refuse(stored.age(now), stored.fresh_for(now))

    def _report(
        self,
        x_cache: XCache,
        fetch: Fetch,
        stored: Stored,
        fwd_status: int,
        *,
        is_leader: bool,
        age_s: float | None = None,
        is_stored: bool = True,
    ) -> Report:
        return Report(
            x_cache,
            fetch.forward,
            fetch.reason,
            fwd_status=fwd_status,
            fresh_for_s=stored.fresh_for(self._clock.now()),
            age_s=age_s,
            is_stored=is_stored,
            is_collapsed=not is_leader,
        )

    def __repr__(self) -> str:
        return f"Gateway({len(self._behaviors)} behaviours, {self._cache!r})"


def _word(stored: Stored, otherwise: XCache) -> XCache:
    """CloudFront says Error of every answer that is one, wherever it comes from."""
    return XCache.ERROR if stored.head.status >= 400 else otherwise


def _trail(landing: Landing) -> tuple[Attempt, ...]:
    match landing:
        case Failed():
            return landing.error.trail if isinstance(landing.error, OriginError) else ()
        case Unshared():
            return landing.reply.trail
        case _:
            return landing.trail


def _failure(landing: Landing) -> int | None:
    """The status of a failure; None if it is none."""
    match landing:
        case Failed():
            return landing.error.status
        case Shared():
            status = landing.stored.head.status
        case Unshared():
            status = landing.reply.head.status
        case Refreshed():
            return None
        case _:
            assert_never(landing)
    return status if status >= 500 else None


def _unvalidated(visit: Visit, entry: Found) -> Found:
    """The entry as it may be served without asking the origin."""
    stored = unvalidated(entry.stored, visit.behavior.cache)
    return entry if stored is entry.stored else replace(entry, stored=stored)
