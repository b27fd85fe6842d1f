"""Cache behaviours: which one a request falls to, and whether it is let in.

CloudFront Developer Guide, "Cache behavior settings".
"""

from dataclasses import dataclass, replace

from edgeproxy.core.erring import ErrorPolicy
from edgeproxy.core.errors import MethodError, RequestError
from edgeproxy.core.forwarding import OriginRequestPolicy
from edgeproxy.core.message import Request
from edgeproxy.core.paths import Pattern, collapsed
from edgeproxy.core.posts import PostPolicy, Read
from edgeproxy.core.reason import Reason
from edgeproxy.core.response_headers import ResponseHeadersPolicy
from edgeproxy.core.storing import CachePolicy

METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE")
CACHEABLE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Behavior:
    """What happens to requests whose path matches. `target` names an origin or an origin group."""

    pattern: Pattern
    target: str
    cache: CachePolicy
    origin_request: OriginRequestPolicy
    allowed_methods: frozenset[str]
    cached_methods: frozenset[str]
    compress: bool = False
    refuses_with: int = 403
    """What methods that are not allowed get."""
    response_headers: ResponseHeadersPolicy | None = None
    posts: PostPolicy | None = None
    """Which POST requests are reads; None: none is."""


def behavior_for(path: str, behaviors: tuple[Behavior, ...]) -> Behavior:
    """The first behaviour, in the order listed, whose pattern matches; the last one is the default."""
    matched = collapsed(path)
    return next((b for b in behaviors if b.pattern.matches(matched)), behaviors[-1])


def reading(behavior: Behavior, read: Read) -> Behavior:
    """`behavior` as it is for a POST that reads: cached as long as was said for it, or the origin says less.

    A min TTL holds as far as that allows. Errors are not remembered, and answers are stored uncompressed.
    """
    cache = behavior.cache
    ttl = replace(
        cache.ttl,
        min_s=min(cache.ttl.min_s, read.ttl_s),
        default_s=read.ttl_s,
        max_s=read.ttl_s,
        heuristic=0.0,
    )
    key = replace(cache.key, gzip=False, brotli=False)
    return replace(
        behavior,
        cache=replace(cache, ttl=ttl, key=key, errors=ErrorPolicy(default_min_s=0.0)),
        cached_methods=behavior.cached_methods | {"POST"},
        compress=False,
    )


def admit(request: Request, behavior: Behavior, *, has_body: bool) -> None:
    """Raise `RequestError` for what the behaviour does not let in: CloudFront answers 403."""
    if request.method not in METHODS:
        raise RequestError(Reason.METHOD_UNKNOWN, f"method {request.method} is not known here", status=501)
    if request.method not in behavior.allowed_methods:
        allowed = ", ".join(m for m in METHODS if m in behavior.allowed_methods)
        message = f"method {request.method} is not allowed for this path, want one of {allowed}"
        raise MethodError(message, status=behavior.refuses_with, allow=allowed)
    if has_body and request.method in ("GET", "HEAD"):
        message = f"a {request.method} request must not have a body"
        raise RequestError(Reason.BODY_NOT_ALLOWED, message, status=403)
