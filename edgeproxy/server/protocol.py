"""aiohttp's protocol with our limits and our words for what is not HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError, LineTooLong

from edgeproxy.core.errors import EdgeError, RequestError
from edgeproxy.core.reason import Reason
from edgeproxy.server.reading import MAX_FIELDS, MAX_HEAD_BYTES, MAX_URL_BYTES, head_too_large

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class ViewerProtocol(web.RequestHandler):
    """One connection. A viewer that sends no head in time, or is one too many, is disconnected."""

    __slots__ = ("_head_timer",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock for the first head."""
        server = self._manager
        assert isinstance(server, ViewerServer)
        super().connection_made(transport)
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
