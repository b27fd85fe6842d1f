"""May an answer be compressed here, and what becomes of its head.

CloudFront Developer Guide, "Serve compressed files"; RFC 9110 §8.4, RFC 9111 §5.2.2.6.
"""

from dataclasses import replace
from enum import StrEnum

from edgeproxy.core.key import vary_names
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import CachePolicy, Stored

MIN_BYTES = 1_000
MAX_BYTES = 10_000_000
"""Bodies of `MIN_BYTES` to `MAX_BYTES` are compressed, both included."""

_STATUSES = frozenset({200, 403, 404})
_TYPES = frozenset(
    f"{kind}/{name}"
    for kind, names in {
        "application": "dash+xml eot font font-sfnt javascript json opentype otf pdf pkcs7-mime protobuf"
        " rss+xml truetype ttf vnd.apple.mpegurl vnd.mapbox-vector-tile vnd.ms-fontobject wasm xhtml+xml xml"
        " x-font-opentype x-font-truetype x-font-ttf x-httpd-cgi x-javascript x-mpegurl x-opentype x-otf"
        " x-perl x-ttf",
        "font": "eot opentype otf ttf",
        "image": "svg+xml",
        "text": "css csv html javascript js plain richtext tab-separated-values xml x-component"
        " x-java-source x-script",
    }.items()
    for name in names.split()
)
# What speaks of the bytes as the origin sent them.
_OF_THE_BYTES = frozenset({"content-length", "content-md5", "content-digest", "repr-digest", "digest"})


class Coding(StrEnum):
    """Content codings that are made here, the better one first.  RFC 9110 §8.4.1."""

    BROTLI = "br"
    GZIP = "gzip"


def coding_wanted(sent: Request, policy: CachePolicy, *, compress: bool) -> Coding | Reason:
    """The coding that answers to a request may have; else why they stay as they come.

    `sent` is the request as the origin gets it: its `Accept-Encoding` is the one in the key, so that
    all who share an answer accept the coding. `compress` is the behaviour's setting.
    """
    if not compress or not (policy.key.gzip or policy.key.brotli) or policy.ttl.is_off:
        return Reason.COMPRESSION_OFF
    accepted = (sent.headers.get("accept-encoding") or "").split(",")
    return next((coding for coding in Coding if coding in accepted), Reason.CODING_NOT_ACCEPTED)


def coding_for(sent: Request, head: Head, policy: CachePolicy, *, compress: bool) -> Coding | Reason:
    """The coding in which the answer `head` is to be stored; else why it stays as it came."""
    coding = coding_wanted(sent, policy, compress=compress)
    if isinstance(coding, Reason):
        return coding
    if head.status not in _STATUSES:
        return Reason.STATUS_NOT_COMPRESSED
    if "content-encoding" in head.headers:
        return Reason.CODED_BY_ORIGIN
    if (head.headers.get("content-type") or "").partition(";")[0].strip().lower() not in _TYPES:
        return Reason.TYPE_NOT_COMPRESSED
    if head.length is None:
        return Reason.LENGTH_UNKNOWN
    if not MIN_BYTES <= head.length <= MAX_BYTES:
        return Reason.SIZE_NOT_COMPRESSED
    control = (head.headers.get("cache-control") or "").lower().split(",")
    if "no-transform" in (directive.strip() for directive in control):
        return Reason.NO_TRANSFORM
    return coding


def coded(head: Head, coding: Coding) -> Head:
    """`head` of the same answer in `coding`.

    A strong entity tag becomes weak, as the bytes are others than the origin's; what is no tag goes.
    """
    headers = _varying(head.headers.without(_OF_THE_BYTES)).having(("Content-Encoding", coding))
    etag = (head.headers.get("etag") or "").strip()
    if etag.startswith('"'):
        headers = headers.having(("ETag", f"W/{etag}"))
    elif not etag.startswith("W/"):
        headers = headers.without({"etag"})
    return Head(head.status, headers)


def still_coded(before: Stored, after: Stored) -> Stored:
    """`after`, the stored answer `before` refreshed by a 304, which speaks of the origin's bytes.

    What was compressed stays so, whatever the 304 says, and is no variant: the key holds the coding.
    """
    has_coding = "content-encoding" in before.head.headers
    if not has_coding or "accept-encoding" not in vary_names(before.head.headers):
        return after
    kept = before.head.length is not None
    headers = after.head.headers if kept else after.head.headers.without(_OF_THE_BYTES)
    varied = [
        (name, value)
        for name, value in zip(after.vary, after.variant, strict=True)
        if name != "accept-encoding" or name in before.vary
    ]
    return replace(
        after,
        head=Head(after.head.status, _varying(headers)),
        vary=tuple(name for name, _ in varied),
        variant=tuple(value for _, value in varied),
    )


def _varying(headers: Headers) -> Headers:
    """`headers` with Accept-Encoding in their `Vary`."""
    names = vary_names(headers)
    if "*" in names or "accept-encoding" in names:
        return headers
    vary = headers.get("vary")
    return headers.having(("Vary", f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"))
