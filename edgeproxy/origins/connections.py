"""The connections to one origin: made when they are needed, kept for a while, and no more than allowed."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from aiohappyeyeballs import start_connection
from aiohttp.abc import AbstractResolver, ResolveResult
from cachetools import TTLCache

from edgeproxy.core.errors import OriginError, timed_out, unreachable
from edgeproxy.core.reason import Reason
from edgeproxy.origins.connection import Connection

_NAMES_KEPT_S = 10.0
"""How long the addresses of a name are taken to hold."""
_NEXT_ADDRESS_S = 0.25
"""How long an address has before the next is tried beside it.  RFC 8305 §5."""

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
"""As `getaddrinfo` has it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a connection leads to."""

    host: str
    port: int
    is_tls: bool

    @property
    def authority(self) -> str:
        """As in a Host field.  RFC 9110 §7.2."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


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


class Connections:
    """Those that are in use, and those that wait to be used again; the last one used is the first."""

    def __init__(
        self, origin: str, patience: Patience, resolver: Callable[[], AbstractResolver], *, tls_verify: bool
    ) -> None:
        self._origin = origin
        self._patience = patience
        self._resolver = resolver
        self._tls_verify = tls_verify
        self._busy: dict[Connection, Place] = {}
        self._idle: dict[Place, deque[tuple[Connection, float]]] = {}
        self._free = asyncio.Semaphore(patience.max_connections)
        self._sweeping: asyncio.TimerHandle | None = None
        self._names: TTLCache[tuple[str, int], deque[AddressInfo]] | None = None
        self._is_closed = False

    async def take(self, place: Place, *, new: bool = False) -> Connection:
        """A connection to `place` that is nobody else's; with `new`, one that was never used.

        It comes back by itself when what is asked is answered.  Raises `OriginError`.
        """
        if self._free.locked():
            await self._turn()
        else:
            await self._free.acquire()
        kept = None if new else self._idle.get(place)
        while kept:
            connection, _ = kept.pop()
            if connection.is_open and connection.is_quiet:
                self._busy[connection] = place
                return connection
            connection.close()
        try:
            connection = await self._made(place)
        except BaseException:
            self._free.release()
            raise
        self._busy[connection] = place
        if self._is_closed:
            connection.close()
            raise unreachable(self._origin, "we are shutting down")
        return connection

    def close(self) -> None:
        """Break off all that is under way, and take up nothing more."""
        self._is_closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in [*self._busy, *(one for kept in self._idle.values() for one, _ in kept)]:
            connection.close()
        self._idle.clear()

    async def _turn(self) -> None:
        """Wait until there may be one more."""
        patience = self._patience
        limit_s = patience.connect_s + patience.read_s
        try:
            async with asyncio.timeout(limit_s):
                await self._free.acquire()
        except TimeoutError:
            phase = f"waiting for one of {patience.max_connections} connections"
            raise timed_out(self._origin, phase, limit_s, connecting=True) from None

    def _released(self, connection: Connection) -> None:
        """It can be used again, or is closed."""
        place = self._busy.pop(connection, None)
        if place is None:
            return
        if connection.is_open and not self._is_closed:
            self._idle.setdefault(place, deque()).append((connection, connection.loop.time()))
            if self._sweeping is None:
                self._sweep_in(self._patience.keepalive_s)
        self._free.release()

    def _sweep_in(self, seconds: float) -> None:
        self._sweeping = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        """Close what nobody has used for long enough."""
        self._sweeping = None
        now, oldest = asyncio.get_running_loop().time(), None
        for place, kept in list(self._idle.items()):
            while kept and (not kept[0][0].is_open or now - kept[0][1] >= self._patience.keepalive_s):
                kept.popleft()[0].close()
            if not kept:
                del self._idle[place]
            elif oldest is None or kept[0][1] < oldest:
                oldest = kept[0][1]
        if oldest is not None:
            self._sweep_in(max(oldest + self._patience.keepalive_s - now, 0.01))

    async def _made(self, place: Place) -> Connection:
        limit_s = self._patience.connect_s
        try:
            async with asyncio.timeout(limit_s):
                return await self._connected(place)
        except TimeoutError:
            self._forget(place)
            raise timed_out(self._origin, "connecting", limit_s, connecting=True) from None
        except ssl.SSLError as error:
            cause = getattr(error, "verify_message", "") or error.reason or "broken off"
            raise OriginError(Reason.ORIGIN_TLS, f"{self._origin}: TLS failed ({cause})") from error
        except OSError as error:
            self._forget(place)
            # The system's own words, without the address.
            cause = os.strerror(error.errno) if error.errno else "the connection was closed"
            raise unreachable(self._origin, f"cannot connect ({cause})") from error

    async def _connected(self, place: Place) -> Connection:
        loop = asyncio.get_running_loop()
        infos = await self._addresses(place)
        plug = await start_connection(infos, happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1, loop=loop)
        patience = self._patience
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self._origin, patience.read_s, patience.silence_s, self._released),
                sock=plug,
                ssl=_context(self._tls_verify) if place.is_tls else None,
                server_hostname=place.host.rstrip(".") if place.is_tls else None,
            )
        except BaseException:
            # Its transport closes it, in its time: closed here, its number would soon be another's.
            with contextlib.suppress(OSError):
                plug.shutdown(socket.SHUT_RDWR)
            raise
        return connection

    async def _addresses(self, place: Place) -> list[AddressInfo]:
        """Each time another of the addresses of a name is the first."""
        if self._names is None:
            self._names = TTLCache(256, _NAMES_KEPT_S, asyncio.get_running_loop().time)
        found: deque[AddressInfo] | None = self._names.get((place.host, place.port))
        if found is None:
            try:
                place.host.encode("idna")  # or TLS would break down over it, on a socket that is open
                hosts = await self._resolver().resolve(place.host, place.port, socket.AF_UNSPEC)
                if not hosts:
                    raise OSError(None, "it has no address")
            except (OSError, UnicodeError) as error:
                raise OriginError(
                    Reason.ORIGIN_UNRESOLVED,
                    f"{self._origin}: its host name cannot be resolved",
                    failover_as=503,
                ) from error
            found = deque(_info(one) for one in hosts)
            self._names[place.host, place.port] = found
        infos = list(found)
        found.rotate(-1)
        return infos

    def _forget(self, place: Place) -> None:
        """Its name may lead elsewhere by now."""
        if self._names is not None:
            self._names.pop((place.host, place.port), None)

    def __repr__(self) -> str:
        idle = sum(len(kept) for kept in self._idle.values())
        return f"Connections({self._origin!r}, {len(self._busy)} busy, {idle} idle)"


def _info(found: ResolveResult) -> AddressInfo:
    at: tuple[Any, ...] = (found["host"], found["port"])
    if found["family"] == socket.AF_INET6:
        at = (*at, 0, 0)
    return found["family"], socket.SOCK_STREAM, socket.IPPROTO_TCP, "", at


@cache
def _context(verify: bool) -> ssl.SSLContext:
    """What a certificate is held against; reading the authorities takes time."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
