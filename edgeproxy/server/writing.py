"""From our answer to aiohttp's response, with back-pressure; tells what became of it in the record."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from aiohttp import hdrs, web

from edgeproxy.core.errors import EdgeError
from edgeproxy.core.reason import Reason
from edgeproxy.core.websocket import SWITCH
from edgeproxy.gateway.answers import Answer

_AT_ONCE_BYTES = 256 * 1024
"""A body up to here goes out in one write, a longer one in pieces, so that a slow viewer is noticed."""


class _Bare:
    """Mixed into a response: nothing of aiohttp's own is added to the fields, bar Date and framing."""

    async def _prepare_headers(self) -> None:
        headers = self.headers  # type: ignore[attr-defined]
        has_type = hdrs.CONTENT_TYPE in headers
        headers.setdefault(hdrs.SERVER, "edgeproxy")
        await super()._prepare_headers()  # type: ignore[misc]
        if not has_type:
            headers.popall(hdrs.CONTENT_TYPE, None)


class _Whole(_Bare, web.Response):
    pass


class _Streamed(_Bare, web.StreamResponse):
    # The head waits for the first piece of the body, if that is there already: see `write`.
    _send_headers_immediately = False


async def write(answer: Answer, request: web.BaseRequest) -> web.StreamResponse:
    """Send `answer`; gives the response for aiohttp to finish.

    What cannot be finished is cut off, so that the viewer sees that it is not whole.
    """
    body, record = answer.body, answer.record
    if isinstance(body, bytes) and len(body) <= _AT_ONCE_BYTES:
        record.sent_bytes = 0 if request.method == "HEAD" else len(body)
        return _started(_Whole(body=body), answer)
    response = _started(_Streamed(), answer)
    try:
        await response.prepare(request)
        # One packet and one call of the kernel for both; but a body that is slow to begin holds up no head.
        asyncio.get_running_loop().call_soon(_send_head, request)
        if isinstance(body, bytes):
            view = memoryview(body)
            for start in range(0, len(body), _AT_ONCE_BYTES):
                await response.write(view[start : start + _AT_ONCE_BYTES])
                record.sent_bytes = min(start + _AT_ONCE_BYTES, len(body))
        else:
            try:
                async for chunk in body:
                    await response.write(chunk)
                    record.sent_bytes += len(chunk)
            finally:
                # The traceback of a viewer's leaving would keep it, and the file that it reads, for long.
                if isinstance(body, AsyncGenerator):
                    await body.aclose()
    except EdgeError as error:
        record.reason, record.fault = error.reason, error.message
        _cut(answer, request)
    except ConnectionError:
        record.reason = Reason.VIEWER_LEFT
        _cut(answer, request)
    except asyncio.CancelledError:
        record.reason = Reason.VIEWER_LEFT if request.transport is None else Reason.DRAINING
        _cut(answer, request)
        raise
    return response


async def switch(answer: Answer, request: web.BaseRequest) -> web.StreamResponse:
    """Send the head of a 101, whole.  Raises `ConnectionError`."""
    response = _started(_Streamed(), answer)
    response.headers.extend(SWITCH)
    response.force_close()
    await response.prepare(request)
    request.writer.send_headers()
    await request.writer.drain()
    return response


def _send_head(request: web.BaseRequest) -> None:
    """If it has not gone out with the first piece by now. That the viewer has left is noticed elsewhere."""
    with suppress(ConnectionError):
        request.writer.send_headers()


def _started(response: web.StreamResponse, answer: Answer) -> web.StreamResponse:
    response.set_status(answer.head.status)
    response.headers.clear()
    response.headers.extend(answer.head.headers.pairs)
    return response


def _cut(answer: Answer, request: web.BaseRequest) -> None:
    """Close without the end of the message: neither length nor last chunk will be right."""
    answer.record.is_cut = True
    transport = request.transport
    if transport is None:
        return
    # An answer had begun, though nothing of its body was to be had.
    _send_head(request)
    if request.version < (1, 1) and answer.head.length is None:
        # Here the end of the connection is the end of the body: only a reset tells them apart.
        transport.abort()
    else:
        transport.close()
