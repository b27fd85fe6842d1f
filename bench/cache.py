"""What it costs to purge one path with 1,000 and with 1,000,000 stored objects, and what an entry takes.

python bench/cache.py
"""

import resource
import statistics
import time

from edgeproxy.core.invalidation import invalidation
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.storing import Stored
from edgeproxy.store.memory import Entry, MemoryCache

FIELDS = (
    "Content-Type",
    "Cache-Control",
    "ETag",
    "Last-Modified",
    "Date",
    "Server",
    "Content-Length",
    "Accept-Ranges",
)


def filled(count: int) -> MemoryCache:
    """A cache with `count` objects of 100 bytes; each name and value is text of its own."""
    cache = MemoryCache(1 << 40, 1 << 20)
    for number in range(count):
        fields = [(name.encode().decode(), f"a value of {number:020d}") for name in FIELDS]
        body = b"x" * 90 + b"%010d" % number
        cache.store(
            CacheKey("GET", f"/objects/{number}"), Entry(Stored(Head(200, Headers(fields)), 60, 0, 0), body)
        )
    return cache


def resident_bytes() -> int:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    for count in (1_000, 1_000_000):
        before = resident_bytes()
        cache = filled(count)
        an_object = (resident_bytes() - before) / count
        counted = cache.used_bytes / count
        took = []
        for number in range(0, count, count // 1_000):
            one = invalidation(f"/objects/{number}")
            start = time.perf_counter()
            assert cache.invalidate(one) == 1
            took.append(time.perf_counter() - start)
        print(f"{count:>9,} objects: {statistics.median(took) * 1e6:.1f} us to purge one path; ", end="")
        print(f"an object takes {an_object:,.0f} bytes and is counted as {counted:,.0f}")


if __name__ == "__main__":
    main()
