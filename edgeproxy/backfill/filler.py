"""The gateway's side of the backfill: is this answer to be copied, and was the job taken in."""

from collections.abc import Mapping

from edgeproxy.backfill.job import Entry, Job, Wanted
from edgeproxy.backfill.making import Order
from edgeproxy.backfill.queue import QueueError
from edgeproxy.backfill.source import Source
from edgeproxy.backfill.worker import Worker
from edgeproxy.core.backfilling import Fill, Rule, on_missing, on_served
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Request
from edgeproxy.core.reason import Reason
from edgeproxy.core.sourcing import kept_of
from edgeproxy.origins.base import Reply

QUEUED = "queued"


class Filler:
    """`prefixes` has the key prefix (an origin path, or "") of each target with a bucket to be filled."""

    def __init__(
        self, rules: tuple[Rule, ...], prefixes: Mapping[str, str], source: Source, worker: Worker
    ) -> None:
        self.rules = rules
        self._source = source
        self.prefixes = prefixes
        self._worker = worker

    def order(self, target: str, sent: Request, status: int) -> Order | None:
        """What is to be made at once, where the bucket of `target` said `status`."""
        verdict = on_missing(sent, status, self.rules, self.prefixes[target])
        if not isinstance(verdict, Fill) or not self._source.suppliers(target, verdict.rule):
            return None
        return Order(self._job(target, verdict, sent, sent.path, None), verdict.rule)

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
        verdict = on_served(key, sent, reply.trail, reply.head, self.rules, self.prefixes.get(target, ""))
        if not isinstance(verdict, Fill):
            return verdict
        return self._worker.offer(self._job(target, verdict, sent, key.path, key)) or QUEUED

    async def last(self, target: str, key: bytes) -> Entry | None:
        """What is known of the newest job for an object; None if nothing is, or can be found out."""
        try:
            found = await self._worker.queue.entries(Wanted(group=target, prefix=key))
        except QueueError:
            return None
        return next((entry for entry in found if entry.job.key == key), None)

    def _job(self, target: str, fill: Fill, sent: Request, path: str, cache_key: CacheKey | None) -> Job:
        """The job of an object; what its sources get of the viewer's is the first one's who asked."""
        rule = fill.rule
        suppliers = self._source.suppliers(target, rule) if rule.sources else ()
        query, headers = kept_of(sent.asked or sent, suppliers)
        return Job(target, fill.key, path, cache_key, rule.max_object_bytes, query, headers)
