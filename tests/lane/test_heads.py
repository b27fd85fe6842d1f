"""What is one plain head, and that to shorten makes none.  RFC 9112 §2.2, §3, §5, §6."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeproxy.lane.heads import Shortening, is_plain

SHORTENED = Shortening({"user-agent", "cookie", "accept"}).short
LINE = b"GET /a HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (LINE + b"\r\n", True),
        (LINE.replace(b"GET", b"HEAD") + b"\r\n", True),
        (LINE + b"Connection: Keep-Alive\r\n\r\n", True),
        (LINE + b"X: \xe9\t \r\n\r\n", True),
        (b"", False),
        (LINE, False),
        (b"\r\n" + LINE + b"\r\n", False),
        (LINE + b"\r\nX", False),
        ((LINE + b"\r\n") * 2, False),
        (LINE.replace(b"GET", b"POST") + b"\r\n", False),
        (LINE.replace(b"1.1", b"1.0") + b"\r\n", False),
        (LINE.replace(b"/a", b"http://a/a") + b"\r\n", False),
        (LINE.replace(b"/a", b"*") + b"\r\n", False),
        (LINE.replace(b"/a", b"/a b") + b"\r\n", False),
        (LINE.replace(b"/a", b"/\xe9") + b"\r\n", False),
        (LINE.replace(b"\r\n", b"\n") + b"\n", False),
        (LINE + b"X: a\nY: b\r\n\r\n", False),
        (LINE + b"X: a\rY: b\r\n\r\n", False),
        (LINE + b"X: a\x00\r\n\r\n", False),
        (LINE + b"X: a\r\n b\r\n\r\n", False),
        (LINE + b"X : a\r\n\r\n", False),
        (LINE + b": a\r\n\r\n", False),
        (LINE + b"X\r\n\r\n", False),
        (LINE + b"content-length: 0\r\n\r\n", False),
        (LINE + b"Transfer-Encoding: chunked\r\n\r\n", False),
        (LINE + b"Expect: 100-continue\r\n\r\n", False),
        (LINE + b"Connection: close\r\n\r\n", False),
        (LINE + b"Connection: keep-alive, upgrade\r\n\r\n", False),
        (LINE + b"Upgrade: h2c\r\n\r\n", False),
        (LINE + b"X: " + b"a" * 8_000 + b"\r\n\r\n", False),
    ],
)
def test_only_what_cannot_be_misread_is_plain(data: bytes, wanted: bool) -> None:
    assert is_plain(data) is wanted


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (LINE + b"User-Agent: x\r\n\r\n", LINE + b"\r\n"),
        (LINE + b"cookie:\r\nX: 1\r\naccept: */*\r\n\r\n", LINE + b"X: 1\r\n\r\n"),
        (LINE + b"User-Agent: x\r\ncookie: 1\r\n\r\n", LINE + b"cookie: 1\r\n\r\n"),
        (LINE + b"ACCEPT: x\r\n\r\n", LINE + b"ACCEPT: x\r\n\r\n"),
        (LINE + b"Accept-Language: x\r\n\r\n", LINE + b"Accept-Language: x\r\n\r\n"),
        (LINE + b"Accept : x\r\n\r\n", LINE + b"Accept : x\r\n\r\n"),
        (LINE + b"Accept: \xe9\r\n\r\n", LINE + b"Accept: \xe9\r\n\r\n"),
        # A line that goes on in the next one stays whole.
        (LINE + b"Accept: x\r\n y\r\n\r\n", LINE + b"Accept: x\r\n y\r\n\r\n"),
        # aiohttp refuses a second User-Agent.
        (LINE + b"User-Agent: x\r\nX: 1\r\nUser-Agent: y\r\n\r\n", None),
        # What comes behind the head is no line of it.
        (LINE + b"\r\nUser-Agent: x\r\n", None),
        (LINE + b"\r\nUser-Agent: x\r\n\r\n", None),
        (LINE + b"User-Agent: x\r\n", None),
        (LINE + b"X: 1\r\n" * 100 + b"\r\n", None),
    ],
)
def test_lines_that_nobody_heeds_are_taken_out(data: bytes, wanted: bytes | None) -> None:
    assert SHORTENED(data) == wanted


PIECES = st.sampled_from(
    [
        *(
            b"\r\n",
            b"\r",
            b"\n",
            b" ",
            b"\t",
            b":",
            b"\x00",
            b"GET /a HTTP/1.1",
            b"Host: a",
            b"User-Agent: x",
        ),
        *(b"Cookie: a", b"accept:", b"Accept: \x01", b"X: y", b"Content-Length: 3", b"User-Agent"),
    ]
)


@given(st.lists(PIECES, max_size=14))
@example([b"GET /a HTTP/1.1", b"\r\n", b"Host: a", b"\r\n", b"\r\n", b"User-Agent: x", b"\r\n"])
def test_a_short_form_that_is_plain_was_made_of_what_is_plain(pieces: list[bytes]) -> None:
    for data in (b"".join(pieces), LINE + b"".join(pieces) + b"\r\n\r\n"):
        short = SHORTENED(data)
        if short is not None and is_plain(short):
            assert is_plain(data)
            assert SHORTENED(short) == short


@pytest.mark.parametrize(
    ("line", "wanted"),
    [(b"X: user-agent:", True), (b"USER-AGENT: x", False), (b"cookie : x", False), (b"Accept:", False)],
)
def test_a_form_of_others_has_none_of_the_names(line: bytes, wanted: bool) -> None:
    assert Shortening({"user-agent", "cookie", "accept"}).is_short(LINE + line + b"\r\n\r\n") is wanted


def test_where_all_counts_nothing_is_taken_out() -> None:
    nothing = Shortening(())
    for line in (b"User-Agent: x", b"user-agent: x", b": x"):
        head = LINE + line + b"\r\n\r\n"
        assert nothing.short(head) == head
        assert nothing.is_short(head)
