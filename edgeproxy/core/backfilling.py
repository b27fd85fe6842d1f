"""Is the bucket to be filled with what the full origin just gave, and if not, why."""

from dataclasses import dataclass

from edgeproxy.core.directives import cache_control, targeted
from edgeproxy.core.failover import Attempt
from edgeproxy.core.key import CacheKey, vary_names
from edgeproxy.core.message import Head, Request
from edgeproxy.core.paths import Pattern, collapsed, object_key
from edgeproxy.core.reason import Reason

MAX_KEY_BYTES = 1024
"""Longest S3 object key.  S3 User Guide, "Object key naming guidelines"."""

_FILLING_METHODS = frozenset({"GET", "HEAD"})
# A whole object, a part of it, or "you have it already": in each case the full origin has it.
_FILLING_STATUSES = frozenset({200, 206, 304})


@dataclass(frozen=True, slots=True)
class Rule:
    """Which objects are backfilled. `on_status`: what the primary has to say of a missing object."""

    pattern: Pattern
    on_status: frozenset[int]
    max_object_bytes: int
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Fill:
    """Copy the object into the bucket under `key`."""

    key: bytes
    rule: Rule


def on_served(
    key: CacheKey,
    sent: Request,
    trail: tuple[Attempt, ...],
    head: Head,
    rules: tuple[Rule, ...],
    prefix: str = "",
) -> Fill | Reason:
    """Judge an answer by the attempts behind it: `trail` has the primary first.

    `sent` is the request as the origins got it, `prefix` the bucket's origin path.

    Only the secondary's answer to an object that the primary *said* it lacks is worth filling: a
    primary that is down lacks nothing. An answer that depends on more than the path must not end
    under a key that is the path alone, nor must one that is not for everybody.
    """
    if len(trail) < 2:
        return Reason.NOT_FAILED_OVER
    if sent.method not in _FILLING_METHODS:
        return Reason.METHOD_NOT_CACHED
    if "authorization" in sent.headers:
        return Reason.AUTHORIZATION
    if sent.host or "cookie" in sent.headers or (sent.query and not key.query):
        return Reason.VARIES
    rule = rule_for(key.path, rules)
    if rule is None:
        return Reason.NO_RULE
    if not rule.enabled:
        return Reason.NO_BACKFILL
    if trail[0].reason is not None or trail[0].status not in rule.on_status:
        return Reason.PRIMARY_STATUS
    if trail[-1].reason is not None or head.status not in _FILLING_STATUSES:
        return Reason.SOURCE_STATUS
    reason = unfit_key(key, prefix) or unfit_head(head)
    if reason is not None:
        return reason
    if head.status == 200 and head.length is not None and head.length > rule.max_object_bytes:
        return Reason.TOO_LARGE
    return Fill(object_key(key.path, prefix), rule)


def rule_for(path: str, rules: tuple[Rule, ...]) -> Rule | None:
    """The first rule whose pattern covers `path`."""
    matched = collapsed(path)
    return next((rule for rule in rules if rule.pattern.matches(matched)), None)


def unfit_key(key: CacheKey, prefix: str = "") -> Reason | None:
    """Why the object of this cache key cannot be an S3 object; None if it can."""
    if key.query:
        return Reason.QUERY_IN_KEY
    if key.cookies or any(value is not None for name, value in key.headers if name != "accept-encoding"):
        return Reason.VARIES
    name = object_key(key.path, prefix)
    if not name or name.endswith(b"/") or len(name) > MAX_KEY_BYTES:
        return Reason.BAD_KEY
    return None


def unfit_head(head: Head) -> Reason | None:
    """Why a response is not for everybody who asks for the same path; None if it is.

    Either of `Cache-Control` and `CDN-Cache-Control` may forbid it: a bucket has readers that are no CDN.
    """
    for control in (cache_control(head.headers), targeted(head.headers)):
        if control is not None and control.no_store:
            return Reason.NO_STORE
        if control is not None and (control.private or control.private_fields):
            return Reason.PRIVATE
    if "set-cookie" in head.headers:
        return Reason.SET_COOKIE
    if set(vary_names(head.headers)) - {"accept-encoding", "origin"}:
        return Reason.VARIES
    return None
