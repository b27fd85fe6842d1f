"""HTTP/1.1 to one origin: requests written, tried again where that is safe, and answers as replies."""

from collections.abc import AsyncIterable
from functools import lru_cache
from urllib.parse import urlsplit

from edgeproxy.core.balancing.retrying import IDEMPOTENT_METHODS
from edgeproxy.core.errors import OriginError
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.reason import Reason
from edgeproxy.core.websocket import SWITCH
from edgeproxy.core.websocket import fault as handshake_fault
from edgeproxy.origins.base import Reply
from edgeproxy.origins.connection import Answer, Question, StaleError
from edgeproxy.origins.connections import Connections, Patience, Place
from edgeproxy.origins.localhost import FarResolver, Pinned, Resolver

_REPEATED = frozenset({"GET", "HEAD"})
"""Methods of which silence is waited out more than once."""
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Methods of which an origin wants to know that there is none.  RFC 9110 §8.6."""


class Wire:
    """Asks one origin.

    Failed connections are tried again for every method, as nothing was sent; silence is for GET and
    HEAD only.  CloudFront Developer Guide, "Connection attempts", "Response timeout".  A kept connection
    that turns out to be closed is replaced once where the request is idempotent.  RFC 9112 §9.3.1.
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
        self._attempts = patience.attempts
        far = FarResolver if is_far else Resolver
        self._connections = Connections(
            name, patience, far if address is None else lambda: Pinned(address), tls_verify=tls_verify
        )

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()

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
        if is_idempotent is None:
            is_idempotent = method in IDEMPOTENT_METHODS
        if websocket:
            headers = headers.having(*SWITCH)
        try:
            place, target = _split(url)
        except ValueError:
            raise self._fault("was not asked, as its URL has no port that is a number") from None
        question = self._question(method, target, place, headers, body)
        attempt, is_new = 1, False
        while True:
            try:
                connection = await self._connections.take(place, new=is_new)
                answer = await connection.ask(question)
            except StaleError:
                if is_new or not is_idempotent or not _is_at_hand(body):
                    raise
                is_new = True
            except OriginError as error:
                if attempt >= self._attempts or not _may_repeat(error, method, body):
                    raise
                attempt += 1
            else:
                return self._reply(answer, headers if websocket else None)

    def _question(
        self,
        method: str,
        target: str,
        place: Place,
        headers: Headers,
        body: AsyncIterable[bytes] | bytes | None,
    ) -> Question:
        """The request as it is written.  RFC 9112 §3, §6."""
        lines = [f"{name}: {value}\r\n" for name, value in headers.pairs]
        if "host" not in headers:
            lines.insert(0, f"Host: {place.authority}\r\n")
        length = said = Head(0, headers).length
        if body is None or isinstance(body, bytes):
            length = len(body or b"")
            if said is None and (body is not None or method in _WITH_BODY):
                lines.append(f"Content-Length: {length}\r\n")
        elif said is None:
            lines.append("Transfer-Encoding: chunked\r\n")
        is_true = "content-length" not in headers or (said is not None and said == length)
        text = f"{method} {target} HTTP/1.1\r\n{''.join(lines)}\r\n"
        ends = len(lines) + 2
        is_whole = text.count("\n") == text.count("\r") == ends and "\0" not in text and " " not in target
        try:
            written = text.encode()
        except UnicodeEncodeError:
            is_whole, written = False, b""
        if not is_whole or not is_true:
            # Nobody must be able to write a second request into the first.  RFC 9112 §11.1, §11.2.
            raise self._fault("was not asked, as the request would not be what it seems")
        return Question(method, written, body, length)

    def _reply(self, answer: Answer, handshake: Headers | None) -> Reply:
        """`handshake` are the fields of a request for a WebSocket."""
        head = answer.head
        if head.status != 101:
            return Reply(head, answer.body, close=answer.close, is_delimited=answer.is_delimited)
        if handshake is None:
            answer.close()
            # RFC 9110 §15.2.
            raise self._fault("it answered 101, which nobody asked for")
        fault = handshake_fault(handshake, head)
        switched = answer.switch() if not fault else None
        if switched is None:
            answer.close()
            raise self._fault(fault or "closed the connection when it had switched")
        return Reply(head, answer.body, close=answer.close, switched=switched)

    def _fault(self, what: str) -> OriginError:
        return OriginError(Reason.ORIGIN_BAD_REPLY, f"{self._name}: {what}")

    def __repr__(self) -> str:
        return f"Wire({self._name!r}, {self._connections!r})"


def _split(url: str) -> tuple[Place, str]:
    """Where a URL leads, and what is asked for there.  RFC 9112 §3.2.1."""
    start = url.find("/", url.find("://") + 3)
    if start < 0:
        return _place(url), "/"
    return _place(url[:start]), url[start:].partition("#")[0]


@lru_cache(1024)
def _place(base: str) -> Place:
    parts = urlsplit(base)
    is_tls = parts.scheme == "https"
    return Place(parts.hostname or "", parts.port or (443 if is_tls else 80), is_tls)


def _is_at_hand(body: AsyncIterable[bytes] | bytes | None) -> bool:
    """Whether it can be sent again."""
    return body is None or isinstance(body, bytes)


def _may_repeat(error: OriginError, method: str, body: AsyncIterable[bytes] | bytes | None) -> bool:
    if error.was_asked_nothing:
        return True
    return error.reason is Reason.ORIGIN_TIMEOUT and method in _REPEATED and _is_at_hand(body)
