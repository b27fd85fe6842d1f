"""What lies in the disk cache: one SQLite file, shared by all processes of one machine.

Every method waits for the disk and is called in a thread. A file in the folder counts for nothing
without its row here: a row is written before its file is begun, as one that is still being written, and
made whole in one transaction when the file is. So the bytes of files under way count toward the bound,
and what a killed process left behind is known.
"""

import json
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from edgeproxy.core.invalidation import Invalidation, Reach, cache_tags
from edgeproxy.core.key import CacheKey
from edgeproxy.core.paths import object_path
from edgeproxy.core.storing import Stored
from edgeproxy.store.rows import UNREADABLE, key_of, key_text, octets, stored_of, stored_text, variant_text
from edgeproxy.store.transactions import connected, transaction

_JOURNAL_BYTES = 4 * 2**20
_MAX_VARIANTS = 16
_AT_ONCE = 64
"""Entries that are looked at together when room is made."""
_ROW_BYTES = 150
_TAG_BYTES = 30
"""What a row and a tag take besides their texts, in the tables and their indexes."""

_SCHEMA = """
CREATE TABLE entry (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: it names the file
  key     TEXT NOT NULL,
  path    BLOB NOT NULL,
  object  BLOB,                               -- the path's usual spelling, if that is another
  variant TEXT NOT NULL,
  stored  TEXT NOT NULL,
  length  INTEGER NOT NULL,                   -- of the body
  bytes   INTEGER NOT NULL,                   -- that it takes on disk, its row here included
  row     INTEGER NOT NULL,                   -- bytes of the latter
  used_at REAL NOT NULL,
  writer  INTEGER                             -- the process that is writing it; NULL when it is whole
);
CREATE INDEX entry_by_key ON entry (key);
CREATE INDEX entry_by_path ON entry (path);
CREATE INDEX entry_by_object ON entry (object) WHERE object IS NOT NULL;
CREATE INDEX entry_by_use ON entry (used_at);
CREATE INDEX entry_by_writer ON entry (writer) WHERE writer IS NOT NULL;
CREATE TABLE tag (
  tag   BLOB NOT NULL,
  entry INTEGER NOT NULL REFERENCES entry ON DELETE CASCADE,
  PRIMARY KEY (tag, entry)
) WITHOUT ROWID;
CREATE INDEX tag_by_entry ON tag (entry);
CREATE TABLE total (entries INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO total VALUES (0, 0);
CREATE TRIGGER entry_added AFTER INSERT ON entry BEGIN
  UPDATE total SET entries = entries + 1, bytes = bytes + NEW.bytes;
END;
CREATE TRIGGER entry_changed AFTER UPDATE OF bytes ON entry BEGIN
  UPDATE total SET bytes = bytes + NEW.bytes - OLD.bytes;
END;
CREATE TRIGGER entry_removed AFTER DELETE ON entry BEGIN
  UPDATE total SET entries = entries - 1, bytes = bytes - OLD.bytes;
END;
"""
# What is stored depends on these: with another version of either the cache starts empty.
_VERSION = zlib.crc32(
    repr((_SCHEMA, [f.name for f in fields(Stored)], [f.name for f in fields(CacheKey)])).encode()
)


class CatalogError(Exception):
    """SQLite could not do what was asked; the message is its own."""


@dataclass(frozen=True, slots=True)
class Row:
    """A whole entry."""

    number: int
    stored: Stored
    length: int


@dataclass(frozen=True, slots=True)
class Total:
    """What there is, transfers under way included."""

    entries: int
    bytes: int


