"""A body comes in: to those who wait for it, and into the cache once it is whole."""

from dataclasses import dataclass
from functools import partial

from edgeproxy.core.errors import EdgeError, OriginError
from edgeproxy.core.key import CacheKey
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import Stored
from edgeproxy.origins.base import Reply
from edgeproxy.store.draft import Draft
from edgeproxy.store.flight import Flight, Flights
from edgeproxy.store.folder import DiskError
from edgeproxy.store.memory import Entry
from edgeproxy.store.spool import WINDOW_BYTES
from edgeproxy.store.tiers import Tiers


@dataclass(slots=True)
class Room:
    """What was set aside for a body: bytes of memory, and a place on disk if it does not fit there."""

    memory_bytes: int
    draft: Draft | None = None


class Intake:
    """Takes bodies into memory or onto disk, whichever they fit."""

    def __init__(self, cache: Tiers, flights: Flights) -> None:
        self._cache = cache
        self._flights = flights

    async def room(self, key: CacheKey, reply: Reply, stored: Stored) -> Room | Reason:
        """Set aside what the body needs; else why it cannot be kept."""
        length = reply.head.length
        memory = self._cache.memory
        if not reply.is_delimited:
            return Reason.LENGTH_UNKNOWN
        if (length or 0) > self._cache.max_object_bytes:
            return Reason.TOO_LARGE
        if (length or 0) <= memory.max_object_bytes and memory.reserve(length or 0):
            return Room(length or 0)
        if not memory.reserve(WINDOW_BYTES):
            return Reason.NO_ROOM
        draft = await self._cache.draft(key, stored, length)
        if draft is None:
            memory.release(WINDOW_BYTES)
            return Reason.NO_ROOM
        return Room(WINDOW_BYTES, draft)

    async def take_in(self, key: CacheKey, flight: Flight, reply: Reply, stored: Stored, room: Room) -> None:
        """Read the body into the spool; store it when it is whole.

        What outgrows its room, or meets a disk that fails, goes on to those who read it and is not kept.
        """
        spool = flight.spool
        if room.draft is not None:
            spool.move_to(room.draft)
        try:
            async for chunk in reply.body:
                if spool.keeps and not await self._fits(key, flight, stored, room, len(chunk)):
                    self._let_go(key, flight)
                spool.feed(chunk)
                await self._settle(key, flight)
                if not spool.keeps and not spool.has_readers:
                    return
            if reply.head.length not in (None, spool.size):
                raise OriginError(Reason.ORIGIN_CUT, "the body is not as long as its Content-Length says")
            await self._settle(key, flight, is_last=True)
            spool.end()
            if spool.keeps and not flight.is_invalid:
                await self._store(key, flight, stored, room)
        except EdgeError as error:
            spool.fail(error)
        finally:
            # Slow viewers hold the bytes for longer than the origin took to send them.
            spool.when_left(partial(self._cache.memory.release, room.memory_bytes))
            if room.draft is not None:
                await self._cache.abandon(room.draft)

    async def _store(self, key: CacheKey, flight: Flight, stored: Stored, room: Room) -> None:
        """Viewers have it all by then, and do not wait for the disk."""
        if room.draft is not None:
            draft, room.draft = room.draft, None
            await self._cache.finish(draft)
            return
        entry = Entry(stored, flight.spool.whole())
        self._cache.keep(key, entry)
        # From here on memory has it: whoever wants another variant need not find this flight.
        self._flights.withdraw(key, flight)
        await self._cache.keep_below(key, entry)

    async def _fits(self, key: CacheKey, flight: Flight, stored: Stored, room: Room, more: int) -> bool:
        """Whether `more` bytes may be kept, with more room for a body that did not say how long it is."""
        memory = self._cache.memory
        size = flight.spool.size + more
        if room.draft is not None:
            return size <= self._cache.max_object_bytes
        if size <= room.memory_bytes:
            return True
        limit = memory.max_object_bytes
        wanted = max(size, min(2 * room.memory_bytes, limit)) - room.memory_bytes
        if size <= limit and memory.reserve(wanted):
            room.memory_bytes += wanted
            return True
        if size > self._cache.max_object_bytes or not self._has_window(room):
            return False
        room.draft = await self._cache.draft(key, stored, None)
        if room.draft is None:
            return False
        flight.spool.move_to(room.draft)
        return True

    def _has_window(self, room: Room) -> bool:
        """Whether there is memory for the way to disk."""
        wanted = WINDOW_BYTES - room.memory_bytes
        if wanted <= 0:
            return True
        if not self._cache.memory.reserve(wanted):
            return False
        room.memory_bytes += wanted
        return True

    async def _settle(self, key: CacheKey, flight: Flight, *, is_last: bool = False) -> None:
        try:
            await flight.spool.settle(is_last=is_last)
        except DiskError as error:
            self._cache.note(error)
            self._let_go(key, flight)
            await flight.spool.settle()

    def _let_go(self, key: CacheKey, flight: Flight) -> None:
        self._flights.withdraw(key, flight)
        flight.spool.let_go()
