"""Is the bucket to be filled with what the full origin just gave, and if not, why."""

from dataclasses import dataclass
from enum import StrEnum

from edgeproxy.core.directives import cache_control, targeted
from edgeproxy.core.failover import Attempt
from edgeproxy.core.key import CacheKey, vary_names
from edgeproxy.core.message import Head, Request
from edgeproxy.core.paths import Pattern, collapsed, object_key
from edgeproxy.core.reason import Reason

MAX_KEY_BYTES = 1024
"""Longest S3 object key.  S3 User Guide, "Object key naming guidelines"."""

MISSING_STATUSES = frozenset({403, 404})
"""What a bucket says of what it has not; the former to those who may not list it."""
_FILLING_METHODS = frozenset({"GET", "HEAD"})
# A whole object, a part of it, or "you have it already": in each case the full origin has it.
_FILLING_STATUSES = frozenset({200, 206, 304})


class Mode(StrEnum):
    """When an object is fetched for the bucket, and what the viewer gets meanwhile."""

    QUEUE = "queue"
    """Later, behind the viewer's back, who gets the full origin's answer at once."""
    GENERATE = "generate"
    """While the viewer waits, who gets that very object."""
    REDIRECT = "redirect"
    """While the viewer waits, who is then sent to the same address again."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which objects are backfilled. `on_status`: what the primary has to say of a missing object."""

    pattern: Pattern
    on_status: frozenset[int]
    max_object_bytes: int
    enabled: bool = True
    methods: frozenset[str] = _FILLING_METHODS
    """Methods of viewers that lead to it."""
    content_types: tuple[str, ...] = ()
    """Media types, lower case and without parameters, such as `image/*`; none = every type."""
    min_object_bytes: int = 0
    mode: Mode = Mode.QUEUE
    sources: tuple[str, ...] = ()
    """Where objects come from, in order; none = the group's secondary."""
    refresh_s: float | None = None
    """How often it is looked whether the object has changed at its source; None = never."""

    @property
    def makes_at_once(self) -> bool:
        """Whether viewers wait for what it covers."""
        return self.enabled and self.mode is not Mode.QUEUE


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
    if "cookie" in sent.headers:
        return Reason.VARIES
    rule = rule_for(key.path, rules)
    # Where it comes from elsewhere, what the secondary was asked and has said does not matter.
    if (rule is None or not rule.sources) and (sent.host or (sent.query and not key.query)):
        return Reason.VARIES
    if rule is None:
        return Reason.NO_RULE
    if not rule.enabled:
        return Reason.NO_BACKFILL
    if sent.method not in rule.methods:
        return Reason.METHOD_NOT_CACHED
    if trail[0].reason is not None or trail[0].status not in rule.on_status:
        return Reason.PRIMARY_STATUS
    reason = unfit_key(key, prefix)
    if reason is None and not rule.sources:
        reason = _unfit_answer(rule, trail[-1], head)
    return reason or Fill(object_key(key.path, prefix), rule)


def _unfit_answer(rule: Rule, last: Attempt, head: Head) -> Reason | None:
    if last.reason is not None or head.status not in _FILLING_STATUSES:
        return Reason.SOURCE_STATUS
    return unfit_head(head) or (unfit_object(rule, head) if head.status == 200 else None)


def unfit_object(rule: Rule, head: Head) -> Reason | None:
    """Why `rule` does not want the object of a 200 with this head; None if it does, as far as that tells."""
    if not _is_of(rule.content_types, head):
        return Reason.TYPE_NOT_COPIED
    if head.length is not None and head.length < rule.min_object_bytes:
        return Reason.TOO_SMALL
    if head.length is not None and head.length > rule.max_object_bytes:
        return Reason.TOO_LARGE
    return None


def _is_of(types: tuple[str, ...], head: Head) -> bool:
    """Whether the media type is one of `types`.  RFC 9110 §8.3.1, §12.5.1."""
    own = (head.headers.get("content-type") or "").partition(";")[0].strip(" \t").lower()
    names = {own, f"{own.partition('/')[0]}/*", "*/*"} if own else {"*/*"}
    return not types or not names.isdisjoint(types)


def on_missing(sent: Request, status: int, rules: tuple[Rule, ...], prefix: str = "") -> Fill | Reason | None:
    """Judge what the primary says of an object: is it to be made while the viewer waits?

    None where no rule has that in mind, else why not. What the viewer gets comes from the bucket, which
    knows of paths alone; so a query or a field matters to nobody, unless the rule's source takes it.
    """
    if status not in MISSING_STATUSES:
        return None
    rule = rule_for(sent.path, rules)
    if rule is None or rule.mode is Mode.QUEUE:
        return None
    if status not in rule.on_status:
        return Reason.PRIMARY_STATUS
    if not rule.enabled:
        return Reason.NO_BACKFILL
    if sent.method not in rule.methods:
        return Reason.METHOD_NOT_CACHED
    if "authorization" in sent.headers:
        return Reason.AUTHORIZATION
    key = object_key(sent.path, prefix)
    return Fill(key, rule) if is_key(key) else Reason.BAD_KEY


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
    return None if is_key(object_key(key.path, prefix)) else Reason.BAD_KEY


def is_key(name: bytes) -> bool:
    """Whether an object that is served can have this name in a bucket.  S3 User Guide, "Object key names"."""
    return 0 < len(name) <= MAX_KEY_BYTES and not name.endswith(b"/")


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
