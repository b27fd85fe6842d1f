"""One run over all that is named: read, judge, copy, report. It needs no gateway, and can be gone on with."""

import asyncio
import json
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from edgeproxy.assembly.filling import queue_of, source_of, tombstones_of, worker_of, writers_of
from edgeproxy.assembly.origins import Origins, origins_of
from edgeproxy.backfill.job import Ending, Job, State
from edgeproxy.backfill.queue import POLL_S, Queue, Terms
from edgeproxy.backfill.writer import BucketWriter
from edgeproxy.bulk.collecting import Collector, Files, Input, inputs_of, listed_items
from edgeproxy.bulk.comparing import THERE, Comparison
from edgeproxy.bulk.judging import Judge
from edgeproxy.bulk.order import Order, prefixes_of, primary_of
from edgeproxy.bulk.roll import OPEN, Roll, RollError, Sum
from edgeproxy.bulk.summary import Progress, Summary
from edgeproxy.bulk.window import SIZE, Window
from edgeproxy.clock import Clock
from edgeproxy.config.schema import Config
from edgeproxy.core.reason import Reason
from edgeproxy.origins.listing import NotListedError, Page, page_of
from edgeproxy.origins.s3 import S3Origin
from edgeproxy.store.flight import Flights
from edgeproxy.store.memory import MemoryCache
from edgeproxy.store.tiers import Tiers

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_TICK_S = 0.25
_BATCH = 1_000
_HEADS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Audience:
    """Who hears of a run: `say` gets lines for people, `watch` how far it is, a few times a second.

    `stopped` returns when the run is to end early, and says why.
    """

    say: Callable[[str], None]
    watch: Callable[[Progress], None]
    stopped: Callable[[], Awaitable[str]]


async def drain(config: Config, order: Order, audience: Audience, clock: Clock) -> Summary:
    """Do what `order` says, or go on with it.

    Raises `OrderError`, `InputError`, `RollError`, `QueueError`, and
    `EdgeError` when a bucket cannot be asked.
    """
    order.checked(config)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeproxy-drain-")))
        thread = ThreadPoolExecutor(1, "roll")
        stack.callback(thread.shutdown)
        loop = asyncio.get_running_loop()
        files = order.named if isinstance(order.named, Files) else None
        is_over = threading.Event()
        stack.callback(is_over.set)
        inputs: list[Input] = []
        if files is not None:
            inputs = await loop.run_in_executor(thread, inputs_of, files, folder, is_over.is_set)
        where = folder / "drain.sqlite"
        if config.state.folder is not None and not order.is_dry:
            where = Path(config.state.folder) / f"drain-{order.digest(config, inputs)}.sqlite"
        elif not order.is_dry:
            audience.say(
                "without a state.folder a drain that is stopped begins again, though nothing is copied twice"
            )
        roll = Roll(where)
        stack.callback(lambda: thread.submit(roll.close).result())
        run = _Run(
            config, order, audience, clock, roll, thread, await origins_of(config, clock, stack), stack
        )
        return await run.whole(files, inputs)


