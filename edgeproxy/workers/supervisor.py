"""Starts the workers, starts anew those that die, and speaks for all of them on the admin port."""

import asyncio
import multiprocessing
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from multiprocessing.context import SpawnProcess
from typing import Any

from edgeproxy.admin.operated import NotDoneError
from edgeproxy.app import Drained, new_instance
from edgeproxy.assembly.filling import queue_of
from edgeproxy.backfill.filler import Asked
from edgeproxy.backfill.job import LIVE, State, Wanted
from edgeproxy.backfill.queue import Queue
from edgeproxy.clock import SystemClock
from edgeproxy.config.schema import Config
from edgeproxy.config.units import Address
from edgeproxy.core.balancing.nodes import Duty
from edgeproxy.core.invalidation import Invalidation, invalidation
from edgeproxy.core.message import Request
from edgeproxy.core.s3_events import ObjectEvent
from edgeproxy.explain import Explanation
from edgeproxy.gateway.changes import Applied
from edgeproxy.origins.pools import DUTIES, Order
from edgeproxy.reloading import Reread, hangups
from edgeproxy.serve import administered, told_of, until_signal
from edgeproxy.server.sockets import bound, close
from edgeproxy.store.folder import Folder
from edgeproxy.workers.channel import Channel, ChannelClosedError
from edgeproxy.workers.merging import OF_THE_DISK, merged
from edgeproxy.workers.pooling import merged_node, merged_pools
from edgeproxy.workers.sharing import share
from edgeproxy.workers.worker import work

_PATIENCE_S = 15.0
"""How long a worker may take to answer, a new start included."""
_SHORTEST_REST_S = 0.1
_LONGEST_REST_S = 5.0
_STEADY_S = 10.0
"""A worker that lived that long is started anew without delay."""


class StartError(Exception):
    """A worker ended before it served; what it said stands above."""


