"""All objects that a run is about, each once, and what has become of it: a file that outlives the run.

Every method waits for the disk and is called in a thread.
"""

# ruff: noqa: S608 - what queries are put together from stands here; values never do

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeproxy.backfill.job import Ending, State
from edgeproxy.bulk.judging import Item
from edgeproxy.core.reason import Reason
from edgeproxy.store.transactions import connected, transaction

_VERSION = 1
_SCHEMA = (
    """
    CREATE TABLE item (
      id      INTEGER PRIMARY KEY,
      target  TEXT NOT NULL,      -- the origin group
      key     BLOB NOT NULL,
      path    TEXT NOT NULL,
      state   TEXT,               -- NULL: nothing yet; "refused": no rule wants it
      reason  TEXT,
      message TEXT,
      bytes   INTEGER,
      UNIQUE (target, key)
    )
    """,
    # How large and how old each input was when it was read to its end, and the last key of a listing.
    "CREATE TABLE input (name TEXT PRIMARY KEY, mark TEXT NOT NULL) WITHOUT ROWID",
    # Whether a run came to its end.
    "CREATE TABLE control (is_finished INTEGER NOT NULL)",
    "INSERT INTO control VALUES (0)",
)
REFUSED = "refused"
OPEN = "open"
_DONE = f"(state = '{State.STORED}' OR (state = '{State.SKIPPED}' AND reason = '{Reason.EXISTS}'))"
_ENDED_ELSEWHERE = f"state = '{State.QUEUED}'"
NOT_WANTED = frozenset({Reason.SOURCE_STATUS, Reason.NO_RULE, Reason.NO_BACKFILL, Reason.PRIMARY_NOT_S3})
NOT_WANTED |= {Reason.TYPE_NOT_COPIED, Reason.TOO_SMALL, Reason.TOMBSTONE}
"""Why an object is not in the bucket although nothing is left to be done: its source has it not, or nobody
wants it there. What is too large was wanted, and viewers go on to need its source."""


