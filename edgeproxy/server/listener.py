"""The port that viewers talk to: opens, answers, drains."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from edgeproxy.app import Observers
from edgeproxy.clock import Clock
from edgeproxy.core.errors import EdgeError, RequestError
from edgeproxy.core.message import SAFE_METHODS, Request
from edgeproxy.core.reason import Reason
from edgeproxy.gateway.answers import Answer
from edgeproxy.gateway.gateway import Gateway
from edgeproxy.lane.lane import Lane
from edgeproxy.origins.duplex import Duplex
from edgeproxy.record import Record
from edgeproxy.server.express import Express, ExpressProtocol, ExpressServer
from edgeproxy.server.protocol import ViewerProtocol, ViewerServer
from edgeproxy.server.reading import request_from
from edgeproxy.server.sockets import BACKLOG
from edgeproxy.server.tunnel import Tunnel
from edgeproxy.server.writing import switch, write

_LEFT = 499
"""Of a request whose viewer left before there was an answer; nginx's, which nobody is sent."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What viewers may take. Seconds and bytes."""

    max_connections: int = 10_000
    max_body_bytes: int = 64 * 10**9
    head_timeout_s: float = 10.0
    idle_timeout_s: float = 75.0
    websocket_idle_s: float = 600.0
    has_express_lane: bool = True


class Listener:
    """Viewers in front, the gateway behind. `observers` hear of every request that has ended."""

    def __init__(self, gateway: Gateway, limits: Limits, clock: Clock, observers: Observers) -> None:
        self._gateway = gateway
        self._limits = limits
        self._clock = clock
        self._observers = observers
        self._viewers: ViewerServer | None = None
        self._express: Express | None = None
        self._servers: list[asyncio.Server] = []
        self._tunnels: set[Tunnel] = set()
        self.active = 0
        self.is_draining = False

    async def open(self, sockets: list[socket.socket]) -> None:
        """Let viewers in that connect to `sockets`."""
        limits = self._limits
        server: Callable[..., ViewerServer] = ViewerServer
        if limits.has_express_lane:
            lane = Lane(self._gateway, self._clock)
            self._express = Express(lane, self._clock, self._observers)
            server = partial(ExpressServer, self._express)
        self._viewers = server(
            self._handle,
            self._refuse,
            max_connections=limits.max_connections,
            head_timeout_s=limits.head_timeout_s,
            idle_timeout_s=limits.idle_timeout_s,
        )
        loop = asyncio.get_running_loop()
        for one in sockets:
            self._servers.append(await loop.create_server(self._viewers, sock=one, backlog=BACKLOG))

    async def drain(self, timeout_s: float) -> int:
        """Accept no more, finish what runs, close; gives how many requests were cut off after `timeout_s`.

        WebSockets, which may last for ever, are not waited for: they are closed when the rest is done.
        """
        self.is_draining = True
        if self._express is not None:
            self._express.lane.close()
        for server in self._servers:
            server.close()
        if self._viewers is None:
            return 0
        self._viewers.pre_shutdown()
        deadline = self._clock.elapsed() + timeout_s
        while self._under_way and self._clock.elapsed() < deadline:  # noqa: ASYNC110 - a shutdown may poll
            await asyncio.sleep(0.01)
        left = self._under_way
        for tunnel in self._tunnels:
            tunnel.end(Reason.DRAINING)
        await self._viewers.shutdown(0.1)
        return left

    @property
    def _under_way(self) -> int:
        running = self.active - len(self._tunnels)
        return running + (self._express.transfers if self._express is not None else 0)

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._viewers.connections) if self._viewers is not None else 0

    async def _handle(self, message: web.BaseRequest) -> web.StreamResponse:
        self.active += 1
        answer: Answer | None = None
        is_last = False
        started = self._clock.elapsed()
        protocol = message.protocol
        assert isinstance(protocol, ViewerProtocol)
        if message.method in SAFE_METHODS:
            # Who leaves wants no answer; but what may have been written is seen to its end, for what it
            # makes invalid.  RFC 9110 §9.2.1.
            protocol.given_up = _current_task().cancel
        try:
            try:
                request = self._read(message, protocol)
            except RequestError as error:
                is_last = True
                answer = self._refusal(message, error)
            else:
                answer = await self._gateway.handle(request)
                if answer.repeat is not None and isinstance(protocol, ExpressProtocol):
                    protocol.learn(answer.repeat)
            record = answer.record
            record.first_byte_s = self._clock.elapsed() - record.started
            if answer.switched is not None:
                protocol.given_up = None
                return await self._tunnelled(answer, answer.switched, message, protocol)
            response = await write(answer, message)
            if is_last or self.is_draining:
                response.force_close()
            return response
        except asyncio.CancelledError:
            if answer is None:
                self._observers.record(self._abandoned(message, started))
            raise
        finally:
            protocol.given_up = None
            self.active -= 1
            if answer is not None:
                answer.close()
                answer.record.duration_s = self._clock.elapsed() - answer.record.started
                self._observers.record(answer.record)

    def _read(self, message: web.BaseRequest, protocol: ViewerProtocol) -> Request:
        limits = self._limits
        may_switch = protocol.may_switch and not self.is_draining
        return request_from(message, limits.max_body_bytes, limits.idle_timeout_s, may_switch=may_switch)

    async def _tunnelled(
        self, answer: Answer, origin: Duplex, message: web.BaseRequest, protocol: ViewerProtocol
    ) -> web.StreamResponse:
        """Grant the WebSocket that the origin has granted, and carry its bytes until it ends."""
        record, limits = answer.record, self._limits
        record.received_bytes = 0
        try:
            response = await switch(answer, message)
            viewer = protocol.take_over()
        except ConnectionError:
            record.reason, record.is_cut = Reason.VIEWER_LEFT, True
            origin.abort()
            raise
        tunnel = Tunnel(viewer, origin, idle_s=limits.websocket_idle_s, half_idle_s=limits.idle_timeout_s)
        tally = self._observers.tally
        self._tunnels.add(tunnel)
        tally.websockets += 1
        tally.open_websockets += 1
        try:
            reason = await tunnel.run()
        finally:
            self._tunnels.discard(tunnel)
            tally.open_websockets -= 1
            record.sent_bytes, record.received_bytes = tunnel.from_origin, tunnel.from_viewer
        if reason is not None:
            record.reason, record.is_cut = reason, True
        return response

    def _abandoned(self, message: web.BaseRequest, started: float) -> Record:
        """The record of a request that was given up before there was an answer."""
        bare = Request(message.method, message.raw_path, viewer=message.remote or "")
        record = self._gateway.new_record(bare)
        record.reason = Reason.DRAINING if self.is_draining else Reason.VIEWER_LEFT
        record.started, record.duration_s = started, self._clock.elapsed() - started
        record.started_at -= record.duration_s
        record.status, record.is_cut = _LEFT, True
        return record

    def _refusal(self, message: web.BaseRequest, error: EdgeError) -> Answer:
        bare = Request(message.method, message.raw_path[:256], viewer=message.remote or "")
        return self._gateway.refused(self._gateway.new_record(bare), error)

    def _refuse(self, message: web.BaseRequest, error: EdgeError) -> web.StreamResponse:
        """The answer to what could not even be read."""
        answer = self._refusal(message, error)
        body = answer.body if isinstance(answer.body, bytes) else b""
        response = web.Response(body=body, status=answer.head.status)
        response.headers.extend(answer.head.headers.without({"content-length", "content-type"}).pairs)
        response.headers["Content-Type"] = "text/plain; charset=utf-8"
        answer.record.sent_bytes = len(body)
        self._observers.record(answer.record)
        return response


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task
