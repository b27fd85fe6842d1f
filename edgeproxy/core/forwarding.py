"""A viewer's request as an origin gets it.

CloudFront Developer Guide, "Request and response behavior for custom origins" and "Controlling
origin requests"; RFC 9110 §7.6, RFC 8586 (CDN-Loop).
"""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from edgeproxy.core.directives import arguments
from edgeproxy.core.key import (
    KeyPolicy,
    Pick,
    Selection,
    accept_encoding,
    selected_cookies,
    selected_query,
)
from edgeproxy.core.message import SAFE_METHODS, Headers, Request
from edgeproxy.core.validation import CONDITIONAL
from edgeproxy.core.websocket import FIELDS, NEEDED

Networks: TypeAlias = tuple[str, ...]

# What a viewer may not tell an origin about where the request came from, unless it is trusted.
CLAIMS = frozenset(
    "forwarded x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-forwarded-prefix"
    " x-real-ip x-client-ip true-client-ip cf-connecting-ip".split()
)
_ALWAYS_DROPPED = frozenset(
    "expect x-edge-request-id host via cdn-loop x-amz-cf-id accept-encoding cookie".split()
)
# Forwarded without being listed: what asks for a part, or on a condition.
_OF_THE_MESSAGE = frozenset({"cache-control", "pragma", "range"}) | CONDITIONAL
# Forwarded with a body only: on a read they could change an answer that is for everybody.
_OF_THE_BODY = frozenset(
    "content-length content-type content-md5 content-encoding content-digest repr-digest date".split()
)
# Fields that tell the origin nothing about who asks; answers in a coding are looked at apart.
_SAYS_NOTHING = CONDITIONAL | {"via", "cdn-loop", "x-forwarded-for", "accept-encoding", "range"}
# What asks for a part, or not at all.
_OF_THE_VIEWER = CONDITIONAL | {"range"}


@dataclass(frozen=True, slots=True)
class OriginRequestPolicy:
    """CloudFront's origin request policy: what is sent to the origin beyond the cache key."""

    headers: Selection = Selection()
    cookies: Selection = Selection()
    query: Selection = Selection()
    name: str = ""


def forwarded(
    request: Request, key: KeyPolicy, policy: OriginRequestPolicy, *, via: str, loop_id: str
) -> Request:
    """The request for the origin: what the key holds, what the message needs, what `policy` adds.

    `Authorization` goes along on reads only where a policy lists it (or takes all), on writes always.
    `Host` is left empty unless a policy asks for the viewer's: the origin fills in its own name. The
    viewer's also stands among the fields, for a `Vary: Host`.
    """
    wants_host = "host" in key.headers.names or policy.headers.takes("host")
    fields = [
        (name, value)
        for name, value in request.headers.end_to_end()
        if _is_forwarded(name.lower(), request, key, policy)
    ]
    if wants_host and request.host:
        fields.append(("Host", request.host))
    coding = _coding(request, key, policy)
    if coding is not None:
        fields.append(("Accept-Encoding", coding))
    cookies = selected_cookies(request.headers, _merged(key.cookies, policy.cookies))
    if cookies:
        fields.append(("Cookie", cookies))
    if request.viewer:
        before = request.headers.get("x-forwarded-for")
        fields = [field for field in fields if field[0].lower() != "x-forwarded-for"]
        fields.append(("X-Forwarded-For", f"{before}, {request.viewer}" if before else request.viewer))
    passed_via, passed_loop = request.headers.get("via"), request.headers.get("cdn-loop")
    fields.append(("Via", f"{passed_via}, {via}" if passed_via else via))
    fields.append(("CDN-Loop", f"{passed_loop}, {loop_id}" if passed_loop else loop_id))
    return request.but(
        headers=Headers(fields),
        host=request.host if wants_host else "",
        query=selected_query(request.query, _merged(key.query, policy.query)),
        asked=request,
    )


