"""Conditional requests: asking the origin whether a stored response still holds, and answering viewers.

RFC 9110 §13, RFC 9111 §4.3.
"""

from edgeproxy.core.freshness import http_date
from edgeproxy.core.message import Head, Headers

CONDITIONAL = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"})
# What a 304 never changes in a stored response: fields that describe the stored bytes. RFC 9111 §3.2.
_OF_THE_BYTES = frozenset(
    {
        "content-encoding",
        "content-length",
        "content-md5",
        "content-range",
        "content-type",
        "transfer-encoding",
    }
)


def validators(head: Head) -> tuple[tuple[str, str], ...]:
    """The conditional fields that ask whether `head` still holds; empty if it has no validator."""
    etag = head.headers.get("etag")
    modified = head.headers.get("last-modified")
    fields = []
    if etag is not None:
        fields.append(("If-None-Match", etag))
    if modified is not None:
        fields.append(("If-Modified-Since", modified))
    return tuple(fields)


def freshened(head: Head, not_modified: Head) -> Head:
    """`head` with the fields of a 304 in place of its own.  RFC 9111 §4.3.4, §3.2."""
    updates = not_modified.headers.without(_OF_THE_BYTES)
    return Head(head.status, head.headers.without({"age"}).having(*updates))


def is_not_modified(request: Headers, head: Head) -> bool:
    """Whether a GET or HEAD with these fields is answered by 304 instead of a 200 with `head`.

    `If-None-Match` decides alone where it is present.  RFC 9110 §13.2.2.
    """
    if head.status != 200:
        return False
    wanted = request.get("if-none-match")
    if wanted is not None:
        etag = head.headers.get("etag")
        if wanted.strip() == "*":
            return True
        return etag is not None and _opaque(etag) in {_opaque(tag) for tag in wanted.split(",")}
    since = request.get("if-modified-since")
    modified = head.headers.get("last-modified")
    if since is None or modified is None:
        return False
    since_s, modified_s = http_date(since), http_date(modified)
    return since_s is not None and modified_s is not None and modified_s <= since_s


def is_range_current(request: Headers, head: Head) -> bool:
    """Whether `If-Range`, if there is one, allows a part of this representation.  RFC 9110 §13.1.5."""
    value = request.get("if-range")
    if value is None:
        return True
    if value.startswith('"'):
        return value == head.headers.get("etag")
    # A weak tag never matches; a date must be the very Last-Modified.
    return value == head.headers.get("last-modified")


def _opaque(etag: str) -> str:
    """The tag without its weakness, for the weak comparison of RFC 9110 §8.8.3.2."""
    return etag.strip().removeprefix("W/")
