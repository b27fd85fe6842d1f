"""When an object in the bucket has changed: CloudFront is told to forget it.

S3 tells by itself, through EventBridge, SNS or SQS, and MinIO and Ceph in their own words. One call a
batch; the same events make the same `CallerReference`, so that a batch that comes twice, as all may,
is one invalidation. A message of SQS that is none goes back to the queue alone (`ReportBatchItemFailures`).
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from edgeproxy.core.s3_events import Change, ObjectEvent, object_events
from edgeproxy.lambdas import settings
from edgeproxy.lambdas.invalidation_paths import batches, invalidation_paths
from edgeproxy.lambdas.process import Context, client, handler_of, log, remaining_s
from edgeproxy.lambdas.reading import EventError, at

_REGION = "us-east-1"
"""CloudFront has no other."""
_REST_S = 1.0
_LONGEST_REST_S = 10.0
_CALL_S = 5.0


async def main(event: Any, context: Context) -> dict[str, object]:
    """`{"invalidated": [paths], "ids": [ids]}`.  Raises, so that Lambda tries again, what AWS says.

    For messages of SQS with `batchItemFailures` beside them.
    """
    changes, unread = _changes(event)
    again: dict[str, object] = (
        {} if unread is None else {"batchItemFailures": [{"itemIdentifier": id_} for id_ in unread]}
    )
    paths = [path for change in changes if not _is_ignored(change) for path in _paths(change)]
    if not paths:
        return {"invalidated": [], "ids": [], **again}
    distribution = settings.text("distribution_id", "DISTRIBUTION_ID", wanted="the id of a distribution")
    cloudfront = await client("cloudfront", region=_REGION)
    seen = _told_by(event)
    ids: list[str] = []
    told: list[str] = []
    for portion in batches(paths):
        reference = hashlib.sha256(json.dumps([portion, seen]).encode()).hexdigest()
        batch = {"Paths": {"Quantity": len(portion), "Items": list(portion)}, "CallerReference": reference}
        made = await _created(cloudfront, distribution, batch, context)
        ids.append(made["Invalidation"]["Id"])
        told += portion
    log(f"invalidated {len(told)} paths of {distribution}: {', '.join(ids)}")
    return {"invalidated": told, "ids": ids, **again}


async def _created(cloudfront: Any, distribution: str, batch: Mapping[str, object], context: Context) -> Any:
    """CloudFront's answer. Where there are too many under way, that is a matter of seconds."""
    rest_s = _REST_S
    while True:
        try:
            return await cloudfront.create_invalidation(DistributionId=distribution, InvalidationBatch=batch)
        except cloudfront.exceptions.TooManyInvalidationsInProgress:
            if remaining_s(context) < rest_s + _CALL_S:
                raise
            await asyncio.sleep(rest_s)
            rest_s = min(2 * rest_s, _LONGEST_REST_S)


def _changes(event: object) -> tuple[tuple[ObjectEvent, ...], list[str] | None]:
    """What has changed, and the ids of messages that are none; None where they are no messages of SQS."""
    records = at(event, "Records")
    ids = [at(record, "messageId") for record in records] if isinstance(records, list) else []
    if not ids or not all(isinstance(id_, str) for id_ in ids):
        return _read(event), None
    changes: list[ObjectEvent] = []
    unread = []
    for id_, record in zip(ids, records, strict=True):
        try:
            changes += _read({"Records": [record]})
        except EventError as error:
            log(f"message {id_}: {error}")
            unread.append(id_)
    return tuple(changes), unread


def _read(event: object) -> tuple[ObjectEvent, ...]:
    try:
        return object_events(json.dumps(event))
    except (ValueError, RecursionError) as error:
        raise EventError(str(error)) from None


def _told_by(event: object) -> list[str]:
    """What is the same when a batch comes again; how SNS and SQS deliver it is not."""
    records = at(event, "Records")
    told = records if isinstance(records, list) else [event]
    bare = (at(one, "body") or at(one, "Sns", "Message") or one for one in told)
    return sorted(json.dumps(one, sort_keys=True) for one in bare)


def _is_ignored(change: ObjectEvent) -> bool:
    ignored = settings.text("ignore_principal", default="")
    return bool(ignored) and change.change is Change.CREATED and ignored in (change.principal or "")


def _paths(change: ObjectEvent) -> tuple[str, ...]:
    return invalidation_paths(
        change.key,
        origin_path=settings.folder("origin_path"),
        default_root_object=settings.text("default_root_object", default="").removeprefix("/"),
        any_query=settings.choice("any_query", "false", "true") == "true",
    )


handler = handler_of(main)
