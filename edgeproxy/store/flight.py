"""One fetch for all who want the same object while it is on its way."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

from edgeproxy.core.decision import Fetch
from edgeproxy.core.errors import EdgeError
from edgeproxy.core.failover import Attempt
from edgeproxy.core.invalidation import Invalidation, Reach, cache_tags
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import Stored
from edgeproxy.origins.base import Reply
from edgeproxy.store.spool import Spool
from edgeproxy.store.tiers import Found


@dataclass(frozen=True, slots=True)
class Shared:
    """The answer is for everybody: its body is in the flight's spool as it comes."""

    stored: Stored
    head: Head
    """As it came, for the one who asked first: with the fields that are his alone."""
    trail: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What was stored still holds; or, with a `reason`, has to do although it is stale."""

    entry: Found
    trail: tuple[Attempt, ...]
    fwd_status: int
    reason: Reason | None = None
    is_kept: bool = True
    """Whether it may be stored any longer; if not, it is for the one who asked first."""


@dataclass(frozen=True, slots=True)
class Unshared:
    """The answer is for the one who asked first; the others ask for themselves."""

    reply: Reply
    reason: Reason


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no answer, for nobody."""

    error: EdgeError


Landing: TypeAlias = Shared | Refreshed | Unshared | Failed


class Flight:
    """A fetch under way. Its task belongs to nobody who waits for it: any of them may leave.

    `landing` resolves as soon as the head of the answer is judged. The leader has its reader from
    the start, before the first byte can have come and gone.
    """

    def __init__(self, fetch: Fetch, *, has_leader: bool = True) -> None:
        self.fetch = fetch
        self.spool = Spool()
        self.leaders_reader = self.spool.reader()
        self._landing: asyncio.Future[Landing] = asyncio.get_running_loop().create_future()
        self.is_invalid = False
        """Its answer was invalidated while it was on its way: it must not be stored."""
        self._has_leader = has_leader
        if not has_leader:
            self.leaders_reader.close()
        self._ended = asyncio.Event()
        self.backfill = ""
        """What was decided about filling the bucket: "queued" or a Reason."""

    async def ended(self) -> None:
        """Return when the body is all here, or never will be."""
        await self._ended.wait()

    def end(self) -> None:
        """Nothing more happens in this flight."""
        self._ended.set()

    async def landing(self) -> Landing:
        """How the fetch turned out, for one of those who joined."""
        return await asyncio.shield(self._landing)

    async def leaders_landing(self) -> Landing:
        """The same for the one who started it: only it may take an `Unshared` reply, and has to close it."""
        try:
            return await asyncio.shield(self._landing)
        except asyncio.CancelledError:
            self._has_leader = False
            self.leaders_reader.close()
            if self._landing.done() and isinstance(landing := self._landing.result(), Unshared):
                landing.reply.close()
            raise

    def may_be_covered(self, key: CacheKey, invalidation: Invalidation) -> bool:
        """Whether `invalidation` covers what this flight brings; before its head is here, any tag may."""
        landing = self._landing.result() if self._landing.done() else None
        if isinstance(landing, Shared):
            return invalidation.covers(key, cache_tags(landing.stored.head))
        return invalidation.reach is Reach.TAG or invalidation.covers(key, frozenset())

    def land(self, landing: Landing) -> None:
        """Tell all who wait."""
        if isinstance(landing, Unshared) and not self._has_leader:
            landing.reply.close()
        if not self._landing.done():
            self._landing.set_result(landing)

    def __repr__(self) -> str:
        return f"Flight({'landed' if self._landing.done() else 'in the air'}, {self.spool!r})"


class Flights:
    """All fetches under way, at most one a key, and the owner of their tasks."""

    def __init__(self) -> None:
        self._by_key: dict[CacheKey, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, key: CacheKey) -> Flight | None:
        """The flight for `key` that one may join."""
        return self._by_key.get(key)

    def start(self, key: CacheKey, flight: Flight, fetching: Coroutine[Any, Any, None]) -> None:
        """Let `fetching` run as the flight for `key`; when it ends, the key is free again."""
        self._by_key[key] = flight
        task = asyncio.get_running_loop().create_task(fetching)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(key, flight, done))

    def withdraw(self, key: CacheKey, flight: Flight) -> None:
        """Nobody may join `flight` any more; the next who asks starts one of their own."""
        if self._by_key.get(key) is flight:
            del self._by_key[key]

    def invalidate(self, invalidation: Invalidation) -> None:
        """Let nobody join what is covered, and see that it is not stored over what is newer."""
        for key, flight in list(self._by_key.items()):
            if flight.may_be_covered(key, invalidation):
                flight.is_invalid = True
                del self._by_key[key]

    def _ended(self, key: CacheKey, flight: Flight, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.withdraw(key, flight)
        flight.end()
        if task.cancelled():
            error = EdgeError(Reason.DRAINING, "the server is shutting down", status=503)
        elif (fault := task.exception()) is not None:
            error = EdgeError(Reason.INTERNAL, f"an internal fault ({type(fault).__name__})", status=500)
        else:
            return
        flight.land(Failed(error))
        flight.spool.fail(error)

    async def finish(self, timeout_s: float) -> int:
        """Wait for what is in the air; gives how many flights were cut off after `timeout_s`."""
        if not self._tasks:
            return 0
        _, pending = await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
        return len(pending)

    def __len__(self) -> int:
        return len(self._tasks)
