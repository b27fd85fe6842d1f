"""The jobs in a file: SQLite, shared by all processes of one machine.

Every method waits for the disk and is called in a thread. Times until which a job is held are those of
the machine's monotonic clock, which all of its processes share, so that nobody loses a lease because
the date was set. Each is kept with the moment since when: after a restart of the machine that lies ahead.
"""

# ruff: noqa: S608 - what queries are put together from stands here; values never do

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeproxy.backfill.job import (
    CANCELLED,
    ENDED_BADLY,
    LIVE,
    Ending,
    Entry,
    Job,
    Lease,
    Lost,
    State,
    Wanted,
)
from edgeproxy.backfill.message import MessageError, job_of, message_text
from edgeproxy.backfill.queue import Terms
from edgeproxy.core.reason import Reason
from edgeproxy.store.transactions import connected, transaction

_KEPT_S = 30 * 86_400
"""How long ended jobs are remembered at most."""
_AT_ONCE = 16
_VERSION = 1

_LIVE = "state IN ('queued', 'leased')"
_SCHEMA = f"""
CREATE TABLE job (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  target    TEXT NOT NULL,                    -- the origin group
  key       BLOB NOT NULL,
  told      TEXT NOT NULL,                    -- the job, see `message`
  state     TEXT NOT NULL,
  attempt   INTEGER NOT NULL DEFAULT 0,
  turn      INTEGER NOT NULL DEFAULT 0,       -- how many leases there have been
  since     REAL NOT NULL,                    -- held since then, and
  until     REAL NOT NULL,                    -- not due before then, both by the monotonic clock
  reason    TEXT,
  message   TEXT NOT NULL DEFAULT '',
  bytes     INTEGER,
  took_s    REAL,
  added_at  REAL NOT NULL,
  changed_at REAL NOT NULL
);
CREATE UNIQUE INDEX job_live ON job (target, key) WHERE {_LIVE};
CREATE INDEX job_due ON job (target, until) WHERE {_LIVE};
CREATE INDEX job_ended ON job (changed_at) WHERE NOT {_LIVE};
CREATE INDEX job_missing ON job (target, key, changed_at)
  WHERE state = 'skipped' AND reason = 'source-status';
CREATE TABLE control (is_paused INTEGER NOT NULL);
INSERT INTO control VALUES (0);
CREATE TABLE tally (state TEXT PRIMARY KEY, jobs INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER job_added AFTER INSERT ON job BEGIN
  UPDATE tally SET jobs = jobs + 1 WHERE state = NEW.state;
END;
CREATE TRIGGER job_changed AFTER UPDATE OF state ON job BEGIN
  UPDATE tally SET jobs = jobs - 1 WHERE state = OLD.state;
  UPDATE tally SET jobs = jobs + 1 WHERE state = NEW.state;
END;
CREATE TRIGGER job_removed AFTER DELETE ON job BEGIN
  UPDATE tally SET jobs = jobs - 1 WHERE state = OLD.state;
END;
"""
_COLUMNS = "id, target, key, told, state, attempt, reason, message, bytes, took_s, added_at, changed_at"


class LedgerError(Exception):
    """The file could not be read or written; the message says why."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The time on both clocks: POSIX seconds, and those of the monotonic clock."""

    now: float
    elapsed: float


@dataclass(frozen=True, slots=True)
class Settling:
    """How an attempt has ended, and in how many seconds the job is due again, if it is to be QUEUED."""

    lease: Lease
    ending: Ending
    took_s: float
    retry_in_s: float


@dataclass(frozen=True, slots=True)
class Turned:
    """What came of a turn."""

    settled: list[bool]
    """For each whether the lease held; otherwise nothing has changed."""
    leased: list[Lease | Lost]
    next_due: float | None
    """When one more job will be due, or was, by the monotonic clock; None if that is not known."""
    live: int
    """How many live jobs there are."""


