"""SQLite as this house uses it: a file that several processes share, changed in short transactions."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BUSY_S = 10.0
"""How long a process waits for the others' transactions, each of which takes well under a millisecond."""


def connected(path: Path) -> sqlite3.Connection:
    """A connection that may go from thread to thread, and begins no transaction by itself.

    No transaction is lost when the process is killed; when the machine is, some of the last may be, but
    never by halves.
    """
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA synchronous = NORMAL")
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """One transaction: all of it or, when anything is raised, nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # After some faults SQLite has done so itself. One left open would shut all others out.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
