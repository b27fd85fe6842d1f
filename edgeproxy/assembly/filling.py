"""What fills the buckets: the queue, the writers, the sources, the worker."""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from edgeproxy.assembly.origins import Origins, buckets_of, plain_keys
from edgeproxy.backfill.attempts import Attempts
from edgeproxy.backfill.filler import Burial, Filler
from edgeproxy.backfill.job import Job, Outcome
from edgeproxy.backfill.maker import Maker
from edgeproxy.backfill.memory import MemoryQueue
from edgeproxy.backfill.pacing import Pace
from edgeproxy.backfill.post import Post
from edgeproxy.backfill.queue import Queue, QueueError, Terms
from edgeproxy.backfill.source import Source
from edgeproxy.backfill.sqlite import SqliteQueue
from edgeproxy.backfill.sqs import Place, SqsQueue
from edgeproxy.backfill.tombstones import Tombstones
from edgeproxy.backfill.uploads import Uploads
from edgeproxy.backfill.worker import Schedule, Worker
from edgeproxy.backfill.writer import BucketWriter
from edgeproxy.clock import Clock
from edgeproxy.config.backfill import Sqs
from edgeproxy.config.origins import Credentials, HttpOrigin
from edgeproxy.config.origins import Origin as OriginSection
from edgeproxy.config.origins import S3Origin as S3Section
from edgeproxy.config.pool import PoolOrigin
from edgeproxy.config.schema import Config
from edgeproxy.core.reason import Reason
from edgeproxy.core.sourcing import Supplier, by_default
from edgeproxy.core.sqs_url import endpoint_of, region_of
from edgeproxy.store.flight import Flights
from edgeproxy.store.tiers import Tiers


async def tombstones_of(config: Config, clock: Clock) -> Tombstones:
    """What is not to be filled again, to be closed.  Raises `QueueError`."""
    folder = config.state.folder
    tombstones = Tombstones(folder / "tombstones.sqlite" if folder is not None else None, clock)
    await tombstones.open()
    return tombstones


def groups_into(buckets: Mapping[str, S3Section]) -> dict[str, tuple[str, ...]]:
    """For each target of `buckets`, all the targets that have the same bucket."""
    return {
        target: tuple(name for name, other in buckets.items() if other is section)
        for target, section in buckets.items()
    }


async def writers_of(
    config: Config, buckets: Mapping[str, S3Section], clock: Clock, stack: AsyncExitStack
) -> dict[str, BucketWriter]:
    """A writer for each of these buckets, by the group's name; closed with `stack`."""
    writers: dict[str, BucketWriter] = {}
    for name, section in buckets.items():
        writers[name] = _writer(section, config, clock)
        await writers[name].open()
        stack.push_async_callback(writers[name].close)
    return writers


async def queue_of(
    config: Config,
    clock: Clock,
    groups: frozenset[str],
    *,
    worker: int = 0,
    on_fault: Callable[[str], None],
    on_refused: Callable[[Reason], None],
) -> Queue:
    """The queue of `config`, from which jobs of `groups` are leased; to be closed.

    `worker` is the number of this process among all that serve, whose jobs have each a number of its own.
    Raises `QueueError`; the message begins with the setting that is behind it.
    """
    section = config.backfill
    terms = Terms(section.queue_size, section.attempts, section.lease, section.missing_for, section.history)
    if section.queue == "sqs" and section.sqs is not None:
        return await _sqs_queue(config, section.sqs, terms, clock, groups, worker, on_fault, on_refused)
    if section.queue == "memory" or config.state.folder is None:
        return MemoryQueue(terms, clock, first=worker + 1, step=config.server.workers)
    path = config.state.folder / "backfill.sqlite"
    queue = SqliteQueue(path, terms, clock, groups, on_fault=on_fault, on_refused=on_refused)
    try:
        await queue.open()
    except QueueError as error:
        raise QueueError(f"state.folder: {error}") from error
    return queue


async def _sqs_queue(
    config: Config,
    section: Sqs,
    terms: Terms,
    clock: Clock,
    groups: frozenset[str],
    worker: int,
    on_fault: Callable[[str], None],
    on_refused: Callable[[Reason], None],
) -> Queue:
    region, endpoint = whereabouts(section.url, section.region, section.endpoint)
    given = section.credentials
    keys = plain_keys(given) if isinstance(given, Credentials) else None
    prefixes = {name: at.origin_path for name, at in buckets_of(config).items() if name in groups}
    place = Place(
        url=section.url,
        name=section.name,
        dead_letter_url=section.dead_letter_url,
        wait_s=section.wait,
        group=section.group or (next(iter(groups)) if len(groups) == 1 else None),
        prefixes=prefixes,
        appetite=config.backfill.concurrency,
    )
    queue = SqsQueue(
        Post(region, endpoint, keys, wait_s=section.wait),
        place,
        terms,
        clock,
        first=worker + 1,
        step=config.server.workers,
        random=random.random,
        on_fault=on_fault,
        on_refused=on_refused,
    )
    try:
        await queue.open()
    except QueueError as error:
        raise QueueError(f"backfill.sqs: {error}") from error
    return queue


def whereabouts(url: str | None, region: str | None, endpoint: str | None) -> tuple[str, str | None]:
    """Region and endpoint of a queue: what is given, else what its URL says, else us-east-1 of AWS."""
    if url is not None:
        region = region or region_of(url)
        endpoint = endpoint or endpoint_of(url)
    return region or "us-east-1", endpoint


