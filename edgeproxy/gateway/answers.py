"""What goes to the viewer: built from a stored response, from bytes on their way, from an origin's reply."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from edgeproxy.core.answering import Report, XCache, answer_headers, dated, not_modified
from edgeproxy.core.decision import Fetch, Forward
from edgeproxy.core.errors import EdgeError, OriginError, RequestError
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.ranges import Multipart, Slice, Unsatisfiable, multipart, requested_slices
from edgeproxy.core.reason import Reason
from edgeproxy.core.validation import is_not_modified, is_range_current
from edgeproxy.gateway.visit import Front, Visit
from edgeproxy.origins.base import Reply
from edgeproxy.record import Record
from edgeproxy.store.memory import Entry
from edgeproxy.store.spool import Reader


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Answer:
    """Head and body for the viewer. Whoever holds it closes it, whether the body was read or not."""

    head: Head
    body: bytes | AsyncIterator[bytes]
    record: Record
    close: Callable[[], None] = field(default=_nothing, repr=False)


def from_entry(visit: Visit, entry: Entry, report: Report) -> Answer:
    """From memory: the whole, a part of it, or "you have it already"."""
    body, headers = entry.body, visit.request.headers
    head = dated(entry.stored.head, entry.stored.received_at)
    method = visit.request.method
    if method in ("GET", "HEAD") and is_not_modified(headers, head):
        return _answer(visit, not_modified(head), b"", report)
    length = ("Content-Length", str(len(body)))
    if method == "HEAD":
        return _answer(visit, Head(head.status, head.headers.having(length)), b"", report)
    asked = None
    if method == "GET" and head.status == 200 and is_range_current(headers, head):
        asked = requested_slices(headers.get("range"), len(body))
    match asked:
        case None:
            return _answer(visit, Head(head.status, head.headers.having(length)), body, report)
        case Unsatisfiable():
            fields = (("Content-Range", str(asked)), ("Content-Length", "0"))
            return _answer(visit, Head(416, head.headers.having(*fields)), b"", report)
        case (part,):
            fields = (("Content-Range", str(part)), ("Content-Length", str(part.size)))
            return _answer(
                visit, Head(206, head.headers.having(*fields)), body[part.first : part.last + 1], report
            )
        case _:
            parts = multipart(asked, head.headers.get("content-type"), visit.record.id.rstrip("="))
            fields = (("Content-Type", parts.content_type), ("Content-Length", str(parts.size)))
            return _answer(visit, Head(206, head.headers.having(*fields)), _joined(parts, body), report)


def _joined(parts: Multipart, body: bytes) -> bytes:
    return b"".join(
        body[part.first : part.last + 1] if isinstance(part, Slice) else part for part in parts.parts
    )


def from_reader(visit: Visit, head: Head, reader: Reader, report: Report) -> Answer:
    """As the bytes come in."""
    if is_not_modified(visit.request.headers, head):
        reader.close()
        return _answer(visit, not_modified(head), b"", report)
    if visit.request.method == "HEAD":
        reader.close()
        return _answer(visit, head, b"", report)
    return _answer(visit, head, reader, report, reader.close)


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
    if was_unconditional and is_not_modified(visit.request.headers, reply.head):
        reply.close()
        return _answer(visit, not_modified(reply.head), b"", report)
    if was_unconditional and visit.request.method == "HEAD":
        reply.close()
        return _answer(visit, reply.head, b"", report)
    return _answer(visit, reply.head, reply.body, report, reply.close)


def from_error(record: Record, error: EdgeError, front: Front) -> Answer:
    """A status and one plain sentence; the cause goes to the log alone."""
    status, reason, sentence = error.status, error.reason, error.message
    forward = Forward.BYPASS
    if isinstance(error, OriginError):
        forward = Forward.MISS
        record.trail = error.trail
    if not isinstance(error, RequestError):
        record.fault = error.message
        sentence = _SENTENCES.get(status, "edgeproxy could not answer this request")
    body = f"{status} {_phrase(status)}: {sentence}\nrequest id {record.id}\n".encode()
    fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    head = Head(status, Headers([*fields, ("Cache-Control", "no-store"), ("Server", "edgeproxy")]))
    report = Report(XCache.ERROR, forward, reason)
    return _finished(record, front, head, b"" if record.method == "HEAD" else body, report, _nothing)


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
    return Answer(Head(head.status, headers), body, record, close)
