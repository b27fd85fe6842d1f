"""The gateway's side of the backfill: is this answer to be copied, and was the job taken in."""

from collections.abc import Mapping

from edgeproxy.backfill.job import Job
from edgeproxy.backfill.making import Order
from edgeproxy.backfill.worker import Worker
from edgeproxy.core.backfilling import Fill, Rule, on_missing, on_served
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Request
from edgeproxy.core.reason import Reason
from edgeproxy.origins.base import Reply

QUEUED = "queued"


class Filler:
    """`prefixes` has the key prefix (an origin path, or "") of each target with a bucket to be filled.

    `groups` are those of them that have a secondary.
    """

    def __init__(
        self,
        rules: tuple[Rule, ...],
        prefixes: Mapping[str, str],
        groups: frozenset[str],
        worker: Worker,
    ) -> None:
        self.rules = rules
        self.prefixes = prefixes
        self.groups = groups
        self._worker = worker

    def order(self, target: str, sent: Request, status: int) -> Order | None:
        """What is to be made at once, where the bucket of `target` said `status`."""
        verdict = self._missing(target, sent, status)
        if not isinstance(verdict, Fill):
            return None
        return Order(Job(target, verdict.key, sent.path, None, verdict.rule.max_object_bytes), verdict.rule)

    def _missing(self, target: str, sent: Request, status: int) -> Fill | Reason | None:
        has_secondary = target in self.groups
        return on_missing(sent, status, self.rules, self.prefixes[target], has_secondary=has_secondary)

    def consider(self, target: str, key: CacheKey, sent: Request, reply: Reply) -> str:
        """Queue a job for an answer if it should be one; "queued", or the Reason why not. Never waits."""
        if reply.filling:
            return reply.filling
        if len(reply.trail) > 1 and target not in self.prefixes:
            return Reason.PRIMARY_NOT_S3
        if len(reply.trail) == 1 and target in self.prefixes:
            missing = self._missing(target, sent, reply.head.status)
            if isinstance(missing, Reason) and missing is not Reason.PRIMARY_STATUS:
                return missing
        verdict = on_served(key, sent, reply.trail, reply.head, self.rules, self.prefixes.get(target, ""))
        if not isinstance(verdict, Fill):
            return verdict
        job = Job(target, verdict.key, key.path, key, verdict.rule.max_object_bytes)
        return self._worker.offer(job) or QUEUED
