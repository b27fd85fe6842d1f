"""One request on its way through the gateway, and whether it is let in."""

from dataclasses import dataclass, replace
from functools import cached_property

from edgeproxy.core.behavior import Behavior, admit, behavior_for
from edgeproxy.core.decision import Fetch, Forward
from edgeproxy.core.error_pages import ErrorPage
from edgeproxy.core.errors import RequestError
from edgeproxy.core.forwarding import forwarded, forwards_websockets, is_loop, is_trusted, without_claims
from edgeproxy.core.key import CacheKey, cache_key
from edgeproxy.core.message import Request
from edgeproxy.core.paths import normalise
from edgeproxy.core.posts import Read
from edgeproxy.core.reason import Reason
from edgeproxy.core.websocket import check_handshake
from edgeproxy.core.wishes import NONE, Wishes, wishes
from edgeproxy.record import Record

_OF_THE_ORIGIN = ("if-match", "if-unmodified-since")


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
    error_pages: tuple[ErrorPage, ...] = ()


@dataclass
class Visit:
    """A request that was let in, with what was found out about it. Parts are worked out when asked for."""

    request: Request
    behavior: Behavior
    record: Record
    front: Front
    read: Read | None = None
    """What a POST reads, if its answer may be cached."""
    unread: Reason | None = None
    """Why a POST is not one of those, where some are."""

    @cached_property
    def key(self) -> CacheKey:
        """The cache key."""
        key = cache_key(self.request, self.behavior.cache.key)
        return replace(key, body=self.read.digest) if self.read is not None else key

    @cached_property
    def sent(self) -> Request:
        """The request as the origin gets it."""
        behavior, front = self.behavior, self.front
        sent = forwarded(
            self.request, behavior.cache.key, behavior.origin_request, via=front.via, loop_id=front.loop_id
        )
        if self.read is None:
            return sent
        # The answer has to be looked into.
        return sent.but(headers=sent.headers.having(("Accept-Encoding", "identity")))

    @cached_property
    def wishes(self) -> Wishes:
        """What the viewer asks of the cache, where that counts."""
        return wishes(self.request.headers) if self.behavior.cache.heeds_viewers else NONE

    @property
    def asks_for_part(self) -> bool:
        """Whether the answer from an origin would not be the whole representation."""
        return self.read is None and (self.request.method == "HEAD" or "range" in self.request.headers)

    @property
    def is_for_the_origin(self) -> bool:
        """Whether only the origin can judge it: it has a body, or a condition on the state at the origin.

        Or the answer must not be stored, and so cannot be anybody else's.  RFC 9111 §4.3.2, §5.2.1.5.
        """
        request = self.request
        if self.wishes.no_store:
            return True
        if self.read is not None:
            return False
        if request.body is not None:
            return True
        return any(field in request.headers for field in _OF_THE_ORIGIN)

    @property
    def bypass(self) -> Fetch | None:
        """Why this request does not go through the cache at all; None if it does."""
        if self.request.websocket:
            return Fetch(Forward.BYPASS, Reason.WEBSOCKET)
        if self.request.method not in self.behavior.cached_methods:
            return Fetch(Forward.METHOD, self.unread or Reason.METHOD_NOT_CACHED)
        if self.behavior.cache.ttl.is_off:
            return Fetch(Forward.BYPASS, Reason.CACHING_DISABLED)
        return None


def admitted(request: Request, behaviors: tuple[Behavior, ...], front: Front, record: Record) -> Visit:
    """The visit of a request that is let in.  Raises `RequestError`."""
    if front.aliases and not {request.host, request.host.rpartition(":")[0]} & front.aliases:
        raise RequestError(Reason.BAD_HOST, "this host name is not served here", status=403)
    if is_loop(request, front.loop_id):
        raise RequestError(Reason.LOOP, "this request has come through here before", status=508)
    path = normalise(request.path, allow_ambiguous=front.allow_ambiguous_paths)
    if path == "/" and front.default_root_object:
        path = f"/{front.default_root_object}"
    trusted = is_trusted(request.viewer, front.trusted_proxies)
    headers = request.headers if trusted else without_claims(request.headers)
    behavior = behavior_for(path, behaviors)
    is_websocket = request.websocket and forwards_websockets(behavior.cache.key, behavior.origin_request)
    if path != request.path or headers is not request.headers or is_websocket != request.websocket:
        request = request.but(path=path, headers=headers, websocket=is_websocket)
    admit(request, behavior, has_body=request.body is not None)
    if is_websocket:
        check_handshake(request.headers.end_to_end())
    return Visit(request, behavior, record, front)
