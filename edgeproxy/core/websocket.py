"""Who asks for a WebSocket, and whether the answer grants it.  RFC 6455 §4; RFC 9110 §7.8."""

import base64
import hashlib
import re

from edgeproxy.core.errors import RequestError
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.reason import Reason

FIELDS = frozenset(
    "sec-websocket-key sec-websocket-version sec-websocket-protocol sec-websocket-extensions".split()
)
"""What the viewer says of the connection that it wants; lower case."""
NEEDED = ("sec-websocket-key", "sec-websocket-version")
"""Without these no server can grant it."""
SWITCH = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
"""What both messages say of the connection that they came on."""

# 16 bytes in base64: the last of their characters stands for two bits.
_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")
_VERSION = re.compile(r"\d{1,3}")
# RFC 6455 §1.3.
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def is_asked_for(method: str, headers: Headers) -> bool:
    """Whether a request of HTTP/1.1 asks to go on as a WebSocket, and as nothing else.  RFC 6455 §4.1."""
    return method == "GET" and _switches(headers)


def check_handshake(headers: Headers) -> None:
    """Raise `RequestError` where it is asked for in a way that no server may grant.  RFC 6455 §4.2.1.

    Which versions it speaks is for the server to say.
    """
    if not _KEY.fullmatch(headers.get("sec-websocket-key") or ""):
        message = "Sec-WebSocket-Key has to be 16 bytes in base64"
    elif not _VERSION.fullmatch(headers.get("sec-websocket-version") or ""):
        message = "Sec-WebSocket-Version has to be one number"
    else:
        return
    raise RequestError(Reason.BAD_HANDSHAKE, message, status=400)


def fault(sent: Headers, head: Head) -> str:
    """What is wrong with a 101 to the request with the fields `sent`; "" for nothing.  RFC 6455 §4.1.

    A server that merely says 101 may read what follows as requests.
    """
    if not _switches(head.headers):
        return "it switched to something other than a WebSocket"
    if head.headers.get("sec-websocket-accept") != accept(sent.get("sec-websocket-key") or ""):
        return "its Sec-WebSocket-Accept is not the answer to the key that it got"
    return ""


def accept(key: str) -> str:
    """The `Sec-WebSocket-Accept` that belongs to `key`.  RFC 6455 §4.2.2."""
    return base64.b64encode(hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()).decode()


def _switches(headers: Headers) -> bool:
    options = {option.strip().lower() for option in (headers.get("connection") or "").split(",")}
    return "upgrade" in options and (headers.get("upgrade") or "").lower() == "websocket"
