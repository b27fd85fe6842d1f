"""From a source's answer into a bucket: is the answer one to be copied, and if so, do it."""

from edgeproxy.backfill.job import Failed, Outcome, Skipped
from edgeproxy.backfill.writer import BucketWriter, Order
from edgeproxy.core.backfilling import unfit_head
from edgeproxy.core.errors import EdgeError, WriteError
from edgeproxy.core.message import Head
from edgeproxy.core.reason import Reason
from edgeproxy.origins.base import Reply

_MISSING = frozenset({404, 410})
"""The source has it not: nothing to copy, and nothing to try again soon."""
_TOO_MANY = 429
UNVERIFIED = frozenset({Reason.LENGTH_MISMATCH, Reason.DIGEST_MISMATCH})
"""Why bytes that came to their end are yet not the object; other faults then are the bucket's."""


def unfit(head: Head, max_bytes: int, *, is_delimited: bool = True) -> Outcome | None:
    """What becomes of a job whose source answers so; None if the object is to be written."""
    if head.status in _MISSING:
        return Skipped(Reason.SOURCE_STATUS)
    if head.status != 200:
        is_final = head.status < 500 and head.status != _TOO_MANY
        return Failed(Reason.SOURCE_STATUS, f"the source answered {head.status}", is_final)
    if not is_delimited:
        return Skipped(Reason.LENGTH_UNKNOWN)
    reason = unfit_head(head)
    if reason is not None:
        return Skipped(reason)
    if head.length is not None and head.length > max_bytes:
        return Skipped(Reason.TOO_LARGE)
    return None


async def copied(reply: Reply, key: bytes, writer: BucketWriter, order: Order) -> Outcome:
    """Write what the source answers under `key`, if it is whole and for everybody. Raises nothing of ours."""
    try:
        why_not = unfit(reply.head, order.max_bytes, is_delimited=reply.is_delimited)
        return why_not or await writer.write(key, reply.head, reply.body, order)
    except WriteError as error:
        return Failed(error.reason, error.message, error.is_final)
    except EdgeError as error:
        return Failed(error.reason, error.message)
