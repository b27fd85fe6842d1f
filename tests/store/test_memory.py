"""The cache in memory: what it finds again, what goes first, and that it stays within its bytes."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgeproxy.core.invalidation import Invalidation, Reach, invalidation
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.storing import Stored
from edgeproxy.store.memory import Entry, MemoryCache
from edgeproxy.store.tiers import Tiers
from tests.core.conftest import steady

MIB = 1024 * 1024
KEY = CacheKey("GET", "/a.jpg")


def key(path: str, query: str = "") -> CacheKey:
    return CacheKey("GET", path, query)


def entry(body: bytes | int = b"", *fields: tuple[str, str]) -> Entry:
    body = bytes(body) if isinstance(body, int) else body
    return Entry(Stored(Head(200, Headers(fields)), 60, 0, 0), body)


def varying(value: str | None, body: bytes = b"", name: str = "x-kind") -> Entry:
    one = entry(body, ("Vary", name))
    return replace(one, stored=replace(one.stored, vary=(name,), variant=(value,)))


def found(cache: MemoryCache, key: CacheKey, *sent: tuple[str, str]) -> bytes | None:
    one, _ = cache.find(key, lambda: Headers(sent))
    return one.body if one is not None else None


@pytest.fixture
def cache() -> MemoryCache:
    return MemoryCache(MIB, MIB)


# ---------------------------------------------------------------- find and store


def test_what_is_stored_is_found_as_it_was(cache: MemoryCache) -> None:
    one = entry(b"body", ("Content-Type", "text/plain"), ("X-Line", "1"), ("X-Line", "2"), ("x-line", "ü"))
    assert cache.store(KEY, one)
    again, has_variants = cache.find(KEY, Headers)
    assert again == one
    assert again is not None
    assert again.stored.head.headers.get("x-line") == one.stored.head.headers.get("x-line") == "1, 2, ü"
    assert not has_variants


def test_what_is_not_stored_is_not_found(cache: MemoryCache) -> None:
    cache.store(KEY, entry())
    assert cache.find(replace(KEY, query="w=1"), Headers) == (None, False)
    assert cache.find(replace(KEY, method="OPTIONS"), Headers) == (None, False)


def test_a_replacement_takes_the_place_of_the_older(cache: MemoryCache) -> None:
    cache.store(KEY, entry(1_000))
    full = cache.used_bytes
    assert cache.store(KEY, entry(b"new"))
    assert found(cache, KEY) == b"new"
    assert len(cache) == 1
    assert cache.used_bytes == full - 997


def test_to_store_the_same_again_takes_no_more(cache: MemoryCache) -> None:
    fields = [("Content-Type", "text/plain"), ("ETag", '"1"')]
    cache.store(KEY, entry(b"x", *fields))
    before = cache.used_bytes
    one, _ = cache.find(KEY, Headers)
    assert one is not None
    cache.store(KEY, one)
    assert cache.used_bytes == before
    cache.store(KEY, entry(b"x", *fields))
    assert cache.used_bytes == before


def test_discard_forgets_a_key_and_gives_its_room_back(cache: MemoryCache) -> None:
    cache.store(KEY, entry(b"x"))
    cache.discard(KEY)
    cache.discard(KEY)
    assert (found(cache, KEY), len(cache), cache.used_bytes) == (None, 0, 0)


# ---------------------------------------------------------------- variants, RFC 9111 §4.1


def test_each_variant_goes_to_those_who_ask_for_it(cache: MemoryCache) -> None:
    cache.store(KEY, varying("a", b"A"))
    cache.store(KEY, varying("b", b"B"))
    cache.store(KEY, varying(None, b"-"))
    assert found(cache, KEY, ("X-Kind", "a")) == b"A"
    assert found(cache, KEY, ("X-Kind", "b")) == b"B"
    assert found(cache, KEY) == b"-"
    assert cache.find(KEY, lambda: Headers([("X-Kind", "c")])) == (None, True)
    assert len(cache) == 1


def test_the_fields_sent_are_not_asked_for_without_variants(cache: MemoryCache) -> None:
    cache.store(KEY, entry(b"x"))

    def never() -> Headers:
        raise AssertionError("asked for")

    assert cache.find(KEY, never)[0] is not None


def test_a_variant_replaces_the_same_variant_only(cache: MemoryCache) -> None:
    cache.store(KEY, varying("a", b"A"))
    cache.store(KEY, varying("b", b"B"))
    cache.store(KEY, varying("a", b"A2"))
    assert found(cache, KEY, ("X-Kind", "a")) == b"A2"
    assert found(cache, KEY, ("X-Kind", "b")) == b"B"


@pytest.mark.parametrize("other", [entry(b"one for all"), varying("a", b"by another field", "x-other")])
def test_an_origin_that_varies_otherwise_than_before_starts_anew(cache: MemoryCache, other: Entry) -> None:
    cache.store(KEY, varying("a", b"A"))
    cache.store(KEY, other)
    assert found(cache, KEY, ("X-Other", "a")) == other.body
    assert found(cache, KEY, ("X-Kind", "a"), ("X-Other", "b")) != b"A"


def test_variants_of_a_key_are_bounded_and_the_oldest_goes(cache: MemoryCache) -> None:
    for number in range(17):
        cache.store(KEY, varying(str(number), b"x"))
    assert found(cache, KEY, ("X-Kind", "0")) is None
    assert all(found(cache, KEY, ("X-Kind", str(number))) for number in range(1, 17))


def test_variants_that_do_not_fit_together_leave_the_newest() -> None:
    cache = MemoryCache(10_000, 10_000)
    cache.store(KEY, varying("a", bytes(6_000)))
    assert cache.store(KEY, varying("b", bytes(6_000)))
    assert found(cache, KEY, ("X-Kind", "a")) is None
    assert found(cache, KEY, ("X-Kind", "b")) == bytes(6_000)


# ---------------------------------------------------------------- bounds


def test_what_is_too_large_is_not_stored_and_the_older_is_gone() -> None:
    cache = MemoryCache(10_000, 10_000)
    cache.store(KEY, entry(b"old"))
    assert not cache.store(KEY, entry(10_000))
    assert (found(cache, KEY), cache.used_bytes) == (None, 0)


def test_a_cache_of_no_bytes_stores_nothing() -> None:
    cache = MemoryCache(0, MIB)
    assert cache.max_object_bytes == 0
    assert not cache.store(KEY, entry())
    assert not cache.reserve(1)
    assert cache.used_bytes == 0


def test_others_go_to_make_room() -> None:
    cache = MemoryCache(100_000, 100_000)
    for number in range(1_000):
        assert cache.store(key(f"/{number}"), entry(1_000))
        assert cache.used_bytes <= cache.max_bytes
    assert 40 < len(cache) < 70


def test_a_replacement_needs_only_the_room_that_it_takes_more() -> None:
    cache = MemoryCache(100_000, 100_000)
    for number in range(9):
        cache.store(key(f"/{number}"), entry(9_000))
    cache.store(key("/8"), entry(9_500))
    assert len(cache) == 9


def test_what_is_asked_for_stays() -> None:
    cache = MemoryCache(100_000, 100_000)
    cache.store(KEY, entry(b"wanted"))
    for number in range(1_000):
        cache.store(key(f"/{number}"), entry(1_000))
        assert found(cache, KEY) == b"wanted"


def test_what_is_reserved_counts_until_it_is_released() -> None:
    cache = MemoryCache(100_000, 100_000)
    cache.store(KEY, entry(50_000))
    assert cache.reserve(90_000)
    assert len(cache) == 0
    assert not cache.reserve(20_000)
    assert not cache.store(KEY, entry(20_000))
    assert cache.used_bytes == 90_000
    cache.release(90_000)
    assert cache.used_bytes == 0
    assert cache.store(KEY, entry(20_000))


def test_to_be_refused_a_reservation_evicts_nothing() -> None:
    cache = MemoryCache(100_000, 100_000)
    cache.store(KEY, entry(b"x"))
    assert not cache.reserve(100_001)
    assert found(cache, KEY) == b"x"


# ---------------------------------------------------------------- what is counted


@pytest.mark.parametrize(
    ("longer", "one"),
    [
        (key("/" + "a" * 1_000), entry()),
        (key("/", "a" * 1_000), entry()),
        (CacheKey("GET", "/", "", (("x-kind", "a" * 1_000),)), entry()),
        (CacheKey("GET", "/", "", (), "a" * 1_000), entry()),
        (key("/"), varying("a" * 1_000)),
        (key("/"), entry(b"", ("X-Field", "a" * 1_000))),
        (key("/"), entry(b"", ("X" * 1_000, "a"))),
        (key("/"), entry(b"", ("Server", "a" * 1_000))),
        (key("/"), entry(b"", ("Surrogate-Key", " ".join("a" * i for i in range(1, 45))))),
        (key("/"), entry(b"", ("X-Field", "\N{SNOWMAN}" * 500))),
        (key("/"), entry(b"", ("X-Field", "\N{WATERMELON}" * 250))),
        (key("/"), entry(1_000)),
    ],
    ids="path query key-field cookies variant value name known-name tags two-bytes four-bytes body".split(),
)
def test_every_text_that_others_choose_counts(cache: MemoryCache, longer: CacheKey, one: Entry) -> None:
    cache.store(key("/b"), entry())
    least = cache.used_bytes
    cache.store(longer, one)
    assert cache.used_bytes - 2 * least >= 900


def test_lines_of_one_name_count_alone_and_joined(cache: MemoryCache) -> None:
    cache.store(KEY, entry(b"", ("X-Field", "a" * 1_000), ("x-field", "b" * 1_000)))
    assert cache.used_bytes >= 4_000


def test_lines_that_all_have_count_once_and_only_while_they_are_few(cache: MemoryCache) -> None:
    cache = MemoryCache(1 << 30, MIB)

    def taken(number: int, line: str) -> int:
        before = cache.used_bytes
        cache.store(key(f"/{number:09}"), entry(b"", ("Server", line)))
        return cache.used_bytes - before

    shared = taken(0, "one")
    assert shared == taken(1, "one")
    for number in range(2_000):
        last = taken(2 + number, f"server {number}")
    assert last > shared + 100
    assert taken(3_000, "one") == shared


# ---------------------------------------------------------------- invalidation


def test_an_invalidation_takes_what_it_covers_and_gives_its_room_back(cache: MemoryCache) -> None:
    for path, query in [("/a", ""), ("/a", "w=1"), ("/a", "w=2"), ("/ab", ""), ("/b", "")]:
        cache.store(key(path, query), entry(b"x"))
    before = cache.used_bytes
    assert cache.invalidate(invalidation("/c")) == 0
    assert cache.used_bytes == before
    assert cache.invalidate(invalidation("/a")) == 1
    assert cache.invalidate(invalidation("/a?w=1")) == 1
    assert cache.invalidate(Invalidation(Reach.PATH, "/a")) == 1
    assert found(cache, key("/ab")) == b"x"
    assert cache.invalidate(invalidation("/*")) == 2
    assert (len(cache), cache.used_bytes) == (0, 0)


def test_a_tag_is_that_of_any_variant(cache: MemoryCache) -> None:
    cache.store(key("/a"), entry(b"x", ("Cache-Tag", "red, blue")))
    cache.store(key("/b"), entry(b"x", ("Surrogate-Key", "blue")))
    one, other = varying("a"), varying("b")
    tagged = replace(one, stored=replace(one.stored, head=Head(200, Headers([("Cache-Tag", "green")]))))
    cache.store(key("/c"), tagged)
    cache.store(key("/c"), other)
    assert cache.invalidate(invalidation("#green")) == 1
    assert cache.invalidate(invalidation("#blue")) == 2
    assert cache.invalidate(invalidation("#red")) == 0


def test_a_tag_that_a_newer_answer_lacks_covers_it_no_more(cache: MemoryCache) -> None:
    cache.store(KEY, entry(b"x", ("Cache-Tag", "red")))
    cache.store(KEY, entry(b"x"))
    assert cache.invalidate(invalidation("#red")) == 0


# ---------------------------------------------------------------- whatever happens

keys = st.builds(CacheKey, st.sampled_from(["GET", "OPTIONS"]), st.sampled_from(["/a", "/a/b", "/c"]),
                 st.sampled_from(["", "w=1", "w=2"]))  # fmt: skip
entries = st.builds(
    lambda body, vary, tags: varying(vary, bytes(body)) if vary else entry(body, ("Cache-Tag", tags)),
    st.integers(0, 12_000),
    st.sampled_from(["", "a", "b"]),
    st.sampled_from(["", "red", "red,blue"]),
)
invalidations = st.sampled_from(["/a", "/a*", "/a?w=1", "/a/*", "/*", "#red", "#blue"]).map(invalidation)


class Life(RuleBasedStateMachine):
    """Anything that the gateway does to the cache, in any order."""

    @initialize(max_bytes=st.integers(0, 30_000))
    def opened(self, max_bytes: int) -> None:
        self.cache = MemoryCache(max_bytes, max_bytes)
        self.reserved: list[int] = []
        self.last: dict[CacheKey, Entry] = {}

    @rule(key=keys, one=entries)
    def store(self, key: CacheKey, one: Entry) -> None:
        self.last.pop(key, None)
        if self.cache.store(key, one):
            self.last[key] = one
            assert found(self.cache, key, *_asking(one)) == one.body

    @rule(key=keys, kind=st.sampled_from(["", "a", "b"]))
    def find(self, key: CacheKey, kind: str) -> None:
        one, _ = self.cache.find(key, lambda: Headers([("X-Kind", kind)]))
        if one is not None and one.stored.vary:
            assert one.stored.variant == (kind,)

    @rule(key=keys)
    def discard(self, key: CacheKey) -> None:
        self.cache.discard(key)
        assert self.cache.find(key, Headers) == (None, False)

    @rule(purge=invalidations)
    def invalidate(self, purge: Invalidation) -> None:
        before = len(self.cache)
        tags = {k: _tags(one) for k, one in self.last.items()}
        assert self.cache.invalidate(purge) == before - len(self.cache)
        for k, of_last in tags.items():
            if purge.covers(k, of_last):
                assert self.cache.find(k, Headers) == (None, False)

    @rule(size=st.integers(0, 30_000))
    def reserve(self, size: int) -> None:
        free = self.cache.max_bytes - sum(self.reserved)
        assert self.cache.reserve(size) is (size <= free)
        if size <= free:
            self.reserved.append(size)

    @precondition(lambda self: self.reserved)
    @rule()
    def release(self) -> None:
        self.cache.release(self.reserved.pop())

    @invariant()
    def counts_what_it_holds_and_no_more_than_it_may(self) -> None:
        slots = self.cache._slots
        held = sum(slot.size for slot in slots.values())
        assert self.cache.used_bytes == held + sum(self.reserved) <= self.cache.max_bytes

    @invariant()
    def index_and_slots_agree(self) -> None:
        slots = self.cache._slots
        everything = slots.index.covered(invalidation("/*"))
        assert len(everything) == len(slots)
        assert set(everything) == set(slots)
        assert {id(key) for key in everything} == {id(key) for key in slots}
        for tag in ("red", "blue"):
            tagged = {key for key, slot in slots.items() if tag in slot.tags}
            assert set(slots.index.covered(invalidation(f"#{tag}"))) == tagged


def _asking(one: Entry) -> list[tuple[str, str]]:
    return [(n, v) for n, v in zip(one.stored.vary, one.stored.variant, strict=True) if v is not None]


def _tags(one: Entry) -> frozenset[str]:
    return frozenset((one.stored.head.headers.get("cache-tag") or "").split(",")) - {""}


TestLife = Life.TestCase
TestLife.settings = steady


# ---------------------------------------------------------------- held


def test_what_is_held_is_there_until_it_goes(cache: MemoryCache) -> None:
    def gone(what: str) -> None:
        match what:
            case "discarded":
                cache.discard(KEY)
            case "purged":
                cache.invalidate(invalidation("/a.jpg"))
            case "all purged":
                cache.invalidate(invalidation("/*"))
            case "replaced":
                cache.store(KEY, entry(b"other"))
            case "evicted":
                assert cache.reserve(MIB)
                cache.release(MIB)

    for what in ("discarded", "purged", "all purged", "replaced", "evicted"):
        cache.store(KEY, entry(b"body"))
        cache.store(key("/else"), entry())
        one, _ = cache.find(KEY, Headers)
        assert one is not None
        hold = cache.hold(KEY, one)
        assert hold is not None
        assert hold.entry() is one
        if what == "all purged":
            cache.discard(key("/else"))
        gone(what)
        assert hold.entry() is None, what
        assert cache.hold(KEY, one) is None


def test_each_variant_is_held_by_itself(cache: MemoryCache) -> None:
    for kind in ("a", "b"):
        cache.store(KEY, varying(kind, kind.encode()))
    holds = []
    for kind in ("a", "b"):
        one, _ = cache.find(KEY, lambda kind=kind: Headers([("X-Kind", kind)]))  # type: ignore[misc]
        assert one is not None
        holds.append(cache.hold(KEY, one))
    assert [hold.entry().body for hold in holds if hold is not None] == [b"a", b"b"]  # type: ignore[union-attr]


def test_what_is_asked_for_by_a_hold_is_kept_like_what_is_looked_up() -> None:
    """One that is only ever asked for by its hold outlives those that nobody asks for."""
    cache = MemoryCache(100_000, 100_000)
    cache.store(KEY, entry(1_000))
    one, _ = cache.find(KEY, Headers)
    assert one is not None
    hold = cache.hold(KEY, one)
    assert hold is not None
    for number in range(500):
        cache.store(key(f"/{number}"), entry(1_000))
        assert hold.entry() is one, number


# ---------------------------------------------------------------- purges of everything


def filled(count: int, cache: MemoryCache) -> None:
    for number in range(count):
        assert cache.store(key(f"/{number}"), entry(b"old"))


def test_everything_is_forgotten_at_once_and_its_room_comes_back_by_and_by() -> None:
    cache = MemoryCache(8 * MIB, MIB)
    filled(2000, cache)
    one = cache.find(key("/1999"), Headers)[0]
    assert one is not None
    hold = cache.hold(key("/1999"), one)
    assert hold is not None
    full = cache.used_bytes
    assert cache.invalidate(invalidation("/*")) == 2000
    assert (len(cache), found(cache, key("/1999")), hold.entry()) == (0, None, None)
    assert cache.invalidate(invalidation("/1999")) == 0
    assert full // 2 < cache.used_bytes < full, "what is not let go yet still takes its room"
    cache.store(key("/1999"), entry(b"new"))
    turns = 0
    while cache.let_go():
        turns += 1
    assert turns > 2
    assert found(cache, key("/1999")) == b"new"
    assert cache.used_bytes < full // 1000
    assert cache.invalidate(invalidation("/*")) == 1
    assert cache.used_bytes == 0


def test_what_is_new_never_waits_for_the_room_of_what_was_purged() -> None:
    cache = MemoryCache(MIB, MIB)
    filled(800, cache)
    assert cache.invalidate(invalidation("/*")) == 800
    # A second one, while the first is not all let go.
    filled(300, cache)
    assert cache.invalidate(invalidation("/*")) == 300
    assert cache.reserve(MIB)
    assert cache.used_bytes == MIB
    cache.release(MIB)
    assert not cache.let_go()


async def test_viewers_come_in_between_while_everything_is_let_go() -> None:
    cache = MemoryCache(8 * MIB, MIB)
    tiers = Tiers(cache, None)
    filled(3000, cache)
    purging = asyncio.ensure_future(tiers.invalidate(invalidation("/*")))
    between = 0
    while not purging.done():
        assert cache.find(key("/1"), Headers) == (None, False) or not between
        between += 1
        await asyncio.sleep(0)
    assert between > 5
    assert (purging.result(), cache.used_bytes) == (3000, 0)
