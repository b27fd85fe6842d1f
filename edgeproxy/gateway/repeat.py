"""What of a request that memory alone answered is kept, so that the same can be answered at once.

Such an answer is a function of the request's head, of the configuration and of the entry: nothing else
was asked. `Gateway.again` gives it once more, as long as the entry is held and fresh.
"""

from dataclasses import dataclass

from edgeproxy.core.behavior import Behavior
from edgeproxy.core.decision import Serve
from edgeproxy.core.forwarding import CLAIMS
from edgeproxy.core.key import Pick
from edgeproxy.core.message import Request
from edgeproxy.core.ranges import Slice
from edgeproxy.core.storing import Stored
from edgeproxy.core.wishes import NONE
from edgeproxy.gateway.visit import Front, Visit
from edgeproxy.store.memory import Hold

_METHODS = frozenset({"GET", "HEAD"})

# Fields that browsers and their likes send with about every request, each its own, and that say nothing
# to a cache. What else there may be is looked at: a field that is missing here only costs time.
_CHATTER = frozenset(
    "accept accept-charset accept-language cookie dnt priority referer save-data sec-ch-ua"
    " sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user"
    " sec-gpc traceparent tracestate upgrade-insecure-requests user-agent x-amzn-trace-id"
    " x-correlation-id x-request-id x-requested-with".split()
)


@dataclass(frozen=True, slots=True)
class Repeat:
    """A request that was answered with what memory holds."""

    visit: Visit
    hold: Hold
    part: Slice
    """What of the entry's body was sent."""


def is_repeatable(visit: Visit, decision: Serve, stored: Stored) -> bool:
    """Whether every request with the same head gets the same answer as long as the entry is fresh.

    Not where chance and the time it took have a say (`Server-Timing`), nor the moment (a `Date` that the
    server puts in place of one that was removed); a stale answer and an error leave more to be done than
    to be sent. `X-Forwarded-For` is made from the viewer's address.
    """
    request, policy = visit.request, visit.behavior.response_headers
    if request.method not in _METHODS or request.body is not None or stored.head.status >= 400:
        return False
    if decision.reason is not None or visit.wishes != NONE or "x-forwarded-for" in stored.vary:
        return False
    return policy is None or (policy.timing_rate is None and "date" not in policy.removed)


def depends_on_viewer(request: Request, front: Front) -> bool:
    """Whether the address of the one who sent it, as it was received, decides what of it is believed."""
    return bool(front.trusted_proxies) and any(name.lower() in CLAIMS for name, _ in request.headers)


def unheeded(behaviors: tuple[Behavior, ...], front: Front) -> frozenset[str]:
    """Names of fields that change nothing of an answer that comes from the cache, whatever they say.

    Neither key nor `Vary` knows what is not forwarded, by no behaviour that caches.
    """
    names = set(_CHATTER | {"accept-encoding"})
    if not front.trusted_proxies:
        # They were dropped before anybody read them.
        names |= CLAIMS
    for behavior in behaviors:
        cache, sent = behavior.cache, behavior.origin_request
        if cache.ttl.is_off:
            continue
        names = {n for n in names if not (n in cache.key.headers.names or sent.headers.takes(n))}
        if cache.key.gzip or cache.key.brotli:
            names.discard("accept-encoding")
        if cache.key.cookies.pick is not Pick.NONE or sent.cookies.pick is not Pick.NONE:
            names.discard("cookie")
    return frozenset(names)
