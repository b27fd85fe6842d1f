"""The only place that reads a clock; everything else is handed one."""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Two ways to tell the time, both in seconds."""

    def now(self) -> float:
        """POSIX time: for dates, ages and signatures. May be set back."""
        ...

    def elapsed(self) -> float:
        """Monotonic time from an unknown start: for durations."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clock. Each hit asks it, so nothing stands in between."""

    now = staticmethod(time.time)  # noqa: TID251
    elapsed = staticmethod(time.monotonic)
