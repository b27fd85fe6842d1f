"""What happens to each request, as lines for people; in colour where the output is a terminal."""

from datetime import datetime
from typing import assert_never

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from edgeproxy.backfill.filler import QUEUED
from edgeproxy.backfill.job import Failed, Job, Outcome, Skipped, Stored
from edgeproxy.core.answering import XCache
from edgeproxy.core.failover import Attempt
from edgeproxy.record import Record

_STYLES = {XCache.HIT: "green", XCache.REFRESH_HIT: "cyan", XCache.MISS: "yellow", XCache.ERROR: "red"}


class LabConsole:
    """Prints records of requests and ends of jobs as they come."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def request(self, record: Record) -> None:
        """One line: when, what was asked, how it was answered, by whom, and what follows."""
        x_cache = record.report.x_cache if record.report is not None else XCache.ERROR
        line = Text()
        line.append(f"{datetime.fromtimestamp(record.started_at).astimezone():%H:%M:%S}  ", "dim")
        line.append(f"{record.method} {record.target}  ", "bold")
        line.append(f"{record.status} {x_cache}", _STYLES[x_cache])
        line.append(f"  {size_text(record.sent_bytes)} in {record.duration_s * 1000:.1f} ms")
        line.append(f"  {_road(record.trail, x_cache)}", "dim")
        if record.backfill == QUEUED:
            line.append("  backfill queued", "magenta")
        if record.reason is not None:
            line.append(f"  {record.reason}", "dim")
        if record.fault:
            line.append(f"  {record.fault}", "red")
        self._console.print(line, soft_wrap=True)

    def job(self, job: Job, outcome: Outcome) -> None:
        """One line: the object, and whether it is in the bucket now."""
        key = escape(job.key.decode("utf-8", "replace"))
        match outcome:
            case Stored():
                told = f"[magenta]stored in the bucket[/], {size_text(outcome.size)}"
            case Skipped():
                told = f"not stored: {outcome.reason}"
            case Failed():
                told = f"[red]attempt {job.attempt} failed[/]: {escape(outcome.message)}"
            case _:
                assert_never(outcome)
        self._console.print(f"          backfill {key}  {told}", soft_wrap=True)


def size_text(size: int) -> str:
    """Bytes as a person says them: 1536 -> "1.5 KiB"."""
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError("unreachable")


def _road(trail: tuple[Attempt, ...], x_cache: XCache) -> str:
    if not trail:
        return "from the cache" if x_cache is XCache.HIT else "refused"
    return " -> ".join(f"{attempt.origin} {attempt.reason or attempt.status}" for attempt in trail)
