"""A viewer and an origin that talk past us: bytes both ways, until one has enough."""

import asyncio

from edgeproxy.core.reason import Reason
from edgeproxy.origins.duplex import Duplex


class Tunnel:
    """Two connections as one. Counts bytes; reads nothing of them.

    An end that says no more may still listen: the other goes on until it ends too, or stands still.
    """

    def __init__(self, viewer: Duplex, origin: Duplex, *, idle_s: float, half_idle_s: float) -> None:
        """`idle_s`: how long the origin may be silent; `half_idle_s`: both, when one end has ended."""
        self.from_origin = 0
        self.from_viewer = 0
        self._viewer = viewer
        self._origin = origin
        self._idle_s = idle_s
        self._half_idle_s = min(idle_s, half_idle_s)
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[Reason | None] = self._loop.create_future()
        self._heard_at = self._loop.time()
        self._is_half = False

    def end(self, reason: Reason | None) -> None:
        """Let it be over; the first `reason` counts, None is a peaceful end."""
        if not self._over.done():
            self._over.set_result(reason)

    async def run(self) -> Reason | None:
        """Carry bytes until it is over; gives why it ended before both ends did."""
        tasks = [self._loop.create_task(self._down()), self._loop.create_task(self._up())]
        for task in tasks:
            task.add_done_callback(self._checked)
        self._timer = self._loop.call_later(self._idle_s, self._look)
        try:
            reason = await self._over
            if reason is Reason.VIEWER_LEFT:
                self._origin.abort()
            elif reason is Reason.ORIGIN_CUT:
                self._viewer.abort()
            return reason
        finally:
            self._timer.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._origin.close()
            self._viewer.close()

    async def _down(self) -> None:
        while data := await self._read(self._origin, Reason.ORIGIN_CUT):
            await self._write(self._viewer, data, Reason.VIEWER_LEFT)
            self.from_origin += len(data)
            self._heard_at = self._loop.time()
        self._ended(self._viewer)

    async def _up(self) -> None:
        while data := await self._read(self._viewer, Reason.VIEWER_LEFT):
            await self._write(self._origin, data, Reason.ORIGIN_CUT)
            self.from_viewer += len(data)
            if self._is_half:
                self._heard_at = self._loop.time()
        self._ended(self._origin)

    def _checked(self, task: asyncio.Task[None]) -> None:
        """Whatever else ends a direction ends both."""
        if not task.cancelled() and task.exception() is not None:
            self.end(Reason.INTERNAL)

    async def _read(self, end: Duplex, fault: Reason) -> bytes:
        try:
            return await end.read()
        except OSError:
            self.end(fault)
            raise

    async def _write(self, end: Duplex, data: bytes, fault: Reason) -> None:
        try:
            await end.write(data)
        except OSError:
            self.end(fault)
            raise

    def _ended(self, other: Duplex) -> None:
        """One end says no more, and `other` has all that it said."""
        if self._over.done():
            return
        if self._is_half:
            self.end(None)
            return
        other.end()
        self._is_half = True
        self._heard_at = self._loop.time()
        self._timer.cancel()
        self._look()

    def _look(self) -> None:
        """Is it still in use? Then look again when it may have ceased to be."""
        limit_s = self._half_idle_s if self._is_half else self._idle_s
        left_s = self._heard_at + limit_s - self._loop.time()
        if left_s <= 0:
            self.end(None if self._is_half else Reason.TUNNEL_IDLE)
        else:
            self._timer = self._loop.call_later(left_s, self._look)
