"""One of several processes that serve: has its viewers, its memory, a share of the disk, and a supervisor."""

import signal
import socket
import sys
from typing import Any

from edgeproxy.admin.operated import NotDoneError
from edgeproxy.app import Member
from edgeproxy.backfill.queue import QueueError
from edgeproxy.config.schema import Config
from edgeproxy.core.invalidation import Invalidation
from edgeproxy.serve import Viewed, logged, run, viewed
from edgeproxy.store.folder import DiskError
from edgeproxy.workers.channel import Channel, ChannelClosedError


def work(
    config: Config, number: int, instance: str, sockets: list[socket.socket], end: socket.socket
) -> None:
    """Serve as worker `number` of `instance` until the supervisor says "drain", or is gone."""
    # Whoever stops all of them at once, as a terminal does, also tells the supervisor, and that tells us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run(Worker(config, number, instance, end).serve(sockets))
    except (DiskError, QueueError) as error:
        _say(f"worker {number}: {error}")
        sys.exit(1)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Worker:
    """Does what the supervisor asks for."""

    def __init__(self, config: Config, number: int, instance: str, end: socket.socket) -> None:
        self._config = config
        self._number = number
        self._instance = instance
        self._channel = Channel(end, self._handle)
        self._view: Viewed | None = None
        self._is_drained = False

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Return when the supervisor has hung up, and viewers have been served till then.

        Raises `DiskError` and `QueueError`.
        """
        observers, log = logged(self._config, _say)
        async with viewed(
            self._config, sockets, observers, member=Member(self._number, self._instance, self._elsewhere)
        ) as self._view:
            await self._channel.open()
            await self._channel.run()
            if not self._is_drained:
                await self._view.drain()
        log.flush()

    async def _handle(self, what: str, value: Any) -> Any:
        assert self._view is not None, "nobody can ask before the channel is open"
        app = self._view.app
        match what:
            case "ping":
                return None
            case "stats":
                return await app.stats()
            case "explain":
                return await app.explain(value)
            case "invalidate":
                return await app.invalidate(value)
            case "forget":
                return await app.forget(value)
            case "changed":
                return await app.changed(value)
            case "jobs":
                return await app.jobs(value)
            case "retry_jobs":
                return await app.retry_jobs(value)
            case "cancel_jobs":
                return await app.cancel_jobs(value)
            case "refresh_objects":
                return await app.refresh_objects(value)
            case "bury_objects":
                return await app.bury_objects(value)
            case "pause_jobs":
                return await app.pause_jobs(value)
            case "pools":
                return await app.pools()
            case "change_pools":
                return await app.change_pools(value)
            case "order_node":
                return await app.order_node(*value)
            case "put_back_on":
                return app.put_back_on(value)
            case "drain":
                self._is_drained = True
                return await self._view.drain()
            case _:
                raise ValueError(f"nothing is known of {what}")

    async def _elsewhere(self, what: Invalidation) -> str | None:
        try:
            await self._channel.ask("forget", what)
        except (DiskError, NotDoneError) as error:
            return str(error)
        except ChannelClosedError:  # the supervisor has gone, and the others go as we do
            return None
        return None
