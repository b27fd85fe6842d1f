"""One attempt at a job: from its source into its bucket, if the rules still want that."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Protocol

from edgeproxy import __version__
from edgeproxy.backfill.job import Failed, Held, Job, Outcome, Skipped
from edgeproxy.backfill.queue import QueueError
from edgeproxy.backfill.source import Source
from edgeproxy.backfill.tombstones import Tombstones
from edgeproxy.backfill.writer import BucketWriter, Manner, Present
from edgeproxy.core.backfilling import Rule, rule_for, unfit_head, unfit_object
from edgeproxy.core.errors import EdgeError, WriteError
from edgeproxy.core.failover import Attempt
from edgeproxy.core.provenance import conditions, is_marked, is_unchanged, notes
from edgeproxy.core.reason import Reason
from edgeproxy.origins.base import Reply


class Witness(Protocol):
    """Sees an attempt."""

    def asked(self, trail: tuple[Attempt, ...]) -> None:
        """A source was asked; `trail` says how it did."""
        ...

    def passing(self, reply: Reply) -> Reply:
        """What a source gave, before it is written."""
        ...


class Attempts:
    """Jobs done once each; whether and when they are tried again is for others to say."""

    def __init__(
        self,
        source: Source,
        writers: Mapping[str, BucketWriter],
        rules: tuple[Rule, ...],
        tombstones: Tombstones,
    ) -> None:
        self._source = source
        self._writers = writers
        self._rules = rules
        self._tombstones = tombstones

    @property
    def is_possible(self) -> bool:
        """Whether there is a bucket to fill."""
        return bool(self._writers)

    async def run(self, job: Job, witness: Witness | None) -> Outcome | Held:
        """Do `job`, or say why not, or not now. Nothing is raised but that it was cancelled."""
        writer = self._writers.get(job.group)
        if writer is None:
            return Skipped(Reason.PRIMARY_NOT_S3)
        try:
            rule = rule_for(job.path, self._rules)
            if rule is None or not rule.enabled:
                return Skipped(Reason.NO_RULE if rule is None else Reason.NO_BACKFILL)
            # What others have buried is found out just before the object is there.
            if self._tombstones.is_known(job.identity):
                return Skipped(Reason.TOMBSTONE)
            wait = await self._source.held(job, rule)
            if wait is not None:
                return wait
            present = await writer.look(job.key)
            reason = _unfit(job, present)
            if reason is not None:
                return Skipped(reason)
            asked = conditions(present.notes) if present is not None else ()
            on_asked = witness.asked if witness is not None else None
            reply = await self._source.open(job, rule, asked, on_asked=on_asked)
            if not isinstance(reply, Reply):
                return reply
            if witness is not None:
                reply = witness.passing(reply)
            try:
                if present is not None and is_unchanged(present.notes, reply.head):
                    return Skipped(Reason.UNCHANGED)
                if not reply.is_delimited:
                    return Skipped(Reason.LENGTH_UNKNOWN)
                max_bytes = min(job.max_bytes, rule.max_object_bytes)
                reason = unfit_head(reply.head) or unfit_object(
                    replace(rule, max_object_bytes=max_bytes), reply.head
                )
                if reason is not None:
                    return Skipped(reason)
                body = _not_below(rule.min_object_bytes, reply.body)
                return await writer.write(
                    job.key, reply.head, body, self._manner(job, reply, present, max_bytes)
                )
            finally:
                reply.close()
        except _TooSmallError:
            return Skipped(Reason.TOO_SMALL)
        except WriteError as error:
            return Failed(error.reason, error.message, error.is_final)
        except EdgeError as error:
            return Failed(error.reason, error.message)
        except QueueError as error:
            return Failed(Reason.INTERNAL, str(error))
        except Exception as error:  # a worker that dies would stop all that follow
            return Failed(Reason.INTERNAL, f"{type(error).__name__}: {error}")

    def _manner(self, job: Job, reply: Reply, present: Present | None, max_bytes: int) -> Manner:
        """How the object of `job` is to be written, in place of the one that is `present`."""

        async def veto() -> Reason | None:
            return Reason.TOMBSTONE if await self._tombstones.holds(job.identity) else None

        return Manner(
            max_bytes,
            notes(reply.head, reply.url, f"edgeproxy/{__version__}"),
            over=present.etag if present is not None else None,
            # What only looks like a digest must not keep an object out for ever: it counts but once.
            doubts=job.attempt > 1,
            veto=veto,
        )


def _unfit(job: Job, present: Present | None) -> Reason | None:
    """Why nothing is to be done about `job`, where the bucket has `present`."""
    if not job.refresh:
        return Reason.EXISTS if present is not None else None
    if present is None:
        return Reason.NOT_THERE
    return None if is_marked(present.notes) else Reason.NOT_OURS


class _TooSmallError(Exception):
    """A body of unknown length has ended too soon."""


async def _not_below(size: int, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes.  Raises `_TooSmallError` if there were fewer than `size`."""
    async for chunk in body:
        size -= len(chunk)
        yield chunk
    if size > 0:
        raise _TooSmallError
