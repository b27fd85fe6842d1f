"""Who may ask on the admin port.

Without a token the port is on loopback, and a Host that is not this machine's is refused, as is what a
browser sends for a page: otherwise a page on the web could reach it through whoever runs edgeproxy (DNS
rebinding, forms).
"""

import base64
import hmac
from ipaddress import ip_address

from aiohttp import web
from yarl import URL


def is_given(token: str, request: web.Request) -> bool:
    """Whether a request has `token`: as bearer, as the password of Basic, or bare, as S3 servers send it."""
    kind, _, rest = request.headers.get("Authorization", "").partition(" ")
    match kind.lower():
        case "bearer":
            given = rest.strip()
        case "basic":
            try:
                given = base64.b64decode(rest, validate=True).decode("utf-8", "replace").partition(":")[2]
            except ValueError:  # no base64, or not even ASCII
                return False
        case _:
            given = request.headers.get("Authorization", "")
    return is_same(given, token)


def is_same(given: str, token: str) -> bool:
    """Whether `given` is the token; how long that takes tells nothing."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())


def is_local(request: web.Request) -> bool:
    """Whether Host is this machine."""
    try:
        name = URL.build(scheme="http", authority=request.host).host or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def is_of_a_page(request: web.Request) -> bool:
    """Whether a browser sends it for a page of others. All of them say so of whatever is not a plain GET."""
    is_elsewhere = request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
    return is_elsewhere or "Origin" in request.headers


class TooLargeError(Exception):
    """The body has more bytes than we take."""


async def body_of(request: web.Request, max_bytes: int) -> bytes:
    """The whole body.  Raises `TooLargeError`."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise TooLargeError
    return bytes(body)
