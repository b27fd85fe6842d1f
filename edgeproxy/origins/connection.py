"""One HTTP/1.1 connection to an origin.  RFC 9112.

The parser is llhttp, as strict as it is built; what it refuses is an answer that nobody should pass on.
"""

import asyncio
import contextlib
import select
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from dataclasses import dataclass
from typing import cast

import httptools

from edgeproxy.core.errors import EdgeError, OriginError, timed_out
from edgeproxy.core.message import Head, Headers, field_text
from edgeproxy.core.reason import Reason
from edgeproxy.origins.duplex import Duplex
from edgeproxy.origins.incoming import Incoming

MAX_HEAD_BYTES = 32_768
"""CloudFront's limit for the head of an origin's answer."""
_MAX_INTERIM = 100
"""Interim answers to one request; more are a fault."""
_TOGETHER_BYTES = 64 * 1024
"""A body up to here goes out in one piece with its head, and what is longer in pieces of this size."""
_BODILESS = frozenset({204, 304})
_CODING = b"transfer-encoding"


class StaleError(OriginError):
    """A kept connection was closed before anything of the answer came: the server had given it up."""


@dataclass(slots=True)
class Question:
    """A request as it is sent. `head` ends with the empty line."""

    method: str
    head: bytes
    body: AsyncIterable[bytes] | bytes | None = None
    length: int | None = None
    """Bytes of a body that comes piece by piece, as the head tells it; None: it goes out in chunks."""


@dataclass(slots=True)
class Answer:
    """A response whose body may still be on its way."""

    head: Head
    body: Incoming
    connection: "Connection"
    number: int
    is_delimited: bool

    def close(self) -> None:
        """Nobody reads on: what has not come by now is not wanted. May be called twice."""
        self.connection.give_up(self.number)

    def switch(self) -> Duplex | None:
        """The connection itself, after a 101; None if it is closed already."""
        return self.connection.switch(self.number)


