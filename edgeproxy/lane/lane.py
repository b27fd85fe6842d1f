"""Answers to request heads that are known, and how they come to be known.

What was answered from memory alone is kept by its head; the same head gets the same answer as long as
the entry is held and fresh. What changes in a second (`Age`, the `ttl` of `Cache-Status`) is made anew
by the gateway, what changes each time (the id) is put in.
"""

from collections.abc import Callable
from http import HTTPStatus

from edgeproxy.clock import Clock
from edgeproxy.core.answering import Report
from edgeproxy.core.message import Head
from edgeproxy.gateway.gateway import Gateway
from edgeproxy.gateway.repeat import Repeat
from edgeproxy.lane.book import Book
from edgeproxy.lane.heads import Shortening
from edgeproxy.record import Record
from edgeproxy.store.memory import Entry


class Ready:
    """An answer that can go out, but for the id, as long as it is the second that it was made for."""

    __slots__ = (
        *("after", "before", "hold", "is_whole", "method", "repeat"),
        *("report", "since", "short", "size", "status", "target", "until"),
    )

    def __init__(self, repeat: Repeat, short: bytes | None) -> None:
        self.repeat = repeat
        self.short = short
        """The form of all heads that are answered so; None if it is one head's alone."""
        self.hold = repeat.hold
        self.method, self.target = repeat.visit.record.method, repeat.visit.record.target
        self.size = repeat.part.size
        """Bytes of the body that is sent."""
        self.is_whole = repeat.part.size == repeat.part.length
        self.since = self.until = 0.0
        self.before = self.after = b""
        """The head up to the id, and behind it."""
        self.status = 0
        self.report: Report | None = None

    def body(self, entry: Entry) -> bytes | memoryview:
        """What of `entry` is sent, without a copy."""
        if self.is_whole:
            return entry.body
        part = self.repeat.part
        return memoryview(entry.body)[part.first : part.last + 1] if part.size else b""

    def record(self, request_id: str, viewer: str, now: float, started: float) -> Record:
        """The record of a request that was answered so."""
        return Record(
            request_id,
            self.method,
            self.target,
            viewer,
            now,
            started,
            self.status,
            self.report,
            sent_bytes=self.size,
        )


class Lane:
    """Asked first for everything that viewers send, while nothing of theirs is under way."""

    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        self._gateway = gateway
        self._now = clock.now
        self.new_id: Callable[[], str] = gateway.new_id
        self._shortening = Shortening(gateway.unheeded)
        self._book: Book[Ready] = Book()
        self._is_open = True

    def find(self, data: bytes) -> tuple[Ready, Entry, float] | None:
        """The answer to `data`, its body and the time, if that is a head that is known and still holds."""
        ready = self._book.get(data)
        if ready is None:
            ready = self._by_short_form(data)
            if ready is None:
                return None
        entry = ready.hold.entry()
        now = self._now()
        if entry is not None and ready.since <= now < ready.until:
            return ready, entry, now
        if entry is not None and self._renewed(ready, entry, now):
            return ready, entry, now
        self._book.forget(data)
        return None

    def learn(self, head: bytes, repeat: Repeat) -> None:
        """What was answered to `head`, a plain one, is the answer to it."""
        if self._is_open:
            short = self._shortening.short(head)
            if short is not None and not self._shortening.is_short(short):
                short = None
            known = short if short is not None else head
            if self._book.has_come_before(known):
                self._book.put(known, Ready(repeat, short))

    def close(self) -> None:
        """Answer nothing more."""
        self._is_open = False
        self._book.clear()

    def _by_short_form(self, data: bytes) -> Ready | None:
        short = self._shortening.short(data)
        ready = self._book.get(short) if short is not None else None
        if ready is None or ready.short != short:
            return None
        if self._book.has_come_before(data):
            self._book.put(data, ready)
        return ready

    def _renewed(self, ready: Ready, entry: Entry, now: float) -> bool:
        answer = self._gateway.again(ready.repeat, entry)
        if answer is None:
            return False
        ready.since, ready.until = now, entry.stored.steady_until(now)
        ready.status, ready.report = answer.record.status, answer.record.report
        ready.before, _, ready.after = head_bytes(answer.head).partition(answer.record.id.encode())
        # A policy may have taken the id out.
        return bool(ready.after)


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
