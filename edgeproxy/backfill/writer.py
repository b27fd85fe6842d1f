"""Whole, verified objects into a bucket. No exception of botocore's leaves this file.

What is in one piece goes as our own reads do, which costs a fifth of what it does by aiobotocore; uploads in
parts go by that.  S3 API Reference, "PutObject", "CompleteMultipartUpload", "Conditional writes".
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Never

from botocore import UNSIGNED
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from edgeproxy.aws import client as aws_client
from edgeproxy.backfill.checking import Checks
from edgeproxy.backfill.job import Outcome, Skipped, Stored
from edgeproxy.backfill.keeping import META, headers_of, kept_fields
from edgeproxy.backfill.uploads import Mark, Upload, Uploads
from edgeproxy.core.digests import digests
from edgeproxy.core.errors import OriginError, WriteError
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.paths import key_path
from edgeproxy.core.reason import Reason
from edgeproxy.origins.connections import Patience
from edgeproxy.origins.credentials import FixedKeys, KeySource, ProviderChain
from edgeproxy.origins.localhost import Resolver
from edgeproxy.origins.s3 import FAULTS, Bucket, Signed, error_code
from edgeproxy.origins.sigv4 import Keys
from edgeproxy.origins.wire import Wire

_MAX_PARTS = 10_000
_GROWTH_EVERY = 1_000
"""An object of unknown length grows its parts by half each thousand: from 8 MiB on that has room for 885 GiB.

What is larger yet is too large: its parts would be more than memory should hold.
"""
_ABORT_S = 10.0
_CONNECT_S = 10.0
_AGAIN_S = 1.0
"""Within which a server that is out of order is asked once more."""
_LARGE = 256 * 1024
"""What takes so long to be digested that others must not wait for it."""

_PASSING = frozenset({429, 500, 502, 503, 504})
_EXISTS = frozenset({"PreconditionFailed", "412"})
_UNHEARD_OF = frozenset({"NotImplemented", "501"})
_UNKNOWN = frozenset({"400", "403", "404"})
"""What a HEAD says of an object that is not there or cannot be, or of which we may not know."""
_GONE = frozenset({"NoSuchUpload", "404"})
_FINAL = frozenset(
    "AccessDenied InvalidAccessKeyId SignatureDoesNotMatch NoSuchBucket InvalidBucketName EntityTooLarge"
    " KeyTooLongError XMinioInvalidObjectName InvalidToken ExpiredToken AllAccessDisabled"
    " MetadataTooLarge InvalidRequest PermanentRedirect IllegalLocationConstraintException".split()
)
_STATUSES = {"301": Reason.S3_REGION, "307": Reason.S3_REGION}


class _RefusedError(Exception):
    """What the server answered instead of doing it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


_SAID = (_RefusedError, ClientError, BotoCoreError, HTTPClientError, TimeoutError)
_FAILURES = (*_SAID, OSError)


@dataclass(frozen=True, slots=True)
class Present:
    """An object that is in the bucket: its ETag, and what we noted with it."""

    etag: str
    notes: Headers


@dataclass(frozen=True, slots=True)
class Manner:
    """How an object is to be written."""

    max_bytes: int
    notes: Mapping[str, str]
    """Metadata of ours, by name without `x-amz-meta-`, as far as there is room beside the source's."""
    over: str | None = None
    """The ETag of the object that is to be replaced; None where there must be none."""
    doubts: bool = False
    """Whether digests that are not sure to be one are left unlooked at."""
    veto: Callable[[], Awaitable[Reason | None]] | None = None
    """Asked last of all: why the object must not be written."""


