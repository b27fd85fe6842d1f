"""HTTP servers that a function asks, over httpx. No exception of httpx's leaves this file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import quote

import httpx

from edgeproxy.core.errors import OriginError, RequestError, timed_out, unreachable
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.reason import Reason
from edgeproxy.lambdas.process import opened
from edgeproxy.origins.base import Reply

_USER_AGENT = "edgeproxy"
_CONNECT_S = 5.0
_KEEPALIVE_S = 5.0
_AGAIN = 1
"""Connections may have died while the process was frozen."""
_PRINTABLE = bytes(range(0x21, 0x7F))

_client: httpx.AsyncClient | None = None


def _opened() -> httpx.AsyncClient:
    global _client
    if _client is None:
        limits = httpx.Limits(max_connections=100, keepalive_expiry=_KEEPALIVE_S)
        transport = httpx.AsyncHTTPTransport(retries=_AGAIN, limits=limits)
        # What a server sets with one object must not be sent for the next.
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        _client = httpx.AsyncClient(
            transport=transport, follow_redirects=False, trust_env=False, cookies=no_cookies
        )
        opened.push_async_callback(_client.aclose)
    return _client


@asynccontextmanager
async def fetched(
    method: str, url: str, headers: Headers, *, body: bytes = b"", timeout_s: float
) -> AsyncIterator[Reply]:
    """The server's answer with its body unread.

    Raises `OriginError`, also from the body, and `RequestError` for what cannot be asked.
    """
    sent = [("User-Agent", _USER_AGENT), *headers.without({"host", "user-agent", "content-length"})]
    try:
        request = _opened().build_request(
            method,
            quote(_octets(url), safe=_PRINTABLE),
            headers=[(_octets(field), _octets(value)) for field, value in sent],
            content=body or None,
            timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
        )
    except (httpx.InvalidURL, UnicodeEncodeError) as error:
        said = f"cannot be asked for: {type(error).__name__}"
        raise RequestError(Reason.BAD_PATH, said, status=400) from error
    name = request.url.host
    try:
        response = await _opened().send(request, stream=True)
    except httpx.HTTPError as error:
        raise _translated(error, name, timeout_s) from error
    try:
        fields = Headers(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw
        )
        head = Head(response.status_code, fields)
        has_end = head.length is not None or "transfer-encoding" in fields or method == "HEAD"
        yield Reply(head, _raw(response, name, timeout_s), is_delimited=has_end)
    finally:
        await response.aclose()


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


async def _raw(response: httpx.Response, name: str, timeout_s: float) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_raw():
            yield chunk
    except httpx.HTTPError as error:
        raise _translated(error, name, timeout_s) from error


def _translated(error: httpx.HTTPError, name: str, timeout_s: float) -> OriginError:
    match error:
        case httpx.ConnectTimeout():
            return timed_out(name, "connecting", timeout_s, connecting=True)
        case httpx.TimeoutException():
            return timed_out(name, "the answer", timeout_s)
        case httpx.ConnectError():
            return unreachable(name, "cannot connect")
        case httpx.RemoteProtocolError() | httpx.ReadError():
            return OriginError(Reason.ORIGIN_CUT, f"{name}: the answer ended before it was whole")
        case _:
            return OriginError(Reason.ORIGIN_BAD_REPLY, f"{name}: {type(error).__name__}")
