"""Whole, verified objects into a bucket, by aiobotocore. No exception of botocore's leaves this file.

S3 API Reference, "PutObject", "CompleteMultipartUpload", "Conditional writes".
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore import UNSIGNED
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from edgeproxy.backfill.job import Outcome, Skipped, Stored
from edgeproxy.core.errors import WriteError
from edgeproxy.core.freshness import http_date
from edgeproxy.core.message import Head
from edgeproxy.core.reason import Reason
from edgeproxy.origins.localhost import Resolver

# Head fields that S3 keeps with an object, and the names botocore has for them.
_KEPT = {
    "content-type": "ContentType",
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
}
_META = "x-amz-meta-"
_MAX_META_BYTES = 2048
_MAX_PARTS = 10_000
_GROWTH_EVERY = 1_000
"""An object of unknown length grows its parts by half each thousand: 8 MiB first reach far over 5 TiB."""

_EXISTS = frozenset({"PreconditionFailed", "412"})
_FINAL = frozenset(
    "AccessDenied InvalidAccessKeyId SignatureDoesNotMatch NoSuchBucket InvalidBucketName EntityTooLarge"
    " KeyTooLongError XMinioInvalidObjectName InvalidToken ExpiredToken AllAccessDisabled"
    " MetadataTooLarge InvalidRequest".split()
)


class BucketWriter:
    """Writes objects that are not there yet; what is there already is never overwritten."""

    def __init__(
        self,
        bucket: str,
        *,
        region: str,
        endpoint: str | None,
        addressing_style: str,
        keys: tuple[str, str, str | None] | None,
        is_anonymous: bool,
        part_bytes: int,
        connections: int,
    ) -> None:
        self._bucket = bucket
        self._part_bytes = part_bytes
        config: dict[str, Any] = {
            "s3": {"addressing_style": addressing_style},
            "max_pool_connections": connections,
            "connect_timeout": 10,
            "read_timeout": 60,
            # The worker has its own, slower schedule.
            "retries": {"mode": "standard", "total_max_attempts": 2},
            # Trailing checksums are stored as part of the object by some servers.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        config["connector_args"] = {"resolver": Resolver()}
        if is_anonymous:
            config["signature_version"] = UNSIGNED
        self._options: dict[str, Any] = {
            "region_name": region,
            "endpoint_url": endpoint,
            "config": AioConfig(**config),
        }
        if keys is not None:
            access, secret, token = keys
            self._options |= {
                "aws_access_key_id": access,
                "aws_secret_access_key": secret,
                "aws_session_token": token,
            }
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def open(self) -> None:
        """Make the client; nothing is sent yet."""
        self._client = await self._stack.enter_async_context(
            get_session().create_client("s3", **self._options)
        )

    async def close(self) -> None:
        """Close the client's connections."""
        await self._stack.aclose()

    async def exists(self, key: bytes) -> bool:
        """Whether the bucket has `key`; False also where we may not know (the write itself will tell)."""
        return await _exists(self._client, {"Bucket": self._bucket, "Key": _name(key)})

    async def write(self, key: bytes, head: Head, body: AsyncIterator[bytes], max_bytes: int) -> Outcome:
        """Write `body` under `key` with the fields of `head`, if it is whole and the key is free.

        The body has to raise when it is cut. Its length must be what `head` says, and its MD5 the
        `Content-MD5` if there is one; otherwise nothing is written.

        Raises `WriteError`; what the body raises passes through. No part stays behind.
        """
        if not _is_text(key):
            return Skipped(Reason.BAD_KEY)
        target = {"Bucket": self._bucket, "Key": _name(key)}
        upload = _Upload(self._client, target, _kept_fields(head), head, max_bytes, self._part_bytes)
        try:
            return await upload.run(body)
        except BaseException as error:
            await upload.abort()
            if isinstance(error, ClientError | BotoCoreError | HTTPClientError):
                return _judged(error, self._bucket, key)
            raise

    def __repr__(self) -> str:
        return f"BucketWriter({self._bucket!r})"