class BucketWriter:
    """Writes objects that are not there yet; what somebody else wrote is never overwritten."""

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
        parts_at_once: int,
        timeout_s: float,
        connections: int,
        uploads: Uploads,
        now: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        """`now` is POSIX seconds; `random` gives numbers in [0, 1)."""
        self._bucket = bucket
        connect_s = min(_CONNECT_S, timeout_s)
        self._wire = Wire(bucket, Patience(1, connect_s, timeout_s, max_connections=connections))
        place = Bucket.at(bucket, region=region, endpoint=endpoint, style=addressing_style)
        source: KeySource = ProviderChain(bucket)
        if keys is not None or is_anonymous:
            source = FixedKeys(Keys(*keys) if keys is not None else None)
        self._signed = Signed(place, self._wire, source, now)
        self._endpoint = endpoint or ""
        self._part_bytes = part_bytes
        self._parts_at_once = parts_at_once
        self._timeout_s = timeout_s
        self._uploads = uploads
        self._random = random
        self._is_anonymous = is_anonymous
        config: dict[str, Any] = {
            # The server holds every body against the SHA-256 in its signature, whatever the scheme.
            "s3": {"addressing_style": addressing_style, "payload_signing_enabled": True},
            "max_pool_connections": connections,
            "connect_timeout": connect_s,
            "read_timeout": timeout_s,
            # The worker has its own, slower schedule.
            "retries": {"mode": "standard", "total_max_attempts": 2},
            # Trailing checksums are stored as part of the object by some servers.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        config["connector_args"] = {"resolver": Resolver()}
        if is_anonymous:
            config["signature_version"] = UNSIGNED
        self._connecting = partial(aws_client, "s3", region, endpoint, keys, config)
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._sweeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make the client, and begin to take away what processes that were killed have left."""
        self._stack.callback(self._wire.close)
        self._client = await self._stack.enter_async_context(self._connecting())
        self._sweep()

    async def close(self) -> None:
        """Close the client's connections."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self._stack.aclose()

    async def look(self, key: bytes) -> Present | None:
        """What the bucket has under `key`; None also where we may not know (the write itself will tell).

        Raises `WriteError`.
        """
        try:
            head = await self._ask("HEAD", key)
        except _SAID as error:
            if _code(error) in _UNKNOWN:
                return None
            _raise(error, self._bucket, key)
        noted = ((name.lower(), value) for name, value in head.headers)
        return Present(
            head.headers.get("etag") or "", Headers(pair for pair in noted if pair[0].startswith(META))
        )

    async def write(self, key: bytes, head: Head, body: AsyncIterator[bytes], manner: Manner) -> Outcome:
        """Write `body` under `key` with the fields of `head`, if it is whole and the key is as expected.

        The body has to raise when it is cut. Its length must be what `head` says, and so must its
        digests; otherwise nothing is written.

        Raises `WriteError`; what the body raises passes through. No part stays behind.
        """
        if not key or not _is_text(key):  # without a key it would be the bucket that is written
            return Skipped(Reason.BAD_KEY)
        writing = _Writing(self, key, head, manner)
        try:
            return await writing.run(body)
        except BaseException as error:
            await writing.abort()
            if isinstance(error, _SAID):
                if _code(error) in _EXISTS:
                    return Skipped(Reason.EXISTS if manner.over is None else Reason.CHANGED)
                _raise(error, self._bucket, key)
            raise

    async def _ask(
        self, method: str, key: bytes, headers: Headers | None = None, body: bytes | None = None
    ) -> Head:
        """The head of the answer, if it is 200; what is passing is tried twice.

        Raises `WriteError` where there is no answer to be had, else `_RefusedError`, or `TimeoutError`.
        """
        sha256 = await _sha256(body) if body is not None else None
        path = self._signed.bucket.root + key_path(key)
        async with asyncio.timeout(self._timeout_s):
            for is_last in (False, True):
                try:
                    reply = await self._signed.exchange(
                        method, path, "", headers, body, payload_sha256=sha256
                    )
                    try:
                        if reply.head.status == 200:
                            async for _ in reply.body:
                                pass
                            return reply.head
                        code = await error_code(reply)
                    finally:
                        reply.close()
                    if is_last or reply.head.status not in _PASSING:
                        raise _RefusedError(code)
                except OriginError as error:
                    if is_last:
                        raise WriteError(Reason.WRITE_FAILED, error.message) from error
                await asyncio.sleep(_AGAIN_S * self._random())
        raise AssertionError("unreachable")

    async def _call(self, operation: str, **parameters: Any) -> Any:
        """Ask the server; also one that takes a body and never reads it is left after `timeout_s`."""
        async with asyncio.timeout(self._timeout_s):
            return await getattr(self._client, operation)(Bucket=self._bucket, **parameters)

    def _sealed(self, body: bytes) -> dict[str, str]:
        """By what the server can tell that `body` came whole, where no signature says so."""
        if not self._is_anonymous:
            return {}
        return {"ContentMD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}

    async def _begun(self, key: bytes, fields: Mapping[str, Any]) -> tuple[str, Mark | None]:
        """A new upload in parts, written down where that can be done."""
        self._sweep()
        created = await self._call("create_multipart_upload", Key=_name(key), **fields)
        upload = Upload(self._endpoint, self._bucket, _name(key), created["UploadId"])
        return upload.upload_id, await asyncio.to_thread(self._uploads.begin, upload)

    def _sweep(self) -> None:
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.get_running_loop().create_task(self._swept())

    async def _swept(self) -> None:
        """Abort the uploads of processes that are gone."""
        for upload, mark in await asyncio.to_thread(self._uploads.orphans, self._endpoint, self._bucket):
            await self._aborted(upload.key, upload.upload_id, mark)

    async def _aborted(self, key: str, upload_id: str, mark: Mark | None) -> None:
        """Take away the parts of an upload; what cannot be now is left to the next who looks."""
        is_gone = True
        try:
            async with asyncio.timeout(_ABORT_S):
                await self._call("abort_multipart_upload", Key=key, UploadId=upload_id)
        except _FAILURES as error:
            is_gone = _code(error) in _GONE
        if mark is not None:
            await asyncio.to_thread(self._uploads.end if is_gone else self._uploads.leave, mark)

    def __repr__(self) -> str:
        return f"BucketWriter({self._bucket!r})"


class _Writing:
    """One object on its way: in one piece when it is small, in parts otherwise."""

    def __init__(self, writer: BucketWriter, key: bytes, head: Head, manner: Manner) -> None:
        self._writer = writer
        self._key = key
        self._head = head
        self._manner = manner
        self._fields = kept_fields(head, manner.notes)
        self._condition = {"IfNoneMatch": "*"} if manner.over is None else {"IfMatch": manner.over}
        self._part_bytes = writer._part_bytes
        if head.length is not None:
            self._part_bytes = max(self._part_bytes, -(-head.length // _MAX_PARTS))
        self._checks = Checks(digest for digest in digests(head) if digest.is_sure or not manner.doubts)
        self._size = 0
        self._begun: tuple[str, Mark | None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._parts: list[dict[str, Any]] = []

    async def run(self, body: AsyncIterator[bytes]) -> Outcome:
        pending = bytearray()
        async for chunk in body:
            self._size += len(chunk)
            if self._size > self._manner.max_bytes:
                await self.abort()
                return Skipped(Reason.TOO_LARGE)
            self._checks.update(chunk)
            pending += chunk
            while len(pending) > self._part_bytes:
                if len(self._parts) == _MAX_PARTS - 1:
                    await self.abort()
                    return Skipped(Reason.TOO_LARGE)
                with memoryview(pending) as view:
                    part = bytes(view[: self._part_bytes])
                del pending[: self._part_bytes]
                await self._send(part)
                del part
        self._verify()
        last = bytes(pending)
        pending.clear()
        if self._begun is not None:
            await self._send(last)
            await self._sent(at_most=0)
        reason = await self._why_not()
        if reason is not None:
            await self.abort()
            return Skipped(reason)
        if self._begun is None:
            await self._put(last)
            return Stored(self._size)
        upload_id, mark = self._begun
        parts = {"Parts": self._parts}
        await self._call(
            "complete_multipart_upload", UploadId=upload_id, MultipartUpload=parts, **self._condition
        )
        self._begun = None
        if mark is not None:
            await asyncio.to_thread(self._writer._uploads.end, mark)
        return Stored(self._size)

    async def _put(self, body: bytes) -> None:
        fields = {**self._fields, **self._writer._sealed(body)}
        try:
            await self._writer._ask("PUT", self._key, headers_of(fields | self._condition), body)
        except _RefusedError as error:
            if self._manner.over is None or _code(error) not in _EXISTS | _UNHEARD_OF:
                raise
            # Not every server knows If-Match here, or knows its own ETag in it (Ceph 16 does not).
            if await self._why_not() is not None:
                raise
            await self._writer._ask("PUT", self._key, headers_of(fields), body)

    async def _send(self, part: bytes) -> None:
        """Let `part` be sent, once there is a place among those that are on their way."""
        if self._begun is None:
            self._begun = await self._writer._begun(self._key, self._fields)
        await self._sent(at_most=self._writer._parts_at_once - 1)
        self._parts.append({"PartNumber": len(self._parts) + 1})
        sending = self._send_part(self._begun[0], self._parts[-1], part)
        self._sending.add(asyncio.get_running_loop().create_task(sending))
        if self._head.length is None and len(self._parts) % _GROWTH_EVERY == 0:
            self._part_bytes += self._part_bytes // 2

    async def _send_part(self, upload_id: str, row: dict[str, Any], part: bytes) -> None:
        number = row["PartNumber"]
        seal = self._writer._sealed(part)
        sent = await self._call("upload_part", UploadId=upload_id, PartNumber=number, **seal, Body=part)
        row["ETag"] = sent["ETag"]

    async def _sent(self, *, at_most: int) -> None:
        """Wait until no more than `at_most` parts are on their way; raises what went wrong with one."""
        while len(self._sending) > at_most:
            done, self._sending = await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
            errors = [error for task in done if (error := task.exception()) is not None]
            if errors:
                raise errors[0]

    async def _why_not(self) -> Reason | None:
        """The last look before the object is there."""
        reason = await self._manner.veto() if self._manner.veto is not None else None
        if reason is not None or (self._begun is None and self._manner.over is None):
            return reason
        # Not every server looks at the condition here (Ceph 16 does not): leave it a moment only.
        held = await self._writer.look(self._key)
        if self._manner.over is None:
            return Reason.EXISTS if held is not None else None
        return None if held is not None and held.etag == self._manner.over else Reason.CHANGED

    def _verify(self) -> None:
        """Raise `WriteError` unless the bytes are what the head says."""
        wanted = self._head.length
        if wanted is not None and wanted != self._size:
            raise WriteError(Reason.LENGTH_MISMATCH, f"got {self._size} bytes, want {wanted}")
        self._checks.verify()

    async def _call(self, operation: str, **parameters: Any) -> Any:
        return await self._writer._call(operation, Key=_name(self._key), **parameters)

    async def abort(self) -> None:
        """Take the parts away that were sent; also when we are being cancelled."""
        for task in self._sending:
            task.cancel()
        if self._begun is None:
            return
        (upload_id, mark), self._begun = self._begun, None
        aborting = asyncio.ensure_future(self._abort(upload_id, mark))
        try:
            await asyncio.shield(aborting)
        except asyncio.CancelledError:
            await asyncio.wait([aborting], timeout=5)
            raise

    async def _abort(self, upload_id: str, mark: Mark | None) -> None:
        # One that arrives later would stay.
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self._writer._aborted(_name(self._key), upload_id, mark)


async def _sha256(body: bytes) -> str:
    hashed = hashlib.sha256(body) if len(body) < _LARGE else await asyncio.to_thread(hashlib.sha256, body)
    return hashed.hexdigest()


def _code(error: Exception) -> str:
    match error:
        case _RefusedError():
            return error.code
        case ClientError():
            return str(error.response["Error"]["Code"])
        case _:
            return type(error).__name__


def _raise(error: Exception, bucket: str, key: bytes) -> Never:
    code = _code(error)
    reason = FAULTS.get(code) or _STATUSES.get(code) or Reason.WRITE_FAILED
    message = f"s3://{bucket}/{_name(key)}: the write failed ({code})"
    raise WriteError(reason, message, is_final=code in _FINAL) from error


def _name(key: bytes) -> str:
    return key.decode("utf-8", "replace")


def _is_text(key: bytes) -> bool:
    try:
        key.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