class Catalog:
    """Entries by key, path, tag and last use; at most `max_bytes` of them. Gives ids of files to be deleted.

    A connection for each thread that asks.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._owed: set[int] = set()
        """Entries that are to be forgotten, though the disk failed when that was tried."""

    @property
    def _db(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = connected(self._path)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
            db.execute("PRAGMA foreign_keys = ON")
            self._local.db = db
            self._connections.append(db)
        return db

    @contextmanager
    def _asking(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._db
        except sqlite3.Error as error:
            raise CatalogError(str(error)) from error

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with self._asking() as db:
            with transaction(db):
                owed = tuple(self._owed)
                _delete(db, owed)
                yield db
            self._owed.difference_update(owed)

    def prepare(self) -> None:
        """Make the tables, anew if they are another version's.  Raises `CatalogError` and `OSError`."""
        # Nobody else may read what viewers were told; SQLite's other files get the mode of this one.
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(fd, 0o600)
        finally:
            os.close(fd)
        with self._asking() as db:
            if db.execute("PRAGMA user_version").fetchone()[0] == _signed(_VERSION):
                if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                    raise CatalogError("the catalogue is damaged")
                return
            tables = db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
            db.execute("PRAGMA foreign_keys = OFF")
            for (name,) in tables.fetchall():
                db.execute(f'DROP TABLE "{name}"')
            db.execute("PRAGMA foreign_keys = ON")
            db.executescript(_SCHEMA)
            db.execute(f"PRAGMA user_version = {_signed(_VERSION)}")

    def find(self, key: CacheKey) -> list[Row]:
        """All variants under `key` that are whole, the newest first."""
        with self._asking() as db:
            rows = db.execute(
                "SELECT id, stored, length FROM entry WHERE key = ? AND writer IS NULL ORDER BY id DESC",
                (key_text(key),),
            )
            try:
                return [Row(number, stored_of(text), length) for number, text, length in rows]
            except UNREADABLE as error:
                raise CatalogError("the catalogue is damaged") from error

    def reserve(
        self, key: CacheKey, stored: Stored, size: int, writer: int, now: float
    ) -> tuple[int | None, list[int]]:
        """A row for an entry that `writer` is about to write, with a file of `size` bytes.

        Gives its id, None if there is no room for it, and the ids of those that had to go.
        """
        texts = key_text(key), octets(key.path), variant_text(stored), stored_text(stored)
        of_object = object_path(key.path)
        other = octets(of_object) if of_object != key.path else None
        tags = [octets(tag) for tag in cache_tags(stored.head)]
        # Keys, paths and tags stand in an index too, and pages are seldom full.
        size_of_texts = sum(map(len, (*texts, *texts[:2], other or b"", other or b""))) + sum(
            _TAG_BYTES + 2 * len(tag) for tag in tags
        )
        row = _ROW_BYTES + size_of_texts * 5 // 4
        with self._changing() as db:
            gone = self._make_room(db, size + row)
            if gone is None:
                return None, []
            number = db.execute(
                "INSERT INTO entry (key, path, variant, stored, object, length, bytes, row, used_at, writer)"
                " VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?)",
                (*texts, other, size + row, row, now, writer),
            ).lastrowid
            db.executemany("INSERT INTO tag VALUES (?, ?)", ((tag, number) for tag in tags))
            return number, gone

    def grow(self, number: int, size: int) -> tuple[bool, list[int]]:
        """Room for a file of `size` bytes; gives whether it could be had, and the ids of who had to go."""
        with self._changing() as db:
            row = db.execute("SELECT bytes - row FROM entry WHERE id = ?", (number,))
            (before,) = row.fetchone() or (None,)
            if before is None:
                return False, []
            gone = self._make_room(db, size - before)
            if gone is None:
                return False, []
            db.execute("UPDATE entry SET bytes = ? + row WHERE id = ?", (size, number))
            return True, gone

    def finish(self, number: int, length: int, size: int) -> list[int]:
        """Its file is whole: from now on it is found, in place of those it replaces, whose ids it gives.

        RFC 9111 §4.1: where the origin varies on other fields than before, what is known of older
        ones is no guide.
        """
        with self._changing() as db:
            found = db.execute("SELECT key, variant FROM entry WHERE id = ?", (number,)).fetchone()
            if found is None:  # invalidated meanwhile
                return [number]
            key, variant = found
            others = db.execute(
                "SELECT id, variant FROM entry WHERE key = ? AND writer IS NULL ORDER BY id DESC", (key,)
            ).fetchall()
            names = json.loads(variant)[0]
            gone = [
                other
                for place, (other, its_variant) in enumerate(others)
                if its_variant == variant
                or not names
                or json.loads(its_variant)[0] != names
                or place >= _MAX_VARIANTS - 1
            ]
            _delete(db, gone)
            db.execute(
                "UPDATE entry SET writer = NULL, length = ?, bytes = ? + row WHERE id = ?",
                (length, size, number),
            )
            return gone

    def refresh(self, key: CacheKey, old: Stored, new: Stored) -> None:
        """Keep the body that came with the head `old` under `new`.  RFC 9111 §4.3.4.

        What lies here may be another body of that variant: others store too, and a disk may have
        failed to take the last one.
        """
        with self._changing() as db:
            rows = db.execute(
                "SELECT id, stored FROM entry WHERE key = ? AND variant = ? AND writer IS NULL",
                (key_text(key), variant_text(old)),
            ).fetchall()
            db.executemany(
                "UPDATE entry SET stored = ?, variant = ? WHERE id = ?",
                (
                    (stored_text(new), variant_text(new), number)
                    for number, text in rows
                    if stored_of(text).received_at == old.received_at
                ),
            )

    def touch(self, uses: Iterable[tuple[int, float]]) -> None:
        """Note when entries were used last."""
        with self._changing() as db:
            db.executemany("UPDATE entry SET used_at = max(used_at, ?2) WHERE id = ?1", uses)

    def remove(self, ids: Iterable[int]) -> None:
        """Forget these: where that fails, with the next change that does not."""
        self._owed.update(ids)
        with self._changing():
            pass

    def discard(self, key: CacheKey) -> list[int]:
        """Forget every variant of `key`; gives the ids."""
        with self._changing() as db:
            return [
                number
                for (number,) in db.execute("DELETE FROM entry WHERE key = ? RETURNING id", (key_text(key),))
            ]

    def covered(self, invalidation: Invalidation) -> list[tuple[int, str]]:
        """Ids and keys of what is covered, what is being written included, in the order of the ids."""
        with self._asking() as db:
            rows = db.execute(*_candidates(invalidation)).fetchall()
        return sorted((number, key) for number, key, stored in rows if _covers(invalidation, key, stored))

    def unfinished(self, writer: int | None = None) -> list[int]:
        """Forget what `writer`, or whoever it was, was writing when it was killed; gives the ids."""
        with self._changing() as db:
            rows = db.execute(
                "DELETE FROM entry WHERE writer IS NOT NULL AND (?1 IS NULL OR writer = ?1) RETURNING id",
                (writer,),
            )
            return [number for (number,) in rows]

    def shrink(self) -> list[int]:
        """Come down to `max_bytes`, which may be less than it was; gives the ids of those that went."""
        with self._changing() as db:
            return self._make_room(db, 0) or []

    def ids(self) -> set[int]:
        """All there are."""
        with self._asking() as db:
            return {number for (number,) in db.execute("SELECT id FROM entry")}

    def total(self) -> Total:
        """How many, and how large together."""
        with self._asking() as db:
            return Total(*db.execute("SELECT entries, bytes FROM total").fetchone())

    def close(self) -> None:
        """Close every connection; nobody may ask any more."""
        for db in self._connections:
            db.close()
        self._connections.clear()

    def _make_room(self, db: sqlite3.Connection, size: int) -> list[int] | None:
        """Let the least recently used go until `size` bytes more fit; None if they never will."""
        gone: list[int] = []
        (taken,) = db.execute("SELECT bytes FROM total").fetchone()
        if taken + size <= self._max_bytes:
            return gone
        (under_way,) = db.execute("SELECT total(bytes) FROM entry WHERE writer IS NOT NULL").fetchone()
        if under_way + size > self._max_bytes:
            return None
        while taken + size > self._max_bytes:
            rows = db.execute(
                "SELECT id, bytes FROM entry WHERE writer IS NULL ORDER BY used_at LIMIT ?", (_AT_ONCE,)
            ).fetchall()
            if not rows:
                raise CatalogError("the catalogue is damaged: its sums are wrong")
            for number, its_bytes in rows:
                if taken + size <= self._max_bytes:
                    break
                _delete(db, (number,))
                gone.append(number)
                taken -= its_bytes
        return gone

    def __repr__(self) -> str:
        return f"Catalog({self._path.name}, at most {self._max_bytes} bytes)"


