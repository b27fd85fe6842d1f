"""Which entries should go when room is needed: policies against each other, and against the best possible.

Traces are made up: requests fall on objects by Zipf's law, with what traffic has besides - sizes with a
heavy tail, robots that ask for everything once, favourites that change. "Best" sees the future: for each
pair of requests for one object it weighs bytes times waiting, and takes the cheapest as long as the cache
has room on the average (PFOO-L; Berger, Beckmann, Harchol-Balter, "Practical Bounds on Optimal Caching
with Variable Object Sizes", 2018). No policy reaches it.

    python bench/eviction.py [--requests 300000] [--objects 30000]
"""

import argparse
import itertools
import random
import statistics
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from cachetools import FIFOCache, LFUCache, LRUCache

from edgeproxy.store.s3fifo import S3Fifo

Trace: TypeAlias = list[tuple[int, int]]
"""Objects and their sizes, in the order in which they are asked for."""


class Policy(Protocol):
    """A cache of so many bytes."""

    def ask(self, key: int, size: int) -> bool:
        """Whether `key` is there; if not it is put there."""


class _OfCachetools:
    def __init__(self, kind: type, max_bytes: int) -> None:
        self._cache = kind(max_bytes, getsizeof=lambda size: size)

    def ask(self, key: int, size: int) -> bool:
        if self._cache.get(key) is not None:
            return True
        if size <= self._cache.maxsize:
            self._cache[key] = size
        return False


class _Node:
    __slots__ = ("key", "next", "prev", "size", "visited")

    def __init__(self, key: int, size: int) -> None:
        self.key, self.size, self.visited = key, size, False
        self.prev = self.next = self


