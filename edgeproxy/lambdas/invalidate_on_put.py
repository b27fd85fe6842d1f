"""When an object in the bucket has changed: CloudFront is told to forget it.

S3 tells by itself, through EventBridge, SNS or SQS, and MinIO and Ceph in their own words. One call a
batch; the same events make the same `CallerReference`, so that a batch that comes twice, as all may,
is one invalidation.
"""

import hashlib
import json
from typing import Any

from edgeproxy.core.s3_events import ObjectEvent, object_events
from edgeproxy.lambdas import settings
from edgeproxy.lambdas.invalidation_paths import batches, invalidation_paths
from edgeproxy.lambdas.process import Context, client, handler_of, log
from edgeproxy.lambdas.reading import EventError

_REGION = "us-east-1"
"""CloudFront has no other."""


async def main(event: Any, context: Context) -> dict[str, object]:
    """`{"invalidated": [paths], "ids": [ids]}`.  Raises, so that Lambda tries again, what AWS says."""
    try:
        changes = object_events(json.dumps(event))
    except ValueError as error:
        raise EventError(str(error)) from None
    ignored = settings.text("ignore_principal", default="")
    changes = tuple(change for change in changes if not ignored or ignored not in (change.principal or ""))
    paths = [path for change in changes for path in _paths(change)]
    if not paths:
        return {"invalidated": [], "ids": []}
    distribution = settings.text("distribution_id", "DISTRIBUTION_ID", wanted="the id of a distribution")
    cloudfront = await client("cloudfront", region=_REGION)
    seen = sorted(
        f"{change.bucket}/{change.key.hex()}@{change.sequencer or change.etag}" for change in changes
    )
    ids: list[str] = []
    told: list[str] = []
    for portion in batches(paths):
        reference = hashlib.sha256(json.dumps([portion, seen]).encode()).hexdigest()
        batch = {"Paths": {"Quantity": len(portion), "Items": list(portion)}, "CallerReference": reference}
        made = await cloudfront.create_invalidation(DistributionId=distribution, InvalidationBatch=batch)
        ids.append(made["Invalidation"]["Id"])
        told += portion
    log(f"invalidated {len(told)} paths of {distribution}: {', '.join(ids)}")
    return {"invalidated": told, "ids": ids}


def _paths(change: ObjectEvent) -> tuple[str, ...]:
    return invalidation_paths(
        change.key,
        origin_path=settings.text("origin_path", default=""),
        default_root_object=settings.text("default_root_object", default=""),
        any_query=settings.text("any_query", default="") == "true",
    )


handler = handler_of(main)