def source_of(
    config: Config,
    origins: Origins,
    cache: Tiers,
    flights: Flights,
    clock: Clock,
    on_change: Callable[[str], None],
    capped_to: tuple[float | None, int | None] = (None, None),
) -> Source:
    """Where the objects of `config` come from; `on_change` hears when one is left alone, or well again.

    `capped_to`: requests and bytes a second that each source is asked for at most, besides its own caps.
    """

    def capped(supplier: Supplier) -> Supplier:
        rate = min(filter(None, (supplier.rate, capped_to[0])), default=None)
        bandwidth = min(filter(None, (supplier.bandwidth, capped_to[1])), default=None)
        return replace(supplier, rate=rate, bandwidth=bandwidth)

    named = {name: capped(supplier) for name, supplier in config.backfill.suppliers().items()}
    secondaries = {name: capped(by_default(group.members[1])) for name, group in config.origin_groups.items()}
    slow = sum(supplier.bandwidth is not None for supplier in named.values())
    # What is slow on purpose leaves room for others.
    share = max(1, config.backfill.concurrency // (slow + 1))
    every = {**named, **{supplier.name: supplier for supplier in secondaries.values()}}
    paces = {
        name: Pace(
            supplier,
            clock,
            at_once=share if supplier.bandwidth is not None else None,
            sleep=asyncio.sleep,
            random=random.random,
            on_change=on_change,
        )
        for name, supplier in every.items()
    }
    return Source(
        named,
        secondaries,
        paces,
        origins.single,
        origins.addresses,
        _bases(config),
        cache,
        flights,
        clock.now,
    )


def _bases(config: Config) -> dict[str, str]:
    """What the URLs of each origin begin with."""
    return {name: f"{_base(name, origin)}{origin.origin_path}" for name, origin in config.origins.items()}


def _base(name: str, origin: OriginSection) -> str:
    match origin:
        case HttpOrigin():
            return origin.url
        case S3Section():
            return f"s3://{origin.bucket}"
        case PoolOrigin():
            return f"pool://{name}"


def worker_of(
    config: Config,
    queue: Queue,
    source: Source,
    writers: Mapping[str, BucketWriter],
    clock: Clock,
    tombstones: Tombstones,
    on_outcome: Callable[[Job, Outcome], None] | None = None,
) -> Worker:
    """A worker over `queue`, not started yet."""
    section = config.backfill
    return Worker(
        queue,
        Attempts(source, writers, config.backfill.rule_values(), tombstones),
        Schedule(section.attempts, section.backoff_base, section.backoff_cap, section.lease / 3),
        concurrency=section.concurrency,
        clock=clock,
        random=random.random,
        on_outcome=on_outcome,
    )


@dataclass(frozen=True, slots=True)
class Works:
    """All that fills the buckets, in a process of whatever sort."""

    source: Source
    worker: Worker
    """Not started yet."""
    filler: Filler


async def works_of(
    config: Config,
    origins: Origins,
    cache: Tiers,
    flights: Flights,
    clock: Clock,
    stack: AsyncExitStack,
    *,
    fills: bool,
    number: int = 0,
    on_fault: Callable[[str], None],
    on_outcome: Callable[[Job, Outcome], None],
) -> Works:
    """What fills the buckets of `config`, or with `fills` false none of them; closed with `stack`.

    `number` is that of this process among all that serve.  Raises `QueueError`.
    """
    writers = await writers_of(config, origins.buckets if fills else {}, clock, stack)
    queue = await queue_of(
        config,
        clock,
        frozenset(writers),
        worker=number,
        on_fault=on_fault,
        on_refused=lambda reason: worker.refused(reason),
    )
    stack.push_async_callback(queue.close)
    tombstones = await tombstones_of(config, clock)
    stack.push_async_callback(tombstones.close)
    source = source_of(config, origins, cache, flights, clock, on_fault)
    worker = worker_of(config, queue, source, writers, clock, tombstones, on_outcome)
    stack.push_async_callback(worker.drain, 0)
    prefixes = {name: section.origin_path for name, section in origins.buckets.items()}
    burial = Burial(tombstones, groups_into(origins.buckets), config.backfill.tombstone_for)
    filler = Filler(config.backfill.rule_values(), prefixes, source, worker, burial, clock)
    return Works(source, worker, filler)


def maker_of(config: Config, worker: Worker) -> Maker:
    """What has objects made by `worker` while viewers wait; to be closed."""
    section = config.backfill
    return Maker(
        worker,
        slots=section.make_concurrency,
        timeout_s=section.make_timeout,
        copy_bytes=section.part_size,
        most=max(section.queue_size, section.make_concurrency),
    )


def _writer(section: S3Section, config: Config, clock: Clock) -> BucketWriter:
    given, folder = section.credentials, config.state.folder
    return BucketWriter(
        section.bucket,
        region=section.region,
        endpoint=section.endpoint,
        addressing_style="path"
        if section.endpoint and section.addressing_style == "auto"
        else section.addressing_style,
        keys=plain_keys(given) if isinstance(given, Credentials) else None,
        is_anonymous=given == "anonymous",
        part_bytes=config.backfill.part_size,
        parts_at_once=config.backfill.parts_at_once,
        timeout_s=config.backfill.write_timeout,
        connections=(config.backfill.concurrency + config.backfill.make_concurrency)
        * config.backfill.parts_at_once,
        uploads=Uploads(folder / "uploads" if folder is not None else None),
        now=clock.now,
        random=random.random,
    )
