"""The rows of the jobs in a file: how they are laid out, asked for and read."""

# ruff: noqa: S608 - what queries are put together from stands here; values never do

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgeproxy.backfill.job import Entry, Job, Lease, State, Wanted
from edgeproxy.backfill.message import MessageError, job_of, message_text
from edgeproxy.core.reason import Reason

IS_LIVE = "state IN ('queued', 'leased')"
SCHEMA = f"""
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
CREATE UNIQUE INDEX job_live ON job (target, key) WHERE {IS_LIVE};
CREATE INDEX job_due ON job (target, until) WHERE {IS_LIVE};
CREATE INDEX job_ended ON job (changed_at) WHERE NOT {IS_LIVE};
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
COLUMNS = "id, target, key, told, state, attempt, reason, message, bytes, took_s, added_at, changed_at"


@dataclass(frozen=True, slots=True)
class Moment:
    """The time on both clocks: POSIX seconds, and those of the monotonic clock."""

    now: float
    elapsed: float


def statements(script: str) -> Iterator[str]:
    """One by one: sqlite3's own way to run them all ends the transaction first."""
    statement = ""
    for line in script.strip().splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def live(db: sqlite3.Connection) -> int:
    """How many jobs wait or are at work."""
    (jobs,) = db.execute(f"SELECT sum(jobs) FROM tally WHERE {IS_LIVE}").fetchone()
    return int(jobs)


def is_paused(db: sqlite3.Connection) -> bool:
    """Whether no job is to be begun."""
    return bool(db.execute("SELECT is_paused FROM control").fetchone()[0])


def where(wanted: Wanted) -> tuple[str, tuple[Any, ...]]:
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


def first(db: sqlite3.Connection, groups: Iterable[str], most: int) -> list[tuple[Any, ...]]:
    """The jobs of `groups` that are due first, at most so many: `until`, the columns and `turn` of each.

    None while they are paused.
    """
    if is_paused(db):
        return []
    # A query for each, or the jobs of others would have to be passed over one by one.
    found = [
        row
        for group in groups
        for row in db.execute(
            f"SELECT until, {COLUMNS}, turn FROM job INDEXED BY job_due WHERE {IS_LIVE} AND target = ?"
            " ORDER BY until, id LIMIT ?",
            (group, most),
        )
    ]
    return sorted(found, key=lambda row: row[:2])[:most]


def held(db: sqlite3.Connection, lease: Lease, change: str, values: tuple[Any, ...]) -> bool:
    """Change the job if `lease` still holds, else say False."""
    done = db.execute(
        f"UPDATE job SET {change} WHERE id = ? AND turn = ? AND state = 'leased'",
        (*values, lease.number, lease.turn),
    )
    return done.rowcount == 1


def is_cancelled(db: sqlite3.Connection, lease: Lease) -> bool:
    """Whether `lease` holds, and is to be given up."""
    return (
        db.execute(
            "SELECT 1 FROM job WHERE id = ? AND turn = ? AND state = 'leased' AND reason = ?",
            (lease.number, lease.turn, Reason.CANCELLED),
        ).fetchone()
        is not None
    )


def live_row(db: sqlite3.Connection, job: Job) -> tuple[int, int, int, str, str | None, float] | None:
    """Id, attempt, turn, state, reason and until of the live job with this identity."""
    found: tuple[int, int, int, str, str | None, float] | None = db.execute(
        f"SELECT id, attempt, turn, state, reason, until FROM job WHERE target = ? AND key = ? AND {IS_LIVE}",
        (job.group, job.key),
    ).fetchone()
    return found


def insert(db: sqlite3.Connection, job: Job, at: Moment) -> int:
    """Put a new job in; gives its id."""
    done = db.execute(
        "INSERT INTO job (target, key, told, state, since, until, added_at, changed_at)"
        " VALUES (?, ?, ?, 'queued', ?, ?, ?, ?)",
        (job.group, job.key, message_text(job), at.elapsed, at.elapsed, at.now, at.now),
    )
    return int(done.lastrowid or 0)


def job_in(row: Sequence[Any]) -> Job | MessageError:
    """The job of a row, less its attempt; or why it is none."""
    try:
        return job_of(row[3])
    except MessageError as error:
        return error


def entry_of(row: Sequence[Any]) -> Entry:
    """What is known of the job of a row of `COLUMNS`."""
    number, target, key, _, state, attempt, reason, message, size, took_s, added_at, changed_at = row
    told = job_in(row)
    # What cannot be read can still be seen, and got rid of.
    job = told if isinstance(told, Job) else Job(target, key, "/", None, 0)
    why = Reason(reason) if reason is not None else None
    at = replace(job, attempt=attempt)
    return Entry(number, at, State(state), added_at, changed_at, why, message, size, took_s)
