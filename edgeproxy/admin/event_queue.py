"""Events that S3 puts into a queue of Amazon SQS: received, applied, and only then deleted there.

SQS Developer Guide, "Amazon SQS long polling", "Amazon SQS visibility timeout".
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from botocore.exceptions import ClientError

from edgeproxy.admin.events import Inbox
from edgeproxy.admin.operated import NotDoneError
from edgeproxy.aws import client as aws_client
from edgeproxy.core.s3_events import ObjectEvent, object_events
from edgeproxy.core.sqs_url import endpoint_of, region_of

_WAIT_S = 20
"""How long SQS waits for a message before it answers that there is none: the longest there is."""
_AT_ONCE = 10
_SHORTEST_REST_S = 1.0
_LONGEST_REST_S = 60.0
_CONFIG = {"connect_timeout": 10, "read_timeout": _WAIT_S + 10, "retries": {"mode": "standard"}}


class EventQueue:
    """Reads the queue at `url`, until it is cancelled.

    What cannot be applied now, or not be read at all, stays in the queue: SQS shows it again after its
    visibility timeout, and its redrive policy says how often. `on_fault` hears of it.
    """

    def __init__(
        self,
        url: str,
        keys: tuple[str, str, str | None] | None,
        inbox: Inbox,
        *,
        on_fault: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`keys`: access key id, secret and session token; None asks the AWS provider chain."""
        self._url = url
        self._inbox = inbox
        self._on_fault = on_fault
        self._sleep = sleep
        self._region = region_of(url) or "us-east-1"
        self._endpoint = endpoint_of(url)
        self._keys = keys

    async def run(self) -> None:
        """Never returns. An outage is told of once."""
        rest_s = 0.0
        client: Any = None
        async with AsyncExitStack() as stack:
            while True:
                try:
                    if client is None:
                        making = aws_client("sqs", self._region, self._endpoint, self._keys, _CONFIG)
                        client = await stack.enter_async_context(making)
                    await self._turn(client)
                    rest_s = 0.0
                except Exception as error:  # whatever it is, nothing would be purged any more
                    if not rest_s:
                        self._on_fault(f"events.sqs: {_told(error)}; it is tried again")
                    rest_s = min(max(2 * rest_s, _SHORTEST_REST_S), _LONGEST_REST_S)
                    await self._sleep(rest_s)

    async def _turn(self, client: Any) -> None:
        """Wait for messages, and deal with them.  Raises what botocore raises, and `NotDoneError`."""
        received = await client.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=_AT_ONCE, WaitTimeSeconds=_WAIT_S
        )
        events: list[ObjectEvent] = []
        done: list[dict[str, str]] = []
        for message in received.get("Messages", []):
            try:
                events += object_events(message["Body"])
            except ValueError as error:
                self._on_fault(f"events.sqs: message {message['MessageId']}: {error}")
            else:
                done.append({"Id": str(len(done)), "ReceiptHandle": message["ReceiptHandle"]})
        if events:
            await self._inbox.apply(events)
        if done:
            # One that is not deleted comes again, and purges once more: nothing is lost by that.
            await client.delete_message_batch(QueueUrl=self._url, Entries=done)

    def __repr__(self) -> str:
        return f"EventQueue({self._url!r})"


@asynccontextmanager
async def reading(queue: EventQueue) -> AsyncIterator[None]:
    """Have `queue` read until the context ends."""
    task = asyncio.get_running_loop().create_task(queue.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _told(error: Exception) -> str:
    if isinstance(error, ClientError):
        return str(error.response["Error"].get("Code", "an error without a code"))
    return str(error) if isinstance(error, NotDoneError) else type(error).__name__
