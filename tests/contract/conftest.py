"""One suite over several S3 servers: moto always, real ones when wanted, any other by environment."""

import json
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from edgeproxy.aws import session
from tests.servers import minio, radosgw
from tests.servers.server import MissingError, S3Server

Connect = Callable[..., Awaitable[Any]]

_STARTERS: dict[str, Callable[[], AbstractContextManager[S3Server]]] = {
    "minio": minio.running,
    "radosgw": radosgw.running,
}
_TOLD = os.environ  # noqa: TID251
_IS_WANTED = bool(_TOLD.get("EDGEPROXY_SERVERS"))
_IS_REQUIRED = bool(_TOLD.get("EDGEPROXY_REQUIRE_SERVERS")) or _TOLD.get("CI") == "true"
_ENVIRON = _TOLD.get("EDGEPROXY_TEST_S3_ENDPOINT")


@pytest.fixture(
    scope="session",
    params=[
        "moto",
        pytest.param("minio", marks=pytest.mark.servers),
        pytest.param("radosgw", marks=pytest.mark.servers),
        *(["environ"] if _ENVIRON else []),
    ],
)
def server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    """A running S3 server.

    MinIO and radosgw run with `-m servers` or EDGEPROXY_SERVERS=1 only. One that is wanted and missing
    is skipped, or fails with EDGEPROXY_REQUIRE_SERVERS=1 or CI=true.
    """
    if request.param == "moto":
        endpoint = request.getfixturevalue("moto")
        yield S3Server(
            "moto", endpoint, "test", "test-secret", checks_signatures=False, says_403_of_missing=False
        )
        return
    if request.param == "environ":
        yield _from_environ()
        return
    if not (_IS_WANTED or "servers" in request.config.option.markexpr):
        pytest.skip(f"{request.param}: runs with -m servers or EDGEPROXY_SERVERS=1")
    with ExitStack() as stack:
        try:
            running = stack.enter_context(_STARTERS[request.param]())
        except MissingError as error:
            (pytest.fail if _IS_REQUIRED else pytest.skip)(f"{request.param}: {error}")
        yield running


def _from_environ() -> S3Server:
    """EDGEPROXY_TEST_S3_ENDPOINT, _ACCESS_KEY_ID, _SECRET_ACCESS_KEY, _REGION: held to what AWS does."""
    assert _ENVIRON is not None
    region = _TOLD.get("EDGEPROXY_TEST_S3_REGION", "us-east-1")
    return S3Server("environ", _ENVIRON, _needed("ACCESS_KEY_ID"), _needed("SECRET_ACCESS_KEY"), region)


def _needed(name: str) -> str:
    value = _TOLD.get(f"EDGEPROXY_TEST_S3_{name}")
    if not value:
        pytest.fail(f"EDGEPROXY_TEST_S3_{name}: is not set, want it beside EDGEPROXY_TEST_S3_ENDPOINT")
    return value


@pytest.fixture
async def connect(server: S3Server) -> AsyncIterator[Connect]:
    """Opens clients of the server: `connect(key_id, secret)`, unsigned with `connect(None, None)`."""
    async with AsyncExitStack() as stack:

        async def open_client(
            key_id: str | None, secret: str | None, token: str | None = None, *, read_timeout_s: float = 20
        ) -> Any:
            config = AioConfig(
                s3={"addressing_style": "path"},
                signature_version=UNSIGNED if key_id is None else "s3v4",
                retries={"total_max_attempts": 1},
                request_checksum_calculation="when_required",
                read_timeout=read_timeout_s,
            )
            client = session().create_client(
                "s3",
                endpoint_url=server.endpoint,
                region_name=server.region,
                aws_access_key_id=key_id,
                aws_secret_access_key=secret,
                aws_session_token=token,
                config=config,
            )
            return await stack.enter_async_context(client)

        yield open_client


@pytest.fixture
async def s3(server: S3Server, connect: Connect) -> Any:
    """A client with all rights."""
    return await connect(server.access_key_id, server.secret_access_key)


@pytest.fixture
async def bucket(server: S3Server, s3: Any) -> AsyncIterator[str]:
    """An empty bucket, gone afterwards."""
    name = f"contract-{uuid.uuid4().hex[:12]}"
    place = {"LocationConstraint": server.region}
    # AWS wants the place said everywhere but in us-east-1, and there not.
    await s3.create_bucket(
        Bucket=name, **({} if server.region == "us-east-1" else {"CreateBucketConfiguration": place})
    )
    yield name
    for upload in (await s3.list_multipart_uploads(Bucket=name)).get("Uploads", []):
        await s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    # One by one: DeleteObjects ends Ceph 16 where the bucket has a notification.
    async for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        for item in page.get("Contents", []):
            await s3.delete_object(Bucket=name, Key=item["Key"])
    await s3.delete_bucket(Bucket=name)


@pytest.fixture
async def restricted_s3(server: S3Server, s3: Any, bucket: str, connect: Connect) -> Any:
    """A client that may get and put in `bucket` but not list it."""
    if server.restricted_principal is not None:
        allow = {
            "Effect": "Allow",
            "Principal": {"AWS": [server.restricted_principal]},
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": [f"arn:aws:s3:::{bucket}/*"],
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        try:
            await s3.put_bucket_policy(Bucket=bucket, Policy=policy)
        except ClientError as error:
            if server.name != "environ":
                raise
            pytest.skip(f"{server.name} takes no policy for everybody: {error}")
    return await connect(
        server.restricted_access_key_id,
        server.restricted_secret_access_key,
        server.restricted_session_token,
    )
