"""Conditional requests: asking the origin whether a stored response still holds, and answering viewers.

RFC 9110 §13, RFC 9111 §4.3.
"""

import re

from edgeproxy.core.freshness import http_date
from edgeproxy.core.key import vary_names
from edgeproxy.core.message import Head, Headers

CONDITIONAL = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"})
# A tag may hold commas. What is no tag, such as one without quotes, ends at a comma.  RFC 9110 §8.8.3.
_TAG = re.compile(r"""(?:W/)?"[^"]*"|[^\s,]+""")
# What a 304 never changes in a stored response: fields that describe the stored bytes (RFC 9111 §3.2),
# and the one that is for whoever asked, not for those who are served from the cache.
_KEPT = frozenset(
    {
        "content-encoding",
        "content-length",
        "content-md5",
        "content-range",
        "content-type",
        "etag",
        "set-cookie",
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


def is_about(head: Head, not_modified: Head) -> bool:
    """Whether a 304 can speak of the stored `head`: not if it bears another entity tag.  RFC 9111 §4.3.4."""
    ours, theirs = head.headers.get("etag"), not_modified.headers.get("etag")
    return ours is None or theirs is None or _opaque(ours) == _opaque(theirs)


def agrees(head: Head, length: int, passing: Head) -> bool | None:
    """Whether the answer to a HEAD speaks of the stored `head` and its body of `length` bytes.

    None where it holds nothing to tell by.  RFC 9111 §4.3.5.
    """
    if passing.length not in (None, length):
        return False
    said = [name for name in ("etag", "last-modified") if name in passing.headers]
    if not all(_is_same(name, head, passing) for name in said):
        return False
    return True if said else None


def _is_same(name: str, one: Head, other: Head) -> bool:
    return _opaque(one.headers.get(name) or "") == _opaque(other.headers.get(name) or "")


def freshened(head: Head, not_modified: Head) -> Head:
    """`head` with the fields of a 304 in place of its own.  RFC 9111 §4.3.4, §3.2.

    A 304 about another representation changes nothing. `Date` counts from now also where the 304
    has none (RFC 9110 §6.6.1).
    """
    if not is_about(head, not_modified):
        return head
    updates = not_modified.headers.end_to_end().without(_KEPT)
    return Head(head.status, head.headers.without({"age", "date"}).having(*updates))


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
        return etag is not None and _opaque(etag) in {_opaque(tag) for tag in _TAG.findall(wanted)}
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
    # A weak tag never matches; a date must be the very Last-Modified, and a strong one: what was made
    # in the second in which it changed may have changed again.  RFC 9110 §8.8.2.2.
    if value != head.headers.get("last-modified"):
        return False
    if "content-encoding" in head.headers and "accept-encoding" in vary_names(head.headers):
        # The same date stands on the same thing in another coding, which the first part may be of.
        return False
    modified, made = http_date(value), http_date(head.headers.get("date") or "")
    return modified is not None and made is not None and modified < made


def _opaque(etag: str) -> str:
    """The tag without its weakness, for the weak comparison of RFC 9110 §8.8.3.2."""
    return etag.strip().removeprefix("W/")
