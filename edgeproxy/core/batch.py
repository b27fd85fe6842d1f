"""Batches of paths that CloudFront's API takes for an invalidation: their rules, and how it refuses.

CloudFront API Reference, "CreateInvalidation"; Developer Guide, "Invalidate files", "Quotas".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from edgeproxy.core.invalidation import Invalidation, invalidation

MAX_PATHS = 3_000
MAX_WILDCARDS = 15
"""Paths that may be in progress at once: without and with a wildcard, counted apart."""


class ApiError(Exception):
    """What the API answers where it does not do as it was asked: CloudFront's code, a status, a sentence."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.status = status
        self.message = message


class Status(StrEnum):
    """How far an invalidation is."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"


@dataclass(frozen=True, slots=True)
class Batch:
    """What a client wants to be invalidated. `reference` is its own name for it."""

    paths: tuple[str, ...]
    reference: str

    @property
    def wildcards(self) -> int:
        """How many of the paths cover more than one."""
        return sum(path.endswith("*") for path in self.paths)

    def is_same(self, other: "Batch") -> bool:
        """Whether the other one is this one, sent again."""
        return self.reference == other.reference and sorted(self.paths) == sorted(other.paths)

    def invalidations(self) -> tuple[Invalidation, ...]:
        """What the paths mean.  Raises `ApiError`: `InvalidArgument`, `BatchTooLarge`."""
        if not self.reference:
            raise invalid("CallerReference: is missing")
        if not self.paths:
            raise invalid("Paths: is empty, want at least one path")
        if len(self.paths) > MAX_PATHS:
            said = f"got {len(self.paths)} paths, want at most {MAX_PATHS}"
            raise ApiError(
                "BatchTooLarge", 413, f"Your request contains too many invalidation paths: {said}."
            )
        try:
            return tuple(_invalidation(path) for path in self.paths)
        except ValueError as error:
            said = "Your request contains one or more invalid invalidation paths"
            raise invalid(f"{said}: {str(error).removeprefix('path: ')}") from None


def _invalidation(path: str) -> Invalidation:
    """Raises `ValueError`."""
    if "~" in path and not path.startswith("#"):
        raise ValueError(f'path: got "{path}", want none with "~", which CloudFront does not take')
    return invalidation(path)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A batch that was taken in. `created` is a time in ISO 8601."""

    id: str
    batch: Batch
    created: str
    status: Status = Status.IN_PROGRESS


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what was taken in, the newest first, from behind `marker` on."""

    items: tuple[Recorded, ...]
    marker: str
    max_items: int
    is_truncated: bool


def check_progress(batch: Batch, others: Iterable[Batch]) -> None:
    """Refuse `batch` beside `others` in progress.  Raises `ApiError`: `TooManyInvalidationsInProgress`."""
    wildcards, plain = 0, 0
    for one in (batch, *others):
        wildcards += one.wildcards
        plain += len(one.paths) - one.wildcards
    for count, most, what in ((wildcards, MAX_WILDCARDS, "wildcard "), (plain, MAX_PATHS, "")):
        if count > most:
            said = "Processing your request will cause you to exceed the maximum number of in-progress"
            raise ApiError(
                "TooManyInvalidationsInProgress", 400, f"{said} {what}invalidations: {count}, at most {most}."
            )


def invalid(message: str) -> ApiError:
    """An `InvalidArgument`."""
    return ApiError("InvalidArgument", 400, message)
