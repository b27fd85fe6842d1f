"""Hits, misses, failover, latency and memory side by side with nginx and Varnish.

All run at once on loopback before one bare origin, and are driven in turn, round by round, so that what
else the machine does meets all alike. Prints one table of medians. Beside the requests a second stands the
processor time that a request takes of the server, which other programs move less. Varnish has threads, and
so more than one processor; what is not installed is left out.

    scripts/bench [--quick] [--rounds 5] [--seconds 3] [--only WORD] [--json FILE] [--picture FILE]
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import shutil
import signal
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import asdict
from pathlib import Path

from bench.compare.load import aiobotocore_rate, driven, idle, paced
from bench.compare.picture import picture
from bench.compare.rows import AIOBOTOCORE, CACHES, ROWS, VARIED, Figures, Row, table
from bench.compare.servers import Server, running
from bench.roads import serve_origin

_HIT = "/hit/1024"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round of a second, fewer requests")
    parser.add_argument("--rounds", type=int, help="default: 5")
    parser.add_argument("--seconds", type=int, help="of each measurement; default: 3")
    parser.add_argument("--only", default="", help="rows with this in the name; or latency, memory, idle")
    parser.add_argument("--json", type=Path, help="write the figures of all rounds here")
    parser.add_argument("--picture", type=Path, help="write the bar chart (SVG) here")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk: is not installed, want it (Debian: apt-get install wrk)")
    rounds = options.rounds or (1 if options.quick else 5)
    seconds = options.seconds or (1 if options.quick else 3)
    most, connections = (50_000, 1_000) if options.quick else (1_000_000, 10_000)
    # Else what was started would go on.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    origin = multiprocessing.Process(target=serve_origin, daemon=True)
    origin.start()
    try:
        with tempfile.TemporaryDirectory() as name, running(Path(name)) as servers:
            figures = _rows(servers, rounds, seconds, options.only)
            caches = {name: servers[name] for name in CACHES if name in servers}
            if options.only in "latency":
                figures += _latency(caches, rounds, seconds)
            if options.only in "memory":
                figures += _memory(caches, most)
            if options.only in "idle connections":
                figures += _idle(caches, connections, seconds)
    finally:
        origin.terminate()
    print(table(figures))
    if options.json is not None:
        said = {
            "machine": f"{os.cpu_count()} processors, {platform.platform()}",
            "python": platform.python_version(),
            "rounds": rounds,
            "seconds": seconds,
            "rows": [{**asdict(one), "medians": one.medians()} for one in figures],
        }
        options.json.write_text(json.dumps(said, indent=2) + "\n")
    if options.picture is not None:
        options.picture.write_text(picture(figures))


def _rows(servers: dict[str, Server], rounds: int, seconds: int, only: str) -> list[Figures]:
    figures = {
        row: (Figures(row.name, "a second"), Figures(row.name, "µs of processor each", is_more_better=False))
        for row in ROWS
        if only in row.name
    }
    for number in range(rounds):
        for row, (rates, costs) in figures.items():
            _say(f"round {number + 1} of {rounds}: {row.name}")
            for name in row.servers:
                if name == AIOBOTOCORE:
                    rates.add(name, aiobotocore_rate(row.path[1:], seconds))
                elif name in servers:
                    rate, cost = _measured(servers[name], row, seconds)
                    rates.add(name, rate)
                    costs.add(name, cost)
    return [one for pair in figures.values() for one in pair]


def _measured(server: Server, row: Row, seconds: int) -> tuple[float, float]:
    # What comes once is not known yet.
    for _ in range(4):
        status = _status(server.port, row)
        if status != row.status:
            raise SystemExit(f"{row.name}: got {status} of {server.name}, want {row.status}")
    before = server.spent_s()
    load = driven(server.port, row.path, seconds, row.script, row.fields)
    return load.rate, (server.spent_s() - before) / load.total * 1e6


def _status(port: int, row: Row) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{row.path}")
    for field in row.fields:
        request.add_header(*field.split(": ", 1))
    try:
        with urllib.request.urlopen(request) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _latency(caches: dict[str, Server], rounds: int, seconds: int) -> list[Figures]:
    """At half of the rate that each can do."""
    p50, p99 = (
        Figures(f"{which} of a hit, 1 KiB, at half of its own top rate", "ms", is_more_better=False)
        for which in ("p50", "p99")
    )
    for number in range(rounds):
        _say(f"round {number + 1} of {rounds}: latency")
        for name, server in caches.items():
            top = driven(server.port, _HIT, seconds)
            load = paced(server.port, _HIT, seconds, top.rate / 2)
            p50.add(name, load.p50_ms)
            p99.add(name, load.p99_ms)
    return [p50, p99]


def _memory(caches: dict[str, Server], most: int) -> list[Figures]:
    figures = Figures(f"memory after {most:,} requests", "MiB", is_more_better=False)
    for name, server in caches.items():
        _say(f"memory: {name}")
        done = 0
        while done < most:
            done += driven(server.port, _HIT, 2, VARIED).total
        figures.add(name, server.memory_mib())
    return [figures]


def _idle(caches: dict[str, Server], count: int, seconds: int) -> list[Figures]:
    cost = Figures(f"memory with {count:,} idle connections", "MiB", is_more_better=False)
    rate = Figures(f"hit, 1 KiB, beside {count:,} idle connections", "a second")
    for name, server in caches.items():
        _say(f"idle: {name}")
        with idle(server.port, count, _HIT):
            cost.add(name, server.memory_mib())
            rate.add(name, driven(server.port, _HIT, seconds).rate)
    return [cost, rate]


def _say(what: str) -> None:
    print(f"\r{what:<70}", end="\n" if not sys.stderr.isatty() else "", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
