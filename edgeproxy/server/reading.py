"""From aiohttp's request to ours."""

import asyncio
import re
from collections.abc import AsyncIterator

from aiohttp import web

from edgeproxy.core.errors import RequestError
from edgeproxy.core.message import Headers, Request, field_text
from edgeproxy.core.reason import Reason
from edgeproxy.core.websocket import is_asked_for

MAX_URL_BYTES = 8_192
"""CloudFront Developer Guide, quotas: "Maximum length of a URL"."""
MAX_HEAD_BYTES = 32_768
"""CloudFront Developer Guide, quotas: "Maximum length of a request, including headers"."""
MAX_FIELDS = 128
_AROUND_FIELDS = "  HTTP/1.1\r\n\r\n"

_HOST = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._\-]{0,253}[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?\Z"
)


def request_from(
    message: web.BaseRequest, max_body_bytes: int, idle_s: float, *, may_switch: bool = False
) -> Request:
    """The request as the gateway takes it; its path is still as received.

    `may_switch`: what follows the head has not been read as requests.

    Raises `RequestError`: 400 for a bad Host, 413 and 494 for too much, 501 for CONNECT. After one of
    these it is not certain where the next request begins: the connection has to be closed.
    """
    headers = Headers((name.decode("latin-1"), field_text(value)) for name, value in message.raw_headers)
    line = len(message.method) + len(message.raw_path) + len(_AROUND_FIELDS)
    if line + sum(len(name) + len(value) + 4 for name, value in message.raw_headers) > MAX_HEAD_BYTES:
        raise head_too_large()
    host, path, query = _target(message)
    if message.version < (1, 0):
        raise RequestError(Reason.BAD_REQUEST, "HTTP/0.9 is not spoken here", status=400)
    if message.method == "CONNECT":
        raise RequestError(Reason.METHOD_UNKNOWN, "this is not a forward proxy", status=501)
    if not _HOST.match(host) and not (host == "" and message.version < (1, 1)):
        raise RequestError(Reason.BAD_HOST, "the Host field is not a host name and a port", status=400)
    if message.version < (1, 1):
        # CloudFront Developer Guide, "Serve compressed files": not to HTTP/1.0.
        headers = headers.without({"accept-encoding"})
    return Request(
        method=message.method,
        path=path,
        query=query,
        headers=headers,
        host=host.lower(),
        scheme="http",
        viewer=message.remote or "",
        body=_body(message, max_body_bytes, idle_s) if message.body_exists else None,
        # RFC 9110 §7.8: an `Upgrade` of HTTP/1.0 is ignored.
        websocket=may_switch and message.version >= (1, 1) and is_asked_for(message.method, headers),
    )


def _target(message: web.BaseRequest) -> tuple[str, str, str]:
    """Host, raw path and raw query. An absolute-form target brings its own host.  RFC 9112 §3.2."""
    target, host = message.raw_path, message.headers.get("Host", "")
    if target == "*":
        # OPTIONS for the server as a whole: the root will do.
        return host, "/", ""
    if not target.startswith("/"):
        scheme, separator, rest = target.partition("://")
        if separator and scheme.lower() in ("http", "https"):
            cut = min((i for i in map(rest.find, "/?#") if i >= 0), default=len(rest))
            host, target = rest[:cut], rest[cut:]
            target = target if target.startswith("/") else f"/{target}"
    path, _, query = target.partition("#")[0].partition("?")
    return host, path, query


def _body(message: web.BaseRequest, max_bytes: int, idle_s: float) -> AsyncIterator[bytes]:
    if (message.content_length or 0) > max_bytes:
        raise _body_too_large(max_bytes)
    return _chunks(message, max_bytes, idle_s)


async def _chunks(message: web.BaseRequest, max_bytes: int, idle_s: float) -> AsyncIterator[bytes]:
    """The body as it comes in.

    Raises `RequestError` when it is malformed, too large or cut off, or when nothing comes for `idle_s`:
    a viewer who stands still must not keep a connection to the origin busy.
    """
    if message.headers.get("Expect", "").lower() == "100-continue" and message.version >= (1, 1):
        await message.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        message.writer.output_size = 0
    size = 0
    try:
        while True:
            async with asyncio.timeout(idle_s):
                chunk = await message.content.readany()
            if not chunk:
                return
            size += len(chunk)
            if size > max_bytes:
                raise _body_too_large(max_bytes)
            yield chunk
    except TimeoutError:
        raise RequestError(Reason.BODY_TIMEOUT, "the body of the request does not come", status=408) from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise RequestError(
            Reason.BAD_REQUEST, "the body of the request is malformed or cut", status=400
        ) from error


def _body_too_large(max_bytes: int) -> RequestError:
    return RequestError(Reason.BODY_TOO_LARGE, f"the body is larger than {max_bytes} bytes", status=413)


def head_too_large() -> RequestError:
    """CloudFront's own status for a request line and header of more than 32,768 bytes."""
    message = f"the header of the request is larger than {MAX_HEAD_BYTES} bytes"
    return RequestError(Reason.HEAD_TOO_LARGE, message, status=494)
