"""What is compressed, how, and what its head says then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.compression import Coding, coded, coding_for, still_coded
from edgeproxy.core.freshness import TtlPolicy
from edgeproxy.core.key import KeyPolicy, vary_names
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.reason import Reason
from edgeproxy.core.storing import CachePolicy, Stored
from tests.core.conftest import rows, steady

GUIDE = "CloudFront, Serve compressed files"
TTL = TtlPolicy(1, 60, 600)
BOTH = CachePolicy(TTL, KeyPolicy(gzip=True, brotli=True))
GZIP = CachePolicy(TTL, KeyPolicy(gzip=True))


def head(status: int = 200, **fields: str) -> Head:
    given = {"content_type": "text/css", "content_length": "1000"} | fields
    return Head(status, Headers((name.replace("_", "-"), value) for name, value in given.items() if value))


def sent(accepted: str | None = "br,gzip") -> Request:
    return Request("GET", "/a", headers=Headers([("Accept-Encoding", accepted)] if accepted else []))


@pytest.mark.parametrize(
    ("request_", "answer", "policy", "expected"),
    rows(
        ("both accepted", sent(), head(), BOTH, Coding.BROTLI, GUIDE),
        ("gzip alone accepted", sent("gzip"), head(), BOTH, Coding.GZIP, GUIDE),
        ("gzip alone enabled", sent("gzip"), head(), GZIP, Coding.GZIP, GUIDE),
        ("nothing accepted", sent("identity"), head(), BOTH, Reason.CODING_NOT_ACCEPTED, GUIDE),
        ("nothing said", sent(None), head(), BOTH, Reason.CODING_NOT_ACCEPTED, "RFC 9110 §12.5.3"),
        ("nothing enabled", sent(), head(), CachePolicy(TTL), Reason.COMPRESSION_OFF, GUIDE),
        (
            "caching is off",
            sent(),
            head(),
            CachePolicy(TtlPolicy(0, 0, 0), BOTH.key),
            Reason.COMPRESSION_OFF,
            GUIDE,
        ),
        ("404", sent(), head(404), BOTH, Coding.BROTLI, GUIDE),
        ("403", sent(), head(403), BOTH, Coding.BROTLI, GUIDE),
        ("500", sent(), head(500), BOTH, Reason.STATUS_NOT_COMPRESSED, GUIDE),
        ("301", sent(), head(301), BOTH, Reason.STATUS_NOT_COMPRESSED, GUIDE),
        ("gzip already", sent(), head(content_encoding="gzip"), BOTH, Reason.CODED_BY_ORIGIN, GUIDE),
        (
            "identity, in words",
            sent(),
            head(content_encoding="identity"),
            BOTH,
            Reason.CODED_BY_ORIGIN,
            GUIDE,
        ),
        ("a picture", sent(), head(content_type="image/png"), BOTH, Reason.TYPE_NOT_COMPRESSED, GUIDE),
        ("woff2", sent(), head(content_type="font/woff2"), BOTH, Reason.TYPE_NOT_COMPRESSED, GUIDE),
        ("no type", sent(), head(content_type=""), BOTH, Reason.TYPE_NOT_COMPRESSED, GUIDE),
        (
            "a type with parameters",
            sent(),
            head(content_type="Text/HTML; charset=utf-8"),
            BOTH,
            Coding.BROTLI,
            "RFC 9110 §8.3.1",
        ),
        ("svg", sent(), head(content_type="image/svg+xml"), BOTH, Coding.BROTLI, GUIDE),
        ("a byte too small", sent(), head(content_length="999"), BOTH, Reason.SIZE_NOT_COMPRESSED, GUIDE),
        ("as large as may be", sent(), head(content_length="10000000"), BOTH, Coding.BROTLI, GUIDE),
        ("too large", sent(), head(content_length="10000001"), BOTH, Reason.SIZE_NOT_COMPRESSED, GUIDE),
        ("of unknown length", sent(), head(content_length=""), BOTH, Reason.LENGTH_UNKNOWN, GUIDE),
        (
            "not to be transformed",
            sent(),
            head(cache_control="max-age=60, No-Transform"),
            BOTH,
            Reason.NO_TRANSFORM,
            "RFC 9111 §5.2.2.6",
        ),
    ),
)
def test_coding_for(request_: Request, answer: Head, policy: CachePolicy, expected: Coding | Reason) -> None:
    assert coding_for(request_, answer, policy, compress=True) == expected
    assert coding_for(request_, answer, policy, compress=False) == Reason.COMPRESSION_OFF


@pytest.mark.parametrize(
    ("etag", "expected"),
    rows(
        ("strong becomes weak", '"a"', 'W/"a"', GUIDE),
        ("weak stays", 'W/"a"', 'W/"a"', GUIDE),
        ("no tag goes", "abc", None, GUIDE),
        ("none stays none", "", None, GUIDE),
    ),
)
def test_the_entity_tag(etag: str, expected: str | None) -> None:
    assert coded(head(etag=etag), Coding.GZIP).headers.get("etag") == expected


@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        ("", "Accept-Encoding"),
        ("Origin", "Origin, Accept-Encoding"),
        ("accept-encoding", "accept-encoding"),
        ("*", "*"),
    ],
)
def test_the_answer_says_that_it_varies(vary: str, expected: str) -> None:
    assert coded(head(vary=vary), Coding.GZIP).headers.get("vary") == expected


def test_what_spoke_of_the_origins_bytes_is_gone() -> None:
    """RFC 9110 §8.4, RFC 9530 §2."""
    before = head(content_md5="x", repr_digest="x", content_digest="x", x_kept="1", last_modified="d")
    assert coded(before, Coding.BROTLI).headers.pairs == (
        ("content-type", "text/css"),
        ("x-kept", "1"),
        ("last-modified", "d"),
        ("Vary", "Accept-Encoding"),
        ("Content-Encoding", "br"),
    )


def test_a_304_does_not_undo_it() -> None:
    before = Stored(coded(head(etag='"a"'), Coding.GZIP), 60, 0, 0)
    refreshed = before.head.headers.having(("Vary", "Origin"), ("Repr-Digest", "x"))
    vary, variant = ("accept-encoding", "origin"), ("gzip", None)
    after = still_coded(before, Stored(Head(200, refreshed), 60, 0, 9, vary, variant))
    assert (after.vary, after.variant) == (("origin",), (None,)), "as it was stored"
    assert after.head.headers.get("vary") == "Origin, Accept-Encoding"
    assert "repr-digest" not in after.head.headers
    assert after.received_at == 9


def test_a_304_leaves_alone_what_was_not_compressed() -> None:
    before = Stored(head(etag='"a"'), 60, 0, 0)
    after = Stored(head(etag='"a"', vary="Origin"), 60, 0, 9)
    assert still_coded(before, after) is after


@steady
@given(st.lists(st.sampled_from(["Origin", "accept-encoding", "X-A", "Cookie"])), st.sampled_from(Coding))
def test_coding_once_is_enough(names: list[str], coding: Coding) -> None:
    once = coded(head(vary=", ".join(names), etag='"a"'), coding)
    assert set(vary_names(once.headers)) == {name.lower() for name in names} | {"accept-encoding"}
    assert coding_for(sent(), once, BOTH, compress=True) == Reason.CODED_BY_ORIGIN