class _Upload:
    """One object on its way: in one piece when it is small, in parts otherwise."""

    def __init__(
        self,
        client: Any,
        target: Mapping[str, str],
        fields: Mapping[str, Any],
        head: Head,
        max_bytes: int,
        part_bytes: int,
    ) -> None:
        self._client = client
        self._target = target
        self._fields = fields
        self._head = head
        self._max_bytes = max_bytes
        self._part_bytes = part_bytes
        if head.length is not None:
            self._part_bytes = max(part_bytes, -(-head.length // _MAX_PARTS))
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._size = 0
        self._id: str | None = None
        self._parts: list[dict[str, Any]] = []

    async def run(self, body: AsyncIterator[bytes]) -> Outcome:
        pending = bytearray()
        async for chunk in body:
            self._size += len(chunk)
            if self._size > self._max_bytes:
                await self.abort()
                return Skipped(Reason.TOO_LARGE)
            self._md5.update(chunk)
            pending += chunk
            while len(pending) > self._part_bytes:
                await self._send_part(bytes(pending[: self._part_bytes]))
                del pending[: self._part_bytes]
        self._verify()
        last = bytes(pending)
        pending.clear()
        if self._id is None:
            await self._client.put_object(**self._target, **self._fields, Body=last, IfNoneMatch="*")
        else:
            await self._send_part(last)
            if await _exists(self._client, self._target):
                # Not every server looks at If-None-Match here (Ceph 16 does not): leave it a moment only.
                await self.abort()
                return Skipped(Reason.EXISTS)
            await self._client.complete_multipart_upload(
                **self._target, UploadId=self._id, MultipartUpload={"Parts": self._parts}, IfNoneMatch="*"
            )
        self._id = None
        return Stored(self._size)

    async def _send_part(self, part: bytes) -> None:
        if self._id is None:
            created = await self._client.create_multipart_upload(**self._target, **self._fields)
            self._id = created["UploadId"]
        number = len(self._parts) + 1
        sent = await self._client.upload_part(**self._target, UploadId=self._id, PartNumber=number, Body=part)
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        if self._head.length is None and number % _GROWTH_EVERY == 0:
            self._part_bytes += self._part_bytes // 2

    def _verify(self) -> None:
        """Raise `WriteError` unless the bytes are what the head says."""
        wanted = self._head.length
        if wanted is not None and wanted != self._size:
            raise WriteError(Reason.LENGTH_MISMATCH, f"got {self._size} bytes, want {wanted}")
        digest = self._head.headers.get("content-md5")
        if digest is not None and digest.strip() != base64.b64encode(self._md5.digest()).decode():
            raise WriteError(Reason.DIGEST_MISMATCH, "the bytes do not have the MD5 of Content-MD5")

    async def abort(self) -> None:
        """Take the parts away that were sent; also when we are being cancelled."""
        if self._id is None:
            return
        upload_id, self._id = self._id, None
        aborting = asyncio.ensure_future(
            self._client.abort_multipart_upload(**self._target, UploadId=upload_id)
        )
        try:
            await asyncio.shield(aborting)
        except asyncio.CancelledError:
            await asyncio.wait([aborting], timeout=5)
            raise
        except (ClientError, BotoCoreError, HTTPClientError):
            # Gone already, or the server is: a lifecycle rule on the bucket is the backstop.
            return


async def _exists(client: Any, target: Mapping[str, str]) -> bool:
    try:
        await client.head_object(**target)
    except (ClientError, BotoCoreError, HTTPClientError, OSError, TimeoutError):
        return False
    return True


def _kept_fields(head: Head) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, parameter in _KEPT.items():
        value = head.headers.get(name)
        if value:
            fields[parameter] = value
    expires = head.headers.get("expires")
    if expires is not None and (moment := http_date(expires)) is not None:
        fields["Expires"] = moment
    meta = {
        name.lower().removeprefix(_META): value
        for name, value in head.headers
        if name.lower().startswith(_META) and value.isascii()
    }
    if meta and sum(len(name) + len(value) for name, value in meta.items()) <= _MAX_META_BYTES:
        fields["Metadata"] = meta
    return fields


def _judged(error: Exception, bucket: str, key: bytes) -> Outcome:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
    if code in _EXISTS:
        return Skipped(Reason.EXISTS)
    message = f"s3://{bucket}/{_name(key)}: the write failed ({code})"
    raise WriteError(Reason.WRITE_FAILED, message, is_final=code in _FINAL) from error


def _name(key: bytes) -> str:
    return key.decode("utf-8", "replace")


def _is_text(key: bytes) -> bool:
    try:
        key.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
