"""The body of an origin's answer as it comes: one connection puts in, one reader takes out."""

import asyncio
from collections import deque
from typing import Protocol

_HIGH_BYTES = 256 * 1024
"""What may wait for the reader before the connection is not read any more."""


class Tap(Protocol):
    """Where the body comes from; it can be made to wait."""

    def pause(self) -> None:
        """Let nothing come for now."""
        ...

    def resume(self) -> None:
        """Let it come again."""
        ...


class Incoming:
    """An asynchronous iterator of bytes. What has come is given out before the fault that ended it."""

    __slots__ = ("_chunks", "_fault", "_is_over", "_is_paused", "_size", "_tap", "_waiter")

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._is_over = False
        self._is_paused = False
        self._fault: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        """These bytes came."""
        self._chunks.append(data)
        self._size += len(data)
        if self._size > _HIGH_BYTES and not self._is_paused:
            self._is_paused = True
            self._tap.pause()
        self._wake()

    def end(self, fault: Exception | None = None) -> None:
        """Nothing more will come; with `fault`, although it should. Only the first end counts."""
        if not self._is_over:
            self._is_over = True
            self._fault = fault
            self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def __aiter__(self) -> "Incoming":
        return self

    async def __anext__(self) -> bytes:
        """What has come, at least one byte.  Raises what it was ended with."""
        while not self._chunks:
            if self._is_over:
                if self._fault is not None:
                    raise self._fault
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._chunks.popleft() if len(self._chunks) == 1 else self._all()
        self._size = 0
        if self._is_paused:
            self._is_paused = False
            if not self._is_over:
                self._tap.resume()
        return data

    def _all(self) -> bytes:
        data = b"".join(self._chunks)
        self._chunks.clear()
        return data

    def __repr__(self) -> str:
        return f"Incoming({self._size} bytes wait, {'over' if self._is_over else 'open'})"
