"""What goes to the viewer: built from a stored response, from bytes on their way, from an origin's reply."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from math import ceil

from edgeproxy.core.answering import Report, XCache, answer_headers, dated, not_modified
from edgeproxy.core.decision import Fetch, Forward
from edgeproxy.core.error_pages import ErrorPage
from edgeproxy.core.errors import (
    EdgeError,
    MethodError,
    OriginError,
    RememberedError,
    RequestError,
    UnavailableError,
)
from edgeproxy.core.failover import Attempt
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.posts import Call, own_start
from edgeproxy.core.ranges import Multipart, Slice, Unsatisfiable, multipart, requested_slices
from edgeproxy.core.reason import Reason
from edgeproxy.core.response_headers import ResponseHeadersPolicy, Timing, dressed
from edgeproxy.core.validation import is_not_modified, is_range_current
from edgeproxy.gateway.repeat import Repeat
from edgeproxy.gateway.visit import Front, Visit
from edgeproxy.origins.base import Reply
from edgeproxy.origins.duplex import Duplex
from edgeproxy.record import Record
from edgeproxy.store.blob import Blob
from edgeproxy.store.spool import Reader
from edgeproxy.store.tiers import Found

# Digests of all that is sent, not of the representation.  RFC 9530 §2, RFC 1864 §2.
_OF_THE_CONTENT = frozenset({"content-digest", "content-md5"})


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Answer:
    """Head and body for the viewer. Whoever holds it closes it, whether the body was read or not."""

    head: Head
    body: bytes | AsyncIterator[bytes]
    record: Record
    close: Callable[[], None] = field(default=_nothing, repr=False)
    switched: Duplex | None = None
    """The connection to the origin that is the viewer's from here on: this is a 101."""
    excerpt: Slice | None = None
    """Where `body` stands in the body of an entry in memory, if that is all that it is."""
    repeat: Repeat | None = None
    """What it takes to answer the same request so again."""


def from_entry(visit: Visit, entry: Found, report: Report) -> Answer:
    """From the cache: the whole, a part of it, or "you have it already"."""
    body, headers = entry.body, visit.request.headers
    head = dated(entry.stored.head, entry.stored.received_at)
    method = visit.request.method
    nothing = Slice(0, -1, len(body))
    if _has_it(visit.request, head):
        return _excerpt(_answer(visit, not_modified(head), b"", report), body, nothing)
    if method == "HEAD":
        return _excerpt(_answer(visit, _of_length(head, len(body)), b"", report), body, nothing)
    asked = None
    if method == "GET" and head.status == 200 and is_range_current(headers, head):
        asked = requested_slices(headers.get("range"), len(body))
    if isinstance(asked, tuple) and len(asked) > 1 and "content-encoding" in head.headers:
        asked = None  # the framing between the parts would have to be in the coding too
    partial = head.headers if asked is None else head.headers.without(_OF_THE_CONTENT)
    match asked:
        case None:
            all_of_it = Slice(0, len(body) - 1, len(body))
            head, whole = _in_own_name(visit, _of_length(head, len(body)), _part(body, all_of_it))
            return _excerpt(_answer(visit, head, whole, report), body, all_of_it)
        case Unsatisfiable():
            fields = (("Content-Range", str(asked)), ("Content-Length", "0"))
            # Nothing is in no coding.
            headers = partial.without({"content-encoding"}).having(*fields)
            return _answer(visit, Head(416, headers), b"", report)
        case (part,):
            fields = (("Content-Range", str(part)), ("Content-Length", str(part.size)))
            answer = _answer(visit, Head(206, partial.having(*fields)), _part(body, part), report)
            return _excerpt(answer, body, part)
        case _:
            parts = multipart(asked, head.headers.get("content-type"), visit.record.id.rstrip("="))
            fields = (("Content-Type", parts.content_type), ("Content-Length", str(parts.size)))
            return _answer(visit, Head(206, partial.having(*fields)), _joined(parts, body), report)


def _excerpt(answer: Answer, body: bytes | Blob, part: Slice) -> Answer:
    if isinstance(body, bytes):
        answer.excerpt = part
    return answer


