"""Where the body of a response ends, and whether its connection is good for more.  RFC 9112 §6.3, §9.3."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeproxy.core.message import Head

_BODILESS = frozenset({101, 204, 304})


@dataclass(frozen=True, slots=True)
class Framing:
    """How a response that was read up to the end of its head goes on."""

    has_body: bool
    length: int | None
    """Bytes of the body; None where chunks end it, or the connection."""
    is_delimited: bool
    """Whether the message itself says where it ends."""
    is_kept: bool
    """Whether something else can be asked over the connection when it has ended."""


def flaw(version: str, head: Head, codings: Sequence[bytes]) -> str:
    """What makes a head unusable that a lenient parser lets pass, in words; "" for nothing.

    `version` is such as "1.1"; `codings` are the values of `Transfer-Encoding` as they came, white space and
    all: the parser must not take for something else what is taken for chunks here.
    """
    if not version.startswith("1.") or head.status < 100:
        return "its answer is not HTTP/1.1 as it should be"
    if codings:
        # We ask for no other, and could not undo it; "identity" is how old servers say none.  RFC 9112 §7.4.
        known = len(codings) == 1 and codings[0].lower() in (b"chunked", b"identity")
        return "" if known else "its body is in an unknown coding"
    # A parser may read more digits than anybody can mean.
    return "its Content-Length is none" if head.length is None and "content-length" in head.headers else ""


def framing(method: str, version: str, head: Head, *, keeps_alive: bool) -> Framing:
    """The framing of the answer to `method`, whose head has no `flaw`.

    `keeps_alive`: whether it might be kept by its version, `Connection` and framing, HEAD not considered.
    """
    coding, length = head.headers.get("transfer-encoding"), head.length
    has_body = method != "HEAD" and head.status not in _BODILESS
    # What has no body needs no end, and so not the connection's either.
    keeps_alive = keeps_alive or (method == "HEAD" and version == "1.1")
    return Framing(
        has_body,
        length if has_body and coding is None else None,
        not has_body or length is not None or (coding or "").lower() == "chunked",
        is_kept=keeps_alive
        and "close" not in (head.headers.get("connection") or "").lower()
        # RFC 9112 §6.1.
        and (coding is None or version == "1.1")
        # A server that believes to have sent a body may do so yet.
        and (head.status != 204 or not (coding or length)),
    )
