"""How numbers look to people, and how far something is: a bar on a terminal, lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from edgeproxy.bulk.summary import Progress as Far

_LINE_EVERY_S = 10.0


def size(octets: int | None) -> str:
    """Bytes as people say them: 1536 -> "1.5 KiB"; "-" where there are none to tell."""
    if octets is None:
        return "-"
    number = float(octets)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def duration(seconds: float | None) -> str:
    """Seconds as people say them: 0.25 -> "250 ms", 3725 -> "1 h 02 min"."""
    if seconds is None:
        return "-"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def far_text(far: Far) -> str:
    """How far it is, in one line."""
    parts = [f"{far.done:,}" if far.total is None else f"{far.done:,} of {far.total:,}"]
    if far.bytes:
        parts.append(size(far.bytes))
    parts.append(f"{far.per_s:,.0f}/s")
    if far.failed:
        parts.append(f"{far.failed:,} failed")
    if far.rest_s is not None:
        parts.append(f"{duration(far.rest_s)} left")
    return ", ".join(parts)


@contextmanager
def watching() -> Iterator[Callable[[Far], None]]:
    """Gives what shows how far it is on standard error, until the context ends."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, console=Console(stderr=True, highlight=False)) as bars:
        yield _Bars(bars)


class _Bars:
    """A bar for each phase."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, far: Far) -> None:
        if far.phase not in self._tasks:
            self._tasks[far.phase] = self._bars.add_task(far.phase, total=far.total, told="")
        self._bars.update(self._tasks[far.phase], completed=far.done, total=far.total, told=far_text(far))


class _Lines:
    """A line every ten seconds."""

    def __init__(self) -> None:
        self._next_s = _LINE_EVERY_S
        self._phase = ""

    def __call__(self, far: Far) -> None:
        if far.phase != self._phase:
            self._phase, self._next_s = far.phase, _LINE_EVERY_S
        if far.elapsed_s >= self._next_s:
            self._next_s = far.elapsed_s + _LINE_EVERY_S
            click.echo(f"{far.phase}: {far_text(far)}", err=True)
