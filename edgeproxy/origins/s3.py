"""A bucket as an origin: reads signed with SigV4 and sent through the same client as all others.

Amazon S3 API Reference, "GetObject", "Error responses"; CloudFront Developer Guide, "Request and
response behavior for Amazon S3 origins".
"""

import re
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from edgeproxy.core.errors import OriginError
from edgeproxy.core.failover import Attempt
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.paths import key_path, object_key
from edgeproxy.core.provenance import is_ours
from edgeproxy.core.reason import Reason
from edgeproxy.core.validation import CONDITIONAL
from edgeproxy.origins.base import Reply, whole_body
from edgeproxy.origins.credentials import KeySource
from edgeproxy.origins.sigv4 import EMPTY_SHA256, UNSIGNED_PAYLOAD, signed_headers
from edgeproxy.origins.wire import Wire

_SENT = CONDITIONAL | {"range", "content-length", "content-type", "content-md5", "origin"}
_SENT |= {"access-control-request-headers", "access-control-request-method", "cache-control"}
_DROPPED = frozenset({"x-amz-id-2", "x-amz-request-id", "x-minio-deployment-id", "x-ratelimit-limit"})
_DROPPED |= {"x-ratelimit-remaining", "x-amz-delete-marker", "x-amz-content-sha256", "x-amzn-requestid"}
_DROPPED |= {"strict-transport-security"}
_MAX_ERROR_BYTES = 64 * 1024
_CODE = re.compile(rb"<Code>\s*([A-Za-z]{1,64})\s*</Code>")
_VERSION = re.compile(r"(?:^|&)(versionId=[A-Za-z0-9._\-]{1,1024})(?:&|\Z)")

# Error codes by which the server refuses us, not the object. They must not look like a missing key.
FAULTS = {
    **dict.fromkeys(
        (
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "AuthorizationHeaderMalformed",
            "InvalidToken",
            "ExpiredToken",
            "TokenRefreshRequired",
            "RequestTimeTooSkewed",
            "InvalidSecurity",
            "AccountProblem",
            "NotSignedUp",
            "XAmzContentSHA256Mismatch",
        ),
        Reason.S3_CREDENTIALS,
    ),
    **dict.fromkeys(("NoSuchBucket", "InvalidBucketName", "AllAccessDisabled"), Reason.S3_NO_BUCKET),
    **dict.fromkeys(
        ("PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException"), Reason.S3_REGION
    ),
}
# Keys that the server cannot have: so it has no such object. MinIO's is for "//" and dot segments.
_IMPOSSIBLE_KEY = frozenset({"KeyTooLongError", "InvalidURI", "XMinioInvalidObjectName"})
# Statuses whose body is an error document worth reading.
_TELLING = frozenset({301, 307, 400, 401, 403, 404})


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where a bucket is. `base` is scheme, host and, in path style, the bucket's name."""

    name: str
    region: str
    base: str
    host: str
    root: str

    @classmethod
    def at(cls, name: str, *, region: str, endpoint: str | None, style: str) -> "Bucket":
        """The bucket at `endpoint` (AWS when None); `style` is "auto", "path" or "virtual".

        A name with dots has no valid certificate in virtual-host style, so `auto` does without there.
        S3 User Guide, "Virtual hosting of buckets".
        """
        url = urlsplit(endpoint or f"https://s3.{region}.amazonaws.com")
        if style == "virtual" or (style == "auto" and endpoint is None and "." not in name):
            host = f"{name}.{url.netloc}"
            return cls(name, region, f"{url.scheme}://{host}", host, "")
        return cls(name, region, f"{url.scheme}://{url.netloc}", url.netloc, f"/{name}")


class Signed:
    """Connections to a bucket, over which requests go signed where there are keys."""

    def __init__(self, bucket: Bucket, wire: Wire, keys: KeySource, now: Callable[[], float]) -> None:
        self.bucket = bucket
        self._wire = wire
        self._keys = keys
        self._now = now

    async def exchange(
        self,
        method: str,
        path: str,
        query: str = "",
        headers: Headers | None = None,
        body: AsyncIterable[bytes] | bytes | None = None,
        *,
        payload_sha256: str | None = None,
    ) -> Reply:
        """Send a request, whose path and query are in S3's canonical form, and give the reply.

        Where `payload_sha256`, the digest of the body, is given, it is signed, and so are all `headers`;
        what a viewer sends goes without.  Raises `OriginError`.
        """
        headers = (headers or Headers()).having(("Host", self.bucket.host))
        keys = await self._keys.current()
        if keys is not None and method != "OPTIONS":
            signature = signed_headers(
                keys,
                method=method,
                host=self.bucket.host,
                path=path,
                query=query,
                region=self.bucket.region,
                now=self._now(),
                payload_sha256=payload_sha256 or (EMPTY_SHA256 if body is None else UNSIGNED_PAYLOAD),
                covering=headers.without({"host"}) if payload_sha256 is not None else (),
            )
            headers = headers.having(*signature)
        target = f"{path}?{query}" if query else path
        return await self._wire.exchange(method, f"{self.bucket.base}{target}", headers, body)

    def __repr__(self) -> str:
        return f"Signed({self.bucket.base + self.bucket.root!r})"


