"""What is to be copied into which bucket, and how a job ended."""

from dataclasses import dataclass
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
    cache_key: CacheKey
    """Where the cache has the same bytes."""
    max_bytes: int
    """An object larger than this is not copied."""
    attempt: int = 1

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


Outcome: TypeAlias = Stored | Skipped | Failed