def _has_it(request: Request, head: Head) -> bool:
    """Whether a 304 is all the viewer needs; other methods have no such conditions.  RFC 9110 §13.2.1."""
    return request.method in ("GET", "HEAD") and is_not_modified(request.headers, head)


def _of_length(head: Head, length: int) -> Head:
    if head.status == 204:
        # RFC 9110 §8.6.
        return Head(head.status, head.headers.without({"content-length"}))
    text = str(length)
    if head.headers.get("content-length") == text:
        return head
    return Head(head.status, head.headers.having(("Content-Length", text)))


def _part(body: bytes | Blob, part: Slice) -> bytes | AsyncIterator[bytes]:
    if isinstance(body, Blob):
        return body.part(part.first, part.last)
    return body if part.size == len(body) else body[part.first : part.last + 1]


def _joined(parts: Multipart, body: bytes | Blob) -> bytes | AsyncIterator[bytes]:
    if isinstance(body, Blob):
        return _in_turn(parts, body)
    return b"".join(
        body[part.first : part.last + 1] if isinstance(part, Slice) else part for part in parts.parts
    )


async def _in_turn(parts: Multipart, body: Blob) -> AsyncIterator[bytes]:
    for part in parts.parts:
        if isinstance(part, Slice):
            async for piece in body.part(part.first, part.last):
                yield piece
        else:
            yield part


def from_reader(visit: Visit, head: Head, reader: Reader, report: Report) -> Answer:
    """As the bytes come in."""
    if _has_it(visit.request, head):
        reader.close()
        return _answer(visit, not_modified(head), b"", report)
    if visit.request.method == "HEAD":
        reader.close()
        return _answer(visit, head, b"", report)
    head, body = _in_own_name(visit, head, reader)
    return _answer(visit, head, body, report, reader.close)


def _in_own_name(
    visit: Visit, head: Head, body: bytes | AsyncIterator[bytes]
) -> tuple[Head, bytes | AsyncIterator[bytes]]:
    """What is stored of the answer to a call, with the `id` of this viewer's own."""
    if not isinstance(visit.read, Call):
        return head, body
    size, own = own_start(visit.read)
    if head.length is not None:
        head = _of_length(head, head.length - size + len(own))
    return head, own + body[size:] if isinstance(body, bytes) else _with_start(body, size, own)


async def _with_start(body: AsyncIterator[bytes], size: int, start: bytes) -> AsyncIterator[bytes]:
    """`body` with `start` in place of its first `size` bytes."""
    yield start
    async for chunk in body:
        if len(chunk) > size:
            yield chunk[size:]
        size = max(0, size - len(chunk))


def from_reply(
    visit: Visit, reply: Reply, fetch: Fetch, reason: Reason | None, *, was_unconditional: bool = False
) -> Answer:
    """The origin's answer as it is, for this viewer alone.

    `was_unconditional`: the viewer's conditions were held back from the origin, so they are judged here.
    """
    visit.record.trail = reply.trail
    status = reply.head.status
    x_cache = XCache.ERROR if status >= 400 else XCache.MISS
    report = Report(x_cache, fetch.forward, reason, fwd_status=status)
    if was_unconditional and _has_it(visit.request, reply.head):
        reply.close()
        return _answer(visit, not_modified(reply.head), b"", report)
    if was_unconditional and visit.request.method == "HEAD":
        reply.close()
        return _answer(visit, reply.head, b"", report)
    answer = _answer(visit, reply.head, reply.body, report, reply.close)
    answer.switched = reply.switched
    return answer


