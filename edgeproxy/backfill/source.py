"""Where a job's bytes come from: those that served the viewer if they are whole, else one of its sources."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from edgeproxy.backfill.job import Failed, Held, Job, Skipped
from edgeproxy.backfill.pacing import Asking, Pace
from edgeproxy.core.backfilling import Rule
from edgeproxy.core.errors import OriginError
from edgeproxy.core.failover import Attempt
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.reason import Reason
from edgeproxy.core.sourcing import Hop, Said, Supplier, asked_again_in, hop, request_of, said_by
from edgeproxy.core.storing import Stored
from edgeproxy.core.validation import CONDITIONAL
from edgeproxy.origins.base import Origin, Reply, whole_body
from edgeproxy.store.blob import Blob
from edgeproxy.store.flight import Flights, Shared
from edgeproxy.store.tiers import Found, Tiers

_WHOLE_AND_PLAIN = Headers([("Accept-Encoding", "identity")])

Unavailable: TypeAlias = Skipped | Failed | Held
"""There are no bytes to be had: not at all, this time, or yet."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a web server is, for redirects; `at(base, is_own)` is the same server, or another, at `base`."""

    base: str
    path: str
    """What it puts in front of every path."""
    at: Callable[[str, bool], Origin]


Conditions: TypeAlias = tuple[tuple[str, str], ...]
"""Fields that ask for an object only if it is another than we have."""


