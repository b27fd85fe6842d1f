"""Log lines: what they say, that nobody can forge one, and that no request waits for them."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.backfill.job import Failed, Job, Outcome, Skipped, Stored
from edgeproxy.core.answering import Report, XCache
from edgeproxy.core.decision import Forward
from edgeproxy.core.failover import Attempt
from edgeproxy.core.key import CacheKey
from edgeproxy.core.reason import Reason
from edgeproxy.log import LineWriter, RequestLog, json_line, text_line
from edgeproxy.record import Record
from tests.core.conftest import steady


def record(**more: Any) -> Record:
    plain: dict[str, Any] = {
        "id": "id-1",
        "method": "GET",
        "target": "/a?b=1",
        "viewer": "192.0.2.1",
        "started_at": 1_795_000_000.1239,
        "started": 5.0,
        "status": 200,
        "sent_bytes": 1_234,
        "duration_s": 0.01234,
    }
    return Record(**(plain | more))


JOB = Job("group", "b\u00fccher/a b.jpg".encode(), "/a", CacheKey("GET", "/a"), 100, attempt=2)


# ---------------------------------------------------------------- one line for people


def test_a_line_for_people_says_when_who_what_and_how_it_went() -> None:
    assert text_line(record()) == "2026-11-18T11:06:40.123Z 192.0.2.1 GET /a?b=1 200 - 1234B 12.3ms id-1"


def test_a_line_for_people_says_the_rest_where_there_is_any() -> None:
    line = text_line(
        record(
            viewer="",
            report=Report(XCache.MISS, Forward.MISS),
            trail=(Attempt("bucket", 404), Attempt("site", 200)),
            reason=Reason.PRIVATE,
            backfill="queued",
            is_cut=True,
            fault='it said "no"\nand left',
        )
    )
    assert line.split(" ")[1:6] == ["-", "GET", "/a?b=1", "200", "Miss"]
    assert line.endswith(
        "12.3ms bucket=404 site=200 reason=private backfill=queued cut"
        ' fault="it said \\"no\\"\\nand left" id-1'
    )


@steady
@given(st.text(max_size=30))
def test_no_target_makes_a_second_line_or_a_colour(target: str) -> None:
    assert text_line(record(target=target)).isprintable()
    line = json_line(record(target=target))
    assert line.isprintable()
    assert line.isascii()
    assert json.loads(line)["target"] == target


# ---------------------------------------------------------------- one object for programs


def test_a_line_for_programs_has_every_field_each_time() -> None:
    plain = json.loads(json_line(record()))
    full = json.loads(json_line(record(report=Report(XCache.HIT, None), reason=Reason.PRIVATE, fault="x")))
    assert plain.keys() == full.keys()
    assert plain["event"] == "request"
    assert (plain["x_cache"], plain["reason"], plain["fault"]) == (None, None, None)
    assert (full["x_cache"], full["reason"], full["fault"]) == (str(XCache.HIT), "private", "x")
    assert (plain["duration_ms"], plain["time"]) == (12.34, 1_795_000_000.124)


# ---------------------------------------------------------------- the log


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


async def test_lines_are_written_together_and_in_order(stream: io.StringIO) -> None:
    writer = LineWriter(stream)
    writer.write("one")
    writer.write("two")
    assert stream.getvalue() == ""
    writer.flush()
    assert stream.getvalue() == "one\ntwo\n"
    writer.flush()
    assert stream.getvalue() == "one\ntwo\n"


async def test_a_reader_of_the_log_that_has_gone_disturbs_nobody(stream: io.StringIO) -> None:
    writer = LineWriter(stream)
    stream.close()
    writer.write("one")
    writer.flush()


@pytest.mark.parametrize(
    ("access", "fault", "lines"), [(True, "", 1), (False, "", 0), (False, "broken", 1), (True, "broken", 1)]
)
async def test_without_an_access_log_faults_are_told_all_the_same(
    stream: io.StringIO, access: bool, fault: str, lines: int
) -> None:
    log = RequestLog(LineWriter(stream), "text", access=access)
    log.request(record(fault=fault))
    log.flush()
    assert stream.getvalue().count("\n") == lines


@pytest.mark.parametrize(
    ("outcome", "text", "fields"),
    [
        (Stored(12), "backfill stored group=group key=bücher/a b.jpg attempt=2 bytes=12", {"bytes": 12}),
        (
            Skipped(Reason.PRIVATE),
            "backfill skipped group=group key=bücher/a b.jpg attempt=2 reason=private",
            {"reason": "private"},
        ),
        (
            Failed(Reason.ORIGIN_CUT, "cut\nshort"),
            "backfill failed group=group key=bücher/a b.jpg attempt=2 reason=origin-cut fault=cut\\x0ashort",
            {"reason": "origin-cut", "fault": "cut\nshort"},
        ),
    ],
    ids=["stored", "skipped", "failed"],
)
async def test_a_job_says_how_it_ended(
    stream: io.StringIO, outcome: Outcome, text: str, fields: dict[str, object]
) -> None:
    RequestLog(writer := LineWriter(stream), "text", access=False).job(JOB, outcome)
    RequestLog(writer, "json", access=False).job(JOB, outcome)
    writer.flush()
    first, second = stream.getvalue().splitlines()
    assert first == text
    assert json.loads(second).items() >= ({"event": "backfill", "key": "bücher/a b.jpg"} | fields).items()