class Connection(asyncio.Protocol):
    """Asks one thing at a time. `released` is called when it can be asked again, or is closed for good.

    Silence of the origin for `read_s` seconds ends the exchange, as CloudFront has it. With a `silence_s`
    that is how long it may be silent after the head of an answer, and all of the head has `read_s`. Time in
    which nobody reads does not count.
    """

    def __init__(
        self, origin: str, read_s: float, silence_s: float | None, released: Callable[["Connection"], None]
    ) -> None:
        self._origin = origin
        self._read_s = read_s
        self._silence_s = read_s if silence_s is None else silence_s
        self._limits_head = silence_s is not None
        self._released = released
        self.loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._tls: ssl.SSLObject | None = None
        self._peek: select.poll | None = None
        self._number = 0
        self._is_busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._may_write: asyncio.Future[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._begin("")

    def _begin(self, method: str) -> None:
        """Nothing has come of the next answer."""
        self._method = method
        self._parser: httptools.HttpResponseParser | None = None
        self._pairs: list[tuple[bytes, bytes]] = []
        self._received = 0
        self._interims = 0
        self._waiter: asyncio.Future[Answer] | None = None
        self._body: Incoming | None = None
        self._left: int | None = None
        self._is_paused = False
        self._is_sent = False
        self._is_whole = False
        self._is_kept = False
        self._has_surplus = False
        self._has_end = True
        self._is_switched = False
        self._early = b""
        self._heard_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether something can be asked."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has come that the loop has not read yet: its end, or what would be the next answer.

        A server that sends more than it was asked for must not answer the next question with it.
        """
        return self._peek is None or not self._peek.poll(0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, though not by descent
        self._tls = transport.get_extra_info("ssl_object")
        if hasattr(select, "poll"):
            self._peek = select.poll()
            self._peek.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    async def ask(self, question: Question) -> Answer:
        """Send the question and wait for the head of its answer.

        Raises `OriginError`, `StaleError` among them, and what the body that is sent raises.
        """
        transport = self._transport
        assert not self._is_busy, "one question at a time"
        self._begin(question.method)
        number = self._number = self._number + 1
        self._is_busy = True
        if transport is None or transport.is_closing():
            self._end()
            raise self._gone()
        self._parser = httptools.HttpResponseParser(self)
        # A line may end without CR.  RFC 9112 §2.2.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
        waiter: asyncio.Future[Answer] = self.loop.create_future()
        self._waiter = waiter
        body = question.body
        if isinstance(body, bytes) and len(body) <= _TOGETHER_BYTES:
            transport.write(question.head + body)
            self._sent()
        elif body is None:
            transport.write(question.head)
            self._sent()
        else:
            transport.write(question.head)
            self._sending = self.loop.create_task(self._send(body, question.length))
        try:
            return await waiter
        except asyncio.CancelledError:
            # The answer may have been all here by then, and the connection somebody else's.
            self.give_up(number)
            raise

    def give_up(self, number: int) -> None:
        """Whoever asked question `number` wants nothing more of its answer."""
        if self._is_busy and number == self._number:
            self._abort()

    def switch(self, number: int) -> Duplex | None:
        """What follows the head is no HTTP: the connection goes to whoever reads on."""
        transport = self._transport
        if number != self._number or not self._is_busy or transport is None or transport.is_closing():
            return None
        self._calm()
        return Duplex(transport, self, self._early)

    def close(self) -> None:
        """Break off whatever is under way."""
        self._abort()

    # What is sent

    async def _send(self, body: AsyncIterable[bytes] | bytes, length: int | None) -> None:
        """Send the body, piece by piece, so that others get their turns."""
        try:
            if isinstance(body, bytes):
                for start in range(0, len(body), _TOGETHER_BYTES):
                    await self._write(body[start : start + _TOGETHER_BYTES])
            else:
                await self._pour(body, length)
        except asyncio.CancelledError:
            if self._sending is asyncio.current_task():
                # It was not us: what the body comes from was broken off.
                self._fail(self._fault("the request broke off"))
            raise
        except (EdgeError, OSError, ValueError) as error:
            fault = error if isinstance(error, EdgeError) else self._fault("the request broke off")
            self._fail(fault)
        except Exception as error:
            # What is wrong with the body is for whoever gave it, not for the loop's log.
            self._fail(error)
        else:
            self._sending = None
            self._sent()

    async def _pour(self, body: AsyncIterable[bytes], length: int | None) -> None:
        count = 0
        try:
            async for piece in body:
                if not piece:
                    continue
                count += len(piece)
                if length is None:
                    await self._write(b"%x\r\n%b\r\n" % (len(piece), piece))
                elif count <= length:
                    await self._write(piece)
        finally:
            if isinstance(body, AsyncGenerator):
                await body.aclose()
        if length is None:
            await self._write(b"0\r\n\r\n")
        elif count != length:
            raise ValueError("the body has another length than its head says")

    async def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        transport.write(data)
        if self._may_write is not None:
            # An origin that takes nothing is as silent as one that says nothing.
            try:
                async with asyncio.timeout(self._read_s):
                    await asyncio.shield(self._may_write)
            except TimeoutError:
                raise timed_out(self._origin, "sending the request", self._read_s) from None

    def pause_writing(self) -> None:
        """The origin does not keep up."""
        self._may_write = self.loop.create_future()

    def resume_writing(self) -> None:
        """It does again."""
        waiter, self._may_write = self._may_write, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _sent(self) -> None:
        """The request is out: from now on the origin is waited for."""
        self._is_sent = True
        if self._is_whole:
            self._finish()
            return
        self._heard_at = self.loop.time()
        self._watch(self._silence_s if self._body is not None else self._read_s)

    # What comes

    def data_received(self, data: bytes) -> None:
        """Something of the answer."""
        left = self._left
        if left is None:
            self._parse(data)
            return
        # The length is known, so that the parser has nothing to find.
        assert self._body is not None
        self._heard_at = self.loop.time()
        size = len(data)
        if size < left:
            self._left = left - size
            self._body.feed(data)
            return
        self._has_surplus = size > left
        self._body.feed(data[:left] if size > left else data)
        self._complete()
        self._finish()

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        if self._is_switched:
            self._early += data
            return
        if parser is None:
            # Nothing was asked: the server ends the connection, or does not know what it does.
            self._abort()
            return
        self._received += len(data)
        if self._body is not None or not self._limits_head:
            self._heard_at = self.loop.time()
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as switched:
            self._early = data[switched.args[0] :]
        except httptools.HttpParserError:
            if not self._is_whole:
                if self._body is None:
                    self._fail(self._fault("its answer is not HTTP/1.1 as it should be"))
                else:
                    self._fail(self._cut())
                return
            self._has_surplus = True
        if self._is_whole:
            self._finish()
        elif self._is_busy and self._received > MAX_HEAD_BYTES:
            # A head, or what stands between the pieces of a body and behind it: none of it may be endless.
            self._fail(self._too_large() if self._body is None else self._cut())

    def on_message_begin(self) -> None:
        """llhttp: the first byte of a message."""
        self._pairs = []
        if self._is_whole:
            self._has_surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: a field, of the head or of the trailer; the latter is not passed on."""
        if self._body is None:
            self._pairs.append((name, value))

    def on_headers_complete(self) -> None:
        """llhttp: the head is all here."""
        parser, waiter = self._parser, self._waiter
        if self._is_whole or parser is None or waiter is None or waiter.done():
            return
        status = parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._interims += 1
            self._received = 0
            if self._interims > _MAX_INTERIM:
                self._fail(self._fault(f"it sent more than {_MAX_INTERIM} interim answers"))
            return
        pairs = self._pairs
        if self._received > MAX_HEAD_BYTES:
            if sum(len(name) + len(value) + 4 for name, value in pairs) > MAX_HEAD_BYTES:
                self._fail(self._too_large())
                return
        self._received = 0
        # llhttp leaves the white space behind a value.  RFC 9110 §5.5.
        fields = Headers((name.decode("latin-1"), field_text(value.rstrip(b" \t"))) for name, value in pairs)
        head = Head(status, fields)
        version = parser.get_http_version()
        coding, length = fields.get("transfer-encoding"), head.length
        wrong = _wrong(version, head, [value for name, value in pairs if name.lower() == _CODING])
        if wrong:
            self._fail(self._fault(wrong))
            return
        has_body = self._method != "HEAD" and status not in _BODILESS and status != 101
        # What needs no end, as it has no body, does not need the connection's either; llhttp knows no HEAD.
        is_bare = self._method == "HEAD" and version == "1.1"
        self._is_kept = (
            (parser.should_keep_alive() or is_bare)
            and "close" not in (fields.get("connection") or "").lower()
            # RFC 9112 §6.1.
            and (coding is None or version == "1.1")
            # A server that believes to have sent a body may do so yet.
            and (status != 204 or not (coding or length))
        )
        body = self._body = Incoming(self)
        self._heard_at = self.loop.time()
        # Only chunks or a length say where the body ends.  RFC 9112 §6.3.
        self._has_end = not has_body or length is not None or (coding or "").lower() == "chunked"
        # What is let go by in a head is none of the ways to write chunks.  RFC 9112 §2.2, §7.1.
        parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=False)
        waiter.set_result(Answer(head, body, self, self._number, self._has_end))
        self._is_switched = status == 101
        if not has_body:
            self._complete()
        elif length:
            self._left = length
        if has_body and self._silence_s != self._read_s and self._is_sent:
            self._watch(self._silence_s)

    def on_body(self, data: bytes) -> None:
        """llhttp: bytes of the body; here come those which came with the head, and what is in chunks."""
        if self._is_whole or self._body is None:
            # It answers HEAD, or 204, with a body: what follows cannot be told from the next answer.
            self._has_surplus = True
            return
        if self._left is not None:
            self._left -= len(data)
        self._received = 0
        self._body.feed(data)

    def on_message_complete(self) -> None:
        """llhttp: the answer, or an interim one, is all here."""
        if self._body is not None and not self._is_whole:
            self._complete()

    def _complete(self) -> None:
        """Nothing more of the answer will come; after a switch, nothing that is HTTP."""
        assert self._body is not None
        self._left = None
        self._body.end()
        self._is_whole = not self._is_switched

    def eof_received(self) -> bool:
        """The origin sends nothing more: the transport closes, and nobody waits until it has."""
        if self._is_busy and not self._is_switched:
            if self._body is None:
                self._fail(self._broken(None))
            elif not self._has_end and self._is_told():
                # The end of the connection is the end of the body.
                self._complete()
                self._finish()
            else:
                self._fail(self._cut())
        return False

    def _is_told(self) -> bool:
        """Whether the origin itself has ended what it sends: with TLS it says so.  RFC 9112 §9.8."""
        try:
            return self._tls is None or self._tls.read(1) == b""
        except ssl.SSLError:
            return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._transport = None
        self.resume_writing()
        if self._tls is not None and exc is None and not self._is_switched:
            self._drain(self._tls)
        if self._is_busy:
            self._fail(self._broken(exc) if self._body is None else self._cut())
        else:
            self._end()

    def _drain(self, tls: ssl.SSLObject) -> None:
        """Take what has come: uvloop keeps it if the connection ends while it is not read."""
        with contextlib.suppress(ssl.SSLError):
            while self._is_busy:
                data = tls.read(_TOGETHER_BYTES)
                if not data:
                    self.eof_received()
                    break
                self.data_received(data)

    # How it ends

    def _finish(self) -> None:
        """The answer is all here: the connection is free, if the request is all out too."""
        if self._is_sent and self._is_kept and not self._has_surplus and self.is_open:
            self._end()
        else:
            # Also if the origin has answered before it took all: what it did not take is in the way.
            self._abort()

    def _fail(self, fault: Exception) -> None:
        if self._body is not None:
            self._body.end(fault)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(fault)
        self._abort()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        if self._body is not None:
            self._body.end(self._cut())
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._gone())
        self._end()

    def _end(self) -> None:
        """This exchange is over, whichever way."""
        self._calm()
        self.resume()
        self._parser = self._body = self._waiter = self._left = None
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        if self._is_busy or self._transport is None:
            self._is_busy = False
            self._released(self)

    # How long it may take

    def pause(self) -> None:
        """Nobody reads: let nothing come."""
        if self._transport is not None and not self._is_whole:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Somebody reads on."""
        if self._transport is not None and self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._heard_at = self.loop.time()
            self._transport.resume_reading()

    def _watch(self, limit_s: float) -> None:
        """See to it that the origin is not silent for longer than `limit_s`."""
        self._calm()
        self._timer = self.loop.call_later(limit_s, self._look, limit_s)

    def _look(self, limit_s: float) -> None:
        silent_s = self.loop.time() - self._heard_at
        if self._is_paused or silent_s < limit_s - 0.001:
            wait_s = limit_s if self._is_paused else limit_s - silent_s
            self._timer = self.loop.call_later(wait_s, self._look, limit_s)
            return
        phase = "the answer" if self._body is None else "the rest of the body"
        self._fail(timed_out(self._origin, phase, limit_s))

    def _calm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # In words

    def _broken(self, exc: Exception | None) -> OriginError:
        """Closed before there was a head."""
        if isinstance(exc, ssl.SSLError):
            # What was sent may have been read: this is not the failure to connect that ORIGIN_TLS is.
            return OriginError(Reason.ORIGIN_CUT, f"{self._origin}: TLS failed ({exc.reason or 'broken'})")
        return self._gone() if self._received == 0 and self._interims == 0 else self._unanswered()

    def _gone(self) -> OriginError:
        if self._number > 1:
            return StaleError(Reason.ORIGIN_CUT, self._unanswered().message)
        return self._unanswered()

    def _unanswered(self) -> OriginError:
        return OriginError(Reason.ORIGIN_CUT, f"{self._origin}: closed the connection without an answer")

    def _cut(self) -> OriginError:
        return OriginError(Reason.ORIGIN_CUT, f"{self._origin}: the body ended before it was whole")

    def _too_large(self) -> OriginError:
        return self._fault(f"the head of its answer is larger than {MAX_HEAD_BYTES} bytes")

    def _fault(self, what: str) -> OriginError:
        return OriginError(Reason.ORIGIN_BAD_REPLY, f"{self._origin}: {what}")

    def __repr__(self) -> str:
        state = "closed" if self._transport is None else "busy" if self._is_busy else "idle"
        return f"Connection({self._origin!r}, {state})"


def _wrong(version: str, head: Head, codings: list[bytes]) -> str:
    """What is wrong with a head that llhttp lets pass; "" for nothing. `codings` as they came."""
    if not version.startswith("1.") or head.status < 100:
        return "its answer is not HTTP/1.1 as it should be"
    if codings:
        # We ask for no other, and could not undo it; "identity" is how old servers say none.  RFC 9112 §7.4.
        known = len(codings) == 1 and codings[0].lower() in (b"chunked", b"identity")
        return "" if known else "its body is in an unknown coding"
    # llhttp reads more digits than anybody can mean.
    return "its Content-Length is none" if head.length is None and "content-length" in head.headers else ""
