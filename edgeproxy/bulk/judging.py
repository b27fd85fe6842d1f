"""Which job follows from what a line names: by the same rules as from a viewer's miss of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from edgeproxy.backfill.job import Job
from edgeproxy.bulk.named import Bad, ObjectKey, Target, shown
from edgeproxy.core.backfilling import Fill, Rule, on_served, rule_for
from edgeproxy.core.behavior import Behavior, behavior_for
from edgeproxy.core.errors import RequestError
from edgeproxy.core.failover import Attempt
from edgeproxy.core.forwarding import forwarded
from edgeproxy.core.key import CacheKey, cache_key
from edgeproxy.core.message import Head, Request
from edgeproxy.core.paths import key_path, normalise, object_key
from edgeproxy.core.reason import Reason

_FOUND = Head(200)


@dataclass(frozen=True, slots=True)
class Item:
    """One object; `reason` = why it is not to be copied."""

    group: str
    key: bytes
    path: str
    """In normal form, to ask the source for."""
    reason: Reason | None = None


class Judge:
    """`prefixes` has the bucket's origin path for each group that has a bucket; `only` = the group meant."""

    def __init__(
        self,
        behaviors: tuple[Behavior, ...],
        rules: tuple[Rule, ...],
        prefixes: Mapping[str, str],
        *,
        only: str | None = None,
        root_object: str = "",
        allow_ambiguous: bool = False,
    ) -> None:
        self._behaviors = behaviors
        self._rules = rules
        self._prefixes = prefixes
        self._only = only
        self._root_object = root_object
        self._allow_ambiguous = allow_ambiguous
        # Logs name the same again and again.
        self.judged = lru_cache(maxsize=16_384)(self._judged)

    def _judged(self, named: Target | ObjectKey) -> Item | Bad | None:
        """The object that is meant; None if it is of a group that is not."""
        group: str | None = None
        if isinstance(named, Target):
            path, query = named.path, named.query
        else:
            if self._only is None and len(self._prefixes) > 1:
                return Bad("got a key, want a path, or --group: there are several buckets")
            group = self._only or next(iter(self._prefixes))
            prefix = f"{self._prefixes[group]}/"[1:].encode()
            if not named.key.startswith(prefix):
                return Bad(f"got the key {shown(named.key.decode())}, want one below {prefix.decode()}")
            path, query = key_path(named.key[len(prefix) :]), ""
        try:
            path = normalise(path, allow_ambiguous=self._allow_ambiguous)
        except RequestError as error:
            return Bad(f"got {shown(path)}: {error.message}")
        if path == "/" and self._root_object:
            path = f"/{self._root_object}"
        request = Request("GET", path, query)
        behavior = behavior_for(path, self._behaviors)
        if group is None or behavior.target == group:
            key = cache_key(request, behavior.cache.key)
            sent = forwarded(request, behavior.cache.key, behavior.origin_request, via="", loop_id="")
            return self._item(behavior.target, key, sent)
        # Viewers do not get it from there, but that key was asked for, in that bucket.
        return self._item(group, CacheKey("GET", path), request)

    def _item(self, group: str, key: CacheKey, sent: Request) -> Item | None:
        if self._only not in (None, group):
            return None
        if group not in self._prefixes:
            return Item(group, object_key(key.path), key.path, Reason.PRIMARY_NOT_S3)
        prefix = self._prefixes[group]
        verdict = self._verdict(key, sent, prefix)
        reason = None if isinstance(verdict, Fill) else verdict
        return Item(group, object_key(key.path, prefix), key.path, reason)

    def _verdict(self, key: CacheKey, sent: Request, prefix: str) -> Fill | Reason:
        """As if the bucket had just said that it lacks the object, and the source had given it."""
        rule = rule_for(key.path, self._rules)
        if rule is None:
            return Reason.NO_RULE
        trail = (Attempt("", min(rule.on_status)), Attempt("", _FOUND.status))
        return on_served(key, sent, trail, _FOUND, self._rules, prefix)

    def job(self, group: str, path: str) -> Job:
        """The job for an item that is to be copied."""
        rule = rule_for(path, self._rules)
        max_bytes = rule.max_object_bytes if rule is not None else 0
        return Job(group, object_key(path, self._prefixes[group]), path, None, max_bytes)
