"""The fields that we add to an answer: `Age`, `Via`, `X-Cache`, `X-Amz-Cf-Id`, `Cache-Status`.

RFC 9111 §5.1, RFC 9211; CloudFront Developer Guide, "Response headers".
"""

from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum
from functools import lru_cache

from edgeproxy.core.decision import Forward
from edgeproxy.core.message import HOP_BY_HOP, Head, Headers
from edgeproxy.core.reason import Reason

_REPLACED = frozenset({"via", "x-cache", "x-amz-cf-id", "x-amz-cf-pop", "alt-svc"})
_OURS = HOP_BY_HOP | _REPLACED | {"cache-status"}
_OURS_AND_AGE = _OURS | {"age"}
_OF_THE_BODY = frozenset(
    {"content-length", "content-encoding", "content-type", "content-range", "content-md5"}
)


class XCache(StrEnum):
    """CloudFront's result words."""

    HIT = "Hit"
    REFRESH_HIT = "RefreshHit"
    MISS = "Miss"
    ERROR = "Error"


@dataclass(frozen=True, slots=True)
class Report:
    """How an answer came about."""

    x_cache: XCache
    forward: Forward | None = None
    reason: Reason | None = None
    fwd_status: int | None = None
    """Status of the origin's answer."""
    fresh_for_s: float | None = None
    age_s: float | None = None
    is_stored: bool = False
    is_collapsed: bool = False

    def cache_status(self, name: str) -> str:
        """The `Cache-Status` value, with the Reason as `detail`.  RFC 9211 §2."""
        parts = [name]
        if self.forward is None:
            parts.append("hit")
        else:
            parts.append(f"fwd={self.forward}")
            if self.fwd_status is not None:
                parts.append(f"fwd-status={self.fwd_status}")
            if self.is_stored:
                parts.append("stored")
            if self.is_collapsed:
                parts.append("collapsed")
        if self.fresh_for_s is not None:
            parts.append(f"ttl={int(self.fresh_for_s)}")
        if self.reason is not None:
            parts.append(f"detail={self.reason}")
        return "; ".join(parts)


def answer_headers(headers: Headers, report: Report, *, via: str, request_id: str) -> Headers:
    """The fields of an answer to a viewer: the origin's end-to-end fields, then ours."""
    passed = headers.get("cache-status")
    ours = report.cache_status("edgeproxy")
    added = [
        ("X-Cache", f"{report.x_cache} from cloudfront"),
        ("Via", via),
        ("X-Amz-Cf-Id", request_id),
        ("Cache-Status", f"{passed}, {ours}" if passed else ours),
    ]
    dropped = _OURS
    if report.age_s is not None:
        dropped = _OURS_AND_AGE
        added.insert(0, ("Age", str(int(report.age_s))))
    # In one pass: this is done for every hit.
    kept = (headers if "connection" not in headers else headers.end_to_end()).without(dropped)
    return Headers((*kept.pairs, *added))


def dated(head: Head, received_at: float) -> Head:
    """`head` with the `Date` of its arrival, POSIX seconds, if its maker gave none.  RFC 9110 §6.6.1."""
    if "date" in head.headers:
        return head
    return Head(head.status, head.headers.having(("Date", _date_text(int(received_at)))))


@lru_cache(4096)
def _date_text(seconds: int) -> str:
    """As every answer wants it that comes from an entry of this second."""
    return formatdate(seconds, usegmt=True)


def not_modified(head: Head) -> Head:
    """`head` as a 304: without the fields of the body it does not carry.  RFC 9110 §15.4.5."""
    return Head(304, head.headers.without(_OF_THE_BODY))
