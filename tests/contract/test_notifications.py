"""Real servers tell of uploads and deletions, and viewers get what is in the bucket now."""

import asyncio
from contextlib import closing
from typing import Any

import aiohttp
import pytest
from botocore.session import get_session

from edgeproxy.core.paths import key_path
from tests.conftest import Edge, edge_of
from tests.servers.server import WEBHOOK_TOKEN, S3Server
from tests.servers.workplace import free_port

KEYS = [
    "plain.txt",
    "img/ü a.jpg",
    "a+b%20c.txt",
    "100%25.txt",
    "what?#.txt",
    "tilde~!*'().txt",
    "a&b=c;d:e@f,g$h.txt",
    "grün/日本語 😀.txt",
]
WITHIN_S = 1.0

pytestmark = pytest.mark.servers


def text(server: S3Server, bucket: str, port: int) -> str:
    return f"""
origins:
  bucket:
    type: s3
    bucket: {bucket}
    endpoint: {server.endpoint}
    credentials: {{access_key_id: {server.access_key_id}, secret_access_key: {server.secret_access_key}}}
default_behavior: {{target_origin: bucket}}
admin: {{listen: "127.0.0.1:{port}"}}
events: {{token: {WEBHOOK_TOKEN}}}
"""


async def notify(server: S3Server, s3: Any, bucket: str, port: int) -> None:
    """Have the server tell of what happens in `bucket`."""
    events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
    match server.name:
        case "minio":
            wanted = {"QueueArn": "arn:minio:sqs::EDGE:webhook", "Events": events}
            configuration = {"QueueConfigurations": [wanted]}
        case "radosgw":
            topic = await asyncio.to_thread(_topic, server, port)
            configuration = {"TopicConfigurations": [{"Id": "edge", "TopicArn": topic, "Events": events}]}
        case _:
            pytest.skip(f"{server.name} sends no notifications over HTTP")
    await s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)


def _topic(server: S3Server, port: int) -> str:
    sns = get_session().create_client(
        "sns",
        endpoint_url=server.endpoint,
        region_name=server.region,
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
    )
    where = {
        "push-endpoint": f"http://127.0.0.1:{port}/events/s3?token={WEBHOOK_TOKEN}",
        "persistent": "false",
    }
    with closing(sns):
        return str(sns.create_topic(Name=f"edge-{port}", Attributes=where)["TopicArn"])


async def purged(e: Edge, count: int) -> None:
    """Return when that many events have purged something; in time, or not at all."""
    async with aiohttp.ClientSession() as operator, asyncio.timeout(WITHIN_S):
        while True:
            async with operator.get(f"http://{e.gateway.admin}/stats") as stats:
                if (await stats.json())["events"].get("purged", 0) >= count:
                    return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("key", KEYS)
async def test_an_upload_is_seen_within_a_second(server: S3Server, s3: Any, bucket: str, key: str) -> None:
    port = server.webhook_port or free_port()
    await notify(server, s3, bucket, port)
    path = key_path(key.encode())
    async with edge_of(text(server, bucket, port)) as e:
        assert (await e.get(path))[0].status in (403, 404)
        for number, body in enumerate((b"one", b"two"), start=1):
            await s3.put_object(Bucket=bucket, Key=key, Body=body, CacheControl="max-age=600")
            await purged(e, number)
            assert (await e.get(path))[1] == body
            answer, again = await e.get(path)
            assert (again, answer.headers["X-Cache"]) == (body, "Hit from cloudfront")
        await s3.delete_object(Bucket=bucket, Key=key)
        await purged(e, 3)
        assert (await e.get(path))[0].status in (403, 404)


async def test_what_is_uploaded_in_parts_is_told_once(server: S3Server, s3: Any, bucket: str) -> None:
    port = server.webhook_port or free_port()
    await notify(server, s3, bucket, port)
    target = {"Bucket": bucket, "Key": "big.bin"}
    async with edge_of(text(server, bucket, port)) as e:
        upload = await s3.create_multipart_upload(**target)
        numbered = {**target, "UploadId": upload["UploadId"], "PartNumber": 1}
        part = await s3.upload_part(**numbered, Body=b"x" * 1000)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        await s3.complete_multipart_upload(**target, UploadId=upload["UploadId"], MultipartUpload=parts)
        await purged(e, 1)
        tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
        await s3.put_object_tagging(**target, Tagging=tags)
        await s3.delete_object(**target)
        await purged(e, 2)
        async with aiohttp.ClientSession() as operator:
            async with operator.get(f"http://{e.gateway.admin}/stats") as stats:
                assert (await stats.json())["events"] == {"purged": 2}, "tags change no bytes"