class _Run:
    """One run; `stack` closes what it opens."""

    def __init__(
        self,
        config: Config,
        order: Order,
        audience: Audience,
        clock: Clock,
        roll: Roll,
        thread: ThreadPoolExecutor,
        origins: Origins,
        stack: AsyncExitStack,
    ) -> None:
        self._config = config
        self._order = order
        self._audience = audience
        self._clock = clock
        self._roll = roll
        self._thread = thread
        self._origins = origins
        self._stack = stack
        self._prefixes = prefixes_of(config)
        self._groups = (order.group,) if order.group is not None else tuple(self._prefixes)
        self._judge = Judge(
            config.behavior_values(),
            tuple(rule.value() for rule in config.backfill.rules),
            self._prefixes,
            only=order.group,
            root_object=config.server.default_root_object,
            allow_ambiguous=config.server.ambiguous_paths == "pass",
        )
        self._why_stopped = ""
        self._bad_lines = 0
        self._stored = self._stored_bytes = 0

    async def whole(self, files: Files | None, inputs: list[Input]) -> Summary:
        """From the inputs to the summary."""
        started = self._clock.elapsed()
        await self._do(self._roll.open, self._order.restart)
        stopping = asyncio.get_running_loop().create_task(self._stopping())
        try:
            done = await self._do(self._roll.begin)
            if done:
                self._audience.say(f"going on: {done} objects were seen to before")
            if files is not None:
                await self._read(files, inputs)
            else:
                await self._list()
            if not self._why_stopped:
                if self._order.is_dry:
                    await self._compare()
                elif self._order.enqueue:
                    await self._enqueue()
                else:
                    await self._work(stopping)
            if not self._why_stopped:
                await self._do(self._roll.finish)
        finally:
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)
        if self._order.report is not None:
            await self._do(self._report, self._order.report)
        return Summary(
            sums=tuple(await self._do(self._roll.sums)),
            is_dry=self._order.is_dry,
            stopped=self._why_stopped,
            stored=self._stored,
            stored_bytes=self._stored_bytes,
            took_s=self._clock.elapsed() - started,
            bad_lines=self._bad_lines,
        )

    async def _stopping(self) -> None:
        self._why_stopped = await self._audience.stopped()

    async def _read(self, files: Files, inputs: list[Input]) -> None:
        """What the files name goes onto the roll."""
        collector = Collector(self._roll, self._judge, self._audience.say, lambda: bool(self._why_stopped))
        async with self._watched("reading", lambda: (collector.lines, None, 0, 0)):
            await self._do(collector.read, files, inputs)
        self._bad_lines = collector.bad

    async def _list(self) -> None:
        """What a source has goes onto the roll."""
        group = self._groups[0]
        source = self._origins.secondaries[group]
        assert isinstance(source, S3Origin), "the order was checked"
        prefix = f"{source.path}/{self._order.named}"[1:].encode()
        name = f"listing:{group}:{self._order.named}"
        mark = await self._do(self._roll.mark, name)
        if mark == "all":
            return
        after, seen, is_last = bytes.fromhex(mark), 0, False
        async with self._watched("listing", lambda: (seen, None, 0, 0)):
            while not is_last and not self._why_stopped:
                page = await page_of(source, prefix, after)
                items, bad = listed_items(page.objects, source.path, self._prefixes[group], self._judge)
                self._bad_lines += bad
                after = page.objects[-1][0] if page.objects else after
                seen, is_last = seen + len(page.objects), page.is_last
                await self._do(self._roll.add, items, (name, "all" if is_last else after.hex()))

    async def _compare(self) -> None:
        """What is there already is marked so."""
        writers = await self._writers()
        total, seen = self._open(await self._do(self._roll.sums)), 0
        async with self._watched("comparing", lambda: (seen, total, 0, 0)):
            for group in self._groups:
                bucket = self._origins.single[primary_of(self._config, group)]
                assert isinstance(bucket, S3Origin), "it has a prefix"

                async def lists(after: bytes, bucket: S3Origin = bucket) -> Page:
                    return await page_of(bucket, b"", after)

                comparison: Comparison | None = Comparison(lists)
                last = b""
                while not self._why_stopped:
                    rows = await self._do(self._roll.open_keys, group, last, _BATCH)
                    if not rows:
                        break
                    keys = [key for _, key in rows]
                    there: list[bool] | None = None
                    if comparison is not None:
                        try:
                            there = [await comparison.has(key) for key in keys]
                        except (NotListedError, ValueError) as error:
                            self._audience.say(f"{error}: asking for each object instead")
                            comparison = None
                    if there is None:
                        there = await _asked(writers[group], keys)
                    ended = [(number, THERE) for (number, _), has in zip(rows, there, strict=True) if has]
                    await self._do(self._roll.end, ended)
                    last, seen = keys[-1], seen + len(rows)

    async def _enqueue(self) -> None:
        """The jobs go into the queue, as fast as it has room."""
        refused: list[Reason] = []
        # No groups: this process leases nothing.
        queue = await queue_of(
            self._config, self._clock, frozenset(), on_fault=self._audience.say, on_refused=refused.append
        )
        self._stack.push_async_callback(queue.close)
        total, seen, last = self._open(await self._do(self._roll.sums)), 0, 0
        async with self._watched("queueing", lambda: (seen, total, 0, 0)):
            while not self._why_stopped:
                rows = await self._do(self._roll.open_items, last, _BATCH)
                if not rows:
                    break
                ended: list[tuple[int, Ending]] = []
                for row in rows:
                    reason = await self._put(queue, self._judge.job(row.group, row.path))
                    if self._why_stopped:
                        break
                    if reason is Reason.SOURCE_STATUS:
                        ended.append((row.id, Ending(State.SKIPPED, reason, "the source had it not lately")))
                    else:
                        ended.append((row.id, Ending(State.QUEUED)))
                await self._written(queue)
                if not self._why_stopped:
                    await self._do(self._roll.end, ended)
                    last, seen = rows[-1].id, seen + len(rows)
        late = sum(1 for reason in refused if reason is not Reason.QUEUED_ALREADY)
        if late:
            self._audience.say(f"{late} jobs were refused by the queue: their source had them not lately")

    async def _put(self, queue: Queue, job: Job) -> Reason | None:
        """Offer `job` until there is room."""
        while (reason := queue.offer(job)) is Reason.QUEUE_FULL and not self._why_stopped:
            await queue.written()
            await asyncio.sleep(POLL_S)
            # The workers are elsewhere: this is how one hears what they have got done.
            await queue.counts()
        return reason

    async def _written(self, queue: Queue) -> None:
        """Return when what was offered is in the queue's file."""
        # The queue tells why, and tries again by itself.
        while await queue.written() and not self._why_stopped:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)

    async def _work(self, stopping: "asyncio.Task[None]") -> None:
        """The jobs are done here."""
        config, clock, order = self._config, self._clock, self._order
        sums = await self._do(self._roll.sums)
        todo, named = self._open(sums), sum(one.objects for one in sums if one.state != "refused")
        section = config.backfill
        window = Window(
            self._roll,
            self._judge,
            todo,
            Terms(SIZE, section.attempts, section.lease, missing_s=0, history=0),
            clock,
            self._thread,
        )
        source = source_of(
            config,
            self._origins,
            Tiers(MemoryCache(0, 0), None),
            Flights(),
            clock,
            self._audience.say,
            (order.fetches_per_s, order.bytes_per_s),
        )

        tombstones = await tombstones_of(config, clock)
        self._stack.push_async_callback(tombstones.close)
        worker = worker_of(config, window, source, await self._writers(), clock, tombstones)
        self._stack.push_async_callback(worker.drain, 0)

        def progress() -> tuple[int, int | None, int, int]:
            ended = window.outcomes
            failed = ended[State.FAILED] + ended[State.DEAD]
            return named - todo + ended.total(), named, window.stored_bytes, failed

        async with self._watched("copying", progress, window):
            worker.start()
            idle = asyncio.get_running_loop().create_task(worker.idle())
            try:
                ends: set[asyncio.Future[Any]] = {idle, stopping, window.broken}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if self._why_stopped:
                    self._audience.say(f"{self._why_stopped}: finishing what is at work")
                    await worker.drain(config.server.drain_timeout)
            finally:
                idle.cancel()
                await asyncio.gather(idle, return_exceptions=True)
            await window.write()
        self._stored, self._stored_bytes = window.outcomes[State.STORED], window.stored_bytes
        if window.broken.done():
            raise window.broken.result()

    async def _writers(self) -> dict[str, BucketWriter]:
        return await writers_of(self._config, self._origins.buckets, self._clock, self._stack)

    @staticmethod
    def _open(sums: list[Sum]) -> int:
        return sum(one.objects for one in sums if one.state == OPEN)

    def _report(self, path: Path) -> None:
        try:
            with path.open("w", encoding="utf-8") as file:
                for row in self._roll.absent():
                    file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise RollError(f"--report: {path}: {error.strerror}") from error

    @asynccontextmanager
    async def _watched(
        self, phase: str, count: Callable[[], tuple[int, int | None, int, int]], window: Window | None = None
    ) -> AsyncIterator[None]:
        """Tell how far `phase` is until the context ends; what has ended in `window` goes onto the roll."""
        started, (begun_at, *_) = self._clock.elapsed(), count()

        def tell(*, is_over: bool = False) -> None:
            done, total, stored_bytes, failed = count()
            if is_over and total is None:
                total = done
            elapsed_s = self._clock.elapsed() - started
            self._audience.watch(Progress(phase, done, total, stored_bytes, failed, elapsed_s, begun_at))

        async def tick() -> None:
            while True:
                tell()
                await asyncio.sleep(_TICK_S)
                if window is not None:
                    await window.write()

        ticking = asyncio.get_running_loop().create_task(tick())
        try:
            yield
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            tell(is_over=True)

    async def _do(self, act: Callable[[*Ts], T], *arguments: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act, *arguments)


async def _asked(writer: BucketWriter, keys: list[bytes]) -> list[bool]:
    """Whether each is there, by a question for each."""
    there: list[bool] = []
    for at in range(0, len(keys), _HEADS_AT_ONCE):
        some = keys[at : at + _HEADS_AT_ONCE]
        there += [found is not None for found in await asyncio.gather(*map(writer.look, some))]
    return there
