"""The three questions about a request that goes through the cache, and their closed answers.

`on_lookup` before an origin is asked, `on_reply` when it answered, `on_error` when it did not.
The gateway asks and acts; nothing here does either.  RFC 9111 §3-§4.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from edgeproxy.core.directives import cache_control
from edgeproxy.core.errors import OriginError
from edgeproxy.core.message import Head, Request
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import CachePolicy, Stored, may_store, stored
from edgeproxy.core.validation import freshened, validators


class Forward(StrEnum):
    """Why a request went forward to an origin: the `fwd` parameter of `Cache-Status`.  RFC 9211 §2.2."""

    BYPASS = "bypass"
    METHOD = "method"
    MISS = "uri-miss"
    VARY_MISS = "vary-miss"
    STALE = "stale"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer from the stored response."""

    age_s: float
    fresh_for_s: float


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask an origin; `conditions` are the fields that validate what is stored."""

    forward: Forward
    reason: Reason | None = None
    conditions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Keep:
    """Store the answer and serve it."""

    stored: Stored


@dataclass(frozen=True, slots=True)
class Refresh:
    """The stored body still holds (304): serve it under its updated head."""

    stored: Stored


@dataclass(frozen=True, slots=True)
class Pass:
    """Serve the answer and store nothing."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Fail:
    """No answer was to be had."""

    status: int
    reason: Reason


Lookup: TypeAlias = Serve | Fetch
Verdict: TypeAlias = Keep | Refresh | Pass


def on_lookup(found: Stored | None, other_variants: bool, now: float) -> Lookup:
    """May the stored response be served as it is, or must an origin be asked?

    RFC 9111 §4, §4.3.1.
    """
    if found is None:
        return Fetch(Forward.VARY_MISS if other_variants else Forward.MISS)
    fresh_for = found.fresh_for(now)
    if fresh_for > 0:
        return Serve(found.age(now), fresh_for)
    reason = Reason.NO_CACHE if cache_control(found.head.headers).no_cache else Reason.STALE
    return Fetch(Forward.STALE, reason, validators(found.head))


def on_reply(
    sent: Request,
    head: Head,
    policy: CachePolicy,
    found: Stored | None,
    requested_at: float,
    received_at: float,
) -> Verdict:
    """What becomes of an origin's answer.  `sent` is the request as the origin got it.

    RFC 9111 §3, §4.3.3.
    """
    if head.status == 304 and found is not None:
        return Refresh(stored(sent, freshened(found.head, head), policy, requested_at, received_at))
    reason = may_store(sent, head, policy)
    if reason is not None:
        return Pass(reason)
    kept = stored(sent, head, policy, requested_at, received_at)
    if kept.fresh_for(received_at) <= 0 and not validators(head):
        # Never fresh and nothing to validate it by: it could never be used.  RFC 9111 §3.
        control = cache_control(head.headers)
        return Pass(Reason.NO_CACHE if control.no_cache else Reason.NO_LIFETIME)
    return Keep(kept)


def on_error(error: OriginError) -> Fail:
    """What the viewer gets when no origin answered."""
    return Fail(error.status, error.reason)
