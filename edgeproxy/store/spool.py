"""A body on its way in, for any number of readers, each at its own pace."""

import asyncio
from collections.abc import AsyncIterator, Callable

from edgeproxy.core.errors import EdgeError

WINDOW_BYTES = 1024 * 1024
"""How far the writer may be ahead of the slowest reader once nothing is kept for later ones."""


class Spool:
    """Chunks in order. As long as it `keeps`, a reader that comes late gets the body from its start.

    After `let_go` (the body turned out too large to keep) nobody may join, a chunk is dropped when
    all have read it, and the writer waits for the slowest.
    """

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._dropped = 0
        self._error: EdgeError | None = None
        self._is_ended = False
        self._waiting: list[asyncio.Future[None]] = []
        self._readers: set[Reader] = set()
        self._on_left: Callable[[], None] | None = None
        self.keeps = True
        self.held_bytes = 0

    def feed(self, chunk: bytes) -> None:
        """Append what has arrived."""
        self._chunks.append(chunk)
        self.held_bytes += len(chunk)
        self._wake()

    def end(self) -> None:
        """The body is whole."""
        self._is_ended = True
        self._wake()

    def fail(self, error: EdgeError) -> None:
        """No more will come: readers get what is there, then `error`."""
        self._error = error
        self._wake()

    def let_go(self) -> None:
        """Keep nothing from now on."""
        self.keeps = False
        self._trim()

    def whole(self) -> bytes:
        """The body from its start; only while it keeps."""
        assert self.keeps, "whole() of a spool that has let go"
        return b"".join(self._chunks)

    async def has_room(self) -> None:
        """Return when the slowest reader is near enough; at once while it keeps."""
        while not self.keeps and self._readers and self.held_bytes > WINDOW_BYTES:
            await self._change()

    @property
    def has_readers(self) -> bool:
        """Whether anybody still reads."""
        return bool(self._readers)

    def when_left(self, act: Callable[[], None]) -> None:
        """Call `act` once nobody reads: now, or when the last reader leaves."""
        if self._readers:
            self._on_left = act
        else:
            act()

    def reader(self) -> "Reader":
        """A place at the start of the body."""
        assert self.keeps, "reader() of a spool that has let go"
        reader = Reader(self)
        self._readers.add(reader)
        return reader

    async def _next(self, reader: "Reader") -> bytes:
        if not self.keeps:
            self._trim()
            self._wake()
        while True:
            index = reader.position - self._dropped
            if index < len(self._chunks):
                reader.position += 1
                return self._chunks[index]
            if self._error is not None:
                raise self._error
            if self._is_ended:
                raise StopAsyncIteration
            await self._change()

    def _leave(self, reader: "Reader") -> None:
        self._readers.discard(reader)
        if not self._readers and self._on_left is not None:
            act, self._on_left = self._on_left, None
            act()
        if not self.keeps:
            self._trim()
        self._wake()

    def _trim(self) -> None:
        """Drop what every reader has taken."""
        end = self._dropped + len(self._chunks)
        surplus = min((reader.position for reader in self._readers), default=end) - self._dropped
        if surplus > 0:
            self.held_bytes -= sum(map(len, self._chunks[:surplus]))
            del self._chunks[:surplus]
            self._dropped += surplus

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _change(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def __repr__(self) -> str:
        state = "failed" if self._error else "ended" if self._is_ended else "open"
        return f"Spool({state}, {self.held_bytes} bytes held, {len(self._readers)} readers)"


class Reader(AsyncIterator[bytes]):
    """One reader's place in a spool. Raises what the spool failed with; `close` gives the place up."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.position = 0

    async def __anext__(self) -> bytes:
        return await self._spool._next(self)

    def close(self) -> None:
        """Read no more; may be called twice."""
        self._spool._leave(self)
