"""The gateway's side of the backfill: is this answer to be copied, and was the job taken in."""

import math
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from edgeproxy.backfill.job import Job
from edgeproxy.backfill.tombstones import Tombstones
from edgeproxy.backfill.worker import Worker
from edgeproxy.clock import Clock
from edgeproxy.core.backfilling import Fill, Rule, on_served, rule_for
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Request
from edgeproxy.core.paths import object_key
from edgeproxy.core.reason import Reason
from edgeproxy.core.refreshing import Refresh, on_primary
from edgeproxy.origins.base import Reply

QUEUED = "queued"
_MOST_CHECKED = 100_000


@dataclass(frozen=True, slots=True)
class Asked:
    """Objects that an operator speaks of, by their paths in normal form; of one group, or of all."""

    paths: tuple[str, ...]
    group: str | None = None
    for_s: float = 0.0


class Filler:
    """`prefixes` has the key prefix (an origin path, or "") of each group whose primary is a bucket.

    `groups` has the names of those groups that write into the bucket of a target, a group or an origin.
    What is deleted through the gateway is not filled again for `tombstone_s` seconds.
    """

    def __init__(
        self,
        rules: tuple[Rule, ...],
        prefixes: Mapping[str, str],
        groups: Mapping[str, tuple[str, ...]],
        worker: Worker,
        tombstones: Tombstones,
        tombstone_s: float,
        clock: Clock,
    ) -> None:
        self.rules = rules
        self.prefixes = prefixes
        self._groups = groups
        self._worker = worker
        self._tombstones = tombstones
        self._tombstone_s = tombstone_s
        self._clock = clock
        # When it was last looked at the source of an object.
        self._checked: OrderedDict[tuple[str, bytes], float] = OrderedDict()

    def consider(self, target: str, key: CacheKey, sent: Request, reply: Reply) -> str:
        """Queue a job for an answer if it should be one; "queued", or the Reason why not. Never waits."""
        if len(reply.trail) > 1 and target not in self.prefixes:
            return Reason.PRIMARY_NOT_S3
        if len(reply.trail) == 1 and target in self.prefixes:
            return self._look_again(target, key, sent, reply)
        verdict = on_served(key, sent, reply.trail, reply.head, self.rules, self.prefixes.get(target, ""))
        if not isinstance(verdict, Fill):
            return verdict
        if self._tombstones.is_known((target, verdict.key)):
            return Reason.TOMBSTONE
        job = Job(target, verdict.key, key.path, key, verdict.rule.max_object_bytes)
        return self._worker.offer(job) or QUEUED

    def _look_again(self, target: str, key: CacheKey, sent: Request, reply: Reply) -> str:
        """Queue a job for an object that the bucket gave, if it is time to look at its source."""
        now, prefix = self._clock.now(), self.prefixes[target]
        verdict = on_primary(key, sent, reply.trail, reply.head, reply.notes, self.rules, prefix, now)
        if not isinstance(verdict, Refresh):
            return verdict
        identity = (target, verdict.key)
        assert verdict.rule.refresh_s is not None
        if self._clock.elapsed() - self._checked.get(identity, -math.inf) < verdict.rule.refresh_s:
            return Reason.CHECKED
        return self._refresh(target, key.path, verdict.rule) or QUEUED

    def _refresh(self, group: str, path: str, rule: Rule) -> Reason | None:
        key = object_key(path, self.prefixes[group])
        if self._tombstones.is_known((group, key)):
            return Reason.TOMBSTONE
        reason = self._worker.offer(Job(group, key, path, None, rule.max_object_bytes, refresh=True))
        if reason is None:
            self._checked[group, key] = self._clock.elapsed()
            self._checked.move_to_end((group, key))
            if len(self._checked) > _MOST_CHECKED:
                self._checked.popitem(last=False)
        return reason

    def refresh(self, paths: Iterable[str], groups: Collection[str] | None = None) -> Counter[str]:
        """Queue jobs for the objects of `paths`, in these groups or in all: is there something else by now?

        Gives how many are "queued", and how many not for which Reason.
        """
        said: Counter[str] = Counter()
        for path in paths:
            rule = rule_for(path, self.rules)
            for group in self.prefixes if groups is None else groups:
                if rule is None or not rule.enabled:
                    said[Reason.NO_RULE if rule is None else Reason.NO_BACKFILL] += 1
                else:
                    said[self._refresh(group, path, rule) or QUEUED] += 1
        return said

    def purged(self, path: str) -> None:
        """The cache has to forget `path`: if that is an event by the rule for it, look at its source."""
        rule = rule_for(path, self.rules)
        if rule is not None and rule.refresh_s is not None:
            self.refresh([path])

    async def deleted(self, target: str, path: str) -> None:
        """An object was deleted on purpose: leave it so for a while.  Raises `QueueError`."""
        await self.bury([path], self._tombstone_s, self._groups.get(target, ()))

    async def bury(self, paths: Iterable[str], for_s: float, groups: Collection[str] | None = None) -> int:
        """Do not fill the objects of `paths` for `for_s` seconds, in these groups or in all; 0 = do again.

        Gives how many tombstones there are of it.  Raises `QueueError`.
        """
        among = self.prefixes if groups is None else groups
        identities = [(group, object_key(path, self.prefixes[group])) for path in paths for group in among]
        await self._tombstones.bury(identities, for_s)
        return len(identities)
