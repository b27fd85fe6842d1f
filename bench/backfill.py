"""What the backfill costs: jobs a second, one large object, and what viewers feel of it.

Starts a bare-protocol origin, a MinIO (scripts/servers builds it) and edgeproxy, and prints medians. Jobs are
held against a plain loop of the same concurrency in the same run: aiohttp's GET, aiobotocore's PUT.

    python bench/backfill.py [--rounds 3] [--jobs 1000] [--large 512] [--json FILE] [jobs] [large] [viewers]
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import aiohttp
import uvloop
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.session import get_session as get_plain_session

from edgeproxy.assembly.filling import queue_of, source_of, tombstones_of, worker_of, writers_of
from edgeproxy.assembly.origins import origins_of
from edgeproxy.backfill.job import Job
from edgeproxy.clock import SystemClock
from edgeproxy.config import Config, parse
from edgeproxy.store.flight import Flights
from edgeproxy.store.memory import MemoryCache
from edgeproxy.store.tiers import Tiers
from tests.servers import minio
from tests.servers.server import S3Server

ORIGIN, VIEWERS, ADMIN = 18710, 18711, 18712
SITE = f"http://127.0.0.1:{ORIGIN}"
SMALL = 10 * 1024
BLOCK = bytes(64 * 1024)
CONFIG = """
server: {{listen: "127.0.0.1:{viewers}"}}
admin: {{listen: "127.0.0.1:{admin}"}}
log: {{access: false}}
{state}
origins:
  site: {{type: http, url: "{site}"}}
  bucket:
    type: s3
    bucket: {bucket}
    endpoint: {endpoint}
    credentials: {{access_key_id: {user}, secret_access_key: {password}}}
