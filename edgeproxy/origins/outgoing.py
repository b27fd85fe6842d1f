"""The body of a request on its way out, piece by piece, at the pace of whoever takes it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable

from edgeproxy.core.errors import timed_out

PIECE_BYTES = 64 * 1024
"""What is longer goes out in pieces of this size, so that others get their turns."""


class Outgoing:
    """Writes to one connection.

    An origin that takes nothing for `patience_s` seconds is as silent as one that says nothing.
    """

    def __init__(self, transport: asyncio.Transport, origin: str, patience_s: float) -> None:
        self._transport = transport
        self._origin = origin
        self._patience_s = patience_s
        self._may_write: asyncio.Future[None] | None = None

    def pause(self) -> None:
        """The origin does not keep up."""
        self._may_write = asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        """It does again, or there is nobody any more."""
        waiter, self._may_write = self._may_write, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def send(self, body: AsyncIterable[bytes] | bytes, length: int | None) -> None:
        """Send `body`: as many bytes as `length` says, or in chunks where it says nothing.  RFC 9112 §7.1.

        Raises `OriginError` when the origin takes nothing, `ConnectionError` when it is gone, `ValueError`
        for a body of another length, and what the body raises, which is closed in any case.
        """
        if isinstance(body, bytes):
            for start in range(0, len(body), PIECE_BYTES):
                await self._write(body[start : start + PIECE_BYTES])
            return
        count = 0
        try:
            async for piece in body:
                if not piece:
                    continue
                count += len(piece)
                if length is None:
                    await self._write(b"%x\r\n%b\r\n" % (len(piece), piece))
                elif count <= length:
                    await self._write(piece)
        finally:
            if isinstance(body, AsyncGenerator):
                await body.aclose()
        if length is None:
            await self._write(b"0\r\n\r\n")
        elif count != length:
            raise ValueError("the body has another length than its head says")

    async def _write(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._transport.write(data)
        if self._may_write is not None:
            try:
                async with asyncio.timeout(self._patience_s):
                    await asyncio.shield(self._may_write)
            except TimeoutError:
                raise timed_out(self._origin, "sending the request", self._patience_s) from None