def _delete(db: sqlite3.Connection, ids: Iterable[int]) -> None:
    db.executemany("DELETE FROM entry WHERE id = ?", ((number,) for number in ids))


def _candidates(invalidation: Invalidation) -> tuple[str, tuple[str | bytes, ...]]:
    """The query for all that may be covered."""
    path = octets(invalidation.text.partition("?")[0])
    match invalidation.reach:
        case Reach.EXACT | Reach.PATH:
            return "SELECT id, key, stored FROM entry WHERE path = ?", (path,)
        case Reach.OBJECT:
            return "SELECT id, key, stored FROM entry WHERE path = ?1 OR object = ?1", (path,)
        case Reach.PREFIX:
            query = "SELECT id, key, stored FROM entry WHERE path >= ? AND path < ?"
            return query, (path, path + b"\xff")
        case Reach.TAG:
            query = "SELECT id, key, stored FROM entry JOIN tag ON entry = id WHERE tag = ?"
            return query, (octets(invalidation.text),)


def _covers(invalidation: Invalidation, key: str, stored: str) -> bool:
    try:
        tags = cache_tags(stored_of(stored).head) if invalidation.reach is Reach.TAG else frozenset[str]()
        return invalidation.covers(key_of(key), tags)
    except UNREADABLE:  # it could not be served either
        return True


def _signed(version: int) -> int:
    return version - 2**32 if version >= 2**31 else version
