"""Two members more in a JSON object: who answered, and what passed it on.

What cannot be told for sure to be one whole object stays as it is, byte for byte.
"""

import json
from collections.abc import Mapping

from edgeproxy.core.directives import arguments
from edgeproxy.core.message import Head, Headers

# Fields that tell of the very bytes: RFC 9110 §8.8.3, RFC 9530 §2-3, RFC 3230, RFC 1864, RFC 9421.
_OF_THE_BYTES = frozenset(
    "etag content-md5 digest content-digest repr-digest signature signature-input accept-ranges".split()
)
_BLANK = b" \t\r\n"


def may_annotate(method: str, head: Head, max_bytes: int) -> bool:
    """Whether an answer with this head may turn out to be an object that can be added to.

    "A proxy MUST NOT transform the content of a response message that contains a no-transform cache
    directive", RFC 9110 §7.7.
    """
    headers = head.headers
    if method not in ("GET", "POST") or not 200 <= head.status < 300 or head.status in (204, 205, 206):
        return False
    if (headers.get("content-encoding") or "identity").strip().lower() != "identity":
        return False
    if "no-transform" in arguments(headers.get("cache-control") or ""):
        return False
    kind = (headers.get("content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        return False
    return head.length is None or 2 <= head.length <= max_bytes


def annotated(body: bytes, members: Mapping[str, str]) -> bytes | None:
    """`body` with `members` at the end of the object that it is; None if it is none, or has one of them.

    What is there stays as it is written: a number read and written again might be another one.
    """
    try:
        # UTF-8 without a mark, RFC 8259 §8.1.
        found = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not members.keys().isdisjoint(found):
        return None
    end = len(body.rstrip(_BLANK)) - 1
    more = json.dumps(dict(members), separators=(",", ":"))[1:-1].encode()
    before = body[:end]
    return before + (b"," if found else b"") + more + body[end:]


def annotated_head(head: Head, length: int) -> Head:
    """The head of an answer that was added to, and has `length` bytes now."""
    headers = head.headers.without(_OF_THE_BYTES | {"content-length", "transfer-encoding"})
    return Head(head.status, headers.having(("Content-Length", str(length))))


def bodiless_head(method: str, head: Head, asked: Headers, max_bytes: int) -> Head:
    """The head of an answer without a body, which must not promise the bytes of one that is added to.

    RFC 9110 §9.3.2: a HEAD tells what a GET would. To one that did not say which version it has (`asked` are
    the request's fields), a 304 would give the tag of another (§15.4.5).
    """
    if method == "HEAD":
        if not may_annotate("GET", head, max_bytes):
            return head
    elif head.status != 304 or "if-none-match" in asked:
        return head
    return Head(head.status, head.headers.without(_OF_THE_BYTES | {"content-length", "transfer-encoding"}))
