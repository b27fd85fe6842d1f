"""The composition root: a `Config` becomes a running gateway, opened and closed as one context.

The only file that sees all parts.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, TypeAlias

from edgeproxy.assembly.filling import Works, maker_of, works_of
from edgeproxy.assembly.health import canary_of, lookout_of
from edgeproxy.assembly.origins import origins_of
from edgeproxy.assembly.pools import conduct_of, endpoints_of
from edgeproxy.backfill.job import Job, Outcome, Stored
from edgeproxy.backfill.making import MakingOrigin
from edgeproxy.backfill.steered import Steered
from edgeproxy.clock import Clock, SystemClock
from edgeproxy.config.origins import S3Origin
from edgeproxy.config.renewing import pools_of
from edgeproxy.config.schema import Config
from edgeproxy.core.balancing.nodes import Duty
from edgeproxy.core.changes import Buckets
from edgeproxy.core.invalidation import Invalidation, Reach, invalidation
from edgeproxy.core.message import Request
from edgeproxy.core.s3_events import ObjectEvent
from edgeproxy.explain import Explainer, Explanation, Target
from edgeproxy.gateway.changes import Applied, Changes
from edgeproxy.gateway.fetching import Fetcher
from edgeproxy.gateway.gateway import Gateway
from edgeproxy.gateway.visit import Front
from edgeproxy.health.canary import Canary
from edgeproxy.health.duties import Duties, DutiesError
from edgeproxy.health.names import Lookout
from edgeproxy.ids import Ids
from edgeproxy.origins.base import Origin
from edgeproxy.origins.pools import DUTIES, Order, Pools
from edgeproxy.record import Record, Tally
from edgeproxy.store.disk import DiskCache
from edgeproxy.store.flight import Flights
from edgeproxy.store.folder import Folder
from edgeproxy.store.memory import MemoryCache
from edgeproxy.store.tiers import Tiers


@dataclass(slots=True)
class Observers:
    """Who hears of requests and of jobs that have ended.

    All requests are counted. Who is in `on_record` gets the record of each, who is in `on_faulty` of those
    alone in which something was out of order: for a hit none is made unless somebody wants it.
    """

    on_record: list[Callable[[Record], None]] = field(default_factory=list)
    on_faulty: list[Callable[[Record], None]] = field(default_factory=list)
    on_job: list[Callable[[Job, Outcome], None]] = field(default_factory=list)
    on_fault: list[Callable[[str], None]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def record(self, record: Record) -> None:
        """A request has ended."""
        self.tally.add(record)
        self.tell(record)

    def tell(self, record: Record) -> None:
        """A request has ended that has been counted."""
        for observer in self.on_record:
            observer(record)
        if record.fault:
            for observer in self.on_faulty:
                observer(record)

    def job(self, job: Job, outcome: Outcome) -> None:
        """An attempt of a job has ended."""
        for observer in self.on_job:
            observer(job, outcome)

    def fault(self, line: str) -> None:
        """Something of ours is out of order, though viewers are still served."""
        for observer in self.on_fault:
            observer(line)


Elsewhere: TypeAlias = Callable[[Invalidation], Awaitable[str | None]]
"""Tells other processes, which answer the same viewers, what they have to forget; gives why one did not."""


@dataclass(frozen=True, slots=True)
class Member:
    """This process among several that answer the same viewers and share one disk."""

    number: int
    instance: str
    """What all of them are called in `Via` and `CDN-Loop`."""
    elsewhere: Elsewhere


@dataclass(frozen=True, slots=True)
class Drained:
    """What was left undone at the end."""

    flights: int
    jobs: int
    kept: int = 0
    """Jobs that wait for the next start: nothing of them is lost."""


class App(Steered):
    """A gateway with everything it needs, running."""

    def __init__(
        self,
        config: Config,
        gateway: Gateway,
        cache: Tiers,
        flights: Flights,
        works: Works,
        explainer: Explainer,
        pools: Pools,
        duties: Duties | None,
        canary: Canary | None,
        lookout: Lookout,
        changes: Changes,
        observers: Observers,
        clock: Clock,
    ) -> None:
        super().__init__(works.worker, works.filler)
        self.config = config
        self.gateway = gateway
        self.observers = observers
        self.clock = clock
        self.tally = observers.tally
        self._cache = cache
        self._flights = flights
        self._source = works.source
        self._explainer = explainer
        self._pools = pools
        self._duties = duties
        self._canary = canary
        self._lookout = lookout
        self._changes = changes
        self._started = clock.elapsed()

    async def explain(self, request: Request) -> Explanation:
        """What would happen to `request`."""
        return await self._explainer.explain(request, self.clock.now())

    async def invalidate(self, paths: list[str]) -> int:
        """Purge paths, prefixes and tags; gives how many keys were stored.

        Raises `ValueError` for a path that is none, `DiskError` where it could not be done.
        """
        wanted = [invalidation(path) for path in paths]
        forgotten = sum([await self.gateway.invalidate(one) for one in wanted])
        for one in wanted:
            if one.reach in (Reach.EXACT, Reach.PATH) and "?" not in one.text:
                self._filler.purged(one.text)
        return forgotten

    async def forget(self, what: Invalidation) -> int:
        """Serve nothing of it any more; gives how many keys were stored.  Raises `DiskError`."""
        return await self.gateway.invalidate(what)

    async def changed(self, events: Sequence[ObjectEvent]) -> Applied:
        """Purge what objects that have changed in a bucket made invalid.  Raises `DiskError`."""
        return await self._changes.apply(events)

    async def pools(self) -> list[dict[str, Any]]:
        """The pools with their nodes, as plain values."""
        return self._pools.listed()

    async def change_pools(self, config: Config) -> None:
        """Go on with the nodes and the settings that `config` has for the pools."""
        self.config = config
        for name, section in pools_of(config).items():
            await self._pools.change(name, endpoints_of(section), conduct_of(section))
        await self._lookout.look()

    async def order_node(self, order: Order, pool: str, node: str) -> dict[str, Any]:
        """Have something done with a node.  Raises `ValueError` where there is none of this name."""
        fields = await self._pools.obey(order, pool, node)
        if self._duties is not None and order in DUTIES:
            try:
                await self._duties.put(pool, node, DUTIES[order])
            except DutiesError as error:
                self.observers.fault(f"{pool}: node {node} is {fields['duty']} until the next start: {error}")
        return fields

    def put_back_on(self, duties: Mapping[str, Mapping[str, Duty]]) -> None:
        """What operators have let nodes do before, by pool and node."""
        self._pools.put_back_on(duties)

    async def stats(self) -> dict[str, object]:
        """Counters and sizes, for the admin port."""
        disk = self._cache.disk
        jobs = {state.value: number for state, number in (await self._worker.queue.counts()).items()}
        return {
            **self.state(),
            "jobs": {**jobs, "faults": self._worker.queue.faults},
            **({"disk": await disk.state()} if disk is not None else {}),
        }

    def state(self) -> dict[str, object]:
        """Counters and sizes, less those for which a disk is asked."""
        memory = self._cache.memory
        return {
            "uptime_s": round(self.clock.elapsed() - self._started, 3),
            "requests": self.tally.fields(),
            "websockets": {"open": self.tally.open_websockets, "total": self.tally.websockets},
            "cache": {
                "keys": len(memory),
                "used_bytes": memory.used_bytes,
                "max_bytes": memory.max_bytes,
                "in_flight": len(self._flights),
            },
            "backfill": {
                "at_work": self._worker.at_work,
                **dict(sorted(self._worker.counts.items())),
            },
            "sources": self._source.fields(),
            **({"checks": asdict(self._canary.counts)} if self._pools and self._canary is not None else {}),
        }

    async def backfilled(self) -> None:
        """Return when no backfill job waits or is at work."""
        await self._worker.idle()

    async def drain(self, timeout_s: float) -> Drained:
        """Finish transfers and jobs; what is not done after `timeout_s` is given up, or kept, and counted."""
        ending = self.clock.elapsed() + timeout_s
        flights = await self._flights.finish(timeout_s)
        jobs = await self._worker.drain(max(0.0, ending - self.clock.elapsed()))
        return Drained(flights, jobs.given_up, jobs.kept)


@asynccontextmanager
async def opened(
    config: Config,
    *,
    observers: Observers | None = None,
    clock: Clock | None = None,
    member: Member | None = None,
    watches: bool = True,
) -> AsyncIterator[App]:
    """The app of `config`, working until the context ends. Ends at once: `drain` first to end in peace.

    `watches`: nodes of pools are checked and looked up all the time; otherwise nobody hears of us unasked.

    As a `member` of several it takes no folder: somebody else has done that for all of them.
    Raises `DiskError` and `QueueError`.
    """
    clock = clock or SystemClock()
    observers = observers or Observers()
    async with AsyncExitStack() as stack:
        origins = await origins_of(config, clock, stack)
        memory = MemoryCache(config.cache.memory, config.cache.max_object)
        cache = Tiers(memory, await _disk(config, stack, clock, observers, member))
        flights = Flights()
        stack.push_async_callback(flights.finish, 0)

        def ended(job: Job, outcome: Outcome) -> None:
            observers.job(job, outcome)
            if job.refresh and isinstance(outcome, Stored):
                fetcher.refilled(job.path)

        works = await works_of(
            config,
            origins,
            cache,
            flights,
            clock,
            stack,
            fills=bool(config.backfill.rules),
            number=member.number if member is not None else 0,
            on_fault=observers.fault,
            on_outcome=ended,
        )
        worker, filler = works.worker, works.filler
        maker = maker_of(config, worker)
        stack.push_async_callback(maker.close)

        def filled(target: str, bucket: Origin) -> Origin:
            return MakingOrigin(bucket, maker, partial(filler.order, target))

        targets = origins.targets(filled if any(rule.makes_at_once for rule in filler.rules) else _as_it_is)
        elsewhere = member.elsewhere if member is not None else None
        fetcher = Fetcher(targets, cache, flights, filler, clock, elsewhere)
        front = _front(config, member.instance if member is not None else new_instance())
        gateway = Gateway(front, config.behavior_values(), cache, fetcher, clock, Ids().new)
        pools = Pools(origins.pools)
        duties = (
            Duties(folder / "duties.sqlite") if origins.pools and (folder := config.state.folder) else None
        )
        if duties is not None:
            try:
                pools.put_back_on(await duties.read())
            except DutiesError as error:
                observers.fault(f"pools: {error}; all nodes are ready")
        explainer = Explainer(gateway, cache, flights, filler, _targets(config), pools)

        async def bury(bucket: str, key: bytes) -> None:
            targets = [name for name, section in origins.buckets.items() if section.bucket == bucket]
            await filler.bury_key(targets, key)

        changes = Changes(_buckets(config), gateway.invalidate, bury)
        lookout = lookout_of(config, origins.pools, clock, observers.fault, stack)
        by = f"{front.loop_id}/{member.number if member is not None else 0}"
        canary: Canary | None = None
        if watches:
            canary = await canary_of(config, origins.pools, clock, by, observers.fault, stack)
            await lookout.look()
            lookout.start()
            canary.start()
        worker.start()
        yield App(
            config,
            gateway,
            cache,
            flights,
            works,
            explainer,
            pools,
            duties,
            canary,
            lookout,
            changes,
            observers,
            clock,
        )


def _as_it_is(_: str, origin: Origin) -> Origin:
    return origin


async def _disk(
    config: Config, stack: AsyncExitStack, clock: Clock, observers: Observers, member: Member | None
) -> DiskCache | None:
    section = config.cache.disk
    if section is None:
        return None
    folder = Folder(section.folder)
    stack.callback(folder.release)
    if member is None:
        await asyncio.to_thread(folder.take, section.size)
    else:
        folder.join()
    disk = DiskCache(
        folder,
        section.size,
        section.max_object,
        writer=member.number if member is not None else 0,
        now=clock.now,
        on_fault=observers.fault,
    )
    stack.push_async_callback(disk.close)
    await disk.open()
    return disk


def new_instance() -> str:
    """What a gateway is called where requests have passed: nobody else has the same."""
    return secrets.token_hex(16)


def _front(config: Config, instance: str) -> Front:
    return Front(
        via=f"1.1 {instance}.edgeproxy (edgeproxy)",
        loop_id=f"{instance}.edgeproxy",
        aliases=frozenset(alias.lower() for alias in config.server.aliases),
        trusted_proxies=config.server.trusted_proxies,
        default_root_object=config.server.default_root_object,
        allow_ambiguous_paths=config.server.ambiguous_paths == "pass",
        debug_headers=config.server.debug_headers,
        error_pages=config.error_pages(),
    )


def _buckets(config: Config) -> Buckets:
    prefixes: dict[str, frozenset[str]] = {}
    for origin in config.origins.values():
        if isinstance(origin, S3Origin):
            prefixes[origin.bucket] = prefixes.get(origin.bucket, frozenset()) | {origin.origin_path}
    return Buckets(prefixes, frozenset(config.events.ignore_principals))


def _targets(config: Config) -> dict[str, Target]:
    single = {name: Target(name) for name in config.origins}
    pairs = {
        name: Target(group.members[0], group.members[1], tuple(sorted(group.failover_on)))
        for name, group in config.origin_groups.items()
    }
    return {**single, **pairs}
