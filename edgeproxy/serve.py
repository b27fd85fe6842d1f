"""One process that serves: the app, the viewers' port, the admin port, from start to drained."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from edgeproxy.admin.service import service
from edgeproxy.app import App, Drained, Observers, opened
from edgeproxy.config.schema import Config
from edgeproxy.config.units import Address
from edgeproxy.server.listener import Limits, Listener, ListenError

T = TypeVar("T")


@dataclass(slots=True)
class Running:
    """A process that serves, with the addresses it was given."""

    app: App
    listener: Listener
    viewers: Address
    admin: Address

    async def drain(self) -> tuple[int, Drained]:
        """Stop accepting, finish what runs; gives the requests that were cut off and what else is left.

        All of it within `server.drain_timeout`.
        """
        timeout_s = self.app.config.server.drain_timeout
        started = self.app.clock.elapsed()
        cut = await self.listener.drain(timeout_s)
        return cut, await self.app.drain(max(0.0, timeout_s - (self.app.clock.elapsed() - started)))


@asynccontextmanager
async def running(config: Config, observers: Observers | None = None) -> AsyncIterator[Running]:
    """Serve `config` until the context ends.  Raises `ListenError`."""
    async with opened(config, observers=observers) as app:
        server = config.server
        limits = Limits(
            server.max_connections, server.max_request_body, server.head_timeout, server.idle_timeout
        )
        listener = Listener(app.gateway, limits, app.clock, app.observers.record)

        def why_not_ready() -> str | None:
            return "draining" if listener.is_draining else None

        token = config.admin.token.get_secret_value() if config.admin.token is not None else None
        runner = web.AppRunner(service(app, token, why_not_ready), access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            admin = config.admin.listen
            try:
                await web.TCPSite(runner, admin.host, admin.port).start()
            except OSError as error:
                raise ListenError(str(admin), error) from error
            port = await listener.open(server.listen.host, server.listen.port)
            viewers = Address(server.listen.host, port)
            admin_port = int(runner.addresses[0][1])
            yield Running(app, listener, viewers, Address(admin.host, admin_port))
        finally:
            await listener.drain(0)
            await runner.cleanup()


async def until_signal() -> str:
    """Wait for SIGTERM or SIGINT; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()

    def tell(number: signal.Signals) -> None:
        if not told.done():
            told.set_result(number.name)
        else:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell, number)
    return await told


async def serve(config: Config, observers: Observers, say: Callable[[str], None]) -> int:
    """Serve until told to stop, drain, and give the exit status: 0 if nothing was cut off or lost."""
    async with running(config, observers) as process:
        say(f"edgeproxy serves http://{process.viewers} (admin on http://{process.admin})")
        name = await until_signal()
        say(f"{name}: draining, for at most {config.server.drain_timeout:g} s")
        cut, left = await process.drain()
        if not (cut or left.flights or left.jobs):
            say("drained: nothing was left undone")
            return 0
        say(f"drained: {cut} requests cut off, {left.flights} fetches and {left.jobs} jobs given up")
        return 1


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on uvloop where there is one, else on asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
