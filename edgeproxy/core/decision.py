"""The three questions about a request that goes through the cache, and their closed answers.

`on_lookup` before an origin is asked, `on_reply` when it answered, `on_error` when it did not.
The gateway asks and acts; nothing here does either.  RFC 9111 §3-§4.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from edgeproxy.core.errors import EdgeError, OriginError
from edgeproxy.core.message import Head, Request
from edgeproxy.core.reason import Reason
from edgeproxy.core.staleness import as_wanted, on_failure, while_revalidating
from edgeproxy.core.storing import CachePolicy, Stored, may_store, stored
from edgeproxy.core.validation import agrees, freshened, validators
from edgeproxy.core.wishes import NONE, Wishes


class Forward(StrEnum):
    """Why a request went forward to an origin: the `fwd` parameter of `Cache-Status`.  RFC 9211 §2.2."""

    BYPASS = "bypass"
    METHOD = "method"
    MISS = "uri-miss"
    VARY_MISS = "vary-miss"
    STALE = "stale"
    REQUEST = "request"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask an origin; `conditions` are the fields that validate what is stored."""

    forward: Forward
    reason: Reason | None = None
    conditions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer from the stored response; with a `reason` if it is stale, and `refresh` it meanwhile."""

    age_s: float
    fresh_for_s: float
    reason: Reason | None = None
    refresh: Fetch | None = None


@dataclass(frozen=True, slots=True)
class Keep:
    """Store the answer and serve it."""

    stored: Stored


@dataclass(frozen=True, slots=True)
class Refresh:
    """The stored body still holds (304): serve it under its updated head.

    With a `reason` it is not to be stored any longer, and is for the one who asked.
    """

    stored: Stored
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Excuse:
    """The origin failed: serve what is stored although it is stale, and let the origin rest a while."""

    stored: Stored
    reason: Reason


@dataclass(frozen=True, slots=True)
class Pass:
    """Serve the answer and store nothing."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Fail:
    """No answer was to be had, or none that was asked for; everybody gets the same for `rest_s` seconds."""

    status: int
    reason: Reason
    rest_s: float = 0.0


Lookup: TypeAlias = Serve | Fetch | Fail
Verdict: TypeAlias = Keep | Refresh | Excuse | Pass


def on_lookup(
    found: Stored | None, other_variants: bool, policy: CachePolicy, now: float, wishes: Wishes = NONE
) -> Lookup:
    """May the stored response be served as it is, or must an origin be asked?

    RFC 9111 §4, §4.2.4, §4.3.1; §5.2.1 for the viewer's `wishes`.
    """
    decision = _looked_up(found, other_variants, policy, now, wishes)
    if wishes.only_if_cached and isinstance(decision, Fetch):
        return Fail(504, Reason.ONLY_IF_CACHED)
    return decision


def _looked_up(
    found: Stored | None, other_variants: bool, policy: CachePolicy, now: float, wishes: Wishes
) -> Serve | Fetch:
    if found is None:
        return Fetch(Forward.VARY_MISS if other_variants else Forward.MISS)
    age, fresh_for = found.age(now), found.fresh_for(now)
    is_refused = wishes.refuse(age, fresh_for)
    if fresh_for > 0:
        if is_refused:
            return Fetch(Forward.REQUEST, Reason.REQUEST_DIRECTIVE, validators(found.head))
        return Serve(age, fresh_for)
    reason = Reason.NO_CACHE if policy.ttl.control(found.head).no_cache else Reason.STALE
    fetch = Fetch(Forward.STALE, reason, validators(found.head))
    if is_refused or not wishes.takes_stale:
        return fetch
    if now < found.excused_until:
        return Serve(age, fresh_for, Reason.STALE_ON_ERROR)
    # A refresh stores the answer to this very request, which `no-store` forbids.
    if while_revalidating(found, policy, now) and not wishes.no_store:
        return Serve(age, fresh_for, Reason.STALE_WHILE_REVALIDATE, fetch)
    if wishes.max_stale is not None and as_wanted(found, policy, now, wishes.max_stale):
        return Serve(age, fresh_for, Reason.MAX_STALE)
    return fetch


