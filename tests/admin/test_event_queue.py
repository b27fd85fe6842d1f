"""Events that wait in a queue of SQS."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from edgeproxy.admin.event_queue import EventQueue, reading
from edgeproxy.admin.events import Inbox
from edgeproxy.admin.operated import NotDoneError
from edgeproxy.aws import session
from edgeproxy.core.s3_events import ObjectEvent
from edgeproxy.gateway.changes import PURGED, Applied

KEYS = ("test", "test-secret", None)


def notification(key: str) -> str:
    s3 = {"bucket": {"name": "assets"}, "object": {"key": key}}
    return json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "eventSource": "aws:s3", "s3": s3}]})


class Gateway:
    """Takes events; `fails` times it does not."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.fails = 0
        self.change = asyncio.Event()

    async def changed(self, events: Sequence[ObjectEvent]) -> Applied:
        applied = Applied()
        if self.fails:
            self.fails -= 1
            raise NotDoneError("worker 1 does not answer")
        self.keys += [event.key.decode() for event in events]
        applied.events[PURGED] = len(events)
        self.change.set()
        return applied

    async def until(self, count: int) -> list[str]:
        """All keys so far, once there are that many."""
        async with asyncio.timeout(20):
            while len(self.keys) < count:
                self.change.clear()
                await self.change.wait()
        return sorted(self.keys)


class Queue:
    """A queue in moto, and what its reader says."""

    def __init__(self, sqs: Any, url: str) -> None:
        self.sqs = sqs
        self.url = url
        self.gateway = Gateway()
        self.inbox = Inbox(self.gateway)  # type: ignore[arg-type]
        self.faults: list[str] = []
        self.rests: list[float] = []
        self.fault = asyncio.Event()

    def reader(self, **changed: Any) -> EventQueue:
        async def rest(seconds: float) -> None:
            self.rests.append(seconds)
            await asyncio.sleep(0)

        def on_fault(line: str) -> None:
            self.faults.append(line)
            self.fault.set()

        return EventQueue(
            **{
                "url": self.url,
                "keys": KEYS,
                "inbox": self.inbox,
                "on_fault": on_fault,
                "sleep": rest,
                **changed,
            }
        )

    async def send(self, *bodies: str) -> None:
        for body in bodies:
            await self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    async def left(self) -> int:
        """Messages that were not deleted."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = await self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(int(told["Attributes"][name]) for name in names)

    async def emptied(self, left: int = 0) -> None:
        async with asyncio.timeout(20):
            while await self.left() > left:
                await asyncio.sleep(0.01)


@pytest.fixture
async def queue(moto: str, bucket_name: str) -> AsyncIterator[Queue]:
    options = {"endpoint_url": moto, "region_name": "us-east-1"}
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test-secret"}
    async with session().create_client("sqs", **options, **keys) as sqs:
        # What is not deleted is there again at once.
        made = await sqs.create_queue(QueueName=bucket_name, Attributes={"VisibilityTimeout": "0"})
        yield Queue(sqs, made["QueueUrl"])
        await sqs.delete_queue(QueueUrl=made["QueueUrl"])


async def test_what_waits_is_applied_and_deleted(queue: Queue) -> None:
    await queue.send(*(notification(f"{number}") for number in range(12)), '{"Event": "s3:TestEvent"}')
    async with reading(queue.reader()):
        await queue.emptied()
    assert set(queue.gateway.keys) == {str(number) for number in range(12)}
    assert queue.inbox.counts[PURGED] >= 12
    assert queue.faults == []


async def test_what_cannot_be_applied_is_applied_later(queue: Queue) -> None:
    queue.gateway.fails = 2
    await queue.send(notification("a"))
    async with reading(queue.reader()):
        await queue.emptied()
    assert set(queue.gateway.keys) == {"a"}
    assert queue.faults == ["events.sqs: worker 1 does not answer; it is tried again"], (
        "an outage is told of once"
    )
    assert queue.rests == [1.0, 2.0]


async def test_what_cannot_be_read_is_told_and_left_to_the_redrive_policy(queue: Queue) -> None:
    await queue.send("{}", notification("a"))
    async with reading(queue.reader()):
        assert "a" in await queue.gateway.until(1)
        await queue.fault.wait()
        await queue.emptied(left=1)
    assert await queue.left() == 1
    assert queue.faults[0].startswith("events.sqs: message ")
    assert queue.faults[0].endswith(": body: got {}, want Records, detail-type or Message in it")


async def test_a_queue_that_is_not_there_is_told_of_once(queue: Queue) -> None:
    enough = asyncio.Event()

    async def rest(seconds: float) -> None:
        queue.rests.append(seconds)
        if len(queue.rests) == 9:
            enough.set()
        await asyncio.sleep(0)

    async with reading(queue.reader(url=f"{queue.url}-none", sleep=rest)):
        await enough.wait()
    assert queue.faults == ["events.sqs: AWS.SimpleQueueService.NonExistentQueue; it is tried again"]
    assert queue.rests[:9] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
