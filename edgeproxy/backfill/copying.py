"""From a source's answer into a bucket: is the answer one to be copied, and if so, do it."""

from edgeproxy.backfill.job import Failed, Outcome, Skipped
from edgeproxy.backfill.writer import BucketWriter, Manner
from edgeproxy.core.backfilling import unfit_head
from edgeproxy.core.errors import EdgeError, WriteError
from edgeproxy.core.message import Head
from edgeproxy.core.reason import Reason
from edgeproxy.core.sourcing import Said, said_by
from edgeproxy.origins.base import Reply

OF_THE_BUCKET = frozenset({Reason.WRITE_FAILED, Reason.S3_CREDENTIALS, Reason.S3_NO_BUCKET, Reason.S3_REGION})
"""Why a bucket takes nothing: what is small enough to be sent in one piece has been verified by then."""


def unavailable(status: int) -> Skipped | Failed | None:
    """What becomes of a job whose only source answers with `status`; None if that is the object."""
    said = said_by(status)
    if said is Said.HERE:
        return None
    if said is Said.MISSING:
        return Skipped(Reason.SOURCE_STATUS)
    return Failed(Reason.SOURCE_STATUS, f"the source answered {status}", said is not Said.FAULT)


def unfit(head: Head, max_bytes: int, *, is_delimited: bool = True) -> Reason | None:
    """Why the object that came with `head` is not to be written."""
    if not is_delimited:
        return Reason.LENGTH_UNKNOWN
    if head.length is not None and head.length > max_bytes:
        return Reason.TOO_LARGE
    return unfit_head(head)


async def copied(reply: Reply, key: bytes, writer: BucketWriter, manner: Manner) -> Outcome:
    """Write what the source answers under `key`, if it is whole and for everybody. Raises nothing of ours."""
    try:
        why_not = unavailable(reply.head.status)
        if why_not is not None:
            return why_not
        reason = unfit(reply.head, manner.max_bytes, is_delimited=reply.is_delimited)
        if reason is not None:
            return Skipped(reason)
        return await writer.write(key, reply.head, reply.body, manner)
    except WriteError as error:
        return Failed(error.reason, error.message, error.is_final)
    except EdgeError as error:
        return Failed(error.reason, error.message)
