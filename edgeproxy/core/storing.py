"""May a response be stored, and what is kept of it.  RFC 9111 §3."""

from dataclasses import dataclass, replace

from edgeproxy.core.directives import TARGETED, CacheControl
from edgeproxy.core.erring import ErrorPolicy, error_lifetime
from edgeproxy.core.forwarding import is_for_everybody
from edgeproxy.core.freshness import TtlPolicy, age_on_arrival, lifetime
from edgeproxy.core.key import KeyPolicy, Pick, variant, vary_names
from edgeproxy.core.message import Head, Request
from edgeproxy.core.reason import Reason

# Final statuses stored by the TTL table. Errors are cached by rules of their own (`erring`), partial
# content is not combined.
CACHED_STATUSES = frozenset({200, 203, 204, 300, 301, 302})
# "307/308 are cached only with a Cache-Control header", CloudFront Developer Guide, "HTTP 3xx".
CACHED_IF_STATED = frozenset({307, 308})


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """CloudFront's cache policy: how long, and under which key."""

    ttl: TtlPolicy = TtlPolicy()
    key: KeyPolicy = KeyPolicy()
    name: str = ""
    errors: ErrorPolicy = ErrorPolicy()
    heeds_viewers: bool = False
    """Whether a viewer's own `Cache-Control` counts.  RFC 9111 §5.2.1."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored response less its body. Times are POSIX seconds."""

    head: Head
    lifetime_s: float
    age_at_arrival_s: float
    received_at: float
    vary: tuple[str, ...] = ()
    variant: tuple[str | None, ...] = ()
    is_for_everybody: bool = True
    """Whether the request that brought it held nothing of a viewer's: its bytes are fit for the bucket."""
    excused_until: float = 0.0
    """Until then the origin is not asked again, for it has just failed."""

    def age(self, now: float) -> float:
        """Seconds since the origin made it; a clock set back does not make it younger.  RFC 9111 §4.2.3."""
        return self.age_at_arrival_s + max(0.0, now - self.received_at)

    @property
    def was_fresh(self) -> bool:
        """Whether it was fresh when it came: else it answers the one request that brought it.

        RFC 9111 §4; CloudFront sends each of those who wait to the origin.
        """
        return self.lifetime_s > self.age_at_arrival_s

    def fresh_for(self, now: float) -> float:
        """Seconds it stays fresh; 0 or below means stale."""
        return self.lifetime_s - self.age(now)

    def steady_until(self, now: float) -> float:
        """Until when both stay what they are now in whole seconds, if the clock is not set back.

        A little earlier, if anything: POSIX seconds as floats are exact to a quarter of a microsecond.
        """
        return now + min(1 - self.age(now) % 1, self.fresh_for(now) % 1) - 1e-6


def may_store(sent: Request, head: Head, policy: CachePolicy, now: float) -> Reason | None:
    """None if the response may be stored, else why not.

    `sent` is the request as the origin got it: a field that was not forwarded did not matter.
    A response that may be stored but is never fresh is stored for revalidation.

    RFC 9111 §3; with a min TTL above 0 `no-store` and `private` give way (CloudFront).
    """
    control = policy.ttl.control(head)
    is_forced = policy.ttl.min_s > 0
    vary = vary_names(head.headers)
    if policy.ttl.is_off:
        return Reason.CACHING_DISABLED
    if head.status == 206 or "content-range" in head.headers:
        return Reason.PARTIAL
    if not _is_cached_status(head, policy, now):
        return Reason.STATUS_NOT_CACHED
    # Errors have had their say in `error_lifetime`.
    if head.status < 400 and control.no_store and not is_forced:
        return Reason.NO_STORE
    if head.status < 400 and control.private and not is_forced:
        return Reason.PRIVATE
    if "*" in vary and not is_forced:
        return Reason.VARY_STAR
    if "authorization" in sent.headers and not _is_in_key("authorization", policy.key):
        # RFC 9111 §3.5.
        if not (control.public or control.must_revalidate or control.s_maxage is not None):
            return Reason.AUTHORIZATION
    if "set-cookie" in head.headers.without(_unkept(control)) and policy.key.cookies.pick is Pick.NONE:
        return Reason.SET_COOKIE
    return None


def _is_cached_status(head: Head, policy: CachePolicy, now: float) -> bool:
    if head.status >= 400:
        return error_lifetime(head, policy.ttl, policy.errors, now) > 0
    return head.status in CACHED_STATUSES or (
        head.status in CACHED_IF_STATED
        and ("cache-control" in head.headers or policy.ttl.control(head).is_targeted)
    )


def _unkept(control: CacheControl) -> frozenset[str]:
    """Fields that are for the one who asked; a cookie is not made everybody's by a validation either."""
    return control.private_fields | (control.no_cache_fields & {"set-cookie"})


def _is_in_key(name: str, policy: KeyPolicy) -> bool:
    return name in policy.headers.names


def stored(sent: Request, head: Head, policy: CachePolicy, requested_at: float, received_at: float) -> Stored:
    """What is kept of a response that may be stored.

    Fields of one connection are not (RFC 9111 §3.1), nor those that `private` names (§5.2.2.7).
    """
    vary = vary_names(head.headers)
    age_s = age_on_arrival(head, requested_at, received_at)
    if head.status >= 400:
        least_s = policy.errors.min_s(head.status) if not policy.ttl.is_conforming else 0.0
        lifetime_s = error_lifetime(head, policy.ttl, policy.errors, received_at)
    else:
        least_s = policy.ttl.min_s
        lifetime_s = lifetime(head, policy.ttl, received_at)
    if least_s > 0:
        # The least time counts from now, however old the answer says it is.
        lifetime_s = max(lifetime_s, age_s + least_s)
    return Stored(
        head=Head(head.status, head.headers.end_to_end().without(_unkept(policy.ttl.control(head)))),
        lifetime_s=lifetime_s,
        age_at_arrival_s=age_s,
        received_at=received_at,
        vary=vary,
        variant=variant(vary, sent.headers),
        is_for_everybody=is_for_everybody(sent),
    )


def unvalidated(stored: Stored, policy: CachePolicy) -> Stored:
    """`stored` as it may be served without asking the origin: less the fields that `no-cache` names.

    RFC 9111 §5.2.2.4.
    """
    headers = stored.head.headers
    # Field names stand in quotes: without any, what was said need not be read at every hit.
    if '"' not in (headers.get("cache-control") or "") and '"' not in (headers.get(TARGETED) or ""):
        return stored
    withheld = policy.ttl.control(stored.head).no_cache_fields
    return replace(stored, head=Head(stored.head.status, headers.without(withheld))) if withheld else stored
