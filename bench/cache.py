"""What the cache itself costs, without sockets: lookups, stores, and purges with few and with many entries.

Every figure is the median of several rounds in one run; the ratio is to the first line of its table.

    python bench/cache.py [--entries 1000000]
"""

import argparse
import gc
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edgeproxy.core.decision import on_lookup
from edgeproxy.core.invalidation import Invalidation, Reach, invalidation
from edgeproxy.core.key import CacheKey, KeyPolicy, Pick, Selection, cache_key
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.storing import CachePolicy, Stored, may_store, stored
from edgeproxy.store.memory import Entry, MemoryCache

ROUNDS = 7
POLICY = CachePolicy(key=KeyPolicy(query=Selection(Pick.ALL)))
SENT = Headers(
    [
        ("Host", "cdn.example.com"),
        ("User-Agent", "Mozilla/5.0"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip"),
    ]
)


def request(number: int) -> Request:
    return Request("GET", f"/objects/{number:09}.jpg", headers=SENT)


def head(number: int) -> Head:
    """As S3 answers, less its ids."""
    fields = (
        "Content-Type: image/jpeg|Content-Length: 100|Accept-Ranges: bytes|Server: AmazonS3"
        f'|ETag: "{number:032}"|Last-Modified: Sat, 21 Nov 2026 {number:08} GMT'
        f"|Date: Sat, 21 Nov 2026 {number:08} GMT|Cache-Control: public, max-age=60"
    )
    return Head(
        200, Headers((name, value) for name, _, value in (f.partition(": ") for f in fields.split("|")))
    )


def entry(number: int) -> Entry:
    return Entry(stored(request(number), head(number), POLICY, 0.0, 0.5), b"%0100d" % number)


def filled(count: int, max_bytes: int = 1 << 40) -> MemoryCache:
    cache = MemoryCache(max_bytes, max_bytes)
    for number in range(count):
        cache.store(cache_key(request(number), POLICY.key), entry(number))
    return cache


def per_second(act: Callable[[int], object], numbers: list[int]) -> float:
    """How often a second `act` is done, over `numbers`; the median of the rounds."""
    rates = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for number in numbers:
            act(number)
        rates.append(len(numbers) / (time.perf_counter() - start))
    return statistics.median(rates)


def operations() -> Iterator[tuple[str, float]]:
    """What is done for every request, and for every miss."""
    count = 20_000
    numbers = list(range(count))
    cache, full = filled(count), filled(count, 5_000_000)
    requests = [request(number) for number in range(2 * count)]
    keys = [cache_key(one, POLICY.key) for one in requests]
    heads = [head(number) for number in numbers]
    entries = [entry(number) for number in numbers]

    def lookup(number: int) -> None:
        one = requests[number]
        found, has_variants = cache.find(cache_key(one, POLICY.key), lambda: one.headers)
        on_lookup(found.stored if found is not None else None, has_variants, POLICY, 1.0)

    def storing(number: int) -> None:
        one, its_head = requests[number], heads[number]
        assert may_store(one, its_head, POLICY, 0.5) is None
        full.store(cache_key(one, POLICY.key), Entry(stored(one, its_head, POLICY, 0.0, 0.5), b"x" * 100))

    by_key = dict(zip(keys, entries, strict=False))
    yield "a dict, to compare", per_second(lambda n: by_key.get(keys[n]), numbers)
    yield "find, by a key at hand", per_second(lambda n: cache.find(keys[n], Headers), numbers)
    yield "find nothing", per_second(lambda n: cache.find(keys[count + n], Headers), numbers)
    yield "lookup: key, find, on_lookup", per_second(lookup, numbers)
    yield "store, in place of the older", per_second(lambda n: cache.store(keys[n], entries[n]), numbers)
    yield "store, another goes", per_second(lambda n: full.store(keys[n], entries[n]), numbers)
    yield "storing: may_store, stored, store", per_second(storing, numbers)


def purges(count: int) -> Iterator[tuple[str, float]]:
    """Microseconds, with so many entries besides what is purged."""
    cache = filled(count)

    def timed(what: str, purge: Invalidation, *keys: CacheKey) -> tuple[str, float]:
        took = []
        for _ in range(101 if len(keys) == 1 else ROUNDS):
            for key in keys:
                cache.store(key, tagged)
            start = time.perf_counter()
            gone = cache.invalidate(purge)
            took.append(time.perf_counter() - start)
            assert gone == len(keys)
        return what, statistics.median(took) * 1e6

    tagged = Entry(Stored(Head(200, Headers([("Cache-Tag", "red")])), 60, 0, 0), b"")
    queries = [CacheKey("GET", "/one.jpg", f"w={number}") for number in range(1_000)]
    yield timed("one path", invalidation("/one.jpg"), CacheKey("GET", "/one.jpg"))
    for key in queries[1:]:
        cache.store(key, tagged)
    yield timed("one of 1,000 queries of a path", invalidation("/one.jpg?w=0"), queries[0])
    cache.invalidate(invalidation("/one.jpg*"))
    yield timed("a path with its 1,000 queries", Invalidation(Reach.PATH, "/one.jpg"), *queries)
    yield timed("a tag that 1,000 have", invalidation("#red"), *queries)
    yield timed("a prefix that 1,000 have", invalidation("/one*"), *queries)
    start = time.perf_counter()
    cache.invalidate(invalidation("/*"))
    yield "everything", (time.perf_counter() - start) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    count = parser.parse_args().entries
    print(f"{'Operation':<36} {'a second':>12} {'ratio':>8}")
    first = None
    for what, rate in operations():
        first = first or rate
        print(f"{what:<36} {rate:>12,.0f} {rate / first:>8.2f}", flush=True)

    few, many = f"{1_000:,}", f"{count:,}"
    print(f"\n{'Purge, microseconds with':<36} {few:>12} {many:>12} {'ratio':>8}")
    for (what, with_few), (_, with_many) in zip(purges(1_000), purges(count), strict=True):
        print(f"{what:<36} {with_few:>12,.1f} {with_many:>12,.1f} {with_many / with_few:>8.2f}", flush=True)

    gc.collect()
    before = resident_bytes()
    cache = filled(count)
    takes = (resident_bytes() - before) / 1e6
    counted = cache.used_bytes / 1e6
    print(f"\n{many} entries of 100 bytes take {takes:,.0f} MB, counted as {counted:,.0f} MB", end="")
    print(f" ({counted / takes:.2f} of that)")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