class S3Origin:
    """Reads of objects in one bucket; `path` is a prefix of all keys."""

    def __init__(
        self,
        name: str,
        signed: Signed,
        *,
        path: str = "",
        custom_headers: Headers,
        shows_notes: bool = False,
    ) -> None:
        """`shows_notes`: whether viewers see what the backfill noted with an object."""
        self.name = name
        self.path = path
        self._signed = signed
        self._custom_headers = custom_headers
        self._shows_notes = shows_notes

    async def fetch(self, request: Request) -> Reply:
        """Ask for the object that the path names.

        Raises `OriginError` with S3_CREDENTIALS, S3_NO_BUCKET or S3_REGION when S3 refuses us rather
        than lacks the object; a 403 `AccessDenied` is a reply, as S3 says so of a missing key to those
        who may not list the bucket.
        """
        key = object_key(request.path, self.path)
        if not key:
            # The bucket itself: a GET would list it.
            return _missing(self.name)
        try:
            reply = await self._exchange(request, key)
            if reply.head.status in _TELLING:
                reply = await self._judged(request, key, reply)
        except OriginError as error:
            error.trail = (Attempt(self.name, error.failover_as, error.reason),)
            raise
        headers = reply.head.headers.without(_DROPPED)
        reply.notes = Headers(pair for pair in headers if is_ours(pair[0]))
        if len(reply.notes) and not self._shows_notes:
            headers = headers.without(name.lower() for name, _ in reply.notes)
        reply.head = Head(reply.head.status, headers)
        reply.trail = (Attempt(self.name, reply.head.status),)
        return reply

    async def _exchange(self, request: Request, key: bytes) -> Reply:
        # Of the query only a version counts: others are S3's own operations (acl, list-type, ...).
        version = _VERSION.search(request.query)
        query = version[1] if version is not None else ""
        path = self._signed.bucket.root + key_path(key)
        kept = Headers(pair for pair in request.headers if pair[0].lower() in _SENT)
        tags = kept.get("if-none-match")
        if tags is not None:
            # S3 makes no weak tags and matches none: this one was S3's own until we compressed its object.
            kept = kept.having(("If-None-Match", tags.replace('W/"', '"')))
        return await self._sent(request.but(path=path, query=query, headers=kept))

    async def _sent(self, request: Request) -> Reply:
        headers = request.headers.having(*self._custom_headers)
        return await self._signed.exchange(request.method, request.path, request.query, headers, request.body)

    async def listing(self, query: str) -> Reply:
        """The reply to a GET of the bucket itself; `query` is sorted and encoded.  Raises `OriginError`."""
        return await self._sent(Request("GET", self._signed.bucket.root or "/", query))

    async def _judged(self, request: Request, key: bytes, reply: Reply) -> Reply:
        """The reply once its error document has been read: is it about the object, or about us?"""
        if request.method == "HEAD":
            # No document comes with it: ask by a GET, for the code alone.
            probe = Request("GET", request.path, request.query, Headers([("Range", "bytes=0-0")]))
            document = await _beginning(await self._exchange(probe, key))
        else:
            document = await _beginning(reply)
            reply = _documented(reply.head.status, reply.head.headers, document)
        code = _code_in(document)
        if code in FAULTS:
            raise OriginError(FAULTS[code], f"{self.name}: S3 refuses the request ({code})")
        if code in _IMPOSSIBLE_KEY:
            return _documented(404, reply.head.headers, document)
        return reply

    def __repr__(self) -> str:
        return f"S3Origin({self.name!r}, {self._signed.bucket.base + self._signed.bucket.root!r})"


async def error_code(reply: Reply) -> str:
    """The code of the error that S3 answered, or the status where it has none.  Raises `OriginError`."""
    return _code_in(await _beginning(reply)) or str(reply.head.status)


def _code_in(document: bytes) -> str:
    match = _CODE.search(document)
    return match[1].decode() if match is not None else ""


async def _beginning(reply: Reply) -> bytes:
    """The body up to the size of any error document; the rest is given up."""
    document = b""
    try:
        async for chunk in reply.body:
            document += chunk
            if len(document) > _MAX_ERROR_BYTES:
                break
    finally:
        reply.close()
    return document[:_MAX_ERROR_BYTES]


def _documented(status: int, headers: Headers, document: bytes) -> Reply:
    """A reply with an error document that has been read."""
    length = ("Content-Length", str(len(document)))
    return Reply(Head(status, headers.without({"transfer-encoding"}).having(length)), whole_body(document))


def _missing(name: str) -> Reply:
    document = b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
    reply = _documented(404, Headers([("Content-Type", "application/xml")]), document)
    reply.trail = (Attempt(name, 404),)
    return reply