class RollError(Exception):
    """The file could not be read or written, or is another's; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """An object that is still to be copied."""

    id: int
    group: str
    path: str
    size: int | None
    """In bytes, where a listing told it."""


@dataclass(frozen=True, slots=True)
class Sum:
    """So many objects have come to the same."""

    state: str
    """"open": nothing yet; "refused": no rule wants it; else a `State`."""
    reason: str | None
    objects: int
    bytes: int
    """Of those whose size is known."""
    sized: int
    """How many these are."""

    @property
    def is_done(self) -> bool:
        """Whether they are in the bucket."""
        is_there = self.state == State.SKIPPED and self.reason == Reason.EXISTS
        return self.state == State.STORED or is_there

    @property
    def is_left(self) -> bool:
        """Whether they should be in the bucket and are not."""
        if self.state in (State.SKIPPED, REFUSED):
            return not self.is_done and self.reason not in NOT_WANTED
        return self.state not in (State.STORED, State.QUEUED)


class Roll:
    """One thread at a time, and one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._lock: int | None = None

    @contextmanager
    def _asking(self) -> Iterator[sqlite3.Connection]:
        assert self._connection is not None, "the roll is not open"
        try:
            yield self._connection
        except sqlite3.Error as error:
            raise RollError(f"{self.path}: {error}") from error

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._asking() as db, transaction(db):
            yield db

    def open(self, anew: bool) -> None:
        """Make the file if there is none, for this process alone; `anew` = forget what is in it."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # A file beside it: closing one more descriptor of SQLite's own would give its locks up.
            self._lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if anew:
                self._forget()
        except BlockingIOError:
            raise RollError(f"{self.path}: another drain of the same is at work") from None
        except OSError as error:
            raise RollError(f"{error.filename or self.path}: {error.strerror}") from error
        try:
            self._connection = connected(self.path)
            self._prepare()
        except sqlite3.Error as error:
            raise RollError(f"{self.path}: {error}; --restart forgets it") from error

    def _prepare(self) -> None:
        assert self._connection is not None
        db = self._connection
        db.execute("PRAGMA journal_mode = WAL")
        with transaction(db):
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError(f"is of version {version}, and this edgeproxy knows {_VERSION}")
            if version == 0:
                for statement in _SCHEMA:
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {_VERSION}")

    def _forget(self) -> None:
        for name in (self.path.name, f"{self.path.name}-wal", f"{self.path.name}-shm"):
            with contextlib.suppress(FileNotFoundError):
                (self.path.parent / name).unlink()

    def begin(self) -> int:
        """Begin a run, or go on with one that did not come to its end; gives how many objects were done.

        After one that did, what is not in the bucket is to be tried again.
        """
        with self._changing() as db:
            (is_finished,) = db.execute("SELECT is_finished FROM control").fetchone()
            if is_finished:
                db.execute(
                    "UPDATE item SET state = NULL, reason = NULL, message = NULL"
                    f" WHERE state != '{REFUSED}' AND NOT {_DONE}"
                )
                # A source may have more by now.
                db.execute("DELETE FROM input WHERE name LIKE 'listing:%'")
                db.execute("UPDATE control SET is_finished = 0")
            (done,) = db.execute(f"SELECT count(*) FROM item WHERE state != '{REFUSED}'").fetchone()
            return int(done)

    def finish(self) -> None:
        """All objects have been tried."""
        with self._changing() as db:
            db.execute("UPDATE control SET is_finished = 1")

    def mark(self, name: str) -> str:
        """How far the input `name` was read; empty if it was not."""
        with self._asking() as db:
            found = db.execute("SELECT mark FROM input WHERE name = ?", (name,)).fetchone()
            return str(found[0]) if found else ""

    def add(self, items: Iterable[tuple[Item, int | None]], mark: tuple[str, str] | None = None) -> None:
        """Put in objects that are not there yet, each with its size if that is known.

        What is wanted under one name is wanted, whatever other names it has. `mark` = name of the input,
        and how far it was read with these.
        """
        with self._changing() as db:
            db.executemany(
                "INSERT INTO item (target, key, path, state, reason, bytes) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET path = excluded.path, state = NULL, reason = NULL"
                f" WHERE item.state = '{REFUSED}' AND excluded.state IS NULL",
                (
                    (item.group, item.key, item.path, REFUSED if item.reason else None, item.reason, size)
                    for item, size in items
                ),
            )
            if mark is not None:
                db.execute("INSERT OR REPLACE INTO input VALUES (?, ?)", mark)

    def open_items(self, after: int, limit: int) -> list[Row]:
        """Objects of which nothing is known yet, from those behind `after`."""
        with self._asking() as db:
            found = db.execute(
                "SELECT id, target, path, bytes FROM item WHERE id > ? AND state IS NULL ORDER BY id LIMIT ?",
                (after, limit),
            )
            return [Row(*row) for row in found]

    def open_keys(self, group: str, after: bytes, limit: int) -> list[tuple[int, bytes]]:
        """Number and key of such objects of `group`, in the order of the keys, from those behind `after`."""
        with self._asking() as db:
            return db.execute(
                "SELECT id, key FROM item WHERE target = ? AND key > ? AND state IS NULL"
                " ORDER BY key LIMIT ?",
                (group, after, limit),
            ).fetchall()

    def end(self, ended: Iterable[tuple[int, Ending]]) -> None:
        """What has become of these."""
        with self._changing() as db:
            db.executemany(
                "UPDATE item SET state = ?, reason = ?, message = ?, bytes = coalesce(?, bytes) WHERE id = ?",
                ((e.state, e.reason, e.message or None, e.size, number) for number, e in ended),
            )

    def sums(self) -> list[Sum]:
        """What has become of all of them, the most frequent first."""
        with self._asking() as db:
            found = db.execute(
                "SELECT coalesce(state, ?), reason, count(*), coalesce(sum(bytes), 0), count(bytes) FROM item"
                " GROUP BY state, reason ORDER BY count(*) DESC, state, reason",
                (OPEN,),
            )
            return [Sum(*row) for row in found]

    def absent(self) -> Iterator[dict[str, object]]:
        """Each object that is not in the bucket, as plain values."""
        with self._asking() as db:
            found = db.execute(
                f"SELECT target, key, path, coalesce(state, ?), reason, message FROM item"
                f" WHERE state IS NULL OR NOT ({_DONE} OR {_ENDED_ELSEWHERE}) ORDER BY id",
                (OPEN,),
            )
            for target, key, path, state, reason, message in found:
                yield {
                    "path": path,
                    "group": target,
                    "key": key.decode("utf-8", "replace"),
                    "state": state,
                    "reason": reason,
                    "message": message or "",
                    "left": Sum(state, reason, 1, 0, 0).is_left,
                }

    def close(self) -> None:
        """Nobody asks any more."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __repr__(self) -> str:
        return f"Roll({self.path.name})"
