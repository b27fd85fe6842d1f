"""What the operator lets nodes do, in a file that outlives the process and that others may share."""

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from edgeproxy.core.balancing.nodes import Duty
from edgeproxy.store.transactions import connected, transaction

ByNode: TypeAlias = Mapping[str, Duty]
"""By name of the node."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS duty (pool TEXT, node TEXT, duty TEXT NOT NULL, PRIMARY KEY (pool, node))
"""


class DutiesError(Exception):
    """They cannot be read or written; the message says why."""


class Duties:
    """Of each node that has another than READY. Opened each time anew: operators have time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> dict[str, ByNode]:
        """All of them, by pool.  Raises `DutiesError`."""
        return await asyncio.to_thread(self._read)

    async def put(self, pool: str, node: str, duty: Duty) -> None:
        """Keep it.  Raises `DutiesError`."""
        await asyncio.to_thread(self._put, pool, node, duty)

    def _read(self) -> dict[str, ByNode]:
        found: dict[str, dict[str, Duty]] = {}
        with self._opened() as db:
            for pool, node, duty in db.execute("SELECT pool, node, duty FROM duty"):
                if duty in list(Duty):
                    found.setdefault(pool, {})[node] = Duty(duty)
        return dict(found)

    def _put(self, pool: str, node: str, duty: Duty) -> None:
        with self._opened() as db, transaction(db):
            if duty is Duty.READY:
                db.execute("DELETE FROM duty WHERE pool = ? AND node = ?", (pool, node))
            else:
                db.execute("REPLACE INTO duty VALUES (?, ?, ?)", (pool, node, duty.value))

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db = connected(self._path)
            try:
                db.execute(_SCHEMA)
                yield db
            finally:
                db.close()
        except sqlite3.Error as error:
            raise DutiesError(f"{self._path}: {error}") from error
        except OSError as error:
            raise DutiesError(f"{error.filename or self._path}: {error.strerror}") from error
