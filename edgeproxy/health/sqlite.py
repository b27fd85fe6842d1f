"""The board in a file, which the processes of one machine share."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from edgeproxy.core.balancing.findings import MAX_SKEW_S, UNREADABLE, Finding, finding_of, text_of
from edgeproxy.health.board import KEEP_S, BoardError
from edgeproxy.store.transactions import connected, transaction

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_VERSION = 1
_SCHEMA = "CREATE TABLE IF NOT EXISTS finding (node TEXT PRIMARY KEY, at REAL NOT NULL, told TEXT NOT NULL)"
_PUT = """
INSERT INTO finding VALUES (?, ?, ?) ON CONFLICT (node) DO UPDATE SET at = excluded.at, told = excluded.told
WHERE at < excluded.at OR at > ?
"""


class SqliteBoard:
    """See `Board`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "health")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """See `Board`. Makes the folder and the file where there are none."""
        await self._do(self._prepare)

    async def close(self) -> None:
        """See `Board`."""
        await asyncio.to_thread(self._thread.shutdown)
        if self._connection is not None:
            self._connection.close()

    async def read(self, nodes: Sequence[str]) -> Mapping[str, Finding]:
        """See `Board`."""
        return await self._do(self._read, nodes)

    async def put(self, finding: Finding, now: float) -> bool:
        """See `Board`."""
        return await self._do(self._put, finding, now)

    async def _do(self, work: Callable[[*Ts], T], *arguments: *Ts) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        except sqlite3.Error as error:
            raise BoardError(f"{self._path}: {error}") from error
        except OSError as error:
            raise BoardError(f"{error.filename or self._path}: {error.strerror}") from error

    def _prepare(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = db = connected(self._path)
        with transaction(db):
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                # What it holds is a minute old: nobody misses it.
                db.execute("DROP TABLE IF EXISTS finding")
            db.execute(_SCHEMA)
            db.execute(f"PRAGMA user_version = {_VERSION}")
        _turn_to_wal(db)

    def _read(self, nodes: Sequence[str]) -> dict[str, Finding]:
        marks = ", ".join("?" * len(nodes))
        rows = self._db.execute(f"SELECT told FROM finding WHERE node IN ({marks})", tuple(nodes))  # noqa: S608
        found: dict[str, Finding] = {}
        for (told,) in rows:
            try:
                finding = finding_of(told)
            except UNREADABLE:
                continue
            found[finding.node] = finding
        return found

    def _put(self, finding: Finding, now: float) -> bool:
        row = (finding.node, finding.at, text_of(finding), now + MAX_SKEW_S)
        with transaction(self._db):
            is_put = self._db.execute(_PUT, row).rowcount > 0
            self._db.execute("DELETE FROM finding WHERE at < ?", (now - KEEP_S,))
        return is_put

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("was not opened")
        return self._connection


def _turn_to_wal(db: sqlite3.Connection) -> None:
    """SQLite does not wait where two turn to WAL at once; whoever comes second finds it done next time."""
    try:
        db.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
