"""The gateway's side of the backfill: is this answer to be copied, and was the job taken in."""

from collections.abc import Collection, Iterable, Mapping

from edgeproxy.backfill.job import Job
from edgeproxy.backfill.tombstones import Tombstones
from edgeproxy.backfill.worker import Worker
from edgeproxy.core.backfilling import Fill, Rule, on_served
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Request
from edgeproxy.core.paths import object_key
from edgeproxy.core.reason import Reason
from edgeproxy.origins.base import Reply

QUEUED = "queued"


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
    ) -> None:
        self.rules = rules
        self.prefixes = prefixes
        self._groups = groups
        self._worker = worker
        self._tombstones = tombstones
        self._tombstone_s = tombstone_s

    def consider(self, target: str, key: CacheKey, sent: Request, reply: Reply) -> str:
        """Queue a job for an answer if it should be one; "queued", or the Reason why not. Never waits."""
        if len(reply.trail) > 1 and target not in self.prefixes:
            return Reason.PRIMARY_NOT_S3
        verdict = on_served(key, sent, reply.trail, reply.head, self.rules, self.prefixes.get(target, ""))
        if not isinstance(verdict, Fill):
            return verdict
        if self._tombstones.is_known((target, verdict.key)):
            return Reason.TOMBSTONE
        job = Job(target, verdict.key, key.path, key, verdict.rule.max_object_bytes)
        return self._worker.offer(job) or QUEUED

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
