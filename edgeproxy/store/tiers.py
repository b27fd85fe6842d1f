"""The cache as the gateway sees it: memory for what is small, below it a disk where there is one."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from edgeproxy.core.invalidation import Invalidation, Reach
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Headers
from edgeproxy.core.storing import Stored
from edgeproxy.store.disk import DiskCache, Shelved
from edgeproxy.store.draft import Draft
from edgeproxy.store.folder import DiskError
from edgeproxy.store.memory import Entry, Hold, MemoryCache

Found: TypeAlias = Entry | Shelved


@dataclass(slots=True)
class _Climb:
    """Lookups on disk under way for one key."""

    lookups: int = 0
    invalidations: int = 0
    """How often the key was invalidated meanwhile."""


class Tiers:
    """Every small object is in both tiers as long as there is room, every large one on disk alone."""

    def __init__(self, memory: MemoryCache, disk: DiskCache | None) -> None:
        self.memory = memory
        self.disk = disk
        self._climbs: dict[CacheKey, _Climb] = {}

    @property
    def max_object_bytes(self) -> int:
        """The largest body that is kept at all."""
        return max(self.memory.max_object_bytes, self.disk.max_object_bytes if self.disk is not None else 0)

    def find(self, key: CacheKey, sent: Callable[[], Headers]) -> tuple[Entry | None, bool]:
        """What memory has, at once: the entry that fits a request, and whether others do not."""
        return self.memory.find(key, sent)

    def hold(self, key: CacheKey, found: Found) -> Hold | None:
        """A hold on what `find` gave for `key`; None if it is not in memory, or not any more."""
        return self.memory.hold(key, found) if isinstance(found, Entry) else None

    async def find_below(
        self, key: CacheKey, sent: Callable[[], Headers], known: Stored | None
    ) -> tuple[Found | None, bool]:
        """What the disk has that is newer than what is `known`; a small one comes up into memory."""
        if self.disk is None:
            return None, False
        with self._climbing(key) as climb:
            while True:
                before = climb.invalidations
                shelved, has_variants = await self.disk.find(key, sent)
                if shelved is None or (known is not None and shelved.stored.received_at <= known.received_at):
                    return None, has_variants
                found = await self._raised(self.disk, shelved)
                # What was invalidated while the disk was read must not be served.
                if before == climb.invalidations:
                    if isinstance(found, Entry):
                        self.memory.store(key, found)
                    return found, has_variants

    @contextmanager
    def _climbing(self, key: CacheKey) -> Iterator[_Climb]:
        climb = self._climbs.setdefault(key, _Climb())
        climb.lookups += 1
        try:
            yield climb
        finally:
            climb.lookups -= 1
            if not climb.lookups:
                del self._climbs[key]

    async def _raised(self, disk: DiskCache, shelved: Shelved) -> Found | None:
        """In memory, if it is small and there is room."""
        size = len(shelved.body)
        if size > self.memory.max_object_bytes or not self.memory.reserve(size):
            return shelved
        try:
            body = await disk.whole(shelved)
        finally:
            self.memory.release(size)
        return Entry(shelved.stored, body) if body is not None else None

    def keep(self, key: CacheKey, found: Found) -> None:
        """Store it in memory, unless its body is on disk alone."""
        if isinstance(found, Entry):
            self.memory.store(key, found)

    async def keep_below(self, key: CacheKey, entry: Entry) -> None:
        """Store it on disk."""
        if self.disk is not None and len(entry.body) <= self.disk.max_object_bytes:
            await self.disk.keep(key, entry.stored, entry.body)

    async def draft(self, key: CacheKey, stored: Stored, length: int | None) -> Draft | None:
        """A place on disk for a body of `length` bytes, None = unknown; None if it cannot be had."""
        if self.disk is None or (length or 0) > self.disk.max_object_bytes:
            return None
        return await self.disk.begin(key, stored, length)

    async def finish(self, draft: Draft) -> None:
        """Its body is whole: let it be found."""
        try:
            await draft.finish()
        except DiskError as error:
            self.note(error)
            await self.abandon(draft)

    async def abandon(self, draft: Draft) -> None:
        """Forget it."""
        try:
            await draft.abandon()
        except DiskError as error:
            self.note(error)

    async def refresh_below(self, key: CacheKey, old: Stored, new: Stored) -> None:
        """Go on with the body that came to disk with the head `old`, if it is there, under `new`."""
        if self.disk is not None:
            await self.disk.refresh(key, old, new)

    def note(self, error: DiskError) -> None:
        """A fault of the disk that nobody who waits can do anything about."""
        if self.disk is not None:
            self.disk.note(error)

    async def discard(self, key: CacheKey) -> None:
        """Forget every variant of `key`."""
        self._discard_here(key)
        if self.disk is not None:
            await self.disk.discard(key)
            # Others may have brought it up as long as it was there.
            self._discard_here(key)

    def _discard_here(self, key: CacheKey) -> None:
        if key in self._climbs:
            self._climbs[key].invalidations += 1
        self.memory.discard(key)

    async def invalidate(self, invalidation: Invalidation) -> int:
        """Forget what is covered; gives how many keys that were.  Raises `DiskError`."""
        number = self._invalidate_here(invalidation)
        if self.disk is not None:
            number = max(number, await self.disk.invalidate(invalidation))
            # Others may have brought it up as long as it was there.
            self._invalidate_here(invalidation)
        while self.memory.let_go():  # noqa: ASYNC110 - it is work, not waiting
            # Viewers come in between: millions of entries take seconds.
            await asyncio.sleep(0)
        return number

    def _invalidate_here(self, invalidation: Invalidation) -> int:
        for key, climb in self._climbs.items():
            # The tags of what is being looked up are not known yet.
            if invalidation.reach is Reach.TAG or invalidation.covers(key, frozenset()):
                climb.invalidations += 1
        return self.memory.invalidate(invalidation)

    def __repr__(self) -> str:
        return f"Tiers({self.memory!r}, {self.disk!r})"
