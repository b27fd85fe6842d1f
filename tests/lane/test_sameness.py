"""With the lane and without it the same bytes come back, whatever is sent and however it is cut up."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lane.twins import Twins, head, plain, twins

ETAG = 'If-None-Match: "one"'
KNOWN = (
    head(),
    head("/a", "User-Agent: a", "Accept: */*"),
    head("/b?x=1"),
    head(method="HEAD"),
    head("/a", ETAG),
    head("/a", "If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT"),
    head("/a", "Range: bytes=10-20"),
    head("/a", "Range: bytes=-5", 'If-Range: "one"'),
    head("/a", "Connection: keep-alive", "Accept-Encoding: gzip"),
    head("/a", "Origin: https://elsewhere.example"),
)
ODD = (
    head("/private"),
    head("/a", "Range: bytes=0-1,4-5"),
    head("/a", "Range: bytes=99999-"),
    head("/a", "Connection: close"),
    head("/a", version="1.0"),
    head("/a", "Connection: keep-alive", version="1.0"),
    head("/a", "Host: edge.example"),
    head("/a", "User-Agent: a", "User-Agent: b"),
    head("/a", "Content-Length: 0"),
    head("/a", "Content-Length: 3") + b"abc",
    head("/a", "Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    head("/a", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n0\r\n\r\n",
    head("/a", "Transfer-Encoding : chunked") + b"0\r\n\r\n",
    head("/a", "Content-Length: 3", "Expect: 100-continue", method="POST"),
    head("/a", "Upgrade: websocket", "Connection: upgrade"),
    head("/a", "Upgrade: h2c"),
    head("/a", "X: folded", " on"),
    head("/a", "User-Agent: folded", "\ton"),
    head("/a", "X : a"),
    head("/a", "X: a\x00b"),
    head("/a", "X: a\rb"),
    head("/a", "X: a\nb"),
    head("/a").replace(b"\r\n", b"\n"),
    head("/a")[:-2] + b"\r\nUser-Agent: a\r\n",
    head("http://edge.example/a"),
    head("http://other.example/a"),
    head("//a"),
    head("/%61"),
    head("/a/../a"),
    head("/a#b"),
    head("*"),
    head("/a", method="get"),
    head("/a", method="DELETE"),
    head("/a", "CDN-Loop: someone"),
    b"GET /a HTTP/1.1\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: \r\n\r\n",
    b"GET /a HTTP/1.1\r\nhost: edge.example\r\n\r\n",
    b"GET  /a HTTP/1.1\r\nHost: edge.example\r\n\r\n",
    b"\r\n" + head("/a"),
    b"nonsense\r\n\r\n",
)


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[asyncio.Runner, Twins]]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        stack = AsyncExitStack()
        both = runner.run(stack.enter_async_context(twins()))
        runner.run(both.know(*KNOWN))
        yield runner, both
        runner.run(stack.aclose())


def test_each_by_itself_and_twice_on_one_connection(house: tuple[asyncio.Runner, Twins]) -> None:
    runner, both = house
    for one in (*KNOWN, *ODD):
        for rests in (True, False):
            said = runner.run(both.same(one, one, rests=rests))
            assert said
        runner.run(both.same(one + one))


def test_what_is_known_is_answered_by_the_lane(
    house: tuple[asyncio.Runner, Twins], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the other tests here would show nothing."""
    runner, both = house

    async def never(*_: object) -> None:
        raise AssertionError("the gateway was asked")

    monkeypatch.setattr(both.on.app.gateway, "handle", never)
    for one in KNOWN:
        said, is_closed = runner.run(both.on.ask(one))
        assert said.startswith((b"HTTP/1.1 2", b"HTTP/1.1 304"))
        assert not is_closed


def test_a_known_head_behind_each_other_thing(house: tuple[asyncio.Runner, Twins]) -> None:
    runner, both = house
    for one in ODD:
        for first, second in ((one, KNOWN[0]), (KNOWN[0], one)):
            runner.run(both.same(first, second))
            runner.run(both.same(first + second))
            runner.run(both.same(first, second, rests=False))


@given(
    st.lists(st.one_of(st.sampled_from(KNOWN), st.sampled_from(ODD)), min_size=1, max_size=3),
    st.lists(st.integers(0, 400), max_size=3),
    st.booleans(),
)
@settings(max_examples=250)
def test_streams_cut_up_anywhere(
    house: tuple[asyncio.Runner, Twins], parts: list[bytes], cuts: list[int], rests: bool
) -> None:
    runner, both = house
    stream = b"".join(parts)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    chunks = [stream[a:b] for a, b in pairwise(places)]
    runner.run(both.same(*chunks, rests=rests))


JUNK = st.one_of(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\x00", b" ", b"\t", b":", b"\x7f", b"\xff", b"%", b"#"]
    ),
    st.sampled_from([b"Content-Length: 1\r\n", b"Host: b\r\n", b"\r\nUser-Agent: x", b"\r\nCookie: x\r\n"]),
    st.binary(min_size=1, max_size=2),
)


@given(st.sampled_from(KNOWN), st.integers(0, 400), st.integers(0, 3), JUNK)
@settings(max_examples=400)
def test_a_known_head_with_something_put_in_its_place(
    house: tuple[asyncio.Runner, Twins], one: bytes, place: int, removed: int, junk: bytes
) -> None:
    runner, both = house
    place %= len(one)
    runner.run(both.same(one[:place] + junk + one[place + removed :], KNOWN[0]))


@pytest.mark.parametrize("rests", [True, False])
def test_a_viewer_that_sends_no_more_gets_what_it_would_get_or_more(
    house: tuple[asyncio.Runner, Twins], rests: bool
) -> None:
    """aiohttp lets go of what it is at when the viewer's side ends; the lane has answered by then."""
    runner, both = house
    for one in (*KNOWN, *ODD):
        (on, _), (off, _) = [runner.run(side.ask(one, rests=rests, end=True)) for side in both.sides]
        assert plain(on).startswith(plain(off))
        if rests or not both.on.knows(one):
            assert plain(on) == plain(off)


def test_records_and_counters_are_the_same(house: tuple[asyncio.Runner, Twins]) -> None:
    """All that was asked above has been observed on both sides alike."""
    runner, both = house
    for side in both.sides:
        side.records.clear()
    for one in (*KNOWN, *ODD):
        runner.run(both.same(one))
    fields = [[record.fields() for record in side.records] for side in both.sides]
    for record in (record for side in fields for record in side):
        assert len(str(record["id"])) == 56
        for name in ("id", "first_byte_ms", "duration_ms"):
            del record[name]
    assert fields[0] == fields[1]
    assert {str(record["viewer"]) for record in fields[0]} == {"192.0.2.7"}
    ids = [record.id for record in both.on.records]
    assert len(set(ids)) == len(ids)
