"""What an origin is, and what it answers."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol

from edgeproxy.core.failover import Attempt
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.origins.duplex import Duplex


async def no_body() -> AsyncIterator[bytes]:
    """The body of an answer that has none."""
    return
    yield b""


async def whole_body(body: bytes) -> AsyncIterator[bytes]:
    """A body that is at hand."""
    yield body


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Reply:
    """An origin's answer with the body still unread. Whoever holds it closes it.

    Reading `body` raises `OriginError` when the origin cuts it, lies about its length or falls silent.
    """

    head: Head
    body: AsyncIterator[bytes]
    close: Callable[[], None] = field(default=_nothing, repr=False)
    """Give the connection up, or back if the body was read. May be called twice."""
    is_delimited: bool = True
    """Whether the message says where the body ends; otherwise a cut cannot be told from its end."""
    trail: tuple[Attempt, ...] = ()
    """Every origin that was asked, in order; the last one gave this answer."""
    notes: Headers = field(default_factory=Headers)
    """What we noted with the object when we wrote it, see `core/provenance`; not for viewers."""
    url: str = ""
    """Where it was asked for, as far as somebody may want to know."""
    filling: str = ""
    """What became of having the object made that the bucket lacked: "stored" or a `Reason`. Empty: that was
    not wanted."""
    is_last_word: bool = False
    """No other origin is asked, whatever this says: it was tried to have the object made."""
    switched: Duplex | None = None
    """The connection itself after a 101, which only a request for a WebSocket gets; there is no body then."""
    keep_s: float | None = None
    """Seconds for which it may be kept at most, whatever else is said; 0 = not at all."""


class Origin(Protocol):
    """A server of objects, or several that look like one."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        ...

    async def fetch(self, request: Request) -> Reply:
        """Ask once and give the reply, whatever its status, with the body unread.

        Raises `OriginError` with `trail` set when there is no reply to be had.
        """
        ...
