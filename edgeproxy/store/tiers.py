"""The cache as the gateway sees it: memory for what is small, below it a disk where there is one."""

from collections.abc import Callable
from typing import TypeAlias

from edgeproxy.core.invalidation import Invalidation
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Headers
from edgeproxy.core.storing import Stored
from edgeproxy.store.disk import DiskCache, Shelved
from edgeproxy.store.draft import Draft
from edgeproxy.store.folder import DiskError
from edgeproxy.store.memory import Entry, MemoryCache

Found: TypeAlias = Entry | Shelved


class Tiers:
    """Every small object is in both tiers as long as there is room, every large one on disk alone."""

    def __init__(self, memory: MemoryCache, disk: DiskCache | None) -> None:
        self.memory = memory
        self.disk = disk
        self._invalidations = 0

    @property
    def max_object_bytes(self) -> int:
        """The largest body that is kept at all."""
        return max(self.memory.max_object_bytes, self.disk.max_object_bytes if self.disk is not None else 0)

    def find(self, key: CacheKey, sent: Callable[[], Headers]) -> tuple[Entry | None, bool]:
        """What memory has, at once: the entry that fits a request, and whether others do not."""
        return self.memory.find(key, sent)

    async def find_below(
        self, key: CacheKey, sent: Callable[[], Headers], known: Stored | None
    ) -> tuple[Found | None, bool]:
        """What the disk has that is newer than what is `known`; a small one comes up into memory."""
        if self.disk is None:
            return None, False
        while True:
            before = self._invalidations
            shelved, has_variants = await self.disk.find(key, sent)
            if shelved is None or (known is not None and shelved.stored.received_at <= known.received_at):
                return None, has_variants
            found = await self._raised(self.disk, shelved)
            # What was invalidated while the disk was read must not be served.
            if before == self._invalidations:
                if isinstance(found, Entry):
                    self.memory.store(key, found)
                return found, has_variants

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

    async def refresh_below(self, key: CacheKey, stored: Stored) -> None:
        """Go on with the body that is on disk under this head."""
        if self.disk is not None:
            await self.disk.refresh(key, stored)

    def note(self, error: DiskError) -> None:
        """A fault of the disk that nobody who waits can do anything about."""
        if self.disk is not None:
            self.disk.note(error)

    async def discard(self, key: CacheKey) -> None:
        """Forget every variant of `key`."""
        self._invalidations += 1
        self.memory.discard(key)
        if self.disk is not None:
            await self.disk.discard(key)

    async def invalidate(self, invalidation: Invalidation) -> int:
        """Forget what is covered; gives how many keys that were.  Raises `DiskError`."""
        self._invalidations += 1
        in_memory = self.memory.invalidate(invalidation)
        return (
            max(in_memory, await self.disk.invalidate(invalidation)) if self.disk is not None else in_memory
        )

    def __repr__(self) -> str:
        return f"Tiers({self.memory!r}, {self.disk!r})"
