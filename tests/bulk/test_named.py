"""Lines of lists and of logs: what they name, what does not count, what is wrong."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.bulk.logs import LogReader
from edgeproxy.bulk.named import PASSED, Bad, Line, ObjectKey, Target, of_list
from edgeproxy.bulk.reading import MAX_LINE_BYTES, InputError, lines_of, opened
from edgeproxy.log import json_line, text_line
from edgeproxy.record import Record

CLOUDFRONT = (
    "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status"
    " cs(Referer) cs(User-Agent) cs-uri-query\n"
)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("/a%20b.jpg", Target("/a%20b.jpg")),
        ("/a.jpg?w=1&h=2?", Target("/a.jpg", "w=1&h=2?")),
        ("img/a b.jpg", ObjectKey(b"img/a b.jpg")),
        (" a ", ObjectKey(b" a ")),
        ("grün", ObjectKey("grün".encode())),
        ("100%.txt", ObjectKey(b"100%.txt")),
        ("", PASSED),
        ("  \t", PASSED),
        ("# a comment", PASSED),
        ("/#a", Target("/#a")),
    ],
)
def test_a_line_of_a_list(line: str, named: Line) -> None:
    assert of_list(line) == named


@pytest.mark.parametrize("line", ["a\udcff", "k" * 1025])
def test_what_is_no_key(line: str) -> None:
    assert isinstance(of_list(line), Bad)


def nginx(request: str, status: int = 200) -> str:
    return f'192.0.2.7 - ann [21/Nov/2026:10:00:00 +0000] "{request}" {status} 512 "https://e.org/" "curl/8"'


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (nginx("GET /a%20b.jpg?x=1 HTTP/1.1"), Target("/a%20b.jpg", "x=1")),
        (nginx("HEAD /a.jpg HTTP/2.0", 304), Target("/a.jpg")),
        (nginx("GET /part HTTP/1.1", 206), Target("/part")),
        (nginx("GET http://e.org/a.jpg HTTP/1.1"), Target("/a.jpg")),
        (nginx("GET http://e.org HTTP/1.1"), Target("/")),
        (nginx(r"GET /gr\xC3\xBCn\x22 HTTP/1.1"), Target('/grün"')),
        (nginx(r"GET /a\"b HTTP/1.1"), Target('/a"b')),
        ('192.0.2.7 - - [21/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.0" 200 5', Target("/a")),
        ('e.org:80 192.0.2.7 - a b [21/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.0" 200 -', Target("/a")),
        (nginx("POST /a HTTP/1.1"), PASSED),
        (nginx("GET /a HTTP/1.1", 404), PASSED),
        (nginx("GET /a HTTP/1.1", 301), PASSED),
        (nginx(r"\x16\x03\x01", 400), PASSED),
        (nginx("-", 408), PASSED),
        (nginx("OPTIONS * HTTP/1.1"), PASSED),
        ("backfill stored group=media key=a attempt=1 bytes=10", PASSED),
        ('{"event":"backfill","outcome":"stored"}', PASSED),
    ],
)
def test_a_line_of_a_log(line: str, named: Line) -> None:
    assert LogReader().read(line) == named


@pytest.mark.parametrize("line", ["hello", '{"event":"request"}', "{", "[" * 100, '"GET /a HTTP/1.1" 200'])
def test_what_is_no_line_of_a_log(line: str) -> None:
    assert isinstance(LogReader().read(line), Bad)


@pytest.mark.parametrize("form", [text_line, json_line])
def test_our_own_log_is_read_as_it_is_written(form: object) -> None:
    assert callable(form)
    record = Record("id", "GET", "/gr%C3%BCn?a=1", "192.0.2.7", 1.0, 1.0, status=200, sent_bytes=7)
    assert LogReader().read(form(record)) == Target("/gr%C3%BCn", "a=1")
    record.status = 404
    assert LogReader().read(form(record)) == PASSED
    assert LogReader(frozenset({404})).read(form(record)) == Target("/gr%C3%BCn", "a=1")


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("d t FRA 99 192.0.2.7 GET d.cf /a%2520b.jpg 200 - curl -", Target("/a%20b.jpg")),
        ("d t FRA 99 192.0.2.7 GET d.cf /a.jpg 200 - curl x=1", Target("/a.jpg", "x=1")),
        ("d t FRA 99 192.0.2.7 GET d.cf /gr%C3%BCn 206 - curl -", Target("/grün")),
        ("d t FRA 99 192.0.2.7 GET d.cf /a 000 - curl -", PASSED),
        ("d t FRA 99 192.0.2.7 PUT d.cf /a 200 - curl -", PASSED),
    ],
)
def test_a_row_of_cloudfront(row: str, named: Line) -> None:
    reader = LogReader()
    assert [reader.read(line) for line in CLOUDFRONT.splitlines()] == [PASSED, PASSED]
    assert reader.read(row.replace(" ", "\t")) == named


def test_a_row_of_cloudfront_that_is_cut() -> None:
    reader = LogReader()
    for line in CLOUDFRONT.splitlines():
        reader.read(line)
    assert reader.read("d\tt") == Bad("got 2 columns, want 12")
    reader.read("#Fields: date sc-status")
    assert reader.read("d\t200") == Bad("its #Fields have no cs-method, want it")


def test_one_file_may_hold_several_formats() -> None:
    reader = LogReader()
    lines = ['{"event":"request","method":"GET","target":"/a","status":200}', nginx("GET /b HTTP/1.1"), "x"]
    assert [type(reader.read(line)).__name__ for line in lines * 2] == ["Target", "Target", "Bad"] * 2


@given(st.text())
def test_no_line_breaks_a_reader(line: str) -> None:
    reader = LogReader()
    for text in (line, nginx(line), "{" + line, "#Fields: " + line, line):
        reader.read(text)
    of_list(line)


def numbered(path: Path) -> list[tuple[int, str | None]]:
    with opened(str(path)) as file:
        return list(lines_of(file))


def test_lines_are_numbered_whatever_they_end_with(tmp_path: Path) -> None:
    path = tmp_path / "list"
    long = b"x" * (3 * MAX_LINE_BYTES)
    path.write_bytes(b"/a\r\n\n" + long + b"\n\xff\n/b")
    lines = [(1, "/a"), (2, ""), (3, None), (4, "\udcff"), (5, "/b")]
    assert numbered(path) == lines
    packed = tmp_path / "list.gz"
    # Two in one, as rotated logs are put together.
    packed.write_bytes(gzip.compress(path.read_bytes() + b"\n") + gzip.compress(b"/c"))
    assert numbered(packed) == [*lines, (6, "/c")]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    """RFC 3629 §6."""
    path = tmp_path / "keys.txt"
    path.write_bytes(b"\xef\xbb\xbf/a.jpg\r\n\xef\xbb\xbfb")
    with opened(str(path)) as file:
        assert list(lines_of(file)) == [(1, "/a.jpg"), (2, "\ufeffb")]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"list: no such file or directory\Z"):
        numbered(tmp_path / "list")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"/a\n" * 1000)[:-9])
    with pytest.raises(InputError, match=r"cut\.gz: is damaged"):
        numbered(tmp_path / "cut.gz")
