"""At CloudFront, before an origin is asked: what the second origin is about to serve goes into the queue.

Runs once for the bucket, which is left alone, and again for the full origin. The viewer never pays
for a queue that is down: the request goes on after a second at most, whatever becomes of the message.
"""

import asyncio
import hashlib
import json
from typing import Any

from cachetools import TTLCache

from edgeproxy.core.backfilling import is_key
from edgeproxy.core.paths import object_key
from edgeproxy.core.sqs_url import region_of
from edgeproxy.lambdas import settings
from edgeproxy.lambdas.edge_event import Stage, edge_event
from edgeproxy.lambdas.process import Context, client, handler_of, log
from edgeproxy.lambdas.reading import EventError

_SEND_S = 1.0
_FILLING = frozenset({"GET", "HEAD"})
# The queue hears of an object once in a while from each process, not once for each viewer.
_sent: TTLCache[tuple[str, str], None] = TTLCache(maxsize=10_000, ttl=60)


async def main(event: Any, context: Context) -> Any:
    """The request, untouched."""
    got = edge_event(event)
    if got.stage is not Stage.ORIGIN_REQUEST or got.origin is None:
        raise EventError(f"Records[0].cf.config.eventType: got {got.stage}, want origin-request")
    request = got.request
    asked = (request.path, request.query)
    if got.origin.is_secondary and request.method in _FILLING and asked not in _sent:
        try:
            if is_key(object_key(request.path)):
                await _send(request.path, request.query)
        except Exception as error:
            # Fail open: the next viewer who misses it sends it again.
            log(f"not queued: {request.target}: {type(error).__name__}: {error}")
        else:
            _sent[asked] = None
    return got.raw_request


async def _send(path: str, query: str) -> None:
    queue = settings.url("queue_url")
    # At the edge AWS_REGION is wherever the viewer is.
    region = settings.text("queue_region", default=region_of(queue) or "us-east-1")
    body = json.dumps({"v": 1, "uri": path, "querystring": query}, separators=(",", ":"))
    ids = {}
    if queue.endswith(".fifo"):
        # One message for an object from all edges for five minutes; none waits for another object's.
        object_id = hashlib.sha256(body.encode()).hexdigest()
        ids = {"MessageGroupId": object_id, "MessageDeduplicationId": object_id}
    within_s = settings.number("send_timeout", _SEND_S)
    # The first call makes it, which is no fault of the queue's: its message shall not be lost for that.
    sqs = await client("sqs", region=region, attempts=1, timeout_s=within_s)
    async with asyncio.timeout(within_s):
        await sqs.send_message(QueueUrl=queue, MessageBody=body, **ids)


handler = handler_of(main)
