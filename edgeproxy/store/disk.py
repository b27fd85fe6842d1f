"""The cache below memory: bodies in files, what they are in a catalogue.

Shared by all processes of a machine. Bounded in bytes, transfers under way included. It outlives the
process, however that ends: what was being written then is swept away, and what is found is checked
before it is served (`blob`). Nothing waits for the disk on the loop. A disk that fails is an empty
cache: whoever is to know is told.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from edgeproxy.core.invalidation import Invalidation
from edgeproxy.core.key import CacheKey, variant
from edgeproxy.core.message import Headers
from edgeproxy.core.storing import Stored
from edgeproxy.store.blob import Blob, Sums, TornError, file_bytes
from edgeproxy.store.catalog import Catalog, CatalogError
from edgeproxy.store.draft import GROWTH_BYTES, Draft, write
from edgeproxy.store.faults import Faults
from edgeproxy.store.folder import DiskError, Folder, NoRoomError, Threads

T = TypeVar("T")

_TOUCH_S = 5.0
"""How long uses are only remembered before they are written down."""
_AT_ONCE = 500
"""Entries that are purged in one transaction: other processes wait no longer than for that many."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """A stored response whose body is on disk."""

    stored: Stored
    body: Blob


class DiskCache:
    """Entries by key and variant, as `MemoryCache` has them. The least recently used go first.

    `writer` is the number of this process among those that share the folder, `now` gives POSIX
    seconds, `on_fault` hears what went wrong.
    """

    def __init__(
        self,
        folder: Folder,
        max_bytes: int,
        max_object_bytes: int,
        *,
        writer: int,
        now: Callable[[], float],
        on_fault: Callable[[str], None],
    ) -> None:
        self.max_bytes = max_bytes
        self.max_object_bytes = max_object_bytes
        self._folder = folder
        self._catalog = Catalog(folder.catalog, max_bytes)
        self._threads = Threads()
        self._writer = writer
        self._now = now
        self._faults = Faults(on_fault, now)
        self._uses: dict[int, float] = {}
        self._touched_at = now()

    async def open(self) -> None:
        """Sweep away what this process was writing when it was last killed.  Raises `DiskError`."""
        await self._threads.change(lambda: self._folder.delete(self._catalog.unfinished(self._writer)))

    async def close(self) -> None:
        """Finish what was asked for."""
        await self._quietly(self._threads.change(self._touching()))
        self._threads.close()
        self._catalog.close()

    async def find(self, key: CacheKey, sent: Callable[[], Headers]) -> tuple[Shelved | None, bool]:
        """The entry that fits a request, and whether there are variants that do not."""
        # Both in one go: to change threads costs more than to look.
        found = await self._quietly(self._threads.read(self._find, key, sent()))
        match found:
            case None | False:
                return None, False
            case True:
                return None, True
            case number, shelved:
                self._note_use(number)
                return shelved, bool(shelved.stored.vary)

    def _find(self, key: CacheKey, sent: Headers) -> tuple[int, Shelved] | bool:
        """The number of the entry that fits and the entry; else whether there are others."""
        rows = self._catalog.find(key)
        for row in rows:
            if not row.stored.vary or variant(row.stored.vary, sent) == row.stored.variant:
                body = self._opened(row.number)
                return (row.number, Shelved(row.stored, body)) if body is not None else False
        return bool(rows)

    def _opened(self, number: int) -> Blob | None:
        """Its body; None if it has gone since the catalogue was asked.  Raises `DiskError`."""
        try:
            return Blob.opened(
                self._folder.file(number), self._threads.readers, partial(self._drop_later, number)
            )
        except FileNotFoundError:
            self._drop(number)
            return None
        except TornError as error:
            self._drop(number)
            raise DiskError(f"a body on disk: {error}") from error

    async def whole(self, found: Shelved) -> bytes | None:
        """The body of a small one; None if it is damaged."""
        return await self._quietly(self._threads.read(self._whole, found.body))

    def _whole(self, body: Blob) -> bytes:
        try:
            return body.whole()
        except TornError as error:
            raise DiskError(f"a body on disk: {error}") from error

    async def begin(self, key: CacheKey, stored: Stored, length: int | None) -> Draft | None:
        """A draft for a body of `length` bytes, None = unknown; None if it cannot be had."""
        reserved = file_bytes(length) if length is not None else GROWTH_BYTES

        def begin() -> Draft | None:
            number = self._reserved(key, stored, reserved)
            if number is None:
                return None
            try:
                return Draft(self._folder, self._catalog, self._threads, number, reserved)
            except OSError:
                self._drop(number)
                raise

        return await self._quietly(self._threads.change(begin))

    async def keep(self, key: CacheKey, stored: Stored, body: bytes) -> None:
        """Store a small body, if there is room."""

        def keep() -> None:
            number = self._reserved(key, stored, file_bytes(len(body)))
            if number is None:
                return
            sums = Sums()
            sums.feed(body)
            try:
                fd = os.open(
                    self._folder.file(number), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
                )
                try:
                    write(fd, body + sums.ending())
                finally:
                    os.close(fd)
                gone = self._catalog.finish(number, len(body), file_bytes(len(body)))
            except (OSError, CatalogError):
                self._drop(number)
                raise
            self._folder.delete(gone)

        await self._quietly(self._threads.change(keep))

    def _reserved(self, key: CacheKey, stored: Stored, size: int) -> int | None:
        number, gone = self._catalog.reserve(key, stored, size, self._writer, self._now())
        try:
            self._folder.delete(gone)
        except OSError:
            if number is not None:
                self._drop(number)
            raise
        return number

    async def refresh(self, key: CacheKey, old: Stored, new: Stored) -> None:
        """Keep the body that was stored under the head `old` under `new`."""
        await self._quietly(self._threads.change(self._catalog.refresh, key, old, new))

    async def discard(self, key: CacheKey) -> None:
        """Forget every variant of `key`."""
        await self._quietly(self._threads.change(lambda: self._folder.delete(self._catalog.discard(key))))

    async def invalidate(self, invalidation: Invalidation) -> int:
        """Forget what is covered, for all processes; gives how many keys that were.

        Raises `DiskError`: an invalidation that was not done must not pass for one that was.
        """

        def invalidate() -> int:
            covered = self._catalog.covered(invalidation)
            for start in range(0, len(covered), _AT_ONCE):
                ids = [number for number, _ in covered[start : start + _AT_ONCE]]
                self._catalog.remove(ids)
                self._folder.delete(ids)
            return len({key for _, key in covered})

        return await self._threads.change(invalidate)

    async def state(self) -> dict[str, object]:
        """Counts and sizes, as plain values."""
        total = await self._quietly(self._threads.read(self._catalog.total))
        return {
            "entries": total.entries if total is not None else None,
            "used_bytes": total.bytes if total is not None else None,
            "max_bytes": self.max_bytes,
            "faults": self._faults.count,
        }

    def _note_use(self, number: int) -> None:
        now = self._now()
        self._uses[number] = now
        if now - self._touched_at > _TOUCH_S:
            self._touched_at = now
            self._threads.change_later(self._touching())

    def _touching(self) -> Callable[[], None]:
        """Writes down the uses up to now. The ones that come meanwhile are another dict's."""
        uses, self._uses = self._uses, {}
        return partial(self._catalog.touch, uses.items())

    def _drop_later(self, number: int) -> None:
        self._threads.change_later(partial(self._drop, number))

    def _drop(self, number: int) -> None:
        """Forget one that is not what was written; waits for the disk."""
        with suppress(CatalogError):
            self._catalog.remove((number,))
        with suppress(OSError):
            self._folder.delete((number,))

    def note(self, error: DiskError) -> None:
        """Count a fault, and tell it, but not once for every request."""
        if not isinstance(error, NoRoomError):
            self._faults.note(f"disk cache: {error}")

    async def _quietly(self, doing: Awaitable[T]) -> T | None:
        """None where the disk fails: nobody who waits can do anything about it."""
        try:
            return await doing
        except DiskError as error:
            self.note(error)
            return None

    def __repr__(self) -> str:
        return f"DiskCache({self._folder!r}, at most {self.max_bytes} bytes)"