origin_groups: {{media: {{members: [bucket, site], failover_on: [403, 404]}}}}
default_behavior: {{target_origin: media}}
backfill: {{rules: [{{}}], concurrency: {concurrency}, queue_size: 1000000}}
"""


class Origin(asyncio.Protocol):
    """Answers every head with as many bytes as its path ends with, as fast as they are taken."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.left = 0
        self.is_full = False

    def data_received(self, data: bytes) -> None:
        for head in data.split(b"\r\n\r\n")[:-1]:
            self.left = int(head.split(b" ", 2)[1].rpartition(b"/")[2])
            fields = b"Content-Type: text/plain\r\nCache-Control: max-age=3600\r\n"
            self.transport.write(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: %d\r\n\r\n" % self.left)
            self.send()

    def send(self) -> None:
        while self.left and not self.is_full:
            block = BLOCK if self.left >= len(BLOCK) else BLOCK[: self.left]
            self.left -= len(block)
            self.transport.write(block)

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        self.send()


def serve_origin() -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", ORIGIN)
        await server.serve_forever()

    uvloop.run(main())


class Place:
    """Buckets of a MinIO, a new one for each measurement."""

    def __init__(self, server: S3Server, folder: Path, concurrency: int) -> None:
        self.server = server
        self.folder = folder
        self.concurrency = concurrency
        self.number = 0

    @property
    def options(self) -> dict[str, Any]:
        keys = (self.server.access_key_id, self.server.secret_access_key)
        return {
            "endpoint_url": self.server.endpoint,
            "region_name": "us-east-1",
            "aws_access_key_id": keys[0],
            "aws_secret_access_key": keys[1],
        }

    def text(self, *, has_state: bool, concurrency: int | None = None) -> str:
        """A configuration over a new bucket."""
        self.number += 1
        bucket = f"bench-{self.number}"
        with closing(get_plain_session().create_client("s3", **self.options)) as s3:
            s3.create_bucket(Bucket=bucket)
        return CONFIG.format(
            viewers=VIEWERS,
            admin=ADMIN,
            site=SITE,
            bucket=bucket,
            endpoint=self.server.endpoint,
            user=self.server.access_key_id,
            password=self.server.secret_access_key,
            concurrency=concurrency or self.concurrency,
            state=f"state: {{folder: '{self.folder}/state-{self.number}'}}" if has_state else "",
        )

    def file(self, *, has_state: bool, concurrency: int | None = None) -> Path:
        text = self.text(has_state=has_state, concurrency=concurrency)
        path = self.folder / f"config-{self.number}.yaml"
        path.write_text(text)
        return path

    def config(self, *, has_state: bool) -> Config:
        return parse(self.text(has_state=has_state), {})


@dataclass(slots=True)
class Speed:
    """What some jobs took: seconds by the clock, and of this process's CPU."""

    jobs: int
    began_s: float = field(default_factory=time.perf_counter)
    began_cpu_s: float = field(default_factory=time.process_time)
    rate: float = 0.0
    cpu_ms: float = 0.0

    def ended(self) -> "Speed":
        """Jobs a second, and milliseconds of CPU a job."""
        self.rate = self.jobs / (time.perf_counter() - self.began_s)
        self.cpu_ms = (time.process_time() - self.began_cpu_s) * 1000 / self.jobs
        return self


async def plain(place: Place, jobs: int) -> Speed:
    """How fast a loop is as one would write it."""
    bucket = place.config(has_state=False).origins["bucket"].bucket  # type: ignore[union-attr]
    config = AioConfig(s3={"addressing_style": "path"}, max_pool_connections=place.concurrency)
    numbers = iter(range(jobs))
    async with (
        get_session().create_client("s3", **place.options, config=config) as s3,
        aiohttp.ClientSession() as site,
    ):

        async def work() -> None:
            for number in numbers:
                async with site.get(f"{SITE}/{number}/{SMALL}") as answer:
                    body = await answer.read()
                await s3.put_object(
                    Bucket=bucket, Key=f"{number}/{SMALL}", Body=body, ContentType=answer.content_type
                )

        speed = Speed(jobs)
        await asyncio.gather(*(work() for _ in range(place.concurrency)))
        return speed.ended()


def worked(queue: str) -> Callable[[Place, int], Awaitable[Speed]]:
    """How fast our worker is over the queue named."""

    async def measured(place: Place, jobs: int) -> Speed:
        config, clock = place.config(has_state=queue != "memory"), SystemClock()
        async with AsyncExitStack() as stack:
            origins = await origins_of(config, clock, stack)
            writers = await writers_of(config, origins.buckets, clock, stack)
            waiting = await queue_of(
                config, clock, frozenset(writers), on_fault=print, on_refused=lambda reason: None
            )
            stack.push_async_callback(waiting.close)
            source = source_of(config, origins, Tiers(MemoryCache(0, 0), None), Flights(), clock, print)
            tombstones = await tombstones_of(config, clock)
            stack.push_async_callback(tombstones.close)
            worker = worker_of(config, waiting, source, writers, clock, tombstones)
            stack.push_async_callback(worker.drain, 0)
            speed = Speed(jobs)
            for number in range(jobs):
                path = f"/{number}/{SMALL}"
                worker.offer(Job("media", path[1:].encode(), path, None, 2**40))
            await waiting.written()
            worker.start()
            await worker.idle()
            speed.ended()
            assert worker.counts["stored"] == jobs, worker.counts
        return speed

    return measured


LOOPS: dict[str, Callable[[Place, int], Awaitable[Speed]]] = {
    "plain aiohttp and aiobotocore": plain,
    "queue in memory": worked("memory"),
    "queue in a file (sqlite)": worked("sqlite"),
}


def measure_jobs(place: Place, options: argparse.Namespace) -> dict[str, Any]:
    speeds: dict[str, list[Speed]] = {name: [] for name in LOOPS}
    for number in range(options.rounds):
        # There and back, so that nobody always comes first, or after the same one.
        for name in list(LOOPS)[:: -1 if number % 2 else 1]:
            speeds[name].append(uvloop.run(LOOPS[name](place, options.jobs)))
    alone = next(iter(speeds.values()))
    title = f"10 KiB objects, {options.concurrency} at once"
    print(f"{title:<42} {'jobs/s':>10} {'of the plain':>14} {'CPU ms a job':>14}")
    told: dict[str, Any] = {}
    for name, measured in speeds.items():
        rate = statistics.median(speed.rate for speed in measured)
        # To that of the same round: what else the machine does changes from one to the next.
        ratio = statistics.median(
            ours.rate / theirs.rate for ours, theirs in zip(measured, alone, strict=True)
        )
        cpu_ms = statistics.median(speed.cpu_ms for speed in measured)
        print(f"{name:<42} {rate:>10,.0f} {ratio:>14.2f} {cpu_ms:>14.2f}")
        told[name] = {"rates": [speed.rate for speed in measured], "ratio": ratio, "cpu_ms": cpu_ms}
    return told


def drained(
    place: Place, *paths: str, enqueue: bool = False, config: Path | None = None
) -> tuple[float, int]:
    """Seconds that a drain of `paths` took, and the peak of its memory in bytes."""
    listed = place.folder / "list"
    listed.write_text("".join(f"{path}\n" for path in paths))
    config = config or place.file(has_state=False)
    words = ["-c", str(config), "--list", str(listed), *(["--enqueue"] if enqueue else [])]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeproxy", "backfill", "drain", *words], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, status
    return time.perf_counter() - started, usage.ru_maxrss * 1024


def measure_large(place: Place, options: argparse.Namespace) -> dict[str, Any]:
    size = options.large * 2**20
    idle_s, idle_bytes = drained(place, f"/small/{SMALL}")
    took_s, peak_bytes = drained(place, f"/large/{size}")
    told = {
        "size_mib": options.large,
        "mib_per_s": options.large / (took_s - idle_s),
        "mib_above_idle": (peak_bytes - idle_bytes) / 2**20,
    }
    rate, above = told["mib_per_s"], told["mib_above_idle"]
    print(f"one object of {options.large} MiB: {rate:,.0f} MiB/s, {above:,.1f} MiB above idle at most")
    return told


async def latencies(seconds: float) -> dict[str, list[float]]:
    """Milliseconds of hits and of misses, by turns, one after the other with a short rest between."""
    took: dict[str, list[float]] = {"hits": [], "misses": []}
    async with aiohttp.ClientSession() as viewer:
        ending = time.perf_counter() + seconds
        while time.perf_counter() < ending:
            for kind, path in (("hits", "hit"), ("misses", f"miss/{time.perf_counter_ns()}")):
                started = time.perf_counter()
                async with viewer.get(f"http://127.0.0.1:{VIEWERS}/{path}/{SMALL}") as answer:
                    await answer.read()
                    assert answer.status == 200, answer.status
                took[kind].append((time.perf_counter() - started) * 1000)
                await asyncio.sleep(0.002)
    return took


@contextmanager
def serving(config: Path, *, nice: int = 0) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeproxy", "serve", "--config", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: os.nice(nice),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if b" serves " in line:
            break
    try:
        yield
    finally:
        process.kill()
        process.wait()


def backfill(word: str, config: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "edgeproxy", "backfill", word, "-c", str(config)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


WAYS = {"by the gateway": None, "by another process": 0, "by another, at nice 19": 19}
"""Who works at the jobs, and how nice it is."""


def measure_viewers(place: Place, options: argparse.Namespace) -> dict[str, Any]:
    print(
        f"{'milliseconds, by turns idle and busy':<42} {'p50':>8} {'p99':>8} {'busy p50':>8} {'busy p99':>8}",
        end="",
    )
    print(f" {'ratios':>12} {'jobs/s':>8}")
    told: dict[str, Any] = {}
    for way, nice in WAYS.items():
        working = place.file(has_state=True, concurrency=4)
        gateway = working
        if nice is not None:
            # Viewers' own misses make no jobs then: what is measured is what the others do to them.
            gateway = working.with_name(f"gateway-{working.name}")
            gateway.write_text(working.read_text().replace("rules: [{}]", "rules: []"))
            text = working.read_text().replace(str(VIEWERS), str(VIEWERS + 10))
            working.write_text(text.replace(str(ADMIN), str(ADMIN + 10)))
        took: dict[str, dict[str, list[float]]] = {
            state: {"hits": [], "misses": []} for state in ("idle", "busy")
        }
        with ExitStack() as stack:
            stack.enter_context(serving(gateway))
            if nice is not None:
                stack.enter_context(serving(working, nice=nice))
            backfill("pause", working)
            # More than it can do meanwhile.
            drained(place, *(f"/{n}/{SMALL}" for n in range(10_000)), enqueue=True, config=working)
            uvloop.run(latencies(1))
            before = stored(place)
            for _ in range(options.rounds):
                for state, word in (("idle", "pause"), ("busy", "resume")):
                    backfill(word, working)
                    for kind, values in uvloop.run(latencies(options.seconds)).items():
                        took[state][kind] += values
            rate = (stored(place) - before) / (options.rounds * options.seconds)
        told[way] = {"jobs_per_s": rate}
        for kind in ("hits", "misses"):
            idle, busy = (statistics.quantiles(took[state][kind], n=100) for state in ("idle", "busy"))
            figures = [idle[49], idle[98], busy[49], busy[98]]
            ratios = [busy[49] / idle[49], busy[98] / idle[98]]
            told[way][kind] = {"idle": figures[:2], "busy": figures[2:], "ratios": ratios}
            print(f"{f'{kind}, jobs done {way}':<42}", *(f"{figure:>8.2f}" for figure in figures), end="")
            print(f" {ratios[0]:>5.2f} {ratios[1]:>6.2f} {rate:>8,.0f}")
    return told


def stored(place: Place) -> int:
    """How many jobs of the last queue have been done."""
    with closing(sqlite3.connect(place.folder / f"state-{place.number}" / "backfill.sqlite")) as db:
        return int(db.execute("SELECT max(id) FROM job WHERE state = 'stored'").fetchone()[0] or 0)


MEASURES = {"jobs": measure_jobs, "large": measure_large, "viewers": measure_viewers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", choices=[[], *MEASURES], default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--large", type=int, default=512, metavar="MIB")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    origin = multiprocessing.Process(target=serve_origin, daemon=True)
    origin.start()
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, minio.running() as server:
        place = Place(server, Path(folder), options.concurrency)
        for name in options.what or MEASURES:
            told[name] = MEASURES[name](place, options)
    origin.terminate()
    if options.json is not None:
        options.json.write_text(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
