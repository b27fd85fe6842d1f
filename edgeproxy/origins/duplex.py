"""A connection of which nobody reads messages any more: bytes in, bytes out, each way bounded."""

import asyncio

_READ_BYTES = 64 * 1024
"""What is read at once; twice as much may wait, and what the loop reads in one go."""
_FLUSH_S = 30.0
"""How long a peer has to take what is left when the connection is closed."""


class Duplex:
    """Takes a transport away from the protocol that has read the heads.

    That protocol hears when the connection is lost, and nothing else any more. Bytes that it got after
    the head are `early`. It must not have been told to pause writing.
    """

    def __init__(self, transport: asyncio.Transport, before: asyncio.Protocol, early: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._transport = transport
        self._reader = asyncio.StreamReader(limit=_READ_BYTES, loop=loop)
        protocol = _Taken(self._reader, before, loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)
        if not transport.is_reading() and not transport.is_closing():
            transport.resume_reading()
        if early:
            self._reader.feed_data(early)

    async def read(self) -> bytes:
        """What has come, at least one byte; b"" when nothing more will.  Raises `OSError`."""
        return await self._reader.read(_READ_BYTES)

    async def write(self, data: bytes) -> None:
        """Send `data`; waits while too much is on its way already.  Raises `OSError`."""
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """Send nothing more. Where only all or nothing can be closed, as with TLS, close it."""
        if self._writer.can_write_eof():
            self._writer.write_eof()
        else:
            self.close()

    def close(self) -> None:
        """Close, when the peer has what was written; it has not for ever to take it."""
        if self._transport.get_write_buffer_size() and not self._transport.is_closing():
            asyncio.get_running_loop().call_later(_FLUSH_S, self._transport.abort)
        self._writer.close()

    def abort(self) -> None:
        """Break it off, so that the peer sees that something is missing."""
        self._transport.abort()


class _Taken(asyncio.StreamReaderProtocol):
    def __init__(
        self, reader: asyncio.StreamReader, before: asyncio.Protocol, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(reader, loop=loop)
        self._before = before

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._before.connection_lost(exc)
