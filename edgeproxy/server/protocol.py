"""aiohttp's protocol with our limits and our words for what is not HTTP."""

import asyncio
import fcntl
import sys
import termios
from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError, LineTooLong

from edgeproxy.core.errors import EdgeError, RequestError
from edgeproxy.core.reason import Reason
from edgeproxy.origins.duplex import Duplex
from edgeproxy.server.reading import MAX_FIELDS, MAX_HEAD_BYTES, MAX_URL_BYTES, head_too_large

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_LOOKS = 4
"""How often in the time that what is written may stand still it is looked at."""


class ViewerProtocol(web.RequestHandler):
    """One connection. A viewer that sends no head in time, or is one too many, is disconnected.

    So is one that takes nothing of what was written to it.
    """

    __slots__ = ("_head_timer", "_moved_at", "_seen", "_times_taken", "_wire", "given_up")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock for the first head."""
        server = self._manager
        assert isinstance(server, ViewerServer)
        # aiohttp's own is gone once the connection is to close, which it does not before all is taken.
        self._wire = cast(asyncio.Transport, transport)
        self._seen = (0, 0, 0, 0)
        self._times_taken = 0
        self._moved_at = 0.0
        self.given_up: Callable[[], object] | None = None
        """What is to be called if the viewer leaves now."""
        super().connection_made(transport)
        server.watch()
        self._head_timer: asyncio.TimerHandle | None = None
        if len(server.connections) > server.max_connections:
            server.refused_connections += 1
            self.force_close()
            return
        self._head_timer = self._loop.call_later(server.head_timeout_s, self._expire)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the clock."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)
        if self.given_up is not None:
            self.given_up()

    @property
    def may_switch(self) -> bool:
        """Whether what follows the head is kept unread, as a request for a WebSocket wants it."""
        return self._upgraded

    def take_over(self) -> Duplex:
        """The connection, for whoever reads on from here; aiohttp hears of its end alone.

        Raises `ConnectionError` when the viewer has left.
        """
        early = Early()
        self.set_parser(early)  # type: ignore[arg-type] # all that it calls is there
        if self.transport is None:
            raise ConnectionError("the viewer has left")
        return Duplex(self.transport, self, early.data)

    def resume_writing(self) -> None:
        """The viewer has taken most of what was on its way."""
        self._times_taken += 1
        super().resume_writing()

    def look(self, now: float, idle_s: float) -> None:
        """Cut the viewer off, whether the connection is open or closing, if nothing moved for `idle_s`.

        aiohttp waits for ever until an answer is taken, and a transport that closes does so too: each
        such viewer would be one for good of those that there may be. `now` is the loop's time.
        """
        left = self._wire.get_write_buffer_size()
        seen = (left, _unacknowledged(self._wire) if left else 0, self._times_taken, self._request_count)
        if not left or seen != self._seen:
            self._seen, self._moved_at = seen, now
        elif now - self._moved_at >= idle_s:
            waiter = self._drain_waiter
            if waiter is not None and not waiter.done():
                # Whoever waits would be told that all has been taken.
                waiter.set_exception(ConnectionResetError("the viewer takes nothing"))
            self._wire.abort()

    def _expire(self) -> None:
        if self._request_count == 0:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What cannot be read as HTTP gets an answer of ours, and the connection is closed."""
        server = self._manager
        if server is None:
            raise ConnectionError("the viewer has left")
        assert isinstance(server, ViewerServer)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        if exc is None or isinstance(exc, HttpProcessingError):
            fault: EdgeError = refusal(exc)
        else:
            fault = EdgeError(Reason.INTERNAL, f"{type(exc).__name__}: {exc}", status=500)
        response = server.refuse(request, fault)
        response.force_close()
        return response


def _unacknowledged(transport: asyncio.Transport) -> int:
    """Bytes that the kernel has of what was written; it takes more only when a third of them is gone."""
    socket = transport.get_extra_info("socket")
    try:
        return int.from_bytes(fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (AttributeError, OSError, ValueError):
        return 0


def refusal(error: BaseException | None) -> RequestError:
    """aiohttp's parse error in our words.  RFC 9112 §2.2, §3; CloudFront Developer Guide, quotas."""
    match error:
        case LineTooLong() if MAX_URL_BYTES in error.args:
            return RequestError(
                Reason.URI_TOO_LONG, f"the URL is longer than {MAX_URL_BYTES} bytes", status=414
            )
        case LineTooLong():
            return head_too_large()
        case BadHttpMethod():
            return RequestError(
                Reason.METHOD_UNKNOWN, "the request does not begin with a known method", status=501
            )
        case _ if "Too many headers" in str(error):
            return head_too_large()
        case _ if "'Host'" in str(error):
            return RequestError(Reason.BAD_HOST, "there must be one Host field", status=400)
        case _:
            return RequestError(Reason.BAD_REQUEST, "the request is not HTTP/1.1 as it should be", status=400)


class ViewerServer(web.Server):
    """aiohttp's low-level server: no routes, no middleware, one handler."""

    protocol = ViewerProtocol

    def __init__(
        self,
        handler: Handler,
        refuse: Callable[[web.BaseRequest, EdgeError], web.StreamResponse],
        *,
        max_connections: int,
        head_timeout_s: float,
        idle_timeout_s: float,
    ) -> None:
        super().__init__(handler)
        self.refuse = refuse
        self.max_connections = max_connections
        self.head_timeout_s = head_timeout_s
        self.refused_connections = 0
        self._idle_timeout_s = idle_timeout_s
        self._watch: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Look at all connections from now on, as long as there are any."""
        if self._watch is None:
            self._watch = self._loop.call_later(self._idle_timeout_s / _LOOKS, self._look)

    def _look(self) -> None:
        self._watch = None
        now = self._loop.time()
        for connection in self.connections:
            assert isinstance(connection, ViewerProtocol)
            connection.look(now, self._idle_timeout_s)
        if self.connections:
            self.watch()

    def __call__(self) -> ViewerProtocol:
        """The protocol of a new connection."""
        return self.protocol(
            self,
            loop=self._loop,
            keepalive_timeout=self._idle_timeout_s,
            access_log=None,  # type: ignore[arg-type] # None turns it off, whatever the annotation says
            max_line_size=MAX_URL_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            max_headers=MAX_FIELDS,
            auto_decompress=False,
            lingering_time=2.0,
        )


class Early:
    """Stands in for a reader of frames, and gets what aiohttp has read beyond the head."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """As aiohttp calls it: no fault, nothing left over."""
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Nothing more will come."""
