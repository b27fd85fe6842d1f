"""How long an error is remembered, so that a failing origin is not asked for every viewer.

CloudFront Developer Guide, "How CloudFront caches HTTP 4xx and 5xx status codes".
"""

from dataclasses import dataclass

from edgeproxy.core.freshness import TtlPolicy, guessed_lifetime, stated_lifetime
from edgeproxy.core.message import Head

_ALWAYS = frozenset({404, 414, 500, 501, 502, 503, 504})
_IF_STATED = frozenset({400, 403, 405, 412, 415})
# "no-store, no-cache, private" count for these only; for the others they are passed over. Where the
# documents are of two minds (403 with max-age and no-store) the stricter reading wins.
_FORBIDDABLE = _IF_STATED | {404, 410, 414, 501}


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """CloudFront's error caching minimum TTLs, in seconds."""

    default_min_s: float = 10.0
    by_status: tuple[tuple[int, float], ...] = ()

    def min_s(self, status: int) -> float:
        """The minimum TTL of errors with this status."""
        return dict(self.by_status).get(status, self.default_min_s)


def error_lifetime(head: Head, ttl: TtlPolicy, errors: ErrorPolicy, now: float) -> float:
    """Seconds for which an answer with a status of 400 or above is served again; 0 = not at all.

    With a policy that leaves all to the origin an error is cached only where the origin says how long,
    or the policy has it guessed.
    """
    if head.status not in _ALWAYS | _IF_STATED:
        return 0
    control = ttl.control(head)
    if (control.no_store or control.no_cache or control.private) and (
        head.status in _FORBIDDABLE or ttl.is_conforming
    ):
        return 0
    if head.status in _IF_STATED and control.max_age is None and control.s_maxage is None:
        return 0
    stated = stated_lifetime(head, ttl, now)
    said_s = guessed_lifetime(head, ttl, now) if stated is None else min(stated, ttl.max_s)
    return said_s if ttl.is_conforming else max(errors.min_s(head.status), said_s)
