"""What was deleted from a bucket on purpose, and so is not to be filled in again for a while.

In a file beside the queue's where there is a state folder, which outlives the process and which several
share; in memory otherwise. The dates are those of the calendar, as they have to hold after a restart.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from edgeproxy.backfill.queue import QueueError
from edgeproxy.clock import Clock
from edgeproxy.store.transactions import connected, transaction

T = TypeVar("T")

MOST = 100_000
"""Tombstones that are kept; those that would be over first go first."""
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS tombstone (target TEXT NOT NULL, key BLOB NOT NULL, until REAL NOT NULL,"
    " PRIMARY KEY (target, key)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS tombstone_until ON tombstone (until)",
)

Identity = tuple[str, bytes]
"""The origin group and the object's key: `Job.identity`."""


class Tombstones:
    """At most `most` of them, each with the time until which it holds.

    What other processes have buried is seen by `holds`, which asks the file, and by `is_known` only then.
    """

    def __init__(self, path: Path | None, clock: Clock, *, most: int = MOST) -> None:
        self._path = path
        self._clock = clock
        self._most = most
        self._known: dict[Identity, float] = {}
        self._thread = ThreadPoolExecutor(1, "tombstones")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Make the file ready.  Raises `QueueError`."""
        if self._path is not None:
            for target, key, until in await self._do(self._prepare):
                self._known[target, key] = until

    def is_known(self, identity: Identity) -> bool:
        """Whether this process knows that `identity` is not to be filled; never waits."""
        return self._clock.now() < self._known.get(identity, 0.0)

    async def holds(self, identity: Identity) -> bool:
        """Whether anybody has buried `identity`.  Raises `QueueError`."""
        if self._path is None:
            return self.is_known(identity)
        until = await self._do(lambda db: self._until(db, identity))
        self._remember({identity: until} if until is not None else {})
        return until is not None and self._clock.now() < until

    async def bury(self, identities: Iterable[Identity], for_s: float) -> None:
        """Do not fill these for `for_s` seconds; with 0 they may be from now on.  Raises `QueueError`."""
        until = self._clock.now() + for_s if for_s > 0 else 0.0
        rows = dict.fromkeys(identities, until)
        self._remember(rows)
        if self._path is not None:
            await self._do(lambda db: self._write(db, rows))

    async def close(self) -> None:
        """Nobody may ask any more."""
        self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()

    def _remember(self, rows: dict[Identity, float]) -> None:
        for identity, until in rows.items():
            self._known.pop(identity, None)
            if until:
                self._known[identity] = until
        # Some more than was asked for, so that they need not be sorted each time.
        if len(self._known) > self._most + self._most // 10:
            soonest = sorted(self._known, key=self._known.__getitem__)
            for identity in soonest[: len(self._known) - self._most]:
                del self._known[identity]

    def _prepare(self, db: sqlite3.Connection) -> list[tuple[str, bytes, float]]:
        with transaction(db):
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute("DELETE FROM tombstone WHERE until <= ?", (self._clock.now(),))
        return db.execute("SELECT target, key, until FROM tombstone").fetchall()

    def _until(self, db: sqlite3.Connection, identity: Identity) -> float | None:
        row = db.execute("SELECT until FROM tombstone WHERE target = ? AND key = ?", identity).fetchone()
        return row[0] if row is not None else None

    def _write(self, db: sqlite3.Connection, rows: dict[Identity, float]) -> None:
        with transaction(db):
            db.executemany(
                "INSERT OR REPLACE INTO tombstone VALUES (?, ?, ?)",
                ((*identity, until) for identity, until in rows.items()),
            )
            db.execute("DELETE FROM tombstone WHERE until <= ?", (self._clock.now(),))
            (there,) = db.execute("SELECT count(*) FROM tombstone").fetchone()
            soonest = "SELECT target, key FROM tombstone ORDER BY until LIMIT ?"
            too_many = max(0, there - self._most)
            db.execute(f"DELETE FROM tombstone WHERE (target, key) IN ({soonest})", (too_many,))  # noqa: S608

    async def _do(self, act: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._acting, act)

    def _acting(self, act: Callable[[sqlite3.Connection], T]) -> T:
        assert self._path is not None
        try:
            if self._connection is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = connected(self._path)
            return act(self._connection)
        except sqlite3.Error as error:
            raise QueueError(f"{self._path}: {error}") from error
        except OSError as error:
            raise QueueError(f"{self._path}: {error.strerror}") from error

    def __repr__(self) -> str:
        return f"Tombstones({len(self._known)})"