def from_error(record: Record, error: EdgeError, front: Front) -> Answer:
    """A status and one plain sentence; the cause goes to the log alone."""
    status, reason, sentence = error.status, error.reason, error.message
    forward: Forward | None = Forward.BYPASS
    rest_s = None
    if isinstance(error, RememberedError):
        forward, rest_s = None, error.rest_s
    elif isinstance(error, OriginError):
        forward = Forward.MISS
        record.trail = error.trail
    if not isinstance(error, RequestError):
        record.fault = error.message
        sentence = _SENTENCES.get(status, "edgeproxy could not answer this request")
        if error.reason is Reason.NO_NODE:
            sentence = "none of the origin's servers can be asked at the moment"
    body = f"{status} {_phrase(status)}: {sentence}\nrequest id {record.id}\n".encode()
    fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    if isinstance(error, MethodError) and status == 405:
        fields.append(("Allow", error.allow))
    retry_after_s = error.retry_after_s if isinstance(error, UnavailableError) else rest_s
    if status == 503 and retry_after_s is not None:
        # RFC 9110 §10.2.3: whole seconds, and not so few that it would be too early.
        fields.append(("Retry-After", str(ceil(retry_after_s))))
    head = Head(status, Headers([*fields, ("Cache-Control", "no-store"), ("Server", "edgeproxy")]))
    report = Report(XCache.ERROR, forward, reason, fresh_for_s=rest_s)
    return _finished(record, front, head, b"" if record.method == "HEAD" else body, report, _nothing)


def from_page(request: Request, error: Answer, found: Answer, page: ErrorPage, front: Front) -> Answer:
    """The custom error page `found` in place of `error`; it is still told as the error that it is.

    A page that its origin does not have shows the status that its origin gave.  CloudFront Developer
    Guide, "Generate custom error responses".
    """
    error.close()
    record, told = error.record, found.record.report
    assert record.report is not None
    assert told is not None
    has_page = found.head.status == 200
    if not has_page:
        record.fault = f"no {page.path}: its origin answered {found.head.status}"
    report = replace(
        record.report,
        x_cache=XCache.ERROR,
        reason=record.report.reason or Reason.ERROR_PAGE,
        age_s=told.age_s,
    )
    status = page.response_code if has_page else found.head.status
    head = Head(
        status,
        found.head.headers.without(
            {"cache-status", "x-edge-origin", "x-edge-backfill", "x-edge-compression", "x-edge-upstream"}
        ),
    )
    if _has_it(request, head):
        head = not_modified(head)
    if request.method == "HEAD" or head.status == 304:
        found.close()
        return _finished(record, front, head, b"", report, _nothing)
    return _finished(record, front, head, found.body, report, found.close)


def in_dress(visit: Visit, answer: Answer, policy: ResponseHeadersPolicy, spent_ms: float) -> Answer:
    """`answer` as the response headers policy wants it, `spent_ms` after the request came."""
    record, head = answer.record, answer.head
    assert record.report is not None
    headers = dressed(head.headers, policy, visit.request, Timing(record.report, record.id, spent_ms))
    return replace(answer, head=Head(head.status, headers))


_SENTENCES = {
    502: "the origin could not be reached, or gave no usable answer",
    503: "edgeproxy is shutting down",
    504: "the origin did not answer in time",
}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        # 494 is CloudFront's own.
        return "Request Header Too Large"


def _answer(
    visit: Visit,
    head: Head,
    body: bytes | AsyncIterator[bytes],
    report: Report,
    close: Callable[[], None] = _nothing,
) -> Answer:
    return _finished(visit.record, visit.front, head, body, report, close)


def _finished(
    record: Record,
    front: Front,
    head: Head,
    body: bytes | AsyncIterator[bytes],
    report: Report,
    close: Callable[[], None],
) -> Answer:
    record.status, record.report, record.reason = head.status, report, report.reason
    headers = answer_headers(head.headers, report, via=front.via, request_id=record.id)
    if front.debug_headers:
        if record.trail:
            headers = headers.having(("X-Edge-Origin", " ".join(map(str, record.trail))))
        if record.backfill:
            headers = headers.having(("X-Edge-Backfill", record.backfill))
        if record.compression:
            headers = headers.having(("X-Edge-Compression", record.compression))
    upstream = record.upstream
    if upstream is not None and (front.debug_headers or upstream.is_told):
        headers = _naming(headers, upstream)
    return Answer(Head(head.status, headers), body, record, close)


def _naming(headers: Headers, upstream: Attempt) -> Headers:
    """With the node that answered, and how long it took.  W3C Server Timing."""
    passed, took_ms = headers.get("server-timing"), (upstream.took_s or 0.0) * 1000
    timing = f'upstream;dur={took_ms:.1f};desc="{upstream.node}"'
    return headers.having(
        ("X-Edge-Upstream", upstream.node), ("Server-Timing", f"{passed}, {timing}" if passed else timing)
    )
