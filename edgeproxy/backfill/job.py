"""What is to be copied into which bucket, how a job ended, and what is known of it meanwhile."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeAlias

from edgeproxy.core.key import CacheKey
from edgeproxy.core.reason import Reason


@dataclass(frozen=True, slots=True)
class Job:
    """Copy one object. Plain values only, so that a job can be written down and read by another process."""

    group: str
    """The origin group: its primary is the bucket, its secondary the source."""
    key: bytes
    """The object's key."""
    path: str
    """The path to ask the source for."""
    cache_key: CacheKey | None
    """Where the cache has the same bytes, if it may have them."""
    max_bytes: int
    """An object larger than this is not copied."""
    query: str = ""
    """The query to ask the source with, less "?"."""
    headers: tuple[tuple[str, str], ...] = ()
    """Fields of the viewer's that the source is to get."""
    refresh: bool = False
    """Whether an object of ours that is there is to be replaced, if the source has another by now."""
    attempt: int = 0
    """Which attempt this is; 0 = there was none yet."""

    @property
    def identity(self) -> tuple[str, bytes]:
        """Two jobs with the same identity would do the same."""
        return self.group, self.key

    def __str__(self) -> str:
        return f"{self.group}:{self.key.decode('utf-8', 'replace')}"


@dataclass(frozen=True, slots=True)
class Stored:
    """The object is in the bucket, whole."""

    size: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing was written, and that is right."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing was written. `is_final` = trying again cannot help."""

    reason: Reason
    message: str
    is_final: bool = False
    after_s: float = 0.0
    """It is not to be tried again earlier than that."""


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing was tried: the source may not be asked for `in_s` seconds."""

    reason: Reason
    in_s: float


Outcome: TypeAlias = Stored | Skipped | Failed


class State(StrEnum):
    """Where a job is. The first two are live: at most one live job has a `Job.identity`."""

    QUEUED = "queued"
    LEASED = "leased"
    STORED = "stored"
    SKIPPED = "skipped"
    FAILED = "failed"
    """Trying again could not help."""
    DEAD = "dead"
    """It was tried as often as it may be."""


LIVE = frozenset({State.QUEUED, State.LEASED})
"""There is still something to be done."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work at a job, until it is given back, taken by another after it ran out, or ended."""

    number: int
    turn: int
    """How many leases of this job there have been: an older one is worth nothing."""
    job: Job


@dataclass(frozen=True, slots=True)
class Lost:
    """None of the workers of this job has lived to its end, as often as it may be tried: it is dead."""

    job: Job


@dataclass(frozen=True, slots=True)
class Entry:
    """All that is known of a job. `added_at` and `changed_at` are POSIX seconds."""

    number: int
    job: Job
    state: State
    added_at: float
    changed_at: float
    reason: Reason | None = None
    """Why it was skipped, has failed, or is to be tried again.

    CANCELLED while it is leased: whoever is at it is to leave it.
    """
    message: str = ""
    size: int | None = None
    """Bytes that were stored."""
    took_s: float | None = None
    """How long the last attempt took."""

    def fields(self) -> dict[str, object]:
        """Plain values, for JSON; dates in ISO 8601."""
        return {
            "number": self.number,
            "group": self.job.group,
            "key": self.job.key.decode("utf-8", "replace"),
            "state": self.state.value,
            "attempts": self.job.attempt,
            "reason": self.reason.value if self.reason is not None else None,
            "message": self.message,
            "bytes": self.size,
            "took_s": round(self.took_s, 3) if self.took_s is not None else None,
            "added_at": _date(self.added_at),
            "changed_at": _date(self.changed_at),
        }


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs are meant: all for which everything that is given here holds, at most `limit`."""

    states: frozenset[State] = frozenset(State)
    group: str | None = None
    prefix: bytes = b""
    """What the key begins with."""
    number: int | None = None
    limit: int = 100

    def covers(self, entry: Entry) -> bool:
        """Whether `entry` is meant, but for the limit."""
        return (
            entry.state in self.states
            and self.group in (None, entry.job.group)
            and entry.job.key.startswith(self.prefix)
            and self.number in (None, entry.number)
        )


ENDED_BADLY = frozenset({State.SKIPPED, State.FAILED, State.DEAD})
"""What may be tried again because somebody wants it."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What an attempt leaves behind in the queue."""

    state: State
    reason: Reason | None = None
    message: str = ""
    size: int | None = None


CANCELLED = Ending(State.SKIPPED, Reason.CANCELLED)
"""Somebody wants it no more."""


def ending(outcome: Outcome, *, is_last: bool) -> Ending:
    """How the queue is to remember `outcome`; `is_last` = there is no attempt left."""
    match outcome:
        case Stored():
            return Ending(State.STORED, size=outcome.size)
        case Skipped():
            return Ending(State.SKIPPED, outcome.reason)
        case Failed():
            state = State.FAILED if outcome.is_final else State.DEAD if is_last else State.QUEUED
            return Ending(state, outcome.reason, outcome.message)
