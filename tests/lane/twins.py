"""Two gateways in one process, the lane on and off, and viewers whose bytes come exactly as written."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from edgeproxy.app import App, Observers, opened
from edgeproxy.config import parse
from edgeproxy.record import Record
from edgeproxy.server.listener import Limits, Listener
from edgeproxy.server.protocol import ViewerProtocol
from tests.conftest import Exchange, Script, ScriptedOrigin

CONFIG = """
server: {{listen: '127.0.0.1:0', trusted_proxies: {trusted}}}
admin: {{listen: '127.0.0.1:0'}}
cache: {{memory: {memory}, max_object: 900KiB}}
origins:
  site: {{type: http, url: "{url}"}}
cache_policies:
  plain: {{min_ttl: 0, {policy}}}
default_behavior: {{target_origin: site, cache_policy: plain, {behavior}}}
{more}
"""
BODY = bytes(range(256)) * 40


async def site(exchange: Exchange) -> None:
    """An origin: what is asked for is there, /big is big, /private is nobody else's."""
    size = 600 * 1024 if "/big" in exchange.target else len(BODY)
    control = "no-store" if "/private" in exchange.target else "max-age=100"
    body = (BODY * (size // len(BODY) + 1))[:size]
    await exchange.answer(
        200,
        body,
        cache_control=control,
        etag='"one"',
        last_modified="Mon, 01 Jan 2024 00:00:00 GMT",
        content_type="text/plain",
    )


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.moment = 1_700_000_000.25

    def now(self) -> float:
        return self.moment

    def elapsed(self) -> float:
        return self.moment


class Pipe(asyncio.Transport):
    """A connection without a socket. A viewer that takes `room` bytes and then no more."""

    def __init__(self, protocol: ViewerProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.sent = b""
        self.waits = b""
        self.room = 1 << 60
        self.is_lost = False
        self.inbox: list[bytes] = []
        self._is_closing = False
        self._reads = True
        protocol.connection_made(self)

    def feed(self, data: bytes) -> None:
        self.inbox.append(data)
        self._deliver()

    def _deliver(self) -> None:
        while self.inbox and self._reads and not self._is_closing:
            self.protocol.data_received(self.inbox.pop(0))

    def end(self) -> None:
        """The viewer says that it will send no more."""
        if not self._is_closing and not self.protocol.eof_received():
            self.close()

    def take(self, size: int) -> None:
        """The viewer takes so many bytes more."""
        self.room += size
        self._flow()

    def _flow(self) -> None:
        was_stuck = bool(self.waits)
        taken = self.waits[: self.room]
        self.sent += taken
        self.room -= len(taken)
        self.waits = self.waits[len(taken) :]
        if was_stuck and not self.waits:
            self.protocol.resume_writing()
            if self._is_closing:
                self._lose()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closing:
            return
        was_stuck = bool(self.waits)
        self.waits += bytes(data)
        taken = self.waits[: self.room]
        self.sent += taken
        self.room -= len(taken)
        self.waits = self.waits[len(taken) :]
        if self.waits and not was_stuck:
            self.protocol.pause_writing()

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            if not self.waits:
                self._lose()

    def abort(self) -> None:
        self._is_closing = True
        self.waits = b""
        self._lose()

    def _lose(self) -> None:
        if not self.is_lost:
            self.is_lost = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self._is_closing

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("192.0.2.7", 5) if name == "peername" else default

    def get_write_buffer_size(self) -> int:
        return len(self.waits)

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        self._reads = True
        asyncio.get_running_loop().call_soon(self._deliver)


@dataclass
class Side:
    """One of the two."""

    app: App
    listener: Listener
    clock: SetClock
    records: list[Record] = field(default_factory=list)

    def connect(self) -> Pipe:
        viewers = self.listener._viewers
        assert viewers is not None
        return Pipe(viewers())

    def knows(self, one: bytes) -> bool:
        """Whether the lane has an answer to this head."""
        express = self.listener._express
        return express is not None and express.lane.find(one) is not None

    async def rest(self, pipe: Pipe) -> None:
        """Return when nothing happens on the connection any more, however long one waits."""
        protocol, before, still = pipe.protocol, (0, 0, 0), 0
        for turn in range(20_000):
            await asyncio.sleep(0)
            now = (len(pipe.sent), protocol._request_count, len(pipe.inbox))
            before, still = now, still + 1 if now == before else 0
            waiter = protocol._waiter
            if protocol._task_handler is None or (pipe.waits and still > 300):
                return
            if turn > 2 and waiter is not None and not waiter.done() and not pipe.inbox:
                return
            # A body of which not all has come: it never will.
            asked = protocol._current_request
            if still > 300 and (asked is None or not asked.content.is_eof()):
                return
        raise AssertionError("it never rests")

    async def ask(self, *chunks: bytes, rests: bool = True, end: bool = False) -> tuple[bytes, bool]:
        """What comes back for `chunks`, and whether the connection is closed then."""
        pipe = self.connect()
        await self.rest(pipe)
        for chunk in chunks:
            pipe.feed(chunk)
            if rests:
                await self.rest(pipe)
        if end:
            pipe.end()
        await self.rest(pipe)
        is_lost = pipe.is_lost
        pipe.close()
        await self.rest(pipe)
        return pipe.sent, is_lost

    async def know(self, *heads: bytes) -> None:
        """Ask until the lane knows the answers: what is stored has to be asked for twice."""
        for _ in range(3):
            for head in heads:
                await self.ask(head)


def plain(said: bytes) -> bytes:
    """Without what differs from one answer to the next: times, ids and the name of the gateway."""
    for boundary in re.findall(rb"boundary=([^\r]+)", said):
        said = said.replace(boundary, b"BOUNDARY")
    said = re.sub(rb"[A-Za-z0-9_-]{54}==", b"ID", said)
    said = re.sub(rb"[0-9a-f]{32}", b"INSTANCE", said)
    said = re.sub(rb"\r\nAge: \d+", b"\r\nAge: N", said)
    said = re.sub(rb"ttl=\d+", b"ttl=N", said)
    return re.sub(rb"\r\nDate: [^\r]+", b"\r\nDate: D", said)


@dataclass
class Twins:
    """The lane on, the lane off, and what both ask."""

    on: Side
    off: Side
    origin: ScriptedOrigin
    clock: SetClock

    def __repr__(self) -> str:
        return "Twins()"

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.on, self.off

    async def know(self, *heads: bytes) -> None:
        for side in self.sides:
            await side.know(*heads)

    async def same(self, *chunks: bytes, rests: bool = True) -> bytes:
        """What both say, which has to be the same."""
        (one, is_one_lost), (other, is_other_lost) = [
            await side.ask(*chunks, rests=rests) for side in self.sides
        ]
        assert plain(one) == plain(other)
        assert is_one_lost == is_other_lost
        return one


@asynccontextmanager
async def twins(
    script: Script = site,
    more: str = "",
    *,
    limits: Limits | None = None,
    memory: str = "8MiB",
    behavior: str = "response_headers_policy: SecurityHeadersPolicy",
    policy: str = "",
    trusted: str = "[]",
) -> AsyncIterator[Twins]:
    """Both gateways behind one origin, on one clock."""
    async with AsyncExitStack() as stack:
        origin = ScriptedOrigin(script)
        server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
        stack.callback(server.close)
        origin.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        clock = SetClock()
        text = CONFIG.format(
            url=origin.url, more=more, memory=memory, behavior=behavior, policy=policy, trusted=trusted
        )
        config = parse(text, {})
        sides = []
        for is_on in (True, False):
            records: list[Record] = []
            observers = Observers(on_record=[records.append])
            app = await stack.enter_async_context(opened(config, observers=observers, clock=clock))
            given = limits or Limits()
            own = Limits(
                given.max_connections,
                given.max_body_bytes,
                given.head_timeout_s,
                given.idle_timeout_s,
                has_express_lane=is_on,
            )
            listener = Listener(app.gateway, own, clock, observers)
            await listener.open([])
            stack.push_async_callback(listener.drain, 0)
            sides.append(Side(app, listener, clock, records))
        yield Twins(*sides, origin, clock)


def head(target: str = "/a", *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request head."""
    lines = [f"{method} {target} HTTP/{version}", "Host: edge.example", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")
