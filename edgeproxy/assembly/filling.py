"""What fills the buckets: the queue, the writers, the worker."""

import random
import re
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from edgeproxy.assembly.origins import plain_keys
from edgeproxy.backfill.job import Job, Outcome
from edgeproxy.backfill.memory import MemoryQueue
from edgeproxy.backfill.post import Post
from edgeproxy.backfill.queue import Queue, QueueError, Terms
from edgeproxy.backfill.source import Source
from edgeproxy.backfill.sqlite import SqliteQueue
from edgeproxy.backfill.sqs import Place, SqsQueue
from edgeproxy.backfill.worker import Schedule, Worker
from edgeproxy.backfill.writer import BucketWriter
from edgeproxy.clock import Clock
from edgeproxy.config.backfill import Sqs
from edgeproxy.config.origins import Credentials
from edgeproxy.config.origins import S3Origin as S3Section
from edgeproxy.config.schema import Config
from edgeproxy.core.reason import Reason


async def writers_of(
    config: Config, buckets: Mapping[str, S3Section], stack: AsyncExitStack
) -> dict[str, BucketWriter]:
    """A writer for each of these buckets, by the group's name; closed with `stack`."""
    writers: dict[str, BucketWriter] = {}
    for name, section in buckets.items():
        writers[name] = _writer(section, config)
        await writers[name].open()
        stack.push_async_callback(writers[name].close)
    return writers


async def queue_of(
    config: Config,
    clock: Clock,
    groups: frozenset[str],
    *,
    on_fault: Callable[[str], None],
    on_refused: Callable[[Reason], None],
) -> Queue:
    """The queue of `config`, from which jobs of `groups` are leased; to be closed.

    Raises `QueueError`; the message begins with the setting that is behind it.
    """
    section = config.backfill
    terms = Terms(section.queue_size, section.attempts, section.lease, section.missing_for, section.history)
    if section.queue == "sqs" and section.sqs is not None:
        return await _sqs_queue(config, section.sqs, terms, clock, groups, on_fault, on_refused)
    if section.queue == "memory" or config.state.folder is None:
        return MemoryQueue(terms, clock)
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
    on_fault: Callable[[str], None],
    on_refused: Callable[[Reason], None],
) -> Queue:
    region, endpoint = whereabouts(section.url, section.region, section.endpoint)
    given = section.credentials
    keys = plain_keys(given) if isinstance(given, Credentials) else None
    prefixes = {name: config.origins[config.origin_groups[name].members[0]].origin_path for name in groups}
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
        random=random.random,
        on_fault=on_fault,
        on_refused=on_refused,
    )
    try:
        await queue.open()
    except QueueError as error:
        raise QueueError(f"backfill.sqs: {error}") from error
    return queue


_REGION = re.compile(r"(?:^|\.)sqs\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com(?:\.cn)?$")


def whereabouts(url: str | None, region: str | None, endpoint: str | None) -> tuple[str, str | None]:
    """Region and endpoint of a queue: what is given, else what its URL says, else us-east-1 of AWS."""
    if url is not None:
        parts = urlsplit(url)
        named = _REGION.search(parts.hostname or "")
        region = region or (named[1] if named is not None else None)
        endpoint = endpoint or f"{parts.scheme}://{parts.netloc}"
    return region or "us-east-1", endpoint


def worker_of(
    config: Config,
    queue: Queue,
    source: Source,
    writers: Mapping[str, BucketWriter],
    clock: Clock,
    on_outcome: Callable[[Job, Outcome], None],
) -> Worker:
    """A worker over `queue`, not started yet."""
    section = config.backfill
    return Worker(
        queue,
        source,
        writers,
        Schedule(section.attempts, section.backoff_base, section.backoff_cap, section.lease / 3),
        concurrency=section.concurrency,
        clock=clock,
        random=random.random,
        on_outcome=on_outcome,
    )


def _writer(section: S3Section, config: Config) -> BucketWriter:
    given = section.credentials
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
        connections=max(1, config.backfill.concurrency),
    )