class Ledger:
    """All jobs of a machine. One thread at a time."""

    def __init__(self, path: Path, terms: Terms) -> None:
        self._path = path
        self._terms = terms
        self._connection: sqlite3.Connection | None = None

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            # What is lost with the machine is queued again by the next miss of the object.
            self._connection = connected(self._path)
        return self._connection

    @contextmanager
    def _asking(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._db
        except sqlite3.Error as error:
            raise LedgerError(str(error)) from error

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with self._asking() as db, transaction(db):
            yield db

    def prepare(self, at: Moment) -> None:
        """Make folder and tables where there are none.  Raises `LedgerError`.

        A file of another version is left as it is: the jobs in it may be somebody's only list.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _alone_in(self._path.parent):
                self._prepare(at)
        except OSError as error:
            raise LedgerError(f"{error.filename or self._path.parent}: {error.strerror}") from error

    def _prepare(self, at: Moment) -> None:
        with self._asking() as db:
            if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                db.execute("PRAGMA journal_mode = WAL")
        with self._changing() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise LedgerError(f"is of version {version}, and this edgeproxy knows {_VERSION}")
            if version == 0:
                for statement in _statements(_SCHEMA):
                    db.execute(statement)
                db.executemany("INSERT INTO tally VALUES (?, 0)", ((state.value,) for state in State))
                db.execute(f"PRAGMA user_version = {_VERSION}")
            # The machine was started anew: nobody holds what was held before.
            db.execute(f"UPDATE job SET since = ?1, until = ?1 WHERE {_LIVE} AND since > ?1", (at.elapsed,))

    def add(self, jobs: Sequence[Job], at: Moment) -> tuple[list[Reason | None], int]:
        """Put `jobs` in; gives for each why not, and how many live ones there are then."""
        with self._changing() as db:
            live = _live(db)
            verdicts: list[Reason | None] = []
            for job in jobs:
                reason = self._refusal(db, job, live, at.now)
                if reason is None:
                    live += 1
                    _insert(db, job, at)
                verdicts.append(reason)
            return verdicts, live

    def _refusal(self, db: sqlite3.Connection, job: Job, live: int, now: float) -> Reason | None:
        if _live_row(db, job) is not None:
            return Reason.QUEUED_ALREADY
        if live >= self._terms.capacity:
            return Reason.QUEUE_FULL
        # What ended in times to come did so before the date was set back.
        if db.execute(
            "SELECT 1 FROM job WHERE target = ? AND key = ? AND changed_at > ? AND changed_at <= ?"
            " AND state = 'skipped' AND reason = 'source-status'",
            (job.group, job.key, now - self._terms.missing_s, now),
        ).fetchone():
            return Reason.SOURCE_STATUS
        return None

    def take(self, job: Job, at: Moment) -> tuple[Lease | Reason, int]:
        """This very job if nobody is at it, put in if it is not there; and how many live ones there are."""
        with self._changing() as db:
            if _is_paused(db):
                return Reason.PAUSED, _live(db)
            row = _live_row(db, job)
            if row is None:
                live = _live(db)
                refusal = self._refusal(db, job, live, at.now)
                if refusal is not None:
                    return refusal, live
                return self._lease(db, _insert(db, job, at), job, 0, at), live + 1
            number, attempt, turn, state, reason, until = row
            if until > at.elapsed:
                is_held = state == State.LEASED
                return Reason.QUEUED_ALREADY if is_held else Reason.RETRY_LATER, _live(db)
            if state == State.LEASED and (reason == Reason.CANCELLED or attempt >= self._terms.attempts):
                return Reason.RETRY_LATER, _live(db)  # whoever leases it next will bury it
            return self._lease(db, number, replace(job, attempt=attempt), turn, at), _live(db)

    def is_held(self, job: Job, at: Moment) -> bool:
        """Whether somebody is at a job with this one's identity."""
        with self._asking() as db:
            row = _live_row(db, job)
            return row is not None and row[3] == State.LEASED and row[5] > at.elapsed

    def turn(self, settlings: Sequence[Settling], most: int, groups: frozenset[str], at: Moment) -> Turned:
        """Settle these; then lease up to `most` jobs of `groups` that are due. One transaction for all."""
        if not settlings:
            with self._asking() as db:
                # Nobody else has to wait for one who only looks.
                rows = _first(db, groups, 1)
                if not rows or rows[0][0] > at.elapsed:
                    return Turned([], [], rows[0][0] if rows else None, _live(db))
        with self._changing() as db:
            settled = [self._settle(db, settling, at) for settling in settlings]
            if any(settled):
                self._forget(db, at.now, len(settled))
            leased: list[Lease | Lost] = []
            next_due = None
            while len(leased) < most:
                room = most - len(leased)
                # One more than there is room for tells when the next is due.
                rows = _first(db, groups, room + 1)
                due = [row for row in rows[:room] if row[0] <= at.elapsed]
                next_due = rows[len(due)][0] if len(rows) > len(due) else None
                if not due:
                    break
                leased += filter(None, (self._leased(db, row, at) for row in due))
            return Turned(settled, leased, next_due, _live(db))

    def _leased(self, db: sqlite3.Connection, row: Sequence[Any], at: Moment) -> Lease | Lost | None:
        """A job that is due, and so is nobody's: None if it is not wanted any more."""
        entry, turn = _entry(row[1:-1]), row[-1]
        if entry.state is State.LEASED and entry.reason is Reason.CANCELLED:
            self._end(db, entry.number, CANCELLED, None, at.now)
            return None
        if entry.state is State.LEASED and entry.job.attempt >= self._terms.attempts:
            self._end(db, entry.number, Ending(State.DEAD, Reason.WORKER_LOST), None, at.now)
            return Lost(entry.job)
        if isinstance(unread := _told(row[1:-1]), MessageError):
            # Of another version: it must not keep those behind it from being done.
            ending = Ending(State.FAILED, Reason.INTERNAL, f"the job cannot be read: {unread}")
            self._end(db, entry.number, ending, None, at.now)
            return None
        return self._lease(db, entry.number, entry.job, turn, at)

    def _settle(self, db: sqlite3.Connection, settling: Settling, at: Moment) -> bool:
        """The attempt, and unless it is to be QUEUED the job, has ended; False if the lease was lost."""
        lease, ending = settling.lease, settling.ending
        if ending.state is State.QUEUED and _is_cancelled(db, lease):
            ending = CANCELLED
        return _held(
            db,
            lease,
            "state = ?, since = ?, until = ?, reason = ?, message = ?, bytes = ?, took_s = ?, changed_at = ?",
            (
                ending.state,
                at.elapsed,
                at.elapsed + settling.retry_in_s,
                ending.reason,
                ending.message,
                ending.size,
                settling.took_s,
                at.now,
            ),
        )

    def _lease(self, db: sqlite3.Connection, number: int, job: Job, turn: int, at: Moment) -> Lease:
        db.execute(
            "UPDATE job SET state = 'leased', attempt = attempt + 1, turn = turn + 1, since = ?,"
            " until = ?, changed_at = ? WHERE id = ?",
            (at.elapsed, at.elapsed + self._terms.lease_s, at.now, number),
        )
        return Lease(number, turn + 1, replace(job, attempt=job.attempt + 1))

    def extend(self, leases: Iterable[Lease], at: Moment) -> list[Lease]:
        """Let these begin anew; gives those that are lost. What is cancelled ends, and is lost."""
        leases = list(leases)
        with self._changing() as db:
            for lease in leases:
                if _is_cancelled(db, lease):
                    self._end(db, lease.number, CANCELLED, None, at.now)
            until = at.elapsed + self._terms.lease_s
            return [
                lease for lease in leases if not _held(db, lease, "since = ?, until = ?", (at.elapsed, until))
            ]

    def release(self, lease: Lease, in_s: float, reason: Reason | None, at: Moment) -> None:
        """Give it back, to be due in `in_s`; the attempt does not count."""
        with self._changing() as db:
            if _is_cancelled(db, lease):
                self._end(db, lease.number, CANCELLED, None, at.now)
            _held(
                db,
                lease,
                "state = 'queued', attempt = attempt - 1, since = ?, until = ?, reason = coalesce(?, reason)",
                (at.elapsed, at.elapsed + in_s, reason),
            )

    def counts(self) -> Mapping[State, int]:
        """How many jobs there are in each state."""
        with self._asking() as db:
            found = dict(db.execute("SELECT state, jobs FROM tally").fetchall())
            return {state: found.get(state.value, 0) for state in State}

    def entries(self, wanted: Wanted) -> list[Entry]:
        """What is known of these jobs, the newest first."""
        where, values = _where(wanted)
        with self._asking() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM job WHERE {where} ORDER BY id DESC LIMIT ?", (*values, wanted.limit)
            )
            return [_entry(row) for row in rows]

    def retry(self, wanted: Wanted, at: Moment, below: int) -> tuple[int, int]:
        """Queue these again, as far as there is room, of those with numbers below `below`.

        Gives how many, and below which number there may be more; 0 = there are none.
        """
        where, values = _where(replace(wanted, states=wanted.states & ENDED_BADLY))
        with self._changing() as db:
            room = max(0, min(wanted.limit, self._terms.capacity - _live(db)))
            is_live = (
                f"EXISTS (SELECT 1 FROM job AS other WHERE {_LIVE}"
                " AND other.target = job.target AND other.key = job.key)"
            )
            found = db.execute(
                f"SELECT id FROM job WHERE {where} AND id < ? AND NOT {is_live} ORDER BY id DESC LIMIT ?",
                (*values, below, room),
            ).fetchall()
            # Of several with one key one is enough: the others are let be.
            done = db.executemany(
                "UPDATE OR IGNORE job SET state = 'queued', attempt = 0, reason = NULL, message = '',"
                " since = ?, until = ?, changed_at = ? WHERE id = ?",
                ((at.elapsed, at.elapsed, at.now, number) for (number,) in found),
            )
            return max(0, done.rowcount), found[-1][0] if found and len(found) == room else 0

    def cancel(self, wanted: Wanted, at: Moment) -> int:
        """End those that wait, and mark those at work; gives how many."""
        where, values = _where(replace(wanted, states=wanted.states & LIVE))
        with self._changing() as db:
            found = db.execute(
                f"SELECT id, state FROM job WHERE {where} AND (state = 'queued' OR reason IS NOT 'cancelled')"
                " ORDER BY id DESC LIMIT ?",
                (*values, wanted.limit),
            ).fetchall()
            db.executemany(
                "UPDATE job SET reason = ? WHERE id = ?",
                [(Reason.CANCELLED, number) for number, state in found if state == State.LEASED],
            )
            for number, state in found:
                if state == State.QUEUED:
                    self._end(db, number, CANCELLED, None, at.now)
            return len(found)

    def pause(self, is_paused: bool) -> None:
        """Lease no jobs, or go on."""
        with self._changing() as db:
            db.execute("UPDATE control SET is_paused = ?", (is_paused,))

    def is_paused(self) -> bool:
        """Whether no jobs are leased."""
        with self._asking() as db:
            return _is_paused(db)

    def close(self) -> None:
        """Nobody may ask any more."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _end(
        self, db: sqlite3.Connection, number: int, ending: Ending, took_s: float | None, now: float
    ) -> None:
        db.execute(
            "UPDATE job SET state = ?, reason = ?, message = ?, bytes = ?, took_s = ?, changed_at = ?"
            " WHERE id = ?",
            (ending.state, ending.reason, ending.message, ending.size, took_s, now, number),
        )
        self._forget(db, now, 1)

    def _forget(self, db: sqlite3.Connection, now: float, ended: int) -> None:
        """Remember no more ended jobs than may be, now that some have been added."""
        # Some more than were added, so that a list that is too long becomes shorter.
        (jobs,) = db.execute(f"SELECT sum(jobs) FROM tally WHERE NOT {_LIVE}").fetchone()
        oldest = f"SELECT id FROM job WHERE NOT {_LIVE} ORDER BY changed_at LIMIT ?"
        most = _AT_ONCE * ended
        too_many = min(jobs - self._terms.history, most)
        if too_many > 0:
            db.execute(f"DELETE FROM job WHERE id IN ({oldest})", (too_many,))
        db.execute(f"DELETE FROM job WHERE id IN ({oldest}) AND changed_at < ?", (most, now - _KEPT_S))

    def __repr__(self) -> str:
        return f"Ledger({self._path.name})"


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Nobody else is in here at the same time: SQLite does not wait where two turn to WAL at once."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _statements(script: str) -> Iterator[str]:
    """One by one: sqlite3's own way to run them all ends the transaction first."""
    statement = ""
    for line in script.strip().splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _live(db: sqlite3.Connection) -> int:
    (jobs,) = db.execute(f"SELECT sum(jobs) FROM tally WHERE {_LIVE}").fetchone()
    return int(jobs)


