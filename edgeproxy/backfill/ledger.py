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

from edgeproxy.backfill import rows
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
from edgeproxy.backfill.message import MessageError
from edgeproxy.backfill.queue import Terms
from edgeproxy.backfill.rows import Moment
from edgeproxy.core.reason import Reason
from edgeproxy.store.transactions import connected, transaction

_KEPT_S = 30 * 86_400
"""How long ended jobs are remembered at most."""
_AT_ONCE = 16
_VERSION = 1


class LedgerError(Exception):
    """The file could not be read or written; the message says why."""


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
                for statement in rows.statements(rows.SCHEMA):
                    db.execute(statement)
                db.executemany("INSERT INTO tally VALUES (?, 0)", ((state.value,) for state in State))
                db.execute(f"PRAGMA user_version = {_VERSION}")
            # The machine was started anew: nobody holds what was held before.
            db.execute(
                f"UPDATE job SET since = ?1, until = ?1 WHERE {rows.IS_LIVE} AND since > ?1",
                (at.elapsed,),
            )

    def add(self, jobs: Sequence[Job], at: Moment) -> tuple[list[Reason | None], int]:
        """Put `jobs` in; gives for each why not, and how many live ones there are then."""
        with self._changing() as db:
            live = rows.live(db)
            verdicts: list[Reason | None] = []
            for job in jobs:
                reason = self._refusal(db, job, live, at.now)
                if reason is None:
                    live += 1
                    rows.insert(db, job, at)
                verdicts.append(reason)
            return verdicts, live

    def _refusal(self, db: sqlite3.Connection, job: Job, live: int, now: float) -> Reason | None:
        if rows.live_row(db, job) is not None:
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
            if rows.is_paused(db):
                return Reason.PAUSED, rows.live(db)
            row = rows.live_row(db, job)
            if row is None:
                live = rows.live(db)
                refusal = self._refusal(db, job, live, at.now)
                if refusal is not None:
                    return refusal, live
                return self._lease(db, rows.insert(db, job, at), job, 0, at), live + 1
            number, attempt, turn, state, reason, until = row
            if until > at.elapsed:
                is_held = state == State.LEASED
                return Reason.QUEUED_ALREADY if is_held else Reason.RETRY_LATER, rows.live(db)
            if state == State.LEASED and (reason == Reason.CANCELLED or attempt >= self._terms.attempts):
                return Reason.RETRY_LATER, rows.live(db)  # whoever leases it next will bury it
            return self._lease(db, number, replace(job, attempt=attempt), turn, at), rows.live(db)

    def is_held(self, job: Job, at: Moment) -> bool:
        """Whether somebody is at a job with this one's identity."""
        with self._asking() as db:
            row = rows.live_row(db, job)
            return row is not None and row[3] == State.LEASED and row[5] > at.elapsed

    def turn(self, settlings: Sequence[Settling], most: int, groups: frozenset[str], at: Moment) -> Turned:
        """Settle these; then lease up to `most` jobs of `groups` that are due. One transaction for all."""
        if not settlings:
            with self._asking() as db:
                # Nobody else has to wait for one who only looks.
                first = rows.first(db, groups, 1)
                if not first or first[0][0] > at.elapsed:
                    return Turned([], [], first[0][0] if first else None, rows.live(db))
        with self._changing() as db:
            settled = [self._settle(db, settling, at) for settling in settlings]
            if any(settled):
                self._forget(db, at.now, len(settled))
            leased: list[Lease | Lost] = []
            next_due = None
            while len(leased) < most:
                room = most - len(leased)
                # One more than there is room for tells when the next is due.
                first = rows.first(db, groups, room + 1)
                due = [row for row in first[:room] if row[0] <= at.elapsed]
                next_due = first[len(due)][0] if len(first) > len(due) else None
                if not due:
                    break
                leased += filter(None, (self._leased(db, row, at) for row in due))
            return Turned(settled, leased, next_due, rows.live(db))

    def _leased(self, db: sqlite3.Connection, row: Sequence[Any], at: Moment) -> Lease | Lost | None:
        """A job that is due, and so is nobody's: None if it is not wanted any more."""
        entry, turn = rows.entry_of(row[1:-1]), row[-1]
        if entry.state is State.LEASED and entry.reason is Reason.CANCELLED:
            self._end(db, entry.number, CANCELLED, None, at.now)
            return None
        if entry.state is State.LEASED and entry.job.attempt >= self._terms.attempts:
            self._end(db, entry.number, Ending(State.DEAD, Reason.WORKER_LOST), None, at.now)
            return Lost(entry.job)
        if isinstance(unread := rows.job_in(row[1:-1]), MessageError):
            # Of another version: it must not keep those behind it from being done.
            ending = Ending(State.FAILED, Reason.INTERNAL, f"the job cannot be read: {unread}")
            self._end(db, entry.number, ending, None, at.now)
            return None
        return self._lease(db, entry.number, entry.job, turn, at)

    def _settle(self, db: sqlite3.Connection, settling: Settling, at: Moment) -> bool:
        """The attempt, and unless it is to be QUEUED the job, has ended; False if the lease was lost."""
        lease, ending = settling.lease, settling.ending
        if ending.state is State.QUEUED and rows.is_cancelled(db, lease):
            ending = CANCELLED
        return rows.held(
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
                if rows.is_cancelled(db, lease):
                    self._end(db, lease.number, CANCELLED, None, at.now)
            until = at.elapsed + self._terms.lease_s
            return [
                lease
                for lease in leases
                if not rows.held(db, lease, "since = ?, until = ?", (at.elapsed, until))
            ]

    def release(self, lease: Lease, in_s: float, reason: Reason | None, at: Moment) -> None:
        """Give it back, to be due in `in_s`; the attempt does not count."""
        with self._changing() as db:
            if rows.is_cancelled(db, lease):
                self._end(db, lease.number, CANCELLED, None, at.now)
            rows.held(
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
        where, values = rows.where(wanted)
        with self._asking() as db:
            found = db.execute(
                f"SELECT {rows.COLUMNS} FROM job WHERE {where} ORDER BY id DESC LIMIT ?",
                (*values, wanted.limit),
            )
            return [rows.entry_of(row) for row in found]

    def retry(self, wanted: Wanted, at: Moment, below: int) -> tuple[int, int]:
        """Queue these again, as far as there is room, of those with numbers below `below`.

        Gives how many, and below which number there may be more; 0 = there are none.
        """
        where, values = rows.where(replace(wanted, states=wanted.states & ENDED_BADLY))
        with self._changing() as db:
            room = max(0, min(wanted.limit, self._terms.capacity - rows.live(db)))
            is_live = (
                f"EXISTS (SELECT 1 FROM job AS other WHERE {rows.IS_LIVE}"
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
        where, values = rows.where(replace(wanted, states=wanted.states & LIVE))
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
            return rows.is_paused(db)

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
        (jobs,) = db.execute(f"SELECT sum(jobs) FROM tally WHERE NOT {rows.IS_LIVE}").fetchone()
        oldest = f"SELECT id FROM job WHERE NOT {rows.IS_LIVE} ORDER BY changed_at LIMIT ?"
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
