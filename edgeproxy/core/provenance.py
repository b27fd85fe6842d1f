"""What is noted with an object in the bucket of where it came from, and what follows from it later.

In the bucket each is metadata of the object: `x-amz-meta-edgeproxy-source-etag` and so on. S3 keeps 2 KiB
of it in ASCII: what is longer or not ASCII is left out.  S3 User Guide, "User-defined object metadata".
"""

import re
from urllib.parse import quote, urlsplit

from edgeproxy.core.message import Head, Headers

PREFIX = "x-amz-meta-edgeproxy-"
_FILLED_BY = "edgeproxy-filled-by"
_ETAG = "edgeproxy-source-etag"
_MODIFIED = "edgeproxy-source-modified"
_URL = "edgeproxy-source-url"
_MAX_ETAG = 256
_MAX_URL = 1024

# Nothing that a signature or a server may trim or fold.
_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")


def is_ours(field: str) -> bool:
    """Whether a response field of the bucket's is a note of ours, and not for viewers."""
    return field.lower().startswith(PREFIX)


def notes(head: Head, url: str, by: str) -> dict[str, str]:
    """What to keep with an object that came with `head` from `url`, by name without `x-amz-meta-`.

    The first is the mark by which we know an object as ours: the others are there if there is room.
    """
    kept = {_FILLED_BY: by}
    etag, modified = head.headers.get("etag"), head.headers.get("last-modified")
    if etag is not None and len(etag) <= _MAX_ETAG and _PLAIN.fullmatch(etag):
        kept[_ETAG] = etag
    if modified is not None and len(modified) <= _MAX_ETAG and _PLAIN.fullmatch(modified):
        kept[_MODIFIED] = modified
    address = public_url(url)
    if 0 < len(address) <= _MAX_URL:
        kept[_URL] = address
    return kept


def public_url(url: str) -> str:
    """`url` without user and password, in ASCII."""
    split = urlsplit(url)
    return quote(
        split._replace(netloc=split.netloc.rpartition("@")[2], fragment="").geturl(),
        safe="!#$%&'()*+,/:;=?@[]~",
        errors="surrogateescape",
    )


def is_marked(noted: Headers) -> bool:
    """Whether we have written the object whose notes these are."""
    return f"x-amz-meta-{_FILLED_BY}" in noted


def conditions(noted: Headers) -> tuple[tuple[str, str], ...]:
    """The fields that ask the source whether it has something else by now.  RFC 9110 §13.1."""
    asked = (("If-None-Match", _ETAG), ("If-Modified-Since", _MODIFIED))
    return tuple((field, value) for field, name in asked if (value := noted.get(f"x-amz-meta-{name}")))


def is_unchanged(noted: Headers, head: Head) -> bool:
    """Whether `head` says that the source has what it had: also where it heeds no conditions."""
    if head.status == 304:
        return True
    etag = noted.get(f"x-amz-meta-{_ETAG}")
    return head.status == 200 and etag is not None and etag == head.headers.get("etag")