def _is_paused(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT is_paused FROM control").fetchone()[0])


def _where(wanted: Wanted) -> tuple[str, tuple[Any, ...]]:
    """The condition of these jobs, and the values in it."""
    states = sorted(wanted.states)
    conditions = [f"state IN ({', '.join('?' * len(states))})"]
    values: list[Any] = [*states]
    if wanted.group is not None:
        conditions.append("target = ?")
        values.append(wanted.group)
    if wanted.number is not None:
        conditions.append("id = ?")
        values.append(wanted.number)
    if wanted.prefix:
        conditions.append("substr(key, 1, ?) = ?")
        values += [len(wanted.prefix), wanted.prefix]
    return " AND ".join(conditions), tuple(values)


def _first(db: sqlite3.Connection, groups: Iterable[str], most: int) -> list[tuple[Any, ...]]:
    """The jobs of `groups` that are due first, at most so many: `until`, the columns and `turn` of each.

    None while they are paused.
    """
    if _is_paused(db):
        return []
    # A query for each, or the jobs of others would have to be passed over one by one.
    found = [
        row
        for group in groups
        for row in db.execute(
            f"SELECT until, {_COLUMNS}, turn FROM job INDEXED BY job_due WHERE {_LIVE} AND target = ?"
            " ORDER BY until, id LIMIT ?",
            (group, most),
        )
    ]
    return sorted(found, key=lambda row: row[:2])[:most]


def _held(db: sqlite3.Connection, lease: Lease, change: str, values: tuple[Any, ...]) -> bool:
    """Change the job if `lease` still holds, else say False."""
    done = db.execute(
        f"UPDATE job SET {change} WHERE id = ? AND turn = ? AND state = 'leased'",
        (*values, lease.number, lease.turn),
    )
    return done.rowcount == 1


def _is_cancelled(db: sqlite3.Connection, lease: Lease) -> bool:
    """Whether `lease` holds, and is to be given up."""
    return (
        db.execute(
            "SELECT 1 FROM job WHERE id = ? AND turn = ? AND state = 'leased' AND reason = ?",
            (lease.number, lease.turn, Reason.CANCELLED),
        ).fetchone()
        is not None
    )


def _live_row(db: sqlite3.Connection, job: Job) -> tuple[int, int, int, str, str | None, float] | None:
    """Id, attempt, turn, state, reason and until of the live job with this identity."""
    found: tuple[int, int, int, str, str | None, float] | None = db.execute(
        f"SELECT id, attempt, turn, state, reason, until FROM job WHERE target = ? AND key = ? AND {_LIVE}",
        (job.group, job.key),
    ).fetchone()
    return found


def _insert(db: sqlite3.Connection, job: Job, at: Moment) -> int:
    """Put a new job in; gives its id."""
    done = db.execute(
        "INSERT INTO job (target, key, told, state, since, until, added_at, changed_at)"
        " VALUES (?, ?, ?, 'queued', ?, ?, ?, ?)",
        (job.group, job.key, message_text(job), at.elapsed, at.elapsed, at.now, at.now),
    )
    return int(done.lastrowid or 0)


def _told(row: Sequence[Any]) -> Job | MessageError:
    """The job of a row, less its attempt; or why it is none."""
    try:
        return job_of(row[3])
    except MessageError as error:
        return error


def _entry(row: Sequence[Any]) -> Entry:
    number, target, key, _, state, attempt, reason, message, size, took_s, added_at, changed_at = row
    told = _told(row)
    # What cannot be read can still be seen, and got rid of.
    job = told if isinstance(told, Job) else Job(target, key, "/", None, 0)
    why = Reason(reason) if reason is not None else None
    at = replace(job, attempt=attempt)
    return Entry(number, at, State(state), added_at, changed_at, why, message, size, took_s)
