"""One suite over several S3 servers: moto always, real ones where they are, any other by environment."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from tests.servers import minio, radosgw
from tests.servers.server import MissingError, S3Server

_STARTERS = {"minio": minio.running, "radosgw": radosgw.running}
_IS_REQUIRED = bool(os.environ.get("EDGEPROXY_REQUIRE_SERVERS"))  # noqa: TID251
_ENVIRON = os.environ.get("EDGEPROXY_TEST_S3_ENDPOINT")  # noqa: TID251


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
    """A running S3 server. One that is missing is skipped, or fails with EDGEPROXY_REQUIRE_SERVERS."""
    if request.param == "moto":
        endpoint = request.getfixturevalue("moto")
        yield S3Server(
            "moto", endpoint, "test", "test-secret", checks_signatures=False, says_403_of_missing=False
        )
        return
    if request.param == "environ":
        yield _from_environ()
        return
    starting: AbstractContextManager[S3Server] = _STARTERS[request.param]()
    try:
        running = starting.__enter__()
    except MissingError as error:
        (pytest.fail if _IS_REQUIRED else pytest.skip)(f"{request.param}: {error}")
    yield running
    starting.__exit__(None, None, None)


def _from_environ() -> S3Server:
    """EDGEPROXY_TEST_S3_ENDPOINT, _ACCESS_KEY_ID, _SECRET_ACCESS_KEY and _REGION name any other server."""
    told = os.environ  # noqa: TID251
    keys = (
        told.get("EDGEPROXY_TEST_S3_ACCESS_KEY_ID", ""),
        told.get("EDGEPROXY_TEST_S3_SECRET_ACCESS_KEY", ""),
    )
    region = told.get("EDGEPROXY_TEST_S3_REGION", "us-east-1")
    assert _ENVIRON is not None
    return S3Server("environ", _ENVIRON, *keys, region)


@pytest.fixture
async def s3(server: S3Server) -> AsyncIterator[Any]:
    """A client with all rights."""
    options = {
        "endpoint_url": server.endpoint,
        "region_name": server.region,
        "aws_access_key_id": server.access_key_id,
        "aws_secret_access_key": server.secret_access_key,
        "config": AioConfig(
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required",
        ),
    }
    async with get_session().create_client("s3", **options) as client:
        yield client


@pytest.fixture
async def bucket(s3: Any) -> AsyncIterator[str]:
    """An empty bucket, gone afterwards."""
    name = f"contract-{uuid.uuid4().hex[:12]}"
    await s3.create_bucket(Bucket=name)
    yield name
    for upload in (await s3.list_multipart_uploads(Bucket=name)).get("Uploads", []):
        await s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    for item in (await s3.list_objects_v2(Bucket=name)).get("Contents", []):
        await s3.delete_object(Bucket=name, Key=item["Key"])
    await s3.delete_bucket(Bucket=name)
