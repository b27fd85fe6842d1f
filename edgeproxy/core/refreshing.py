"""Is an object that the bucket just gave to be held against its source again, and if not, why."""

import math
from dataclasses import dataclass

from edgeproxy.core.backfilling import Rule, rule_for, unfit_key
from edgeproxy.core.failover import Attempt
from edgeproxy.core.freshness import http_date
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.paths import object_key
from edgeproxy.core.provenance import is_marked
from edgeproxy.core.reason import Reason

ON_EVENT = math.inf
"""`Rule.refresh_s` where only somebody's word leads to it."""

_METHODS = frozenset({"GET", "HEAD"})
_WITH_NOTES = frozenset({200, 206})


@dataclass(frozen=True, slots=True)
class Refresh:
    """See whether the source of the object `key` has something else by now."""

    key: bytes
    rule: Rule


def on_primary(
    key: CacheKey,
    sent: Request,
    trail: tuple[Attempt, ...],
    head: Head,
    noted: Headers,
    rules: tuple[Rule, ...],
    prefix: str,
    now: float,
) -> Refresh | Reason:
    """Judge the bucket's own answer; `noted` is what was noted with the object, `now` in POSIX seconds.

    An object that is not ours is never touched, and one that was written lately is as good as new. A
    304 brings no notes: then whoever does it has to look. When it was looked at last is for the caller.
    """
    rule = rule_for(key.path, rules)
    if len(trail) != 1 or rule is None or not rule.enabled or rule.refresh_s is None:
        return Reason.NOT_FAILED_OVER
    if sent.method not in _METHODS or "authorization" in sent.headers or sent.query:
        return Reason.NOT_FAILED_OVER
    if trail[0].reason is not None or head.status not in _WITH_NOTES | {304}:
        return Reason.PRIMARY_STATUS
    reason = unfit_key(key, prefix)
    if reason is not None:
        return reason
    if head.status in _WITH_NOTES and not is_marked(noted):
        return Reason.NOT_OURS
    written = http_date(head.headers.get("last-modified") or "")
    if rule.refresh_s == ON_EVENT or (written is not None and now - written < rule.refresh_s):
        return Reason.CHECKED
    return Refresh(object_key(key.path, prefix), rule)