def on_reply(
    sent: Request,
    head: Head,
    policy: CachePolicy,
    found: Stored | None,
    requested_at: float,
    received_at: float,
    keep_s: float | None = None,
) -> Verdict:
    """What becomes of an origin's answer.  `sent` is the request as the origin got it.

    `keep_s`: it is kept no longer, whatever the policy says.  RFC 9111 §3, §4.3.3.
    """
    if head.status == 304 and found is not None:
        new_head = freshened(found.head, head)
        reason = may_store(sent, new_head, policy, received_at)
        return Refresh(stored(sent, new_head, policy, requested_at, received_at), reason)
    if head.status >= 500 and (excuse := excused(found, policy, head.status, received_at)) is not None:
        return excuse
    reason = may_store(sent, head, policy, received_at)
    if reason is not None or keep_s == 0:
        return Pass(reason or Reason.NO_STORE)
    kept = stored(sent, head, policy, requested_at, received_at)
    control = policy.ttl.control(head)
    has_window = bool(control.stale_while_revalidate or control.stale_if_error)
    if kept.fresh_for(received_at) <= 0 and not validators(head) and not has_window:
        # Never fresh and nothing to validate it by: it could never be used.  RFC 9111 §3.
        return Pass(Reason.NO_CACHE if control.no_cache else Reason.NO_LIFETIME)
    if keep_s is not None:
        kept = replace(kept, lifetime_s=min(kept.lifetime_s, kept.age(received_at) + keep_s))
    return Keep(kept)


def on_head(
    sent: Request,
    head: Head,
    policy: CachePolicy,
    found: Stored,
    length: int,
    requested_at: float,
    received_at: float,
) -> Stored | None:
    """What the answer to a HEAD that went past the cache makes of the stored answer to GET.

    Fresh anew if it is still the same, stale if it is not, None if that cannot be told. `length` is
    that of the stored body.  RFC 9111 §4.3.5.
    """
    if head.status != 200 or found.head.status != 200:
        return None
    is_same = agrees(found.head, length, head)
    if is_same is None:
        return None
    new_head = freshened(found.head, head)
    if is_same and may_store(sent, new_head, policy, received_at) is None:
        new = stored(sent, new_head, policy, requested_at, received_at)
        return replace(new, is_for_everybody=found.is_for_everybody and new.is_for_everybody)
    return replace(found, lifetime_s=min(found.lifetime_s, found.age(received_at)))


def on_error(error: EdgeError, policy: CachePolicy, found: Stored | None, now: float) -> Excuse | Fail:
    """What becomes of a request that no origin answered.

    Only an origin's fault is remembered: what a viewer did, or what broke here, is nobody else's.
    CloudFront Developer Guide, "How CloudFront caches HTTP 4xx and 5xx status codes".
    """
    excuse = excused(found, policy, error.status, now)
    if excuse is not None:
        return excuse
    rest_s = _rest_s(policy, error.status) if isinstance(error, OriginError) else 0.0
    return Fail(error.status, error.reason, rest_s)


def excused(
    found: Stored | None, policy: CachePolicy, status: int, now: float, wishes: Wishes = NONE
) -> Excuse | None:
    """The stale response, if it may stand in for a failure; it then does for the error's minimum TTL.

    What everybody waits for is judged without `wishes`; one's own are asked when it has failed.
    """
    if found is None or found.head.status >= 400:
        return None
    if not on_failure(found, policy, now, wishes.stale_if_error):
        return None
    return Excuse(replace(found, excused_until=now + _rest_s(policy, status)), Reason.STALE_ON_ERROR)


def _rest_s(policy: CachePolicy, status: int) -> float:
    """Seconds for which a failing origin is left alone; none where the policy leaves all to the origin."""
    return 0.0 if policy.ttl.is_conforming else policy.errors.min_s(status)