class Sieve:
    """Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._used = 0
        self._nodes: dict[int, _Node] = {}
        self._root = self._hand = _Node(-1, 0)

    def ask(self, key: int, size: int) -> bool:
        node = self._nodes.get(key)
        if node is not None:
            node.visited = True
            return True
        if size <= self._max:
            while self._used + size > self._max:
                self._evict()
            self._nodes[key] = node = _Node(key, size)
            root = self._root
            node.prev, node.next = root.prev, root
            root.prev.next = node
            root.prev = node
            self._used += size
        return False

    def _evict(self) -> None:
        """The hand goes from the oldest to the newest, and starts again."""
        node, root = self._hand, self._root
        while node is root or node.visited:
            node.visited = False
            node = node.next
        self._hand = node.next
        node.prev.next, node.next.prev = node.next, node.prev
        del self._nodes[node.key]
        self._used -= node.size


@dataclass(slots=True)
class _Value:
    size: int
    asked: int = 0


class OfTheHouse:
    """What the memory cache goes by: S3-FIFO."""

    def __init__(self, max_bytes: int) -> None:
        self._cache: S3Fifo[int, _Value] = S3Fifo(max_bytes)

    def ask(self, key: int, size: int) -> bool:
        if self._cache.get(key) is not None:
            return True
        if size <= self._cache.maxsize:
            self._cache[key] = _Value(size)
        return False


class WTinyLfu:
    """Einziger, Friedman, Manes, "TinyLFU", 2017: window 1 %, counts exact where libraries have a sketch."""

    def __init__(self, max_bytes: int) -> None:
        self._max_window = max(max_bytes // 100, 1)
        self._max_main = max_bytes - self._max_window
        self._window, self._trial, self._safe = _Lru(), _Lru(), _Lru()
        self._counts: Counter[int] = Counter()
        self._counted = 0

    def ask(self, key: int, size: int) -> bool:
        self._count(key)
        if key in self._window.sizes:
            self._window.touch(key)
        elif key in self._safe.sizes:
            self._safe.touch(key)
        elif key in self._trial.sizes:
            self._safe.put(key, self._trial.take(key))
            while self._safe.used > self._max_main * 8 // 10:
                self._trial.put(*self._safe.oldest())
        else:
            self._window.put(key, size)
            while self._window.used > self._max_window:
                self._admit(*self._window.oldest())
            return False
        return True

    def _count(self, key: int) -> None:
        self._counts[key] = min(self._counts[key] + 1, 15)
        self._counted += 1
        if self._counted >= 10 * (
            len(self._window.sizes) + len(self._trial.sizes) + len(self._safe.sizes) + 100
        ):
            self._counts = Counter({k: n // 2 for k, n in self._counts.items() if n > 1})
            self._counted //= 2

    def _admit(self, key: int, size: int) -> None:
        if size > self._max_main:
            return
        while self._trial.used + self._safe.used + size > self._max_main:
            victims = self._trial if self._trial.sizes else self._safe
            if self._counts[key] <= self._counts[next(iter(victims.sizes))]:
                return
            victims.oldest()
        self._trial.put(key, size)


class _Lru:
    def __init__(self) -> None:
        self.sizes: OrderedDict[int, int] = OrderedDict()
        self.used = 0

    def put(self, key: int, size: int) -> None:
        self.sizes[key] = size
        self.used += size

    def take(self, key: int) -> int:
        size = self.sizes.pop(key)
        self.used -= size
        return size

    def touch(self, key: int) -> None:
        self.sizes.move_to_end(key)

    def oldest(self) -> tuple[int, int]:
        key, size = self.sizes.popitem(last=False)
        self.used -= size
        return key, size


POLICIES: dict[str, Callable[[int], Policy]] = {
    "LRU": lambda max_bytes: _OfCachetools(LRUCache, max_bytes),
    "FIFO": lambda max_bytes: _OfCachetools(FIFOCache, max_bytes),
    "LFU": lambda max_bytes: _OfCachetools(LFUCache, max_bytes),
    "SIEVE": Sieve,
    "S3-FIFO": OfTheHouse,
    "W-TinyLFU": WTinyLfu,
}


def zipf(rand: random.Random, requests: int, objects: int, skew: float) -> list[int]:
    """Ranks, 0 the most wanted."""
    weights = itertools.accumulate((rank + 1) ** -skew for rank in range(objects))
    return rand.choices(range(objects), cum_weights=list(weights), k=requests)


def equal(keys: list[int]) -> Trace:
    return [(key, 10_000) for key in keys]


def sized(keys: list[int], rand: random.Random, order: int) -> Trace:
    """Sizes of a heavy tail. `order` 1: what is wanted most is smallest; -1: largest; 0: no matter."""
    distinct = sorted(set(keys))
    sizes = [min(int(rand.lognormvariate(9, 1.6)) + 500, 5_000_000) for _ in distinct]
    if order:
        sizes.sort(reverse=order < 0)
        # Not wholly in order: most stay near their place.
        places = sorted(range(len(sizes)), key=lambda place: place + rand.gauss(0, len(sizes) / 10))
        sizes = [sizes[place] for place in places]
    of = dict(zip(distinct, sizes, strict=True))
    return [(key, of[key]) for key in keys]


def with_once_asked(keys: list[int], rand: random.Random, share: float, run: int) -> list[int]:
    """A `share` of the requests goes to what nobody asks for again, in runs of so many."""
    fresh = itertools.count(1 << 40)
    mixed: list[int] = []
    for key in keys:
        mixed.append(key)
        if rand.random() < share / (1 - share) / run:
            mixed.extend(itertools.islice(fresh, run))
    return mixed[: len(keys)]


def with_twice_asked(keys: list[int], rand: random.Random, share: float, gap: int) -> list[int]:
    """A `share` of the requests goes to what is asked for twice, `gap` requests apart, and never again."""
    fresh = itertools.count(1 << 40)
    mixed: list[int] = []
    again: deque[int] = deque(itertools.islice(fresh, gap))
    for key in keys:
        mixed.append(key)
        if rand.random() < share / (1 - share) / 2:
            again.append(next(fresh))
            mixed += again[-1], again.popleft()
    return mixed[: len(keys)]


def shifting(keys: list[int], objects: int, every: int) -> list[int]:
    """After each `every` requests one in ten of all objects gets another's place in the favour of all."""
    rand = random.Random(5)
    place = list(range(objects))
    moved = []
    for number, key in enumerate(keys):
        if number % every == 0:
            chosen = rand.sample(range(objects), objects // 10)
            for one, other in itertools.pairwise(chosen):
                place[one], place[other] = place[other], place[one]
        moved.append(place[key])
    return moved


def news(rand: random.Random, requests: int, objects: int) -> list[int]:
    """All the time something new comes, is wanted by many and then by ever fewer."""
    return [int(n * objects / requests - objects / 20 * rand.paretovariate(0.6)) for n in range(requests)]


def traces(requests: int, objects: int) -> Iterator[tuple[str, Trace]]:
    rand = random.Random(4)
    for skew in (0.7, 0.8, 0.9, 1.0, 1.1):
        yield f"Zipf {skew}", equal(zipf(rand, requests, objects, skew))
    keys = zipf(rand, requests, objects, 0.9)
    yield "0.9, any size", sized(keys, rand, 0)
    yield "0.9, favourites small", sized(keys, rand, 1)
    yield "0.9, favourites large", sized(keys, rand, -1)
    yield "0.9, 30% asked once", sized(with_once_asked(keys, rand, 0.3, 1), rand, 0)
    yield "0.9, 30% scans of 3,000", sized(with_once_asked(keys, rand, 0.3, 3_000), rand, 0)
    yield "0.9, 40% twice at once", sized(with_twice_asked(keys, rand, 0.4, 5), rand, 0)
    yield "0.9, 40% twice soon", sized(with_twice_asked(keys, rand, 0.4, 100), rand, 0)
    yield "0.9, favour moves", sized(shifting(keys, objects, requests // 50), rand, 0)
    yield "news", sized(news(rand, requests, objects), rand, 0)


def best(trace: Trace, max_bytes: int) -> tuple[float, float]:
    """Upper bounds of the hit ratio, by objects and by bytes."""
    last: dict[int, int] = {}
    waits = []
    for number, (key, size) in enumerate(trace):
        if key in last:
            waits.append((number - last[key], size))
        last[key] = number
    room = max_bytes * len(trace)
    objects = _taken(sorted((wait * size, 1) for wait, size in waits), room)
    size = _taken(sorted((wait, size) for wait, size in waits), room, is_per_byte=True)
    return objects / len(trace), size / sum(size for _, size in trace)


def _taken(items: list[tuple[int, int]], room: int, *, is_per_byte: bool = False) -> int:
    worth = 0
    for cost, value in items:
        room -= cost * value if is_per_byte else cost
        if room < 0:
            break
        worth += value
    return worth


def replay(policy: Policy, trace: Trace) -> tuple[float, float]:
    """Hit ratio by objects, and by bytes."""
    hits = [size for key, size in trace if policy.ask(key, size)]
    return len(hits) / len(trace), sum(hits) / sum(size for _, size in trace)


def nanoseconds(make: Callable[[int], Policy], requests: list[int], max_objects: int) -> float:
    """What a request costs; the median of some rounds."""
    rounds = []
    for _ in range(5):
        policy = make(max_objects)
        for key in requests:
            policy.ask(key, 1)
        start = time.perf_counter()
        for key in requests:
            policy.ask(key, 1)
        rounds.append((time.perf_counter() - start) / len(requests) * 1e9)
    return statistics.median(rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=300_000)
    parser.add_argument("--objects", type=int, default=30_000)
    options = parser.parse_args()
    others = [name for name in POLICIES if name != "LRU"]
    heads = ["best", "LRU : best", "S3-FIFO : best", *(f"{name} : LRU" for name in others)]
    for share in (0.01, 0.1):
        print(f"\nThe cache holds {share:.0%} of all bytes. Hit ratios by objects / by bytes")
        print(" " * 28 + "".join(f"{head:>17}" for head in heads))
        for name, trace in traces(options.requests, options.objects):
            max_bytes = int(share * sum(dict(trace).values()))
            bound = best(trace, max_bytes)
            results = {policy: replay(make(max_bytes), trace) for policy, make in POLICIES.items()}
            cells = [bound, _ratio(results["LRU"], bound), _ratio(results["S3-FIFO"], bound)]
            cells += [_ratio(results[other], results["LRU"]) for other in others]
            print(f"{name:<28}" + "".join(f"{f'{o:.2f} / {b:.2f}':>17}" for o, b in cells), flush=True)

    requests = zipf(random.Random(4), 50_000, 5_000, 0.9)
    costs = {
        name: [nanoseconds(make, requests, room) for room in (5_000, 500)] for name, make in POLICIES.items()
    }
    print(f"\n{'Nanoseconds a request':<28}{'all hits':>12}{': LRU':>8}{'room for 10%':>16}{': LRU':>8}")
    for name, (hits, mixed) in costs.items():
        first = costs["LRU"]
        print(f"{name:<28}{hits:>12,.0f}{hits / first[0]:>8.2f}{mixed:>16,.0f}{mixed / first[1]:>8.2f}")


def _ratio(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return one[0] / other[0], one[1] / other[1]


if __name__ == "__main__":
    main()
