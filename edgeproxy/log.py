"""Log lines: one a request for people or programs, written in batches so that no request waits for them."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, TextIO

from edgeproxy.backfill.job import Failed, Job, Outcome, Skipped, Stored
from edgeproxy.record import Record

_BATCH_S = 0.1
_PIPE_CHARS = 4000
"""What goes into a pipe at once without the lines of other processes in between (PIPE_BUF)."""


def text_line(record: Record) -> str:
    """One line for people: time, method, target, status, result, bytes, duration, origins, reason."""
    second = int(record.started_at)
    millisecond = int((record.started_at - second) * 1000)
    result = record.report.x_cache if record.report is not None else "-"
    target = record.target if record.target.isprintable() else _printable(record.target)
    line = (
        f"{_second(second)}.{millisecond:03}Z {record.viewer or '-'} {record.method} {target} {record.status}"
        f" {result} {record.sent_bytes}B {record.duration_s * 1000:.1f}ms"
    )
    if record.trail:
        line += f" {' '.join(map(str, record.trail))}"
    if record.reason is not None:
        line += f" reason={record.reason}"
    if record.backfill:
        line += f" backfill={record.backfill}"
    if record.compression:
        line += f" compression={record.compression}"
    if record.received_bytes is not None:
        line += f" received={record.received_bytes}B"
    if record.is_cut:
        line += " cut"
    if record.fault:
        line += f" fault={json.dumps(record.fault)}"
    return f"{line} {record.id}"


_json = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def json_line(record: Record) -> str:
    """One JSON object."""
    return _json({"event": "request", **record.fields()})


def job_fields(job: Job, outcome: Outcome) -> dict[str, object]:
    """How one attempt of a backfill job ended, as plain values."""
    fields: dict[str, object] = {
        "event": "backfill",
        "group": job.group,
        "key": job.key.decode("utf-8", "replace"),
        "attempt": job.attempt,
    }
    match outcome:
        case Stored():
            fields |= {"outcome": "stored", "bytes": outcome.size}
        case Skipped():
            fields |= {"outcome": "skipped", "reason": str(outcome.reason)}
        case Failed():
            fields |= {"outcome": "failed", "reason": str(outcome.reason), "fault": outcome.message}
    return fields


class LineWriter:
    """Collects lines and writes them a few times a second. A stream that is gone is left alone."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(self, line: str) -> None:
        """Put `line` with those that wait."""
        self._lines.append(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_BATCH_S, self.flush)

    def flush(self) -> None:
        """Write what waits."""
        self._timer = None
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            for text in _grouped(lines):
                self._stream.write(text)
                self._stream.flush()
        except (OSError, ValueError):
            # The reader of our output has gone; requests are still answered.
            return


def _grouped(lines: list[str]) -> Iterator[str]:
    """As many lines together as a pipe takes at once; a longer line by itself."""
    group: list[str] = []
    size = 0
    for line in lines:
        if group and size + len(line) + 1 > _PIPE_CHARS:
            yield "\n".join(group) + "\n"
            group, size = [], 0
        group.append(line)
        size += len(line) + 1
    yield "\n".join(group) + "\n"


class RequestLog:
    """Lines for requests and backfill jobs in one of the two formats."""

    def __init__(self, writer: LineWriter, line_format: Literal["text", "json"], *, access: bool) -> None:
        self._writer = writer
        self._is_json = line_format == "json"
        self._line: Callable[[Record], str] = json_line if self._is_json else text_line
        self._access = access

    def request(self, record: Record) -> None:
        """A request has ended."""
        if self._access or record.fault:
            self._writer.write(self._line(record))

    def job(self, job: Job, outcome: Outcome) -> None:
        """An attempt of a job has ended."""
        fields = job_fields(job, outcome)
        if self._is_json:
            self._writer.write(_json(fields))
        else:
            rest = " ".join(
                f"{name}={value}" for name, value in fields.items() if name not in ("event", "outcome")
            )
            self._writer.write(f"backfill {fields['outcome']} {_printable(rest)}")

    def flush(self) -> None:
        """Write what waits."""
        self._writer.flush()


def _printable(text: str) -> str:
    """Without control characters, which could forge lines or colours."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


@lru_cache(8)
def _second(seconds: int) -> str:
    """As all lines of this second begin."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
