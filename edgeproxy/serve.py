"""One process that serves: the app, the viewers' port, the admin port, from start to drained."""

import asyncio
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from edgeproxy.admin.event_queue import EventQueue, reading
from edgeproxy.admin.events import Inbox
from edgeproxy.admin.operated import Operated
from edgeproxy.admin.service import Doorkeeping, service
from edgeproxy.app import App, Drained, Member, Observers, opened
from edgeproxy.assembly.origins import plain_keys
from edgeproxy.clock import SystemClock
from edgeproxy.config.origins import Credentials
from edgeproxy.config.schema import Config
from edgeproxy.config.units import Address
from edgeproxy.log import LineWriter, RequestLog
from edgeproxy.reloading import Reread, hangups
from edgeproxy.server.listener import Limits, Listener
from edgeproxy.server.sockets import ListenError, bound, close

T = TypeVar("T")

_COLLECT_AFTER = (20_000, 50, 100)
"""So many objects more than before; so many times that; so many times that."""


@dataclass(slots=True)
class Viewed:
    """An app that viewers can reach."""

    app: App
    listener: Listener

    async def drain(self) -> tuple[int, Drained]:
        """Stop accepting, finish what runs; gives the requests that were cut off and what else is left.

        All of it within `server.drain_timeout`.
        """
        timeout_s = self.app.config.server.drain_timeout
        started = self.app.clock.elapsed()
        cut = await self.listener.drain(timeout_s)
        return cut, await self.app.drain(max(0.0, timeout_s - (self.app.clock.elapsed() - started)))


@dataclass(slots=True)
class Running(Viewed):
    """A process that serves, with the addresses it was given."""

    viewers: Address
    admin: Address


@asynccontextmanager
async def viewed(
    config: Config,
    sockets: list[socket.socket],
    observers: Observers | None = None,
    *,
    member: Member | None = None,
) -> AsyncIterator[Viewed]:
    """The app of `config` behind `sockets` until the context ends; the rest is that of `opened`."""
    async with opened(config, observers=observers, member=member) as app:
        server = config.server
        limits = Limits(
            server.max_connections,
            server.max_request_body,
            server.head_timeout,
            server.idle_timeout,
            server.websocket_idle_timeout,
            server.express_lane,
        )
        listener = Listener(app.gateway, limits, app.clock, app.observers)
        try:
            await listener.open(sockets)
            yield Viewed(app, listener)
        finally:
            await listener.drain(0)


@asynccontextmanager
async def administered(
    config: Config,
    operated: Operated,
    why_not_ready: Callable[[], str | None],
    on_fault: Callable[[str], None],
) -> AsyncIterator[Address]:
    """The admin port of `operated` and the queue of its events, until the context ends; gives the address.

    Raises `ListenError`.
    """
    token, events_token = config.admin.token, config.events.token
    door = Doorkeeping(
        token.get_secret_value() if token is not None else None,
        events_token.get_secret_value() if events_token is not None else None,
        config.admin.distribution_id,
    )
    inbox = Inbox(operated)
    application = service(operated, inbox, door, why_not_ready, SystemClock().now)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        admin = config.admin.listen
        try:
            await web.TCPSite(runner, admin.host, admin.port).start()
        except OSError as error:
            raise ListenError(str(admin), error) from error
        if (queue := config.events.sqs) is not None:
            given = queue.credentials
            keys = plain_keys(given) if isinstance(given, Credentials) else None
            await stack.enter_async_context(reading(EventQueue(queue.url, keys, inbox, on_fault=on_fault)))
        yield Address(admin.host, int(runner.addresses[0][1]))


@asynccontextmanager
async def running(config: Config, observers: Observers | None = None) -> AsyncIterator[Running]:
    """Serve `config` in this process until the context ends.

    Raises `ListenError`, `DiskError` and `QueueError`.
    """
    listen = config.server.listen
    held = bound(listen.host, listen.port)
    try:
        port = int(held[0][0].getsockname()[1])
        async with viewed(config, held[0], observers) as view:

            def why_not_ready() -> str | None:
                return "draining" if view.listener.is_draining else None

            async with administered(config, view.app, why_not_ready, view.app.observers.fault) as admin:
                yield Running(view.app, view.listener, Address(listen.host, port), admin)
    finally:
        # Nobody has taken them over if there is no app.
        close(held)


def logged(config: Config, say: Callable[[str], None]) -> tuple[Observers, RequestLog]:
    """Observers that write the log of `config` to standard output; `say` hears of faults."""
    log = RequestLog(LineWriter(), config.log.format, access=config.log.access)
    observers = Observers(on_job=[log.job], on_fault=[say])
    (observers.on_record if config.log.access else observers.on_faulty).append(log.request)
    return observers, log


async def until_signal(before_end: Callable[[], None] | None = None) -> str:
    """Wait for SIGTERM or SIGINT; a second one calls `before_end` and ends the process at once."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()

    def tell(number: signal.Signals) -> None:
        if not told.done():
            told.set_result(number.name)
        else:
            if before_end is not None:
                before_end()
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell, number)
    return await told


async def serve(
    config: Config, observers: Observers, say: Callable[[str], None], reread: Reread | None = None
) -> int:
    """Serve until told to stop, drain, and give the exit status: 0 if nothing was cut off or lost."""
    async with running(config, observers) as process:
        say(f"edgeproxy serves http://{process.viewers} (admin on http://{process.admin})")
        with hangups(config, reread, process.app.change_pools, say):
            name = await until_signal()
        say(f"{name}: draining, for at most {config.server.drain_timeout:g} s")
        cut, left = await process.drain()
        return told_of(cut, left, say)


def told_of(cut: int, left: Drained, say: Callable[[str], None]) -> int:
    """Say what was left undone; gives the exit status."""
    kept = f"{left.kept} jobs wait for the next start" if left.kept else ""
    if not (cut or left.flights or left.jobs):
        say(f"drained: {kept or 'nothing was left undone'}")
        return 0
    undone = f"{cut} requests cut off, {left.flights} fetches and {left.jobs} jobs given up"
    say(f"drained: {undone}{'; ' if kept else ''}{kept}")
    return 1


def _spare_the_loop() -> None:
    """Let the cyclic collector go through what is new, and hardly ever through all there is.

    Nothing that is made for a request is in a cycle. What is cached is old and stays: to go through a
    million entries would stop the loop for a second, each time their number has grown by a quarter.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on uvloop where there is one, else on asyncio's own loop."""
    _spare_the_loop()
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
