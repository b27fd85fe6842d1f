"""Response headers policies: what is taken from an answer's fields and added to them for the viewer.

Applied behind the cache, so that nothing of it is stored.  CloudFront Developer Guide, "Understand
response headers policies"; Fetch Standard, "CORS protocol".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from edgeproxy.core.answering import Report, XCache
from edgeproxy.core.key import vary_names
from edgeproxy.core.message import Headers, Request

_CORS = frozenset(
    f"access-control-{name}"
    for name in "allow-origin allow-credentials expose-headers allow-methods allow-headers max-age".split()
)
# What opens an answer to another origin; of these a policy speaks in any case.
_GRANT = frozenset({"access-control-allow-origin", "access-control-allow-credentials"})
_ID_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SAMPLE_DIGITS = 4
_ORIGIN = re.compile(r"(?:([a-z]+)://)?(\*\.)?([^:/*]+|\[[0-9a-f:.]+\])(?::(\d+|\*))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Field:
    """A field to be added; without `override` only where the origin sent none of that name."""

    name: str
    value: str
    override: bool


@dataclass(frozen=True, slots=True)
class Cors:
    """What cross-origin requests are allowed.

    `allow_origins` has "*" or origins such as "https://www.example.com", "https://*.example.com",
    "*.example.com" (either scheme), "http://localhost:*" (any port). Without `override` all of it
    gives way where the origin sent any field of this kind.
    """

    allow_origins: tuple[str, ...]
    allow_headers: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    allow_credentials: bool = False
    max_age_s: int | None = None
    override: bool = False

    def allowed(self, origin: str) -> str | None:
        """The value of `Access-Control-Allow-Origin` for a request from `origin`; None if it has none."""
        if "*" in self.allow_origins:
            return "*"
        return origin if any(_is_covered(origin, pattern) for pattern in self.allow_origins) else None


@dataclass(frozen=True, slots=True)
class ResponseHeadersPolicy:
    """CloudFront's response headers policy. `removed` is in lower case."""

    cors: Cors | None = None
    fields: tuple[Field, ...] = ()
    removed: frozenset[str] = frozenset()
    timing_rate: float | None = None
    """Percentage of answers that get `Server-Timing`; None = the origin's passes."""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """How an answer came about, and that it took `spent_ms` until its first byte."""

    report: Report
    request_id: str
    spent_ms: float


def dressed(headers: Headers, policy: ResponseHeadersPolicy, request: Request, timing: Timing) -> Headers:
    """`headers` of an answer as the viewer gets them: less what is removed, then with what is added."""
    if policy.removed:
        headers = headers.without(policy.removed)
    names = {name.lower() for name, _ in headers}
    # By name in lower case, so that the fields are gone through but once.
    added: dict[str, tuple[str, str]] = {}
    dropped: set[str] = set()
    if policy.cors is not None and (policy.cors.override or not names & _CORS):
        added |= {name.lower(): (name, value) for name, value in _cors(headers, policy.cors, request)}
        if "origin" in request.headers:
            dropped |= _GRANT
    for field in policy.fields:
        lower = field.name.lower()
        if field.override or not (lower in names or lower in added):
            added[lower] = (field.name, field.value)
    if policy.timing_rate is not None:
        if _is_hit(timing.report):
            dropped.add("server-timing")
        if _is_sampled(policy.timing_rate, request, timing.request_id):
            added["server-timing"] = ("Server-Timing", _server_timing(headers, timing))
    kept = (pair for pair in headers if pair[0].lower() not in added and pair[0].lower() not in dropped)
    return Headers((*kept, *added.values()))


def _cors(headers: Headers, cors: Cors, request: Request) -> Iterator[tuple[str, str]]:
    if "*" not in cors.allow_origins and not {"origin", "*"} & set(vary_names(headers)):
        # Another origin gets another answer: caches further on must know.
        vary = headers.get("vary")
        yield "Vary", f"{vary}, Origin" if vary else "Origin"
    origin = request.headers.get("origin")
    allowed = cors.allowed(origin) if origin is not None else None
    if allowed is None:
        return
    yield "Access-Control-Allow-Origin", allowed
    if cors.allow_credentials:
        yield "Access-Control-Allow-Credentials", "true"
    if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
        if cors.allow_methods:
            yield "Access-Control-Allow-Methods", ", ".join(cors.allow_methods)
        if cors.allow_headers:
            yield "Access-Control-Allow-Headers", ", ".join(cors.allow_headers)
        if cors.max_age_s is not None:
            yield "Access-Control-Max-Age", str(cors.max_age_s)
    elif cors.expose_headers:
        yield "Access-Control-Expose-Headers", ", ".join(cors.expose_headers)


def _is_covered(origin: str, pattern: str) -> bool:
    wanted, given = _ORIGIN.fullmatch(pattern), _ORIGIN.fullmatch(origin)
    if wanted is None or given is None:
        return False
    scheme, is_wide, host, port = wanted.groups()
    if scheme is not None and scheme.lower() != (given[1] or "").lower():
        return False
    if port not in ("*", given[4]):
        return False
    seen = f"{given[2] or ''}{given[3]}".lower()
    return seen.endswith(f".{host.lower()}") if is_wide else seen == host.lower()


def _is_hit(report: Report) -> bool:
    return report.forward is None or report.x_cache is XCache.HIT


def _is_sampled(rate: float, request: Request, request_id: str) -> bool:
    return "server-timing" in (request.headers.get("pragma") or "").lower() or _share(request_id) < rate


def _server_timing(headers: Headers, timing: Timing) -> str:
    """The value of `Server-Timing`: on a miss behind the origin's, which says nothing about a hit."""
    first_byte, rid = f"{timing.spent_ms:.0f}", f'cdn-rid;desc="{timing.request_id}"'
    if _is_hit(timing.report):
        metrics = ["cdn-cache-hit", rid, 'cdn-hit-layer;desc="EDGE"']
    else:
        passed = headers.get("server-timing")
        result = "refresh" if timing.report.x_cache is XCache.REFRESH_HIT else "miss"
        upstream = ['cdn-upstream-layer;desc="EDGE"', f"cdn-upstream-fbl;dur={first_byte}"]
        metrics = [*([passed] if passed else []), *upstream, f"cdn-cache-{result}", rid]
    return ",".join([*metrics, f"cdn-downstream-fbl;dur={first_byte}"])


def _share(request_id: str) -> float:
    """A number from 0 to below 100 that is as random as the id, which is URL-safe base64."""
    value = 0
    for digit in request_id[:_SAMPLE_DIGITS]:
        value = value * len(_ID_DIGITS) + max(0, _ID_DIGITS.find(digit))
    return float(100 * value / len(_ID_DIGITS) ** _SAMPLE_DIGITS)
