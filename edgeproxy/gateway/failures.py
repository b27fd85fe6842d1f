"""Errors of a moment ago that were made here, so that an origin that is down is not asked for every viewer.

They are kept apart from stored responses: an error must not push out what may yet be validated, nor
the variants of an object that are well.
"""

from dataclasses import dataclass

from cachetools import LRUCache

from edgeproxy.core.errors import EdgeError, RememberedError
from edgeproxy.core.invalidation import Invalidation
from edgeproxy.core.key import CacheKey
from edgeproxy.core.reason import Reason

_OVERHEAD_BYTES = 1_000
"""What a failure takes besides the text of its key."""


@dataclass(frozen=True, slots=True)
class _Failure:
    status: int
    reason: Reason
    message: str
    until: float
    size: int


class Failures:
    """The last failure of each key, until its time is up; at most `max_bytes` of them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._by_key: LRUCache[CacheKey, _Failure] = LRUCache(max(max_bytes, 1), getsizeof=lambda f: f.size)

    def add(self, key: CacheKey, error: EdgeError, until: float) -> None:
        """Remember `error` until POSIX second `until`."""
        texts = (key.path, key.query, key.cookies, error.message, *(value or "" for _, value in key.headers))
        size = _OVERHEAD_BYTES + sum(map(len, texts))
        if size <= self._max_bytes:
            self._by_key[key] = _Failure(error.status, error.reason, error.message, until, size)

    def find(self, key: CacheKey, now: float) -> RememberedError | None:
        """The failure that is still remembered, as an error to be raised."""
        failure = self._by_key.get(key)
        if failure is None:
            return None
        if failure.until <= now:
            del self._by_key[key]
            return None
        return RememberedError(
            failure.reason, failure.message, status=failure.status, rest_s=failure.until - now
        )

    def invalidate(self, invalidation: Invalidation) -> int:
        """Forget all that is covered; gives how many keys that were."""
        covered = [key for key in self._by_key if invalidation.covers(key, frozenset())]
        for key in covered:
            del self._by_key[key]
        return len(covered)

    def __repr__(self) -> str:
        return f"Failures({len(self._by_key)} keys, {self._by_key.currsize:.0f}/{self._max_bytes} bytes)"
