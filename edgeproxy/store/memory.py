"""Stored responses in memory, bounded in bytes."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from sys import getsizeof
from typing import Any

from edgeproxy.core.invalidation import Invalidation, cache_tags
from edgeproxy.core.key import CacheKey, variant
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.storing import Stored
from edgeproxy.store.index import Index
from edgeproxy.store.lexicon import KeptHeaders, Lexicon
from edgeproxy.store.s3fifo import MAX_ASKED, S3Fifo

# What things take besides their text, measured as resident memory: bench/memory.py.
_KEY_BYTES = 520
_ENTRY_BYTES = 460
_QUERY_BYTES = 150
_TAGS_BYTES = 100
_TAG_BYTES = 90
_KEY_FIELD_BYTES = 90
_MAX_VARIANTS = 16
_AT_ONCE = 200
"""Keys that are let go in a row: about a millisecond."""
_NO_TAGS: frozenset[str] = frozenset()
"""One for all: an empty set of one's own takes 216 bytes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored response: its head and times, and the whole body."""

    stored: Stored
    body: bytes


@dataclass(slots=True)
class _Slot:
    """All variants under one key, the newest first."""

    key: CacheKey
    entries: tuple[Entry, ...]
    tags: frozenset[str]
    size: int
    """Bytes that it takes with its key and all that leads to it; whoever asks chooses how long a key is."""
    asked: int = 0

    @classmethod
    def of(cls, key: CacheKey, *entries: Entry) -> "_Slot":
        tags = frozenset().union(*(cache_tags(entry.stored.head) for entry in entries)) or _NO_TAGS
        size = _key_bytes(key) + sum(map(_entry_bytes, entries)) + _tags_bytes(tags)
        return cls(key, entries, tags, size)


class _Era:
    """The time between two purges of everything."""

    __slots__ = ("is_over",)

    def __init__(self) -> None:
        self.is_over = False


class Hold:
    """An entry as long as it is found under its key; it does not keep what was evicted in memory."""

    __slots__ = ("_era", "_place", "_slot")

    def __init__(self, slot: _Slot, place: int, era: _Era) -> None:
        self._slot = slot
        self._place = place
        self._era = era

    def entry(self) -> Entry | None:
        """The entry, which is noted as asked for; None once it was replaced, evicted or purged."""
        slot = self._slot
        if not slot.entries or self._era.is_over:
            return None
        if slot.asked < MAX_ASKED:
            slot.asked += 1
        return slot.entries[self._place]


