"""Calls between the supervisor and a worker, over a pair of sockets that nobody else has."""

import asyncio
import pickle
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any

_LENGTH = struct.Struct(">I")

Handler = Callable[[str, Any], Awaitable[Any]]
"""What is asked for, and with what; gives the answer, or raises it."""


class ChannelClosedError(Exception):
    """The other side has gone."""


class Channel:
    """Either side asks and answers, many calls at a time.

    Frames are pickled: both ends are ours, and the socket was handed over at birth.
    """

    def __init__(self, end: socket.socket, handler: Handler) -> None:
        self._end = end
        self._handler = handler
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.is_closed = False

    async def open(self) -> None:
        """From now on one may ask."""
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._end)

    async def run(self) -> None:
        """Answer the other side until it has gone; needed also to hear its answers."""
        assert self._reader is not None, "a channel that was not opened"
        reader = self._reader
        try:
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                kind, number, what, value = pickle.loads(await reader.readexactly(length))  # noqa: S301 - ours
                if kind == "ask":
                    task = asyncio.get_running_loop().create_task(self._answer(number, what, value))
                    self._answering.add(task)
                    task.add_done_callback(self._answering.discard)
                elif (waiting := self._waiting.pop(number, None)) is not None and not waiting.done():
                    if kind == "raise":
                        waiting.set_exception(value)
                    else:
                        waiting.set_result(value)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.close()

    async def ask(self, what: str, value: Any = None) -> Any:
        """What the other side answers.  Raises `ChannelClosedError`, and what it raises."""
        if self.is_closed:
            raise ChannelClosedError
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send("ask", number, what, value)
            return await waiting
        finally:
            self._waiting.pop(number, None)

    async def _answer(self, number: int, what: str, value: Any) -> None:
        try:
            self._send("answer", number, what, await self._handler(what, value))
        except ChannelClosedError:
            return
        except Exception as error:  # it belongs to whoever asked
            with suppress(ChannelClosedError):
                self._send("raise", number, what, error)

    def _send(self, kind: str, number: int, what: str, value: Any) -> None:
        if self.is_closed or self._writer is None:
            raise ChannelClosedError
        frame = pickle.dumps((kind, number, what, value))
        self._writer.write(_LENGTH.pack(len(frame)) + frame)

    def close(self) -> None:
        """Hang up; who waits for an answer hears that there will be none."""
        self.is_closed = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ChannelClosedError())
        self._waiting.clear()
        if self._writer is not None:
            self._writer.close()
        else:
            self._end.close()
