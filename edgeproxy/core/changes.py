"""What the change of an object in a bucket makes invalid.

CloudFront leaves that to whoever uploads; published set-ups do it by a Lambda that is told by S3.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edgeproxy.core.invalidation import Invalidation, of_object
from edgeproxy.core.reason import Reason
from edgeproxy.core.s3_events import Change, ObjectEvent


@dataclass(frozen=True, slots=True)
class Buckets:
    """The origin paths of each bucket, by its name, and whose writes count for nothing."""

    prefixes: Mapping[str, frozenset[str]]
    ignored_principals: frozenset[str] = frozenset()
    """Names; with `*` at the end, what they begin with."""


def on_event(event: ObjectEvent, buckets: Buckets) -> frozenset[Invalidation] | Reason:
    """What viewers may not get any more after `event`; or why it changes nothing.

    What the backfill wrote are the bytes that viewers have got, so that its writes may be ignored.
    """
    prefixes = buckets.prefixes.get(event.bucket)
    if prefixes is None:
        return Reason.OTHER_BUCKET
    if event.change is Change.CREATED and _is_ignored(event.principal, buckets):
        return Reason.IGNORED_PRINCIPAL
    found = frozenset(one for prefix in prefixes if (one := of_object(event.key, prefix)) is not None)
    return found or Reason.OUTSIDE_ORIGIN_PATH


def _is_ignored(principal: str | None, buckets: Buckets) -> bool:
    return principal is not None and any(
        principal.startswith(name[:-1]) if name.endswith("*") else principal == name
        for name in buckets.ignored_principals
    )