class _Slots(S3Fifo[CacheKey, _Slot]):
    """Slots within a number of bytes, and an index that follows whatever comes and goes.

    A slot that goes is emptied, for those who hold an entry of it.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max(max_bytes, 1))
        self.index = Index()
        self.era = _Era()

    def __setitem__(self, key: CacheKey, slot: _Slot, *args: Any, **more: Any) -> None:
        super().__setitem__(key, slot, *args, **more)
        self.index.add(key, slot.tags)

    def __delitem__(self, key: CacheKey, *args: Any, **more: Any) -> None:
        super().__delitem__(key, *args, **more)
        self.index.remove(key)

    def gone(self, slot: _Slot) -> None:
        """Empty it."""
        slot.entries = ()


class MemoryCache:
    """Entries by key and variant; which go first when room is needed is the order's to say (`s3fifo`).

    Transfers under way `reserve` what they hold, so that they and the entries together stay within
    `max_bytes`. Staleness is not looked at here: a stale entry can still be validated.
    """

    def __init__(self, max_bytes: int, max_object_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.max_object_bytes = min(max_object_bytes, max_bytes)
        self._slots = _Slots(max_bytes)
        self._leaving: deque[_Slots] = deque()
        """What was purged with everything, and takes its room until it is let go."""
        self._lexicon = Lexicon()
        self._reserved = 0

    def find(self, key: CacheKey, sent: Callable[[], Headers]) -> tuple[Entry | None, bool]:
        """The entry that fits a request, and whether there are variants that do not.

        `sent` gives the request's fields as the origin would get them; asked only if they matter.
        RFC 9111 §4.1.
        """
        slot = self._slots.get(key)
        if slot is None:
            return None, False
        first = slot.entries[0]
        if not first.stored.vary and len(slot.entries) == 1:
            return first, False
        fields = sent()
        for entry in slot.entries:
            if variant(entry.stored.vary, fields) == entry.stored.variant:
                return entry, True
        return None, True

    def hold(self, key: CacheKey, entry: Entry) -> Hold | None:
        """A hold on `entry`, which `find` gave for `key`; None if it is not there any more."""
        slot = self._slots.peek(key)
        if slot is None:
            return None
        return next(
            (Hold(slot, place, self._slots.era) for place, one in enumerate(slot.entries) if one is entry),
            None,
        )

    def store(self, key: CacheKey, entry: Entry) -> bool:
        """Put `entry` in place of the one of the same variant; False if it is too large."""
        entry = self._kept(entry)
        before = self._slots.peek(key)
        others: list[Entry] = []
        if before is not None:
            # The same key, not one that is equal: no entry is to hold two.
            key = before.key
            others = [e for e in before.entries if not _is_same_variant(e, entry)]
        if entry.stored.vary == () or any(e.stored.vary != entry.stored.vary for e in others):
            # The origin varies on other fields than before: what is known of older ones is no guide.
            others = []
        for entries in ((entry, *others[: _MAX_VARIANTS - 1]), (entry,)):
            slot = _Slot.of(key, *entries)
            if self._make_room(slot.size, key):
                self._slots[key] = slot
                return True
        self.discard(key)
        return False

    def _kept(self, entry: Entry) -> Entry:
        head = entry.stored.head
        headers = self._lexicon.kept(head.headers)
        return replace(entry, stored=replace(entry.stored, head=Head(head.status, headers)))

    def discard(self, key: CacheKey) -> None:
        """Forget every variant of `key`."""
        self._slots.pop(key, None)

    def invalidate(self, invalidation: Invalidation) -> int:
        """Forget all that is covered; gives how many keys that were.

        To forget everything takes no time, however much that is, and its room comes back by `let_go`.
        """
        if invalidation.is_of_all:
            return self._forget_all()
        keys = self._slots.index.covered(invalidation)
        for key in keys:
            del self._slots[key]
        return len(keys)

    def _forget_all(self) -> int:
        old, self._slots = self._slots, _Slots(self.max_bytes)
        number = len(old)
        old.era.is_over = True
        self._leaving.append(old)
        self.let_go()
        return number

    def let_go(self) -> bool:
        """Give back some of the room of what was purged; whether there is more to be given back."""
        if self._leaving:
            old = self._leaving[0]
            for slot in list(islice(old.every(), _AT_ONCE)):
                del old[slot.key]
            if not old:
                self._leaving.popleft()
        return bool(self._leaving)

    def reserve(self, size: int) -> bool:
        """Set `size` bytes aside for a transfer, evicting if need be; False if that cannot be had."""
        if not self._make_room(size):
            return False
        self._reserved += size
        return True

    def release(self, size: int) -> None:
        """Give back what was reserved."""
        self._reserved -= size

    def _make_room(self, size: int, key: CacheKey | None = None) -> bool:
        """Evict until `size` bytes fit, in place of what is under `key`; False if they never will."""
        if size > self.max_bytes - self._reserved:
            return False
        while self.used_bytes + size - self._size_of(key) > self.max_bytes:
            if self._leaving:
                self.let_go()
            else:
                self._slots.popitem()
        return True

    def _size_of(self, key: CacheKey | None) -> int:
        """Looked up each time: the entry may be among those that go."""
        slot = self._slots.peek(key) if key is not None else None
        return slot.size if slot is not None else 0

    @property
    def used_bytes(self) -> int:
        """Bytes held by entries, by those that were purged and not let go yet, and by transfers."""
        leaving = sum(int(slots.currsize) for slots in self._leaving) if self._leaving else 0
        return int(self._slots.currsize) + leaving + self._reserved

    def __len__(self) -> int:
        return len(self._slots)

    def __repr__(self) -> str:
        return f"MemoryCache({len(self)} keys, {self.used_bytes}/{self.max_bytes} bytes)"


def _key_bytes(key: CacheKey) -> int:
    size = _KEY_BYTES + getsizeof(key.path)
    if key.query:
        size += _QUERY_BYTES + getsizeof(key.query)
    if key.cookies:
        size += getsizeof(key.cookies)
    return size + sum(_KEY_FIELD_BYTES + getsizeof(value) for _, value in key.headers)


def _entry_bytes(entry: Entry) -> int:
    stored = entry.stored
    headers = stored.head.headers
    assert isinstance(headers, KeptHeaders)
    size = _ENTRY_BYTES + headers.own_bytes + getsizeof(entry.body)
    if stored.vary:
        size += sum(map(getsizeof, (stored.vary, *stored.vary, stored.variant, *stored.variant)))
    return size


def _tags_bytes(tags: frozenset[str]) -> int:
    if not tags:
        return 0
    return _TAGS_BYTES + getsizeof(tags) + sum(_TAG_BYTES + getsizeof(tag) for tag in tags)


def _is_same_variant(one: Entry, other: Entry) -> bool:
    return one.stored.vary == other.stored.vary and one.stored.variant == other.stored.variant
