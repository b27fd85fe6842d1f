"""The fields that we add to an answer."""

import pytest

from edgeproxy.core.answering import Report, XCache, answer_headers, dated, not_modified
from edgeproxy.core.decision import Forward
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.reason import Reason
from tests.core.conftest import rows


@pytest.mark.parametrize(
    ("report", "expected"),
    rows(
        ("a hit", Report(XCache.HIT, fresh_for_s=45.9, age_s=3), "edge; hit; ttl=45", "RFC 9211 §2.1"),
        ("a miss", Report(XCache.MISS, Forward.MISS), "edge; fwd=uri-miss", "RFC 9211 §2.2"),
        (
            "a miss with all its parameters",
            Report(
                XCache.MISS,
                Forward.STALE,
                Reason.NO_CACHE,
                fwd_status=200,
                fresh_for_s=60,
                is_stored=True,
                is_collapsed=True,
            ),
            "edge; fwd=stale; fwd-status=200; stored; collapsed; ttl=60; detail=no-cache",
            "RFC 9211 §2",
        ),
        (
            "validated",
            Report(
                XCache.REFRESH_HIT, Forward.STALE, Reason.STALE, fwd_status=304, fresh_for_s=60.0, age_s=0
            ),
            "edge; fwd=stale; fwd-status=304; ttl=60; detail=stale",
            "RFC 9211 §2.3",
        ),
        (
            "a fault",
            Report(XCache.ERROR, Forward.MISS, Reason.ORIGIN_TIMEOUT),
            "edge; fwd=uri-miss; detail=origin-timeout",
            "RFC 9211 §2.8",
        ),
        (
            "a request refused",
            Report(XCache.ERROR, Forward.BYPASS, Reason.BAD_PATH),
            "edge; fwd=bypass; detail=bad-path",
            "RFC 9211 §2.8",
        ),
        ("no longer fresh", Report(XCache.HIT, fresh_for_s=-30.0), "edge; hit; ttl=-30", "RFC 9211 §2.4"),
        (
            "a hit says nothing of storing",
            Report(XCache.HIT, fwd_status=200, is_stored=True),
            "edge; hit",
            "RFC 9211 §2.5",
        ),
    ),
)
def test_cache_status(report: Report, expected: str) -> None:
    assert report.cache_status("edge") == expected


def test_every_reason_and_forward_is_a_token_of_cache_status() -> None:
    """RFC 8941 §3.3.4: begins with a letter."""
    for word in (*Reason, *Forward):
        assert word[0].isalpha()
        assert set(word) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def answered(pairs: list[tuple[str, str]], report: Report) -> Headers:
    return answer_headers(Headers(pairs), report, via="1.1 edge", request_id="id==")


def ours(x_cache: str, cache_status: str) -> list[tuple[str, str]]:
    return [
        ("X-Cache", f"{x_cache} from cloudfront"),
        ("Via", "1.1 edge"),
        ("X-Amz-Cf-Id", "id=="),
        ("Cache-Status", cache_status),
    ]


HIT, MISS = Report(XCache.HIT, age_s=7.9), Report(XCache.MISS, Forward.MISS)
MISSED = ours("Miss", "edgeproxy; fwd=uri-miss")


@pytest.mark.parametrize(
    ("pairs", "report", "expected"),
    rows(
        ("ours alone", [], MISS, MISSED, "CloudFront, Response headers"),
        (
            "the origin's first, in their order",
            [("ETag", '"a"'), ("Server", "s"), ("Cache-Control", "no-cache")],
            MISS,
            [("ETag", '"a"'), ("Server", "s"), ("Cache-Control", "no-cache"), *MISSED],
            "CloudFront, Response headers",
        ),
        (
            "cookies stay apart",
            [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
            MISS,
            [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), *MISSED],
            "RFC 9110 §5.3",
        ),
        (
            "age in whole seconds",
            [("age", "3"), ("X", "-")],
            HIT,
            [("X", "-"), ("Age", "7"), *ours("Hit", "edgeproxy; hit")],
            "RFC 9111 §5.1",
        ),
        ("an origin's age is passed on", [("Age", "3")], MISS, [("Age", "3"), *MISSED], "RFC 9111 §5.1"),
        (
            "what another edge said is replaced",
            [
                ("Via", "1.0 x"),
                ("x-cache", "y"),
                ("X-Amz-Cf-Id", "z"),
                ("X-Amz-Cf-Pop", "p"),
                ("Alt-Svc", "h3"),
            ],
            MISS,
            MISSED,
            "CloudFront, Response headers",
        ),
        (
            "a cache behind us is heard, before us",
            [("Cache-Status", "a; hit"), ("cache-status", "b; fwd=miss")],
            MISS,
            ours("Miss", "a; hit, b; fwd=miss, edgeproxy; fwd=uri-miss"),
            "RFC 9211 §2",
        ),
        (
            "nothing of the other connection",
            [
                ("Connection", "close, x-hop"),
                ("X-Hop", "1"),
                ("Transfer-Encoding", "chunked"),
                ("Trailer", "x"),
            ],
            MISS,
            MISSED,
            "RFC 9110 §7.6.1",
        ),
        (
            "whatever it says, what viewers must know stays",
            [("Connection", "cache-control, vary"), ("Cache-Control", "private"), ("Vary", "Cookie")],
            MISS,
            [("Cache-Control", "private"), ("Vary", "Cookie"), *MISSED],
            "RFC 9111 §5.2",
        ),
    ),
)
def test_answer_headers(
    pairs: list[tuple[str, str]], report: Report, expected: list[tuple[str, str]]
) -> None:
    assert answered(pairs, report) == Headers(expected)


def test_x_cache_has_cloudfronts_words() -> None:
    assert [word.value for word in XCache] == ["Hit", "RefreshHit", "Miss", "Error"]


def test_a_304_is_without_what_describes_the_body() -> None:
    """RFC 9110 §15.4.5: of a 200's fields it keeps what a cache wants to know."""
    kept = [
        ("Date", "d"),
        ("ETag", '"a"'),
        ("Last-Modified", "l"),
        ("Cache-Control", "max-age=60"),
        ("Expires", "e"),
        ("Vary", "Origin"),
        ("Content-Location", "/b"),
    ]
    dropped = [
        ("Content-Length", "9"),
        ("Content-Type", "a/b"),
        ("Content-Encoding", "gzip"),
        ("Content-Range", "bytes 0-1/2"),
        ("Content-MD5", "x"),
    ]
    assert not_modified(Head(200, Headers([*dropped, *kept]))) == Head(304, Headers(kept))


def test_a_date_is_set_where_there_is_none() -> None:
    """RFC 9110 §6.6.1."""
    mine = Head(200, Headers([("Date", "x")]))
    assert dated(mine, 784_111_777.9) is mine
    assert dated(Head(404), 784_111_777.9) == Head(404, Headers([("Date", "Sun, 06 Nov 1994 08:49:37 GMT")]))
