"""A body on its way in, for any number of readers, each at its own pace."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable

from edgeproxy.core.errors import EdgeError
from edgeproxy.core.reason import Reason
from edgeproxy.store.draft import Draft
from edgeproxy.store.folder import DiskError

WINDOW_BYTES = 1024 * 1024
"""How far the writer may be ahead of the slowest reader once nothing is kept for later ones; and what is
held in memory of a body that goes to disk."""
_WRITE_BYTES = 256 * 1024


class Spool:
    """Chunks in order. As long as it `keeps`, a reader that comes late gets the body from its start.

    It keeps them in memory or, once it is `moved_to` a draft, on disk; those who are close behind get
    them from memory all the same. After `let_go` (the body turned out too large to keep) nobody may
    join, a chunk is dropped when all have read it, and the writer waits for the slowest.
    """

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._starts: list[int] = []
        self._error: EdgeError | None = None
        self._is_ended = False
        self._waiting: list[asyncio.Future[None]] = []
        self._readers: set[Reader] = set()
        self._on_left: Callable[[], None] | None = None
        self._draft: Draft | None = None
        self.keeps = True
        self.size = 0
        """Bytes that have come."""
        self.held_bytes = 0
        """Bytes of them in memory."""

    def feed(self, chunk: bytes) -> None:
        """Append what has arrived."""
        if chunk:
            self._chunks.append(chunk)
            self._starts.append(self.size)
            self.size += len(chunk)
            self.held_bytes += len(chunk)
            self._wake()

    def end(self) -> None:
        """The body is whole. If it is all on disk, it is read from there: nothing is held any more."""
        self._is_ended = True
        if self.keeps and self._draft is not None:
            self._trim()
        self._wake()

    def fail(self, error: EdgeError) -> None:
        """No more will come: readers get what is there, then `error`."""
        self._error = error
        self._wake()

    def let_go(self) -> None:
        """Keep nothing from now on. What is on disk already stays readable."""
        self.keeps = False
        self._trim()

    def move_to(self, draft: Draft) -> None:
        """Keep it there from now on."""
        self._draft = draft

    def whole(self) -> bytes:
        """The body from its start; only while it keeps it in memory."""
        assert self.keeps, "whole() of a spool that has let go"
        assert self._draft is None, "whole() of a spool that went to disk"
        return b"".join(self._chunks)

    async def settle(self, *, is_last: bool = False) -> None:
        """Return when more may come: what is to go to disk is there, the slowest reader near enough.

        At once while it keeps all in memory.  Raises `DiskError`.
        """
        if self.keeps:
            draft = self._draft
            if draft is not None and self.size - draft.length >= (1 if is_last else _WRITE_BYTES):
                await draft.append(self._between(draft.length, self.size))
                self._trim()
            return
        while self._readers and self.held_bytes > WINDOW_BYTES:
            await self._change()

    @property
    def has_readers(self) -> bool:
        """Whether anybody still reads."""
        return bool(self._readers)

    def when_left(self, act: Callable[[], None]) -> None:
        """Call `act` once nobody reads what is in memory: now, or when the last reader leaves."""
        if self._readers and self.held_bytes:
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
            if reader.position < self.size:
                chunk = await self._read(reader.position)
                reader.position += len(chunk)
                return chunk
            if self._error is not None:
                raise self._error
            if self._is_ended:
                raise StopAsyncIteration
            await self._change()

    async def _read(self, position: int) -> bytes:
        """What comes next from `position` on: a chunk from memory, or a piece of the file."""
        if self._chunks and position >= self._starts[0]:
            index = bisect_right(self._starts, position) - 1
            chunk = self._chunks[index]
            return chunk[position - self._starts[index] :]
        assert self._draft is not None, "dropped what somebody has yet to read"
        try:
            return await self._draft.read(position, _WRITE_BYTES)
        except DiskError as error:
            raise EdgeError(Reason.DISK_FAILED, f"a body on disk: {error}", status=500) from error

    def _between(self, start: int, end: int) -> bytes:
        """Bytes that are all in memory."""
        first = bisect_right(self._starts, start) - 1
        data = b"".join(self._chunks[first:])
        return data[start - self._starts[first] : end - self._starts[first]]

    def _leave(self, reader: "Reader") -> None:
        self._readers.discard(reader)
        if not self._readers and self._on_left is not None:
            act, self._on_left = self._on_left, None
            act()
        if not self.keeps:
            self._trim()
        self._wake()

    def _trim(self) -> None:
        """Drop what every reader has taken, or what is on disk and outside the window."""
        if self._draft is not None and self.keeps:
            window = 0 if self._is_ended else WINDOW_BYTES
            end = min(self._draft.length, max(self._slowest(), self.size - window))
        else:
            end = self._slowest()
        surplus = bisect_right(self._starts, end) - 1 if end < self.size else len(self._chunks)
        if surplus > 0:
            self.held_bytes -= sum(map(len, self._chunks[:surplus]))
            del self._chunks[:surplus]
            del self._starts[:surplus]

    def _slowest(self) -> int:
        return min((reader.position for reader in self._readers), default=self.size)

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
