"""What the servers themselves do, without edgeproxy: what the other contract tests rest on."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from tests.contract.conftest import Connect
from tests.servers.server import S3Server

Said = tuple[int, str]

NO_SUCH_KEY = (404, "NoSuchKey")
NO_SUCH_KEY_HEAD = (404, "404")
DENIED = (403, "AccessDenied")
DENIED_HEAD = (403, "403")


async def refusal(asking: Awaitable[Any]) -> Said:
    """Status and code of what the server refuses; a HEAD has no body and so no code but the status."""
    with pytest.raises(ClientError) as refused:
        await asking
    answer = refused.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


async def body_of(s3: Any, bucket: str, key: str) -> bytes:
    async with (await s3.get_object(Bucket=bucket, Key=key))["Body"] as body:
        return bytes(await body.read())


async def test_what_was_put_comes_back(s3: Any, bucket: str) -> None:
    await s3.put_object(
        Bucket=bucket, Key="a.txt", Body=b"abc", ContentType="text/x-a", Metadata={"from": "me"}
    )
    head = await s3.head_object(Bucket=bucket, Key="a.txt")
    assert (head["ContentLength"], head["ContentType"], head["Metadata"]) == (3, "text/x-a", {"from": "me"})
    assert await body_of(s3, bucket, "a.txt") == b"abc"


@pytest.mark.parametrize("key", ["a b+c%d?e#f/ü.txt", "a b+c%d?e#f//ü.txt"], ids=["odd", "odd with //"])
async def test_odd_keys_come_back_exact(server: S3Server, s3: Any, bucket: str, key: str) -> None:
    if "//" in key and not server.has_odd_keys:
        assert await refusal(s3.put_object(Bucket=bucket, Key=key, Body=b"")) == (
            400,
            "XMinioInvalidObjectName",
        )
        return
    await s3.put_object(Bucket=bucket, Key=key, Body=b"odd")
    listed = await s3.list_objects_v2(Bucket=bucket)
    assert [item["Key"] for item in listed["Contents"]] == [key]
    assert await body_of(s3, bucket, key) == b"odd"


async def test_a_missing_key_is_404_to_those_who_may_list(s3: Any, bucket: str) -> None:
    assert await refusal(s3.get_object(Bucket=bucket, Key="missing")) == NO_SUCH_KEY
    assert await refusal(s3.head_object(Bucket=bucket, Key="missing")) == NO_SUCH_KEY_HEAD


async def test_a_missing_key_is_403_to_those_who_may_not_list(
    server: S3Server, restricted_s3: Any, bucket: str
) -> None:
    await restricted_s3.put_object(Bucket=bucket, Key="a", Body=b"abc")
    assert await body_of(restricted_s3, bucket, "a") == b"abc"
    hidden = server.says_403_of_missing
    for_get, for_head = (DENIED, DENIED_HEAD) if hidden else (NO_SUCH_KEY, NO_SUCH_KEY_HEAD)
    assert await refusal(restricted_s3.get_object(Bucket=bucket, Key="missing")) == for_get
    assert await refusal(restricted_s3.head_object(Bucket=bucket, Key="missing")) == for_head
    if server.checks_signatures:
        assert await refusal(restricted_s3.list_objects_v2(Bucket=bucket)) == DENIED


async def test_without_any_right_what_is_there_and_what_is_not_are_both_403(
    server: S3Server, s3: Any, bucket: str, connect: Connect
) -> None:
    if not server.checks_signatures:
        pytest.skip(f"{server.name} says 404 of what is not there")
    await s3.put_object(Bucket=bucket, Key="a", Body=b"abc")
    stranger = await connect(None, None)
    for key in ("a", "missing"):
        assert await refusal(stranger.get_object(Bucket=bucket, Key=key)) == DENIED


async def test_a_missing_bucket_is_404(s3: Any) -> None:
    assert await refusal(s3.get_object(Bucket="there-is-no-such-bucket", Key="a")) == (404, "NoSuchBucket")


@pytest.mark.parametrize(
    ("key_id", "code"),
    [(None, "SignatureDoesNotMatch"), ("NOBODYSKEY1234567890", "InvalidAccessKeyId")],
    ids=["wrong secret", "unknown key"],
)
async def test_refused_credentials_are_403_with_their_own_code(
    server: S3Server, s3: Any, bucket: str, connect: Connect, key_id: str | None, code: str
) -> None:
    await s3.put_object(Bucket=bucket, Key="a", Body=b"abc")
    client = await connect(key_id or server.access_key_id, "not-the-secret")
    if not server.checks_signatures:
        assert await body_of(client, bucket, "a") == b"abc"
        return
    assert await refusal(client.get_object(Bucket=bucket, Key="a")) == (403, code)
    assert await refusal(client.head_object(Bucket=bucket, Key="a")) == DENIED_HEAD


async def test_if_none_match_guards_a_put(s3: Any, bucket: str) -> None:
    await s3.put_object(Bucket=bucket, Key="a", Body=b"first", IfNoneMatch="*")
    second = s3.put_object(Bucket=bucket, Key="a", Body=b"second", IfNoneMatch="*")
    assert await refusal(second) == (412, "PreconditionFailed")
    assert await body_of(s3, bucket, "a") == b"first"


async def test_if_none_match_guards_the_completion_of_parts(server: S3Server, s3: Any, bucket: str) -> None:
    target = {"Bucket": bucket, "Key": "a"}
    upload = (await s3.create_multipart_upload(**target))["UploadId"]
    part = await s3.upload_part(**target, UploadId=upload, PartNumber=1, Body=b"parts")
    await s3.put_object(**target, Body=b"newer")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    completing = s3.complete_multipart_upload(
        **target, UploadId=upload, MultipartUpload=parts, IfNoneMatch="*"
    )
    if server.guards_completion:
        assert await refusal(completing) == (412, "PreconditionFailed")
        assert await body_of(s3, bucket, "a") == b"newer"
    else:
        await completing
        assert await body_of(s3, bucket, "a") == b"parts"


async def test_a_paused_server_takes_the_connection_and_says_nothing(
    server: S3Server, s3: Any, bucket: str, connect: Connect
) -> None:
    if not server.pids:
        pytest.skip(f"{server.name} is not ours to pause")
    await s3.put_object(Bucket=bucket, Key="a", Body=b"abc")
    impatient = await connect(server.access_key_id, server.secret_access_key, read_timeout_s=0.2)
    with server.paused():
        async with asyncio.timeout(10):
            with pytest.raises(ReadTimeoutError):
                await impatient.get_object(Bucket=bucket, Key="a")
    assert await body_of(s3, bucket, "a") == b"abc"