def _is_forwarded(name: str, request: Request, key: KeyPolicy, policy: OriginRequestPolicy) -> bool:
    if name in _ALWAYS_DROPPED or (name == "content-length" and request.body is None):
        # Whatever a policy takes: a length without a body would make the next request the body.
        return False
    if name in CLAIMS or name in _OF_THE_MESSAGE or name in key.headers.names or policy.headers.takes(name):
        return True
    if name in _OF_THE_BODY:
        return request.body is not None
    if request.websocket and (name in FIELDS or name == "origin"):
        # Nobody else gets what it leads to, and by `Origin` alone servers tell whose page asks.
        return True
    return name in ("authorization", "origin") and request.method not in SAFE_METHODS


def forwards_websockets(key: KeyPolicy, policy: OriginRequestPolicy) -> bool:
    """Whether the fields are forwarded without which there is no WebSocket.

    CloudFront Developer Guide, "Use WebSockets with CloudFront distributions".
    """
    return all(name in key.headers.names or policy.headers.takes(name) for name in NEEDED)


def _coding(request: Request, key: KeyPolicy, policy: OriginRequestPolicy) -> str | None:
    if key.gzip or key.brotli:
        return accept_encoding(request.headers, key)
    if "accept-encoding" in key.headers.names or policy.headers.takes("accept-encoding"):
        return request.headers.get("accept-encoding")
    return None


def _merged(key: Selection, policy: Selection) -> Selection:
    """What is sent of parameters or cookies: all that the key takes, and what the policy adds.

    Of two lists of exceptions both hold, so that nothing outside the key is sent.  CloudFront
    Developer Guide, "Understand how origin request policies and cache policies work together".
    """
    match key.pick, policy.pick:
        case (_, Pick.NONE) | (Pick.ALL, _):
            return key
        case (Pick.NONE, _) | (_, Pick.ALL):
            return policy
        case (Pick.ONLY, Pick.ONLY) | (Pick.EXCEPT, Pick.EXCEPT):
            return Selection(key.pick, key.names | policy.names)
        case (Pick.EXCEPT, _):
            return Selection(Pick.EXCEPT, key.names - policy.names)
        case _:
            return Selection(Pick.EXCEPT, policy.names - key.names)


def without_claims(headers: Headers) -> Headers:
    """Fields of a viewer that is not a trusted proxy."""
    return headers.without(CLAIMS)


def is_trusted(viewer: str, networks: Networks) -> bool:
    """Whether forwarding fields of this peer are believed."""
    if not networks:
        return False
    try:
        address = ip_address(viewer)
    except ValueError:
        return False
    return any(address in _network(network) for network in networks)


@lru_cache(maxsize=256)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text)


def unconditional(request: Request) -> Request:
    """The same request for the whole representation: what a cache asks to have something to store.

    A HEAD becomes a GET: its answer has no body, and must not be taken for one that is empty.
    """
    headers = request.headers.without(_OF_THE_VIEWER)
    if request.method == "HEAD":
        return request.but(method="GET", headers=headers)
    return request if headers is request.headers else request.but(headers=headers)


def to_be_shared(sent: Request, conditions: tuple[tuple[str, str], ...] = ()) -> Request:
    """The request for the whole, on `conditions` alone, whose answer others may get too.

    An origin that is a cache itself must not refuse to all what one viewer wants from caches alone.
    """
    whole = unconditional(sent)
    headers = whole.headers
    if "only-if-cached" in arguments(headers.get("cache-control") or ""):
        headers = headers.without({"cache-control"})
    headers = headers.having(*conditions)
    return whole if headers is whole.headers else whole.but(headers=headers)


def is_for_everybody(sent: Request) -> bool:
    """Whether a request as the origin got it names an object and nothing of the viewer's.

    Only then are the answer's bytes what anybody would have got, and fit for the bucket.
    """
    return not sent.host and not sent.query and all(name.lower() in _SAYS_NOTHING for name, _ in sent.headers)


def is_loop(request: Request, loop_id: str) -> bool:
    """Whether this request was sent by ourselves.  RFC 8586."""
    passed = request.headers.get("cdn-loop")
    return passed is not None and loop_id in (part.split(";")[0].strip() for part in passed.split(","))
