"""What stored responses take of resident memory, against what the cache counts them as.

Each shape is built in a process of its own, by the same rules as the gateway's, every text anew. The
constants in edgeproxy/store/memory.py come from here: "counted / resident" should be near 1, whatever
the shape.

    python bench/memory.py [--entries 50000]
"""

import argparse
import gc
import multiprocessing
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from edgeproxy.core.key import KeyPolicy, Pick, Selection, cache_key
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.storing import CachePolicy, stored
from edgeproxy.store.memory import Entry, MemoryCache

KEY = KeyPolicy(query=Selection(Pick.ALL), cookies=Selection(Pick.ALL))
KEY_OF_FIELDS = KeyPolicy(headers=Selection(Pick.ONLY, frozenset(f"x-{i}" for i in range(5))))
Response: TypeAlias = tuple[Request, Head, bytes]


def answer(path: str, lines: str = "", body: int = 0, *, query: str = "", sent: str = "") -> Response:
    """A response with fields of its own; `sent` are the request's."""
    head = Head(200, Headers(fields(lines)))
    return Request("GET", path, query, Headers(fields(sent))), head, (path * (body // len(path))).encode()


def fields(lines: str) -> list[tuple[str, str]]:
    """Names and values, none of them shared, from `name: value` parted by "|"."""
    pairs = (line.partition(": ") for line in lines.split("|") if line)
    return [(name, value.encode().decode()) for name, _, value in pairs]


def as_s3(n: int) -> Response:
    """The fields of an S3 object."""
    return answer(
        f"/images/{n:09}.jpg",
        f"Content-Type: image/jpeg|Content-Length: {n}|Accept-Ranges: bytes|Server: AmazonS3"
        f'|ETag: "{n:032}"|Last-Modified: Sat, 21 Nov 2026 {n:08} GMT|Date: Sat, 21 Nov 2026 {n:08} GMT'
        f"|Cache-Control: public, max-age=60|x-amz-request-id: {n:016}|x-amz-id-2: {n:076}"
        "|x-amz-server-side-encryption: AES256",
        body=100,
    )


def own(count: int, chars: int, n: int) -> str:
    return "|".join(f"X-Field-{i}: {n * 100 + i:0{chars}}" for i in range(count))


SHAPES: dict[str, Callable[[int], Response]] = {
    "a path alone": lambda n: answer(f"/{n:09}"),
    "as S3 answers, 100 bytes": as_s3,
    "10 kB": lambda n: answer(f"/{n:09}", own(8, 20, n), body=10_000),
    "8 fields of 20": lambda n: answer(f"/{n:09}", own(8, 20, n)),
    "50 fields of 5": lambda n: answer(f"/{n:09}", own(50, 5, n)),
    "8 fields of 200": lambda n: answer(f"/{n:09}", own(8, 200, n)),
    "8 fields of 20, not ASCII": lambda n: answer(f"/{n:09}", own(8, 20, n).replace("0", "ü")),
    "8 fields with names of their own": lambda n: answer(f"/{n:09}", own(8, 20, n).replace("F", f"{n}-")),
    "one field on 20 lines": lambda n: answer(f"/{n:09}", "|".join(f"Link: {n:020}" for _ in range(20))),
    "a path of 1,000": lambda n: answer(f"/{n:0999}"),
    "a query of 10, one a path": lambda n: answer(f"/{n:09}", query=f"{n:010}"),
    "a query of 10, all of one path": lambda n: answer(copy("/a.jpg"), query=f"{n:010}"),
    "a query of 1,000": lambda n: answer(copy("/a.jpg"), query=f"{n:01000}"),
    "cookies of 200 in the key": lambda n: answer(copy("/a.jpg"), sent=f"Cookie: a={n:0198}"),
    "5 fields of 20 in the key": lambda n: answer(copy("/a.jpg"), sent=own(5, 20, n).replace("Field-", "")),
    "1 tag": lambda n: answer(f"/{n:09}", f"Cache-Tag: {n:010}"),
    "10 tags": lambda n: answer(f"/{n:09}", "Cache-Tag: " + ",".join(f"{n:09}{i}" for i in range(10))),
    "10 tags that all have": lambda n: answer(f"/{n:09}", "Cache-Tag: a1,b2,c3,d4,e5,f6,g7,h8,i9,j0"),
    "10 tags that ten have": lambda n: answer(
        f"/{n:09}", "Cache-Tag: " + ",".join(f"{n // 10:09}{i}" for i in range(10))
    ),
    "varies on a field of 20": lambda n: answer(f"/{n:09}", "Vary: X-Kind", sent=f"X-Kind: {n:020}"),
    "16 variants a path": lambda n: answer(f"/{n // 16:09}", "Vary: X-Kind", sent=f"X-Kind: {n:020}"),
    "varies on 50 fields not sent": lambda n: answer(
        f"/{n:09}", "Vary: " + ",".join(f"{n:09}{i}" for i in range(50))
    ),
}


def copy(text: str) -> str:
    return text.encode().decode()


def filled(name: str, count: int) -> tuple[float, float]:
    """Bytes that `count` responses of a shape take of this process, and are counted as; each."""
    shape = SHAPES[name]
    policy = CachePolicy(key=KEY_OF_FIELDS if "fields" in name and "key" in name else KEY)
    cache = MemoryCache(1 << 60, 1 << 40)
    before = resident_bytes()
    for number in range(count):
        put(cache, shape(number), policy, number)
    gc.collect()
    return (resident_bytes() - before) / count, cache.used_bytes / count


def churned(name: str, max_bytes: int) -> tuple[float, float]:
    """The same of a cache of `max_bytes` that was filled five times over; all together.

    With a shape, or with all of them by chance and bodies of all sizes.
    """
    cache = MemoryCache(max_bytes, max_bytes)
    rand = random.Random(1)
    before = resident_bytes()
    number = stored_bytes = 0
    while stored_bytes < 5 * max_bytes:
        sent, head, body = (SHAPES.get(name) or rand.choice([*SHAPES.values()]))(number)
        body += bytes(0 if name in SHAPES else int(rand.paretovariate(0.9) * 100) % 1_000_000)
        put(cache, (sent, head, body), CachePolicy(key=KEY), number)
        stored_bytes += len(body) + 1_000
        number += 1
    gc.collect()
    return resident_bytes() - before, cache.used_bytes


def put(cache: MemoryCache, response: Response, policy: CachePolicy, number: int) -> None:
    sent, head, body = response
    kept = stored(sent, head, policy, number + 0.25, number + 0.5)
    assert cache.store(cache_key(sent, policy.key), Entry(kept, body))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--entries", type=int, default=50_000)
    count = parser.parse_args().entries
    runs = [(name, filled, (name, count)) for name in SHAPES]
    runs += [
        ("a path alone, evicting", churned, ("a path alone", 1_000 * count)),
        ("all of them, evicting", churned, ("", 4_000 * count)),
    ]
    print(f"{'bytes an entry':<34} {'resident':>12} {'counted':>12} {'counted / resident':>19}")
    for name, measure, arguments in runs:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            takes, counted = pool.apply(measure, arguments)
        print(f"{name:<34} {takes:>12,.0f} {counted:>12,.0f} {counted / takes:>19.2f}", flush=True)


if __name__ == "__main__":
    main()