class Slot:
    """The place of one worker, whoever holds it now."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: SpawnProcess | None = None
        self._channel: Channel | None = None
        self._change = asyncio.Event()

    def taken(self, channel: Channel) -> None:
        """A worker serves here."""
        self._channel = channel
        self._change.set()

    def left(self) -> None:
        """None does."""
        self._channel = None
        self._change.clear()

    async def ask(self, what: str, value: Any = None) -> Any:
        """The answer of the worker that is here, or of its successor.  Raises `NotDoneError`.

        A worker that died may have done what was asked or not: its successor is asked as well.
        """
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while True:
                    # Who has come may have gone again by the time that those who wait are woken.
                    while self._channel is None:
                        await self._change.wait()
                    try:
                        return await self._channel.ask(what, value)
                    except ChannelClosedError:
                        self.left()
        except TimeoutError:
            raise NotDoneError(f"worker {self.number} does not answer") from None

    async def drain(self, timeout_s: float) -> tuple[int, Drained] | None:
        """Let it finish; None if it is not here, or does not."""
        if self._channel is None:
            return None
        try:
            async with asyncio.timeout(timeout_s):
                done: tuple[int, Drained] = await self._channel.ask("drain")
                return done
        except (ChannelClosedError, TimeoutError):
            return None
        finally:
            self._channel.close()


class Supervisor:
    """All workers as one: `Operated`, to the admin port."""

    def __init__(
        self,
        config: Config,
        sockets: list[list[socket.socket]],
        queue: Queue,
        say: Callable[[str], None],
    ) -> None:
        self._config = config
        self._instance = new_instance()
        self._queue = queue
        self._sockets = sockets
        self._say = say
        self._slots = [Slot(number) for number in range(len(sockets))]
        self._duties: dict[str, dict[str, Duty]] = {}
        """What operators let nodes do, by pool and node: for workers that are yet to come."""
        self._keeping: list[asyncio.Task[None]] = []
        self.is_draining = False

    async def start(self) -> None:
        """Return when all serve.  Raises `StartError`."""
        loop = asyncio.get_running_loop()
        self._keeping = [loop.create_task(self._keep(slot)) for slot in self._slots]
        serving = loop.create_task(self._all("ping"))
        tasks: list[asyncio.Task[Any]] = [serving, *self._keeping]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done() or serving.exception() is not None:
            serving.cancel()
            raise StartError("not all workers could be started")

    async def _all(self, what: str, value: Any = None) -> list[Any]:
        return await asyncio.gather(*(slot.ask(what, value) for slot in self._slots))

    async def _keep(self, slot: Slot) -> None:
        """Have a worker in `slot`, always; ends only if the very first one cannot start."""
        loop = asyncio.get_running_loop()
        rest_s = 0.0
        has_served = False
        while True:
            started = loop.time()
            try:
                process, channel = await self._born(slot)
            except OSError as error:
                if not has_served or self.is_draining:
                    return
                self._say(f"worker {slot.number} cannot be started ({error.strerror}); it is tried again")
                rest_s = _LONGEST_REST_S
                await asyncio.sleep(rest_s)
                continue
            running = loop.create_task(channel.run())
            try:
                with suppress(ChannelClosedError):
                    await channel.ask("ping")
                    await channel.ask("put_back_on", self._duties)
                    slot.taken(channel)
                    has_served = True
                await running
            finally:
                slot.left()
                channel.close()
            await asyncio.to_thread(process.join)
            if self.is_draining or not has_served:
                return
            steady = loop.time() - started > _STEADY_S
            rest_s = 0.0 if steady else min(max(2 * rest_s, _SHORTEST_REST_S), _LONGEST_REST_S)
            self._say(f"worker {slot.number} (pid {process.pid}) {_end_of(process)}; another one is started")
            await asyncio.sleep(rest_s)

    async def _born(self, slot: Slot) -> tuple[SpawnProcess, Channel]:
        ours, theirs = socket.socketpair()
        process = multiprocessing.get_context("spawn").Process(
            target=work,
            args=(self._config, slot.number, self._instance, self._sockets[slot.number], theirs),
            name=f"edgeproxy worker {slot.number}",
        )
        try:
            process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        slot.process = process

        async def handle(what: str, value: Any) -> Any:
            assert what == "forget", f"workers ask for nothing but this: {what}"
            await self._forget(value, slot)

        channel = Channel(ours, handle)
        await channel.open()
        return process, channel

    async def _forget(self, what: Invalidation, origin: Slot) -> None:
        """What one worker has to forget, the others have too."""
        await asyncio.gather(*(slot.ask("forget", what) for slot in self._slots if slot is not origin))

    async def stats(self) -> dict[str, object]:
        """Counters and sizes of all together."""
        return merged(await self._all("stats"), {"disk": OF_THE_DISK, "jobs": self._queue.shared})

    async def explain(self, request: Request) -> Explanation:
        """What would happen to a request that the first worker gets: each has a memory of its own."""
        explanation: Explanation = await self._slots[0].ask("explain", request)
        return explanation

    async def invalidate(self, paths: list[str]) -> int:
        """Purge everywhere; gives the largest number of keys that a worker knew.

        Raises `ValueError`, `DiskError` and `NotDoneError`.
        """
        for path in paths:
            invalidation(path)
        return int(max(await self._all("invalidate", paths)))

    async def changed(self, events: Sequence[ObjectEvent]) -> Applied:
        """Purge everywhere what has changed in a bucket; gives the largest number of keys, as `invalidate`.

        Raises `DiskError` and `NotDoneError`.
        """
        applied: list[Applied] = await self._all("changed", events)
        return max(applied, key=lambda one: one.keys)

    async def jobs(self, wanted: Wanted) -> tuple[bool, list[dict[str, object]]]:
        """The jobs of all workers, who share them or, in memory, have each their own."""
        answers = await self._of_jobs("jobs", wanted)
        found = sorted((job for _, jobs in answers for job in jobs), key=_moment, reverse=True)
        return all(is_paused for is_paused, _ in answers), found[: wanted.limit]

    async def retry_jobs(self, wanted: Wanted) -> int:
        """Queue these jobs again; gives how many."""
        return sum(await self._of_jobs("retry_jobs", wanted))

    async def cancel_jobs(self, wanted: Wanted) -> int:
        """Let these jobs be done no more; gives how many."""
        return sum(await self._of_jobs("cancel_jobs", wanted))

    async def refresh_objects(self, asked: Asked) -> dict[str, int]:
        """Look at the sources of these objects: one worker does it for all."""
        said: dict[str, int] = await self._slots[0].ask("refresh_objects", asked)
        return said

    async def bury_objects(self, asked: Asked) -> int:
        """Do not fill these objects; gives how many tombstones there are."""
        return int(max(await self._all("bury_objects", asked)))

    async def pause_jobs(self, is_paused: bool) -> None:
        """Let no worker begin a job, or all."""
        await self._of_jobs("pause_jobs", is_paused)

    async def _of_jobs(self, what: str, value: Any) -> list[Any]:
        if self._queue.shared == frozenset(State):
            return [await self._slots[0].ask(what, value)]
        return await self._all(what, value)

    async def pools(self) -> list[dict[str, Any]]:
        """The pools as all workers see them."""
        return merged_pools(await self._all("pools"))

    async def change_pools(self, config: Config) -> None:
        """Have every worker go on with the pools of `config`, also those that are yet to come.

        Raises `NotDoneError`.
        """
        self._config = share(config)
        await self._all("change_pools", self._config)

    async def order_node(self, order: Order, pool: str, node: str) -> dict[str, Any]:
        """Have something done with a node by every worker, also by those that are yet to come.

        Raises `ValueError` and `NotDoneError`.
        """
        nodes = await self._all("order_node", (order, pool, node))
        if order in DUTIES:
            self._duties.setdefault(pool, {})[node] = DUTIES[order]
        return merged_node(nodes)

    async def drain(self) -> tuple[int, Drained]:
        """Let all finish what runs; gives what was cut off or given up."""
        self.is_draining = True
        # A connection that nobody would accept has to be refused.
        close(self._sockets)
        timeout_s = self._config.server.drain_timeout + 5
        ends = await asyncio.gather(*(slot.drain(timeout_s) for slot in self._slots))
        done = [end for end in ends if end is not None]
        flights = sum(drained.flights for _, drained in done)
        jobs = sum(drained.jobs for _, drained in done)
        # Only now are they what they stay: each worker saw also what the others were still at.
        counts = await self._queue.counts()
        kept = sum(counts[state] for state in LIVE) if self._queue.is_durable else 0
        return sum(cut for cut, _ in done), Drained(flights, jobs, kept)

    def kill(self) -> None:
        """End all workers at once."""
        for slot in self._slots:
            if slot.process is not None:
                slot.process.kill()

    async def end(self) -> None:
        """See every worker gone."""
        self.is_draining = True
        close(self._sockets)
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        for slot in self._slots:
            if slot.process is not None:
                await asyncio.to_thread(slot.process.join, 5)
        self.kill()


def _moment(job: dict[str, object]) -> tuple[str, int]:
    """When it was added: each worker counts its own."""
    return str(job["added_at"]), int(str(job["number"]))


def _end_of(process: SpawnProcess) -> str:
    code = process.exitcode or 0
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


async def supervise(config: Config, say: Callable[[str], None], reread: Reread | None = None) -> int:
    """Serve with several workers until told to stop; gives the exit status, as `serve.serve` does.

    Raises `ListenError`, `DiskError`, `QueueError` and `StartError`.
    """
    listen = config.server.listen
    sockets = bound(listen.host, listen.port, config.server.workers)
    viewers = Address(listen.host, int(sockets[0][0].getsockname()[1]))

    async with AsyncExitStack() as stack:
        stack.callback(close, sockets)
        if config.cache.disk is not None:
            folder = Folder(config.cache.disk.folder)
            stack.callback(folder.release)
            await asyncio.to_thread(folder.take, config.cache.disk.size)
        queue = await queue_of(config, SystemClock(), frozenset(), on_fault=say, on_refused=lambda _: None)
        stack.push_async_callback(queue.close)
        supervisor = Supervisor(share(config), sockets, queue, say)
        stack.push_async_callback(supervisor.end)

        def why_not_ready() -> str | None:
            return "draining" if supervisor.is_draining else None

        await supervisor.start()
        async with administered(config, supervisor, why_not_ready, say) as admin:
            say(f"edgeproxy serves http://{viewers} (admin on http://{admin})")
            with hangups(config, reread, supervisor.change_pools, say):
                name = await until_signal(supervisor.kill)
            say(f"{name}: draining, for at most {config.server.drain_timeout:g} s")
            cut, left = await supervisor.drain()
            return told_of(cut, left, say)
