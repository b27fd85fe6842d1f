"""The lab's S3: moto in this process, with one bucket in it."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from edgeproxy.aws import client as aws_client


class LabError(Exception):
    """The lab cannot start; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class LabBucket:
    """Where the bucket is, and the keys to it (moto takes any)."""

    endpoint: str
    name: str = "lab-assets"
    access_key_id: str = "lab"
    secret_access_key: str = field(default="lab-secret", repr=False)


def client(
    endpoint: str | None, access_key_id: str, secret_access_key: str, region: str = "us-east-1"
) -> Any:
    """An aiobotocore S3 client, as a context."""
    config = {"s3": {"addressing_style": "path"} if endpoint else {}}
    return aws_client("s3", region, endpoint, (access_key_id, secret_access_key, None), config)


@asynccontextmanager
async def running_bucket() -> AsyncIterator[LabBucket]:
    """An empty bucket until the context ends.  Raises `LabError` where moto is not installed."""
    try:
        from moto.server import ThreadedMotoServer
    except ImportError:
        raise LabError("moto: is not installed, want the lab's extra: pip install 'edgeproxy[lab]'") from None
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        bucket = LabBucket(f"http://{host}:{port}")
        await make_bucket(bucket.endpoint, bucket.name, bucket.access_key_id, bucket.secret_access_key)
        await _open_to_all(bucket)
        yield bucket
    finally:
        server.stop()


async def _open_to_all(bucket: LabBucket) -> None:
    """Let anybody read: `curl` on the bucket is to show what is in it."""
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        # HeadObject is moto's own: on AWS the right to get covers it.
        "Action": ["s3:GetObject", "s3:HeadObject"],
        "Resource": f"arn:aws:s3:::{bucket.name}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    async with client(bucket.endpoint, bucket.access_key_id, bucket.secret_access_key) as s3:
        await s3.put_bucket_policy(Bucket=bucket.name, Policy=policy)


async def make_bucket(
    endpoint: str | None, name: str, access_key_id: str, secret_access_key: str, region: str = "us-east-1"
) -> bool:
    """Make a bucket; False if we have it already.  Raises `LabError`."""
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        async with client(endpoint, access_key_id, secret_access_key, region) as s3:
            await s3.create_bucket(Bucket=name, **where)
    except ClientError as error:
        if error.response["Error"]["Code"] == "BucketAlreadyOwnedByYou":
            return False
        raise LabError(f"bucket {name}: cannot be made ({error.response['Error']['Code']})") from error
    except BotoCoreError as error:
        raise LabError(
            f"bucket {name}: {endpoint or 'AWS'} does not answer ({type(error).__name__})"
        ) from error
    return True
