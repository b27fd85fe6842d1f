"""The gateway's side of the backfill: is this answer to be copied, and was the job taken in."""

import math
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from edgeproxy.backfill.job import Entry, Job, Wanted
from edgeproxy.backfill.making import Commission
from edgeproxy.backfill.queue import QueueError
from edgeproxy.backfill.source import Source
from edgeproxy.backfill.tombstones import Tombstones
from edgeproxy.backfill.worker import Worker
from edgeproxy.clock import Clock
from edgeproxy.core.backfilling import Fill, Rule, on_missing, on_served, rule_for
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Request
from edgeproxy.core.paths import object_key
from edgeproxy.core.reason import Reason
from edgeproxy.core.refreshing import Refresh, on_primary
from edgeproxy.core.sourcing import kept_of
from edgeproxy.origins.base import Reply

QUEUED = "queued"
_MOST_CHECKED = 100_000
_MOST_KEPT_BYTES = 8 * 1024
"""Of a viewer's query and fields, with a job: a queue may have very many of them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Objects that an operator speaks of, by their paths in normal form; of one group, or of all."""

    paths: tuple[str, ...]
    group: str | None = None
    for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Burial:
    """How it is seen to that what was deleted from a bucket on purpose stays so for a while."""

    tombstones: Tombstones
    groups: Mapping[str, tuple[str, ...]]
    """For each target, all the targets that have the same bucket."""
    for_s: float
    """How long, where nobody says it."""


class Filler:
    """`prefixes` has the key prefix (an origin path, or "") of each target with a bucket to be filled."""

    def __init__(
        self,
        rules: tuple[Rule, ...],
        prefixes: Mapping[str, str],
        source: Source,
        worker: Worker,
        burial: Burial,
        clock: Clock,
    ) -> None:
        self.rules = rules
        self._source = source
        self.prefixes = prefixes
        self._worker = worker
        self._burial = burial
        self._clock = clock
        # When it was last looked at the source of an object.
        self._checked: OrderedDict[tuple[str, bytes], float] = OrderedDict()

    def order(self, target: str, sent: Request, status: int) -> Commission | None:
        """What is to be made at once, where the bucket of `target` said `status`."""
        verdict = on_missing(sent, status, self.rules, self.prefixes[target])
        if not isinstance(verdict, Fill) or not self._source.suppliers(target, verdict.rule):
            return None
        if self._burial.tombstones.is_known((target, verdict.key)):
            return None
        job = self._job(target, verdict, sent, sent.path, None)
        return Commission(job, verdict.rule) if isinstance(job, Job) else None

    def consider(self, target: str, key: CacheKey, sent: Request, reply: Reply) -> str:
        """Queue a job for an answer if it should be one; "queued", or the Reason why not. Never waits."""
        if reply.filling:
            return reply.filling
        if len(reply.trail) > 1 and target not in self.prefixes:
            return Reason.PRIMARY_NOT_S3
        if len(reply.trail) == 1 and target in self.prefixes:
            missing = on_missing(sent, reply.head.status, self.rules, self.prefixes[target])
            if isinstance(missing, Reason) and missing is not Reason.PRIMARY_STATUS:
                return missing
            if not isinstance(missing, Fill):
                return self._look_again(target, key, sent, reply)
        verdict = on_served(key, sent, reply.trail, reply.head, self.rules, self.prefixes.get(target, ""))
        if not isinstance(verdict, Fill):
            return verdict
        if self._burial.tombstones.is_known((target, verdict.key)):
            return Reason.TOMBSTONE
        job = self._job(target, verdict, sent, key.path, key)
        return (self._worker.offer(job) if isinstance(job, Job) else job) or QUEUED

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
        fill = Fill(verdict.key, verdict.rule)
        return self._refresh(self._job(target, fill, sent, key.path, None), verdict.rule) or QUEUED

    def _refresh(self, job: Job | Reason, rule: Rule) -> Reason | None:
        if isinstance(job, Reason):
            return job
        if self._burial.tombstones.is_known(job.identity):
            return Reason.TOMBSTONE
        if not self._source.suppliers(job.group, rule):
            return Reason.NO_SOURCE
        reason = self._worker.offer(replace(job, refresh=True))
        if reason is None:
            self._checked[job.identity] = self._clock.elapsed()
            self._checked.move_to_end(job.identity)
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
                    continue
                fill = Fill(object_key(path, self.prefixes[group]), rule)
                job = self._job(group, fill, Request("GET", path), path, None)
                said[self._refresh(job, rule) or QUEUED] += 1
        return said

    def purged(self, path: str) -> None:
        """The cache has to forget `path`: if that is an event by the rule for it, look at its source."""
        rule = rule_for(path, self.rules)
        if rule is not None and rule.refresh_s is not None:
            self.refresh([path])

    async def deleted(self, target: str, path: str) -> None:
        """An object was deleted on purpose: leave it so for a while.  Raises `QueueError`."""
        await self.bury([path], self._burial.for_s, self._burial.groups.get(target, ()))

    async def bury(self, paths: Iterable[str], for_s: float, groups: Collection[str] | None = None) -> int:
        """Do not fill the objects of `paths` for `for_s` seconds, in these groups or in all; 0 = do again.

        Gives how many tombstones there are of it.  Raises `QueueError`.
        """
        among = self.prefixes if groups is None else groups
        identities = [(group, object_key(path, self.prefixes[group])) for path in paths for group in among]
        await self._burial.tombstones.bury(identities, for_s)
        return len(identities)

    def among(self, asked: Asked) -> tuple[str, ...] | None:
        """The group that is meant, if one is.  Raises `ValueError`."""
        if asked.group is None:
            return None
        if asked.group not in self.prefixes:
            wanted = ", ".join(sorted(self.prefixes)) or "none: no bucket is filled"
            raise ValueError(f'group: got "{asked.group}", want one of {wanted}')
        return (asked.group,)

    async def bury_key(self, targets: Iterable[str], key: bytes) -> None:
        """Do not fill what somebody has taken out of the bucket of `targets`.  Raises `QueueError`."""
        await self._burial.tombstones.bury([(target, key) for target in targets], self._burial.for_s)

    async def last(self, target: str, key: bytes) -> Entry | None:
        """What is known of the newest job for an object; None if nothing is, or can be found out."""
        try:
            found = await self._worker.queue.entries(Wanted(group=target, prefix=key))
        except QueueError:
            return None
        return next((entry for entry in found if entry.job.key == key), None)

    def _job(
        self, target: str, fill: Fill, sent: Request, path: str, cache_key: CacheKey | None
    ) -> Job | Reason:
        """The job of an object; what its sources get of the viewer's is the first one's who asked."""
        rule = fill.rule
        suppliers = self._source.suppliers(target, rule) if rule.sources else ()
        query, headers = kept_of(sent.asked or sent, suppliers)
        if len(query) + sum(len(name) + len(value) for name, value in headers) > _MOST_KEPT_BYTES:
            return Reason.HEAD_TOO_LARGE
        return Job(target, fill.key, path, cache_key, rule.max_object_bytes, query, headers)
