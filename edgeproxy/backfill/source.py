"""Where a job's bytes come from: those that served the viewer if they are whole, else the full origin."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from edgeproxy.backfill.job import Job
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.storing import Stored
from edgeproxy.origins.base import Origin, Reply, whole_body
from edgeproxy.store.blob import Blob
from edgeproxy.store.flight import Flights, Shared
from edgeproxy.store.tiers import Found, Tiers

_WHOLE_AND_PLAIN = Headers([("Accept-Encoding", "identity")])

Conditions: TypeAlias = tuple[tuple[str, str], ...]
"""Fields that ask for an object only if it is another than we have."""


class Source:
    """Law 6 of the house: one fetch serves the client, the cache and the backfill."""

    def __init__(
        self,
        secondaries: Mapping[str, Origin],
        cache: Tiers,
        flights: Flights,
        now: Callable[[], float],
    ) -> None:
        self._secondaries = secondaries
        self._cache = cache
        self._flights = flights
        self._now = now

    async def open(self, job: Job, conditions: Conditions = ()) -> Reply:
        """The object of `job`, to be closed by the caller.  Raises `OriginError`.

        With `conditions`, or where an object of ours may have to be replaced, the full origin is asked.
        """
        if job.cache_key is None or job.refresh:
            return await self._fetched(job, conditions)
        return (
            await self._flying(job.cache_key) or await self._stored(job.cache_key) or await self._fetched(job)
        )

    async def _flying(self, key: CacheKey) -> Reply | None:
        """The bytes as they come in, if it is certain that they will all be kept."""
        flight = self._flights.find(key)
        landing = await flight.landing() if flight is not None else None
        if flight is None or not isinstance(landing, Shared):
            return None
        if landing.stored.head.length is None:
            # It may yet turn out too large to keep, and viewers must not wait for an upload then.
            await flight.ended()
        elif flight.spool.keeps and _is_fit(landing.stored):
            reader = flight.spool.reader()
            return Reply(landing.stored.head, reader, close=reader.close)
        return None

    async def _stored(self, key: CacheKey) -> Reply | None:
        """The cache's copy: whole and verified, or it would not be there."""
        entry: Found | None
        entry, _ = self._cache.find(key, Headers)
        if entry is None:
            entry, _ = await self._cache.find_below(key, Headers, None)
        if entry is None or not _is_fit(entry.stored) or entry.stored.fresh_for(self._now()) <= 0:
            return None
        length = ("Content-Length", str(len(entry.body)))
        head = Head(entry.stored.head.status, entry.stored.head.headers.having(length))
        if isinstance(entry.body, Blob):
            return Reply(head, entry.body.part(0, len(entry.body) - 1))
        return Reply(head, whole_body(entry.body))

    async def _fetched(self, job: Job, conditions: Conditions = ()) -> Reply:
        return await self._secondaries[job.group].fetch(
            Request("GET", job.path, job.query, headers=_WHOLE_AND_PLAIN.having(*job.headers, *conditions))
        )


def _is_fit(stored: Stored) -> bool:
    """Whether these bytes are what everybody is to get: nothing that one viewer asked for, and no coding."""
    head = stored.head
    return stored.is_for_everybody and head.status == 200 and "content-encoding" not in head.headers
