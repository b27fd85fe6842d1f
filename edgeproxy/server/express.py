"""aiohttp's protocol with the express lane in front.

What the lane knows it answers, as long as nothing of the viewer's is with aiohttp; all else goes there
byte for byte. Where aiohttp's parser stands is known as long as all that it got were plain heads, one
after the other; of a connection on which anything else came it is not, and it stays with aiohttp.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from edgeproxy.app import Observers
from edgeproxy.clock import Clock
from edgeproxy.core.reason import Reason
from edgeproxy.gateway.repeat import Repeat
from edgeproxy.lane.heads import MAX_BYTES, is_plain
from edgeproxy.lane.lane import Lane, Ready
from edgeproxy.record import Record
from edgeproxy.server.protocol import ViewerProtocol, ViewerServer
from edgeproxy.store.memory import Entry

_TOGETHER_BYTES = 64 * 1024
"""A body up to here goes out in one piece with its head: to copy it costs less than a second buffer."""
_AT_ONCE_BYTES = 256 * 1024
"""A longer one is on its way until the viewer has taken it."""


@dataclass(slots=True)
class Express:
    """The lane, and what all connections with it have in common."""

    lane: Lane
    clock: Clock
    observers: Observers
    transfers: int = 0
    """Answers that are on their way."""


@dataclass(slots=True)
class Transfer:
    """A long answer that the viewer has not taken yet. `left` is what waits, in bytes."""

    record: Record
    size: int
    left: int


class ExpressProtocol(ViewerProtocol):
    """One connection."""

    __slots__ = ("_begun", "_express", "_head", "_transfer", "_viewer")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing has come yet. `_begun` is what did of a head, and None once that is not known."""
        self._transfer: Transfer | None = None
        self._head: bytes | None = None
        self._begun: bytes | None = b""
        server = self._manager
        assert isinstance(server, ExpressServer)
        self._express = server.express
        peer = transport.get_extra_info("peername")
        self._viewer = str(peer[0] if isinstance(peer, list | tuple) else peer or "")
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Answer `data`, or let aiohttp have it."""
        begun = self._begun
        if begun is None or not data:
            super().data_received(data)
            return
        # aiohttp waits for a head, and all that was written is on its way.
        waiter = self._waiter
        is_idle = waiter is not None and not waiter.done() and not self._paused
        if is_idle and not begun:
            found = self._express.lane.find(data)
            if found is not None:
                self._send(*found)
                return
        self._head = None
        before = self._request_count
        super().data_received(data)
        begun += data
        if b"\r\n\r\n" not in begun:
            is_clear = len(begun) <= MAX_BYTES and self._request_count == before
            self._begun = begun if is_clear else None
        elif is_plain(begun) and self._request_count == before + 1 and not self._upgraded:
            self._begun = b""
            self._head = begun if is_idle else None
        else:
            self._begun = None

    def learn(self, repeat: Repeat) -> None:
        """The request that aiohttp is at has been answered, and could be so again."""
        if self._head is not None:
            self._express.lane.learn(self._head, repeat)

    def resume_writing(self) -> None:
        """The viewer has taken what was on its way."""
        super().resume_writing()
        if self._transfer is not None:
            self._transfer.left = 0
            self._end_transfer(self._transfer)

    def connection_lost(self, exc: BaseException | None) -> None:
        """What the viewer has not taken by now it will not have."""
        if self._transfer is not None:
            self._end_transfer(self._transfer)
        super().connection_lost(exc)

    def look(self, now: float, idle_s: float) -> None:
        """Note how much is left, in case the viewer is cut off."""
        if self._transfer is not None:
            self._transfer.left = self._wire.get_write_buffer_size()
        super().look(now, idle_s)

    def _process_keepalive(self) -> None:
        if self._transfer is not None:
            self._stay()
        super()._process_keepalive()

    def _stay(self) -> None:
        """The connection is in use: it is idle from now on."""
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def _send(self, ready: Ready, entry: Entry, now: float) -> None:
        express, transport, size = self._express, self.transport, ready.size
        assert transport is not None, "nothing comes on a connection that is closed"
        observers = express.observers
        is_told = bool(observers.on_record)
        started = express.clock.elapsed() if is_told or size > _AT_ONCE_BYTES else 0.0
        request_id = express.lane.new_id()
        # One head and done: then the connection is idle from now on.
        self._request_count += 1
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if size <= _TOGETHER_BYTES:
            body = entry.body if ready.is_whole else ready.body(entry)
            transport.write(b"".join((ready.before, request_id.encode(), ready.after, body)))
        else:
            transport.writelines((ready.before + request_id.encode() + ready.after, ready.body(entry)))
            if size > _AT_ONCE_BYTES and self._paused:
                self._begin_transfer(ready.record(request_id, self._viewer, now, started), size)
                return
        observers.tally.hit(ready.status, size)
        if is_told:
            record = ready.record(request_id, self._viewer, now, started)
            record.first_byte_s = record.duration_s = express.clock.elapsed() - started
            observers.tell(record)

    def _begin_transfer(self, record: Record, size: int) -> None:
        self._express.transfers += 1
        record.first_byte_s = self._express.clock.elapsed() - record.started
        self._transfer = Transfer(record, size, size)

    def _end_transfer(self, transfer: Transfer) -> None:
        self._transfer = None
        self._express.transfers -= 1
        record = transfer.record
        if transfer.left:
            record.is_cut, record.reason = True, Reason.VIEWER_LEFT
            record.sent_bytes = transfer.size - min(transfer.left, transfer.size)
        record.duration_s = self._express.clock.elapsed() - record.started
        self._stay()
        self._express.observers.record(record)


class ExpressServer(ViewerServer):
    """Makes connections with the lane in front."""

    protocol = ExpressProtocol

    def __init__(self, express: Express, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.express = express
