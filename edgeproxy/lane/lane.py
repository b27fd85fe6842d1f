"""Answers to request heads that are known, and how they come to be known.

What was answered from memory alone is kept by its head; the same head gets the same answer as long as
the entry is held and fresh. What changes in a second (`Age`, the `ttl` of `Cache-Status`) is made anew
by the gateway, what changes each time (the id) is put in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from edgeproxy.clock import Clock
from edgeproxy.core.answering import Report
from edgeproxy.core.message import Head
from edgeproxy.gateway.gateway import Gateway
from edgeproxy.gateway.repeat import Repeat
from edgeproxy.lane.book import Book
from edgeproxy.lane.heads import MAX_BYTES, shortening
from edgeproxy.record import Record
from edgeproxy.store.memory import Entry


@dataclass(slots=True)
class Ready:
    """An answer that can go out, but for the id, as long as it is the second that it was made for."""

    repeat: Repeat
    since: float = 0.0
    until: float = 0.0
    pieces: tuple[bytes, ...] = ()
    """The head; between them stands the id."""
    status: int = 0
    report: Report | None = None


@dataclass(slots=True)
class Outgoing:
    """What is to be written: the head, a body that is still the cache's, and the record."""

    head: bytes
    body: bytes | memoryview
    record: Record


class Lane:
    """Asked first for everything that viewers send, while nothing of theirs is under way."""

    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        self._gateway = gateway
        self._now, self._elapsed = clock.now, clock.elapsed
        self._new_id: Callable[[], str] = gateway.new_id
        self._shortened = shortening(gateway.unheeded)
        self._book: Book[Ready] = Book()
        self._is_open = True

    def answer(self, data: bytes, viewer: str) -> Outgoing | None:
        """The answer to `data` if that is a head that is known, and what was answered still holds."""
        ready = self._book.get(data)
        if ready is None:
            ready = self._by_short_form(data)
            if ready is None:
                return None
        started = self._elapsed()
        now = self._now()
        repeat = ready.repeat
        entry = repeat.hold.entry()
        if entry is None or not ready.since <= now < ready.until:
            if entry is None or not self._renewed(ready, entry, now):
                self._book.forget(data)
                return None
        request_id = self._new_id()
        before, part, body = repeat.visit.record, repeat.part, entry.body
        if part.size == len(body):
            sent: bytes | memoryview = body
        elif part.size:
            sent = memoryview(body)[part.first : part.last + 1]
        else:
            sent = b""
        record = Record(
            request_id, before.method, before.target, viewer, now, started, ready.status, ready.report
        )
        record.sent_bytes = part.size
        return Outgoing(request_id.encode().join(ready.pieces), sent, record)

    def learn(self, head: bytes, repeat: Repeat) -> None:
        """What was answered to `head`, a plain one, is the answer to it."""
        if self._is_open:
            known = self._shortened(head) or head
            if self._book.has_come_before(known):
                self._book.put(known, Ready(repeat))

    def close(self) -> None:
        """Answer nothing more."""
        self._is_open = False
        self._book.clear()

    def _by_short_form(self, data: bytes) -> Ready | None:
        short = self._shortened(data) if len(data) <= MAX_BYTES else None
        ready = self._book.get(short) if short is not None else None
        if ready is not None and self._book.has_come_before(data):
            self._book.put(data, ready)
        return ready

    def _renewed(self, ready: Ready, entry: Entry, now: float) -> bool:
        answer = self._gateway.again(ready.repeat, entry)
        if answer is None:
            return False
        ready.since, ready.until = now, entry.stored.steady_until(now)
        ready.status, ready.report = answer.record.status, answer.record.report
        ready.pieces = tuple(head_bytes(answer.head).split(answer.record.id.encode()))
        return True


def head_bytes(head: Head) -> bytes:
    """`head` as it goes out to a viewer of HTTP/1.1 whose connection stays open.  RFC 9112 §4."""
    lines = [f"HTTP/1.1 {head.status} {_phrase(head.status)}"]
    lines += [f"{name}: {value}" for name, value in head.headers.pairs]
    if "server" not in head.headers:
        lines.append("Server: edgeproxy")
    return "\r\n".join([*lines, "", ""]).encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
