"""HTTP/1.1 to one origin over aiohttp's client. No exception of aiohttp's leaves this file."""

import asyncio
import io
import re
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from edgeproxy.core.balancing.retrying import IDEMPOTENT_METHODS
from edgeproxy.core.errors import EdgeError, OriginError, timed_out, unreachable
from edgeproxy.core.message import Head, Headers, field_text
from edgeproxy.core.reason import Reason
from edgeproxy.core.websocket import SWITCH
from edgeproxy.core.websocket import fault as handshake_fault
from edgeproxy.origins.base import Reply, no_body
from edgeproxy.origins.duplex import Duplex, Early
from edgeproxy.origins.localhost import FarResolver, Pinned, Resolver

MAX_HEAD_BYTES = 32_768
"""CloudFront's limit for the head of an origin's answer; aiohttp holds it for each line by itself."""

_READ_BUFFER_BYTES = 128 * 1024
_LARGE_BYTES = 256 * 1024
_NO_AUTO_HEADERS = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
_BODILESS = frozenset({204, 304})
# RFC 9110 §5.5 allows none of these in a field value but the tab.
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often an origin is tried; CloudFront's connection settings. Seconds."""

    attempts: int = 3
    connect_s: float = 10.0
    read_s: float = 30.0
    silence_s: float | None = None
    """How long the body may stand still, and then `read_s` is for all of the head; None: each packet of
    either may take `read_s`."""
    keepalive_s: float = 5.0
    max_connections: int = 512


_IS_NEW: ContextVar[bool] = ContextVar("is_new")
"""Whether a connection was made for the request that is under way."""


class _Connector(aiohttp.TCPConnector):
    """Tells who asks that a connection is new."""

    def __init__(self, *, limits_heads: bool, **how: Any) -> None:
        super().__init__(**how)
        if limits_heads:
            self._factory = partial(_Protocol, loop=self._loop)  # type: ignore[assignment] # it is one

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the parameter of aiohttp's
    ) -> ResponseHandler:
        _IS_NEW.set(True)
        return await super()._create_connection(req, traces, timeout)


class _Protocol(ResponseHandler):
    """One connection. aiohttp, and CloudFront, let each packet of a head buy as much time again; here none
    does."""

    _awaits_head = False
    _has_head = False

    def set_response_params(self, **how: Any) -> None:
        """A request is going to be sent."""
        self._awaits_head = self._has_head = False
        super().set_response_params(**how)

    def start_timeout(self) -> None:
        """All of the request is sent; the head of the answer may have come before."""
        super().start_timeout()
        self._awaits_head = not self._has_head

    def head_came(self, silence_s: float) -> None:
        """From now on it is `silence_s` between two packets."""
        self._awaits_head, self._has_head = False, True
        self.read_timeout = silence_s
        if self._read_timeout_handle is not None:
            super()._reschedule_timeout()

    def _reschedule_timeout(self) -> None:
        if not self._awaits_head:
            super()._reschedule_timeout()


