"""Answers built from what is stored, where no story can see the difference."""

from typing import Any, cast

from edgeproxy.core.answering import Report, XCache
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.storing import Stored
from edgeproxy.gateway.answers import from_entry
from edgeproxy.gateway.visit import Front, Visit
from edgeproxy.record import Record
from edgeproxy.store.memory import Entry


def test_the_date_is_that_of_the_arrival_where_the_origin_gave_none() -> None:
    """RFC 9110 §6.6.1. The server would set the time of the answer, which makes it look new."""
    record = Record("id", "GET", "/", "", 0.0, 0.0)
    visit = Visit(Request("GET", "/"), cast(Any, None), record, Front("1.1 x", "x"))
    arrived = Stored(Head(200), 60.0, 0.0, received_at=784_111_777.0)
    given = Stored(Head(200, Headers([("Date", "theirs")])), 60.0, 0.0, received_at=784_111_777.0)
    dates = [
        from_entry(visit, Entry(stored, b""), Report(XCache.HIT)).head.headers.get("date")
        for stored in (arrived, given)
    ]
    assert dates == ["Sun, 06 Nov 1994 08:49:37 GMT", "theirs"]