class Source:
    """Law 6 of the house: one fetch serves the client, the cache and the backfill.

    `suppliers` are those that rules name, `secondaries` those of groups, for rules that name none. Each has
    a `Pace`, by its name; each origin is in `origins`, and if it is a web server in `addresses`;
    `bases` has what its URLs begin with.
    """

    def __init__(
        self,
        suppliers: Mapping[str, Supplier],
        secondaries: Mapping[str, Supplier],
        paces: Mapping[str, Pace],
        origins: Mapping[str, Origin],
        addresses: Mapping[str, Address],
        bases: Mapping[str, str],
        cache: Tiers,
        flights: Flights,
        now: Callable[[], float],
    ) -> None:
        self._suppliers = suppliers
        self._secondaries = secondaries
        self._paces = paces
        self._origins = origins
        self._addresses = addresses
        self._bases = bases
        self._cache = cache
        self._flights = flights
        self._now = now

    def suppliers(self, group: str, rule: Rule) -> tuple[Supplier, ...]:
        """Whom to ask for objects of `rule`, in order."""
        if rule.sources:
            return tuple(self._suppliers[name] for name in rule.sources)
        return (self._secondaries[group],) if group in self._secondaries else ()

    def fields(self) -> dict[str, dict[str, int]]:
        """How the sources do, by name; those that rules name, and others that were asked."""
        told = {name: pace.fields() for name, pace in self._paces.items()}
        return {
            name: fields for name, fields in told.items() if name in self._suppliers or any(fields.values())
        }

    async def held(self, job: Job, rule: Rule) -> Held | None:
        """Why it is of no use to begin `job` now; it may turn out later that it has to wait even so."""
        said: list[Held] = []
        for supplier in self.suppliers(job.group, rule):
            pace = self._paces[supplier.name]
            held = pace.held(job.identity)
            if held is None or await self._is_at_hand(job, supplier):
                return None
            said.append(pace.holds(held))
            if held.reason is not Reason.SOURCE_DOWN:
                return held
        return min(said, key=lambda held: held.in_s, default=None)

    async def open(
        self,
        job: Job,
        rule: Rule,
        conditions: Conditions = (),
        *,
        on_asked: Callable[[tuple[Attempt, ...]], None] | None = None,
    ) -> Reply | Unavailable:
        """The object of `job`, to be closed by the caller: a 200, else why there is none.

        One source after the other is asked, until one has it; on `conditions`, the answer may be a 304.
        `on_asked` hears how each did.
        """
        said: list[Unavailable] = []
        for supplier in self.suppliers(job.group, rule):
            request = request_of(supplier, job.path, job.key, job.query, job.headers)
            if isinstance(request, Reason):
                said.append(Skipped(request))
                continue
            url = self._bases[supplier.origin] + request.target
            key = None if job.refresh else job.cache_key
            if key is not None and self._is_what_viewers_get(job, supplier, request):
                at_hand = await self._flying(key) or await self._stored(key)
                if at_hand is not None:
                    return replace(at_hand, url=url)
            request = replace(request, headers=request.headers.having(*conditions))
            pace = self._paces[supplier.name]
            held = pace.held(job.identity)
            if held is not None and pace.holds(held).reason is not Reason.SOURCE_DOWN:
                return held
            answer = held or await self._asked(supplier, request, pace.begin(job.identity), on_asked)
            if isinstance(answer, Reply):
                return replace(answer, url=url)
            said.append(answer)
        return _of_all(said)

    async def _is_at_hand(self, job: Job, supplier: Supplier) -> bool:
        key = job.cache_key
        request = request_of(supplier, job.path, job.key, job.query, job.headers)
        if key is None or isinstance(request, Reason):
            return False
        if not self._is_what_viewers_get(job, supplier, request):
            return False
        return self._flights.find(key) is not None or await self._stored(key) is not None

    def _is_what_viewers_get(self, job: Job, supplier: Supplier, request: Request) -> bool:
        """Whether a viewer who misses makes the very request that the job would make."""
        secondary = self._secondaries.get(job.group)
        is_its = secondary is not None and supplier.origin == secondary.origin
        return is_its and request == Request("GET", job.path, headers=_WHOLE_AND_PLAIN)

    async def _flying(self, key: CacheKey) -> Reply | None:
        """The bytes as they come in, if it is certain that they will all be kept."""
        flight = self._flights.find(key)
        landing = await flight.landing() if flight is not None else None
        if flight is None or not isinstance(landing, Shared):
            return None
        if landing.stored.head.length is None:
            # It may yet turn out too large to keep, and viewers must not wait for an upload then.
            await flight.ended()
        elif flight.spool.keeps and _is_fit(landing.stored):
            reader = flight.spool.reader()
            return Reply(landing.stored.head, reader, close=reader.close)
        return None

    async def _stored(self, key: CacheKey) -> Reply | None:
        """The cache's copy: whole and verified, or it would not be there."""
        entry: Found | None
        entry, _ = self._cache.find(key, Headers)
        if entry is None:
            entry, _ = await self._cache.find_below(key, Headers, None)
        if entry is None or not _is_fit(entry.stored) or entry.stored.fresh_for(self._now()) <= 0:
            return None
        length = ("Content-Length", str(len(entry.body)))
        head = Head(entry.stored.head.status, entry.stored.head.headers.having(length))
        if isinstance(entry.body, Blob):
            return Reply(head, entry.body.part(0, len(entry.body) - 1))
        return Reply(head, whole_body(entry.body))

    async def _asked(
        self,
        supplier: Supplier,
        request: Request,
        asking: Asking,
        on_asked: Callable[[tuple[Attempt, ...]], None] | None,
    ) -> Reply | Unavailable:
        """What the supplier gives; `asking` has ended then, or does with the reply."""
        reply: Reply | None = None
        try:
            reply = await self._followed(supplier, request)
            if on_asked is not None:
                on_asked(reply.trail)
            status, headers = reply.head.status, reply.head.headers
            again_in_s = asked_again_in(status, headers, self._now())
            asking.answered(status, again_in_s)
            said = said_by(status)
            if said is Said.HERE or (
                status == 304 and not CONDITIONAL.isdisjoint(name.lower() for name, _ in request.headers)
            ):
                answer, reply = _paced(reply, asking), None
                return answer
            if said is Said.MISSING:
                return Skipped(Reason.SOURCE_STATUS)
            if said is Said.ELSEWHERE and supplier.redirects:
                message = (
                    f"{supplier.name} redirects more than {supplier.redirects} times, or to a strange host"
                )
                return Failed(Reason.REDIRECT_REFUSED, message, is_final=True)
            is_final = said is not Said.FAULT
            message = f"{supplier.name} answered {status}"
            return Failed(Reason.SOURCE_STATUS, message, is_final, after_s=again_in_s or 0.0)
        except OriginError as error:
            if on_asked is not None:
                on_asked(error.trail)
            asking.failed(error)
            return Failed(error.reason, error.message)
        finally:
            if reply is not None:
                reply.close()
            if not asking.is_read:
                asking.end()

    async def _followed(self, supplier: Supplier, request: Request) -> Reply:
        """The answer behind the redirects that may be followed.  Raises `OriginError`."""
        reply = await self._origins[supplier.origin].fetch(request)
        address = self._addresses.get(supplier.origin)
        if address is None or not supplier.redirects:
            return reply
        url = f"{address.base}{address.path}{request.target}"
        for _ in range(supplier.redirects):
            location = reply.head.headers.get("location")
            if said_by(reply.head.status) is not Said.ELSEWHERE or location is None:
                break
            to = hop(url, location, address.base, supplier.redirect_hosts)
            if to is None:
                break
            reply.close()
            url = to.url
            reply = await address.at(to.base, to.is_own).fetch(_redirected(request, to))
        return reply


def _redirected(request: Request, to: Hop) -> Request:
    headers = request.headers if to.is_own else _WHOLE_AND_PLAIN
    return replace(request, path=to.path, query=to.query, headers=headers)


def _paced(reply: Reply, asking: Asking) -> Reply:
    def close() -> None:
        reply.close()
        asking.end()

    asking.is_read = True
    return replace(reply, body=asking.through(reply.body), close=close)


def _of_all(said: Iterable[Unavailable]) -> Unavailable:
    """What is to become of a job for which no source has given anything.

    As long as there is one that may have the object, it is waited for.
    """
    said = list(said)
    held = [one for one in said if isinstance(one, Held)]
    failed = [one for one in said if isinstance(one, Failed)]
    missing = [one for one in said if isinstance(one, Skipped)]
    if held:
        return min(held, key=lambda one: one.in_s)
    if failed:
        return next((one for one in failed if not one.is_final), failed[0])
    known = [one for one in missing if one.reason is Reason.SOURCE_STATUS]
    return next(iter([*known, *missing]), Skipped(Reason.NO_SOURCE))


def _is_fit(stored: Stored) -> bool:
    """Whether these bytes are what everybody is to get: nothing that one viewer asked for, and no coding."""
    head = stored.head
    return stored.is_for_everybody and head.status == 200 and "content-encoding" not in head.headers