class Wire:
    """A pool of connections to one origin.

    Failed connections are tried again for every method, as nothing was sent; silence is for GET and
    HEAD only.  CloudFront Developer Guide, "Connection attempts", "Response timeout".  A connection that was
    kept open and is found closed is no fault of the origin's, nor an attempt: what may be sent twice goes
    over another.  RFC 9112 §9.3.1.
    """

    def __init__(
        self,
        name: str,
        patience: Patience,
        *,
        tls_verify: bool = True,
        is_far: bool = False,
        address: str | None = None,
    ) -> None:
        """`is_far`: no name leads to this machine or its link. `address`: where every name leads."""
        self._name = name
        self._address = address
        self._resolver = FarResolver if is_far else Resolver
        self._patience = patience
        self._tls_verify = tls_verify
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pool; no connection is opened yet."""
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limits_heads=self._patience.silence_s is not None,
                limit=self._patience.max_connections,
                keepalive_timeout=self._patience.keepalive_s,
                ssl=self._tls_verify,
                resolver=self._resolver() if self._address is None else Pinned(self._address),
            ),
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=self._patience.connect_s + self._patience.read_s,
                sock_connect=self._patience.connect_s,
                sock_read=self._patience.read_s,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=_READ_BUFFER_BYTES,
            skip_auto_headers=_NO_AUTO_HEADERS,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
        )
        # It would also ask again who has closed a new connection, and tell nobody of it.
        self._session._retry_connection = False

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def exchange(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: AsyncIterable[bytes] | bytes | None = None,
        *,
        websocket: bool = False,
        is_idempotent: bool | None = None,
    ) -> Reply:
        """Send a request and give the reply with its body unread. `url` is sent exactly as it stands.

        `websocket`: ask to go on as one; with a 101 the reply has the connection. `is_idempotent`: whether it
        may be sent twice; None: as its method says.  Raises `OriginError`.
        """
        assert self._session is not None, "exchange() on a wire that is not open"
        if websocket:
            headers = headers.having(*SWITCH)
        tries = self._patience.attempts
        while True:
            _IS_NEW.set(False)
            # What is large is sent piece by piece, so that others get their turns.
            data = io.BytesIO(body) if isinstance(body, bytes) and len(body) > _LARGE_BYTES else body
            try:
                response = await self._session.request(
                    method, URL(url, encoded=True), headers=headers.pairs, data=data, allow_redirects=False
                )
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                if isinstance(error.__cause__, EdgeError):
                    # Not the origin's fault: the body that we were sending broke off.
                    raise error.__cause__ from error
                if is_idempotent is None:
                    is_idempotent = method in IDEMPOTENT_METHODS
                is_whole = body is None or isinstance(body, bytes)
                if is_idempotent and is_whole and not _IS_NEW.get() and _is_closed(error):
                    continue
                tries -= 1
                if tries and _may_repeat(error, method):
                    continue
                raise self._translated(error) from error
            return self._reply(method, response, headers if websocket else None)

    def _reply(self, method: str, response: aiohttp.ClientResponse, handshake: Headers | None) -> Reply:
        """`handshake` are the fields of a request for a WebSocket."""
        is_switched = handshake is not None and response.status == 101
        fault = _fault(response, may_switch=is_switched)
        if fault:
            response.close()
            raise OriginError(Reason.ORIGIN_BAD_REPLY, f"{self._name}: {fault}")
        headers = Headers((name.decode("latin-1"), field_text(value)) for name, value in response.raw_headers)
        head = Head(response.status, headers)
        if handshake is not None and is_switched:
            return self._switched(response, handshake, head)
        protocol = response.connection.protocol if response.connection is not None else None
        if isinstance(protocol, _Protocol) and self._patience.silence_s is not None:
            protocol.head_came(self._patience.silence_s)
        has_body = method != "HEAD" and response.status not in _BODILESS
        return Reply(
            head,
            self._body(response) if has_body else no_body(),
            close=response.close,
            is_delimited=not has_body or head.length is not None or _is_chunked(headers),
        )

    def _switched(self, response: aiohttp.ClientResponse, sent: Headers, head: Head) -> Reply:
        fault = handshake_fault(sent, head)
        protocol = response.connection.protocol if response.connection is not None else None
        if fault or protocol is None or protocol.transport is None:
            response.close()
            fault = fault or "closed the connection when it had switched"
            raise OriginError(Reason.ORIGIN_BAD_REPLY, f"{self._name}: {fault}")
        early = Early()
        protocol.set_parser(early, None)
        connection = Duplex(protocol.transport, protocol, early.data)
        return Reply(head, no_body(), close=response.close, switched=connection)

    async def _body(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        unwatch = _watched(response)
        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._translated(error, in_body=True) from error
        finally:
            unwatch()
            response.release()

    def _translated(self, error: Exception, *, in_body: bool = False) -> OriginError:
        """What went wrong, in our words.  CloudFront Developer Guide, "HTTP 502", "HTTP 504"."""
        name, patience = self._name, self._patience
        match error:
            case aiohttp.ConnectionTimeoutError():
                return timed_out(name, "connecting", patience.connect_s, connecting=True)
            case TimeoutError():
                phase = "the rest of the body" if in_body else "the answer"
                waited_s = patience.silence_s if in_body and patience.silence_s else patience.read_s
                return timed_out(name, phase, waited_s)
            case aiohttp.ClientConnectorDNSError():
                return OriginError(
                    Reason.ORIGIN_UNRESOLVED, f"{name}: its host name cannot be resolved", failover_as=503
                )
            case aiohttp.ClientSSLError() | ssl.SSLError():
                return OriginError(Reason.ORIGIN_TLS, f"{name}: TLS failed ({_cause(error)})")
            case aiohttp.ClientConnectorError():
                return unreachable(name, f"cannot connect ({_cause(error)})")
            case aiohttp.ClientPayloadError():
                return OriginError(Reason.ORIGIN_CUT, f"{name}: the body ended before it was whole")
            case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | OSError():
                return OriginError(Reason.ORIGIN_CUT, f"{name}: closed the connection without an answer")
            case _:
                return OriginError(
                    Reason.ORIGIN_BAD_REPLY, f"{name}: its answer is not HTTP/1.1 as it should be"
                )


def _fault(response: aiohttp.ClientResponse, *, may_switch: bool = False) -> str:
    """What makes the head of an answer unusable, though it can be read; "" for nothing."""
    if response.status < 200 and not may_switch:
        # Interim answers are passed over; this one is 101, and nobody asked to switch.  RFC 9110 §15.2.
        return f"it answered {response.status}, which nobody asked for"
    if any(_CONTROL.search(value) for _, value in response.raw_headers):
        return "a field of its answer holds a control character"
    if sum(len(name) + len(value) + 4 for name, value in response.raw_headers) > MAX_HEAD_BYTES:
        return f"the head of its answer is larger than {MAX_HEAD_BYTES} bytes"
    return ""


def _is_chunked(headers: Headers) -> bool:
    """Whether chunks say where the body ends: only if that is the last coding.  RFC 9112 §6.3."""
    return (headers.get("transfer-encoding") or "").rpartition(",")[2].strip().lower() == "chunked"


def _watched(response: aiohttp.ClientResponse) -> Callable[[], None]:
    """See to it that reading ends when the connection does; gives what ends the watch.

    aiohttp 3.14 closes the connection on a chunk that is none, but does not tell the body's reader,
    who would wait for ever.
    """
    connection, content = response.connection, response.content
    closed = (
        connection.protocol.closed if connection is not None and connection.protocol is not None else None
    )
    if closed is None:
        return lambda: None

    def tell(_: asyncio.Future[None]) -> None:
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection was closed on a malformed body"))

    def unwatch() -> None:
        closed.remove_done_callback(tell)

    closed.remove_done_callback(_heard)
    closed.add_done_callback(_heard)
    closed.add_done_callback(tell)
    return unwatch


def _heard(closed: asyncio.Future[None]) -> None:
    """Take note of how a connection ended, or asyncio complains that nobody did."""
    if not closed.cancelled():
        closed.exception()


def _may_repeat(error: Exception, method: str) -> bool:
    if isinstance(error, aiohttp.ClientSSLError):
        return False
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return True
    return isinstance(error, asyncio.TimeoutError) and method in ("GET", "HEAD")


def _is_closed(error: Exception) -> bool:
    """Whether an established connection was lost before the head of an answer."""
    if isinstance(error, aiohttp.ClientConnectorError | TimeoutError):
        return False
    return isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)


def _cause(error: Exception) -> str:
    """The system's own words, without addresses and object names."""
    inner = getattr(error, "os_error", None) or error.__cause__ or error
    return getattr(inner, "strerror", None) or type(inner).__name__
