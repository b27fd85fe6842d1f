"""A dry run: what would happen to a request, and why. No origin is asked and nothing changes."""

from dataclasses import dataclass, replace

from edgeproxy.backfill.filler import Filler
from edgeproxy.backfill.job import Entry
from edgeproxy.config.units import duration_text
from edgeproxy.core.answering import Report, XCache
from edgeproxy.core.backfilling import Mode, on_missing, rule_for, unfit_key
from edgeproxy.core.compression import MAX_BYTES, MIN_BYTES, coding_wanted
from edgeproxy.core.decision import Fail, Fetch, Serve, on_lookup
from edgeproxy.core.errors import RequestError
from edgeproxy.core.failover import FAILOVER_METHODS
from edgeproxy.core.forwarding import forwards_websockets
from edgeproxy.core.message import Request
from edgeproxy.core.paths import object_key
from edgeproxy.core.reason import Reason
from edgeproxy.core.websocket import is_asked_for
from edgeproxy.gateway.gateway import Gateway
from edgeproxy.gateway.visit import Visit
from edgeproxy.origins.pools import Pools
from edgeproxy.store.flight import Flights
from edgeproxy.store.tiers import Found, Tiers


@dataclass(frozen=True, slots=True)
class Target:
    """An origin, or a group of two, as it is to be told to people."""

    primary: str
    secondary: str | None = None
    failover_on: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Sentences by subject, in the order in which a request meets them."""

    steps: tuple[tuple[str, str], ...]

    def fields(self) -> dict[str, str]:
        """For JSON."""
        return dict(self.steps)

    def __str__(self) -> str:
        width = max(len(subject) for subject, _ in self.steps)
        return "\n".join(f"{subject:<{width}}  {sentence}" for subject, sentence in self.steps)


class Explainer:
    """Asks the same rules as the gateway, in the same order."""

    def __init__(
        self,
        gateway: Gateway,
        cache: Tiers,
        flights: Flights,
        filler: Filler,
        targets: dict[str, Target],
        pools: Pools,
    ) -> None:
        self._gateway = gateway
        self._cache = cache
        self._flights = flights
        self._filler = filler
        self._targets = targets
        self._pools = pools

    async def explain(self, request: Request, now: float) -> Explanation:
        """What would happen to `request` at POSIX second `now`."""
        asked = ("request", f"{request.method} {request.target}")
        request = replace(request, websocket=is_asked_for(request.method, request.headers))
        try:
            visit, body = await self._gateway.heard(
                self._gateway.admitted(request, self._gateway.new_record(request))
            )
        except RequestError as error:
            return Explanation((asked, ("answer", f"{error.status}: {error.message} ({error.reason})")))
        if body is not None:
            body.release()
        return Explanation(
            (
                asked,
                ("behavior", self._behavior(visit)),
                *_post(visit),
                ("cache key", str(visit.key)),
                *await self._lookup(visit, now),
                *self._nodes(visit),
                *self._compression(visit),
                *_websocket(visit),
                ("backfill", await self._backfill(visit)),
            )
        )

    def _behavior(self, visit: Visit) -> str:
        behavior = visit.behavior
        policy = behavior.cache
        ttl = policy.ttl
        bounds = " / ".join(map(duration_text, (ttl.min_s, ttl.default_s, ttl.max_s)))
        times = "caching is off" if ttl.is_off else f"min / default / max TTL {bounds}"
        return f'"{behavior.pattern.text}" -> {behavior.target}, cache policy {policy.name} ({times})'

    async def _lookup(self, visit: Visit, now: float) -> tuple[tuple[str, str], ...]:
        bypass = visit.bypass
        if bypass is not None:
            status = Report(XCache.MISS, bypass.forward, bypass.reason).cache_status("edgeproxy")
            return (("cache", f"not asked ({bypass.reason}): {status}"), ("origins", self._origins(visit)))
        entry: Found | None
        entry, has_variants = self._cache.find(visit.key, lambda: visit.sent.headers)
        where = "memory"
        if entry is None and not has_variants:
            entry, has_variants = await self._cache.find_below(visit.key, lambda: visit.sent.headers, None)
            where = "disk"
        stored = entry.stored if entry is not None else None
        decision = on_lookup(stored, has_variants, visit.behavior.cache, now, visit.wishes)
        match decision:
            case Serve(reason=None):
                told = (
                    f"hit in {where}: {decision.age_s:.0f} s old, fresh for {decision.fresh_for_s:.0f} s more"
                )
                return (("cache", told), ("origins", f"none now; after that {self._origins(visit)}"))
            case Serve(refresh=refresh):
                told = f"hit in {where}, stale by {-decision.fresh_for_s:.0f} s ({decision.reason})"
                meanwhile = "behind the viewer's back: " if refresh is not None else "none now; after that "
                return (("cache", told), ("origins", meanwhile + self._origins(visit)))
            case Fail():
                return (("cache", f"{decision.status}: nothing stored fits ({decision.reason})"),)
            case Fetch():
                told = {
                    "uri-miss": "miss: nothing is stored under this key",
                    "vary-miss": "miss: only other variants are stored under this key",
                    "stale": f"stale ({decision.reason}): " + _renewal(decision),
                    "request": "fresh, but the request wants it newer: " + _renewal(decision),
                }[decision.forward]
                if visit.is_for_the_origin:
                    told += "; what the origin answers is for this request alone"
                    return (("cache", told), ("origins", self._origins(visit)))
                failure = self._gateway.failure(visit)
                if failure is not None:
                    told += f"; but {failure.status} for {failure.rest_s:.0f} s more ({failure.reason})"
                    return (("cache", told), ("origins", f"none now; after that {self._origins(visit)}"))
                waits = not visit.wishes.no_cache and not (visit.asks_for_part and entry is None)
                if waits and entry is None and self._gateway.is_for_one(visit):
                    told += "; the last answer was not to be stored, so this request would wait for no other"
                elif waits and self._flights.find(visit.key) is not None:
                    told += "; being fetched right now, this request would join"
                return (("cache", told), ("origins", self._origins(visit)))

    def _nodes(self, visit: Visit) -> tuple[tuple[str, str], ...]:
        """Of each pool that may be asked, which node it would be."""
        target = self._targets[visit.behavior.target]
        names = [name for name in (target.primary, target.secondary) if name is not None]
        told = ((name, self._pools.foretold(name, visit.request.viewer)) for name in names)
        return tuple((f"pool {name}", sentence) for name, sentence in told if sentence is not None)

    def _compression(self, visit: Visit) -> tuple[tuple[str, str], ...]:
        behavior = visit.behavior
        if not behavior.compress:
            return ()
        bypass = visit.bypass
        if bypass is not None:  # only what is stored is compressed
            return (("compression", f"no ({bypass.reason})"),)
        coding = coding_wanted(visit.sent, behavior.cache, compress=True)
        if isinstance(coding, Reason):
            return (("compression", f"no ({coding})"),)
        sizes = f"{MIN_BYTES:,} to {MAX_BYTES:,} bytes"
        return (("compression", f"{coding}, if the answer is of a type that is compressed, and has {sizes}"),)

    def _origins(self, visit: Visit) -> str:
        target = self._targets[visit.behavior.target]
        if target.secondary is None:
            return target.primary
        if visit.request.method not in FAILOVER_METHODS:
            return f"{target.primary} alone: {visit.request.method} does not fail over"
        told = ", ".join(_STANDS_FOR.get(status, str(status)) for status in target.failover_on)
        return f"{target.primary}, then {target.secondary} on {told}"

    async def _backfill(self, visit: Visit) -> str:
        """Before the answer is known: what can be said from the request and the configuration."""
        name = visit.behavior.target
        target = self._targets[name]
        rule = rule_for(visit.key.path, self._filler.rules)
        needs_group = rule is None or rule.mode is Mode.QUEUE or not rule.sources
        if target.secondary is None and needs_group:
            return f"no: {name} is no origin group ({Reason.NOT_FAILED_OVER})"
        if name not in self._filler.prefixes:
            return f"no: {target.primary} is not a bucket ({Reason.PRIMARY_NOT_S3})"
        if visit.request.method not in ("GET", "HEAD"):
            return f"no: only GET and HEAD lead to a backfill ({Reason.METHOD_NOT_CACHED})"
        if rule is None:
            return f"no: no rule covers this path ({Reason.NO_RULE})"
        if not rule.enabled:
            return f'no: rule "{rule.pattern.text}" is not enabled ({Reason.NO_BACKFILL})'
        if visit.request.method not in rule.methods:
            methods = " and ".join(sorted(rule.methods))
            return f'no: rule "{rule.pattern.text}" is for {methods} ({Reason.METHOD_NOT_CACHED})'
        prefix = self._filler.prefixes[name]
        unfit: object = unfit_key(visit.key, prefix)
        if rule.makes_at_once:
            unfit = on_missing(visit.sent, min(rule.on_status), self._filler.rules, prefix)
        if isinstance(unfit, Reason):
            return f"no: this request does not name one object for everybody ({unfit})"
        named = object_key(visit.key.path, prefix)
        key = named.decode("utf-8", "replace")
        statuses = " or ".join(str(status) for status in sorted(rule.on_status))
        where = f"{', then '.join(rule.sources) or target.secondary} -> {target.primary}:{key}"
        how = f'rule "{rule.pattern.text}", {rule.mode}'
        last = await self._filler.last(name, named)
        before = f"; {_told(last)}" if last is not None else ""
        return f"yes, {where}, if {target.primary} answers {statuses} ({how}){before}"


_STANDS_FOR = {502: "502 or an unusable answer", 503: "503 or no connection", 504: "504 or a timeout"}


def _post(visit: Visit) -> tuple[tuple[str, str], ...]:
    """What a POST reads; nothing where no POST does."""
    if visit.behavior.posts is None or visit.request.method != "POST":
        return ()
    if visit.read is not None:
        told = f"{visit.read}: cached for {duration_text(visit.read.ttl_s)} at most"
    elif visit.unread is not None:
        told = f"is not cached ({visit.unread})"
    else:
        told = "has no body here, which decides whether it is cached"
    return (("post", told),)


def _websocket(visit: Visit) -> tuple[tuple[str, str], ...]:
    """What asking to go on as a WebSocket leads to; nothing for a request that does not."""
    behavior = visit.behavior
    if not is_asked_for(visit.request.method, visit.request.headers):
        return ()
    if forwards_websockets(behavior.cache.key, behavior.origin_request):
        told = "yes, if the origin answers 101"
    else:
        told = f"no: Sec-WebSocket-Key and -Version are not forwarded ({Reason.WEBSOCKET_OFF})"
    return (("websocket", told),)


def _told(entry: Entry) -> str:
    """A job of before, in words."""
    reason = f" ({entry.reason})" if entry.reason is not None else ""
    message = f": {entry.message}" if entry.message else ""
    return f"job {entry.number} is {entry.state}{reason}{message}"


def _renewal(fetch: Fetch) -> str:
    return "to be validated by a conditional request" if fetch.conditions else "to be fetched anew"
