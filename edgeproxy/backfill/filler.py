"""The gateway's side of the backfill: is this answer to be copied, and was the job taken in."""

from collections.abc import Mapping

from edgeproxy.backfill.job import Job
from edgeproxy.backfill.source import Source
from edgeproxy.backfill.worker import Worker
from edgeproxy.core.backfilling import Fill, Rule, on_served
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Request
from edgeproxy.core.reason import Reason
from edgeproxy.core.sourcing import kept_of
from edgeproxy.origins.base import Reply

QUEUED = "queued"


class Filler:
    """`prefixes` has the key prefix (an origin path, or "") of each group whose primary is a bucket."""

    def __init__(
        self, rules: tuple[Rule, ...], prefixes: Mapping[str, str], source: Source, worker: Worker
    ) -> None:
        self.rules = rules
        self._source = source
        self.prefixes = prefixes
        self._worker = worker

    def consider(self, target: str, key: CacheKey, request: Request, sent: Request, reply: Reply) -> str:
        """Queue a job for an answer if it should be one; "queued", or the Reason why not. Never waits.

        `request` is the viewer's, `sent` what the origins got of it.
        """
        if len(reply.trail) > 1 and target not in self.prefixes:
            return Reason.PRIMARY_NOT_S3
        verdict = on_served(key, sent, reply.trail, reply.head, self.rules, self.prefixes.get(target, ""))
        if not isinstance(verdict, Fill):
            return verdict
        rule = verdict.rule
        query, headers = kept_of(request, self._source.suppliers(target, rule)) if rule.sources else ("", ())
        job = Job(target, verdict.key, key.path, key, rule.max_object_bytes, query, headers)
        return self._worker.offer(job) or QUEUED
