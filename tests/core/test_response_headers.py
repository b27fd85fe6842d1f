"""What an answer's fields are for the viewer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.answering import Report, XCache
from edgeproxy.core.decision import Forward
from edgeproxy.core.message import Headers, Request
from edgeproxy.core.response_headers import Cors, Field, ResponseHeadersPolicy, Timing, dressed
from tests.core.conftest import rows, steady

GUIDE = "CloudFront, Understand response headers policies"
HIT, MISS = Report(XCache.HIT), Report(XCache.MISS, Forward.MISS)
ID = "AAAA" + "x" * 52


def fields(headers: Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


def answer(policy: ResponseHeadersPolicy, sent: dict[str, str], **request: str) -> dict[str, str]:
    """The fields of an answer to a request with `request`; `method` is its method."""
    method = request.pop("method", "GET")
    asked = Request(method, "/a", headers=Headers((n.replace("_", "-"), v) for n, v in request.items()))
    return fields(dressed(Headers(sent.items()), policy, asked, Timing(MISS, ID, 12.6)))


@pytest.mark.parametrize(
    ("policy", "sent", "expected"),
    rows(
        ("added", Field("X-A", "1", False), {}, {"x-a": "1"}, GUIDE),
        ("the origin's stays", Field("X-A", "1", False), {"x-a": "2"}, {"x-a": "2"}, GUIDE),
        ("the origin's goes", Field("X-A", "1", True), {"x-a": "2"}, {"x-a": "1"}, GUIDE),
        ("without a value", Field("X-A", "", False), {}, {"x-a": ""}, GUIDE),
    ),
)
def test_a_field(policy: Field, sent: dict[str, str], expected: dict[str, str]) -> None:
    assert answer(ResponseHeadersPolicy(fields=(policy,)), sent) == expected


def test_removing_comes_before_adding() -> None:
    policy = ResponseHeadersPolicy(
        fields=(Field("X-Powered-By", "us", False),), removed=frozenset({"x-powered-by", "server"})
    )
    sent = {"X-Powered-By": "them", "Server": "x", "ETag": '"a"'}
    assert answer(policy, sent) == {"etag": '"a"', "x-powered-by": "us"}


CORS = Cors(
    ("https://www.example.com", "*.example.org"),
    allow_headers=("X-A",),
    allow_methods=("GET", "PUT"),
    expose_headers=("X-B",),
    allow_credentials=True,
    max_age_s=600,
    override=False,
)
OWN = "https://www.example.com"
SIMPLE = {
    "vary": "Origin",
    "access-control-allow-origin": OWN,
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "X-B",
}
PREFLIGHT = {
    "vary": "Origin",
    "access-control-allow-origin": OWN,
    "access-control-allow-credentials": "true",
    "access-control-allow-methods": "GET, PUT",
    "access-control-allow-headers": "X-A",
    "access-control-max-age": "600",
}


@pytest.mark.parametrize(
    ("request_", "expected"),
    rows(
        ("no origin", {}, {"vary": "Origin"}, GUIDE),
        ("an origin that is listed", {"origin": OWN}, SIMPLE, GUIDE),
        ("an origin that is not", {"origin": "https://x.example.com"}, {"vary": "Origin"}, "our guess"),
        (
            "a preflight",
            {"origin": OWN, "method": "OPTIONS", "access_control_request_method": "PUT"},
            PREFLIGHT,
            GUIDE,
        ),
        (
            "OPTIONS that is no preflight",
            {"origin": OWN, "method": "OPTIONS"},
            SIMPLE,
            "Fetch, CORS-preflight",
        ),
    ),
)
def test_cors(request_: dict[str, str], expected: dict[str, str]) -> None:
    assert answer(ResponseHeadersPolicy(CORS), {}, **request_) == expected


@pytest.mark.parametrize(
    ("override", "expected"),
    rows(
        ("any field of the origin's counts", False, {"access-control-max-age": "1"}, GUIDE),
        (
            "the policy counts",
            True,
            {"access-control-max-age": "1", "access-control-allow-origin": "*"},
            GUIDE,
        ),
    ),
)
def test_cors_of_the_origin(override: bool, expected: dict[str, str]) -> None:
    policy = ResponseHeadersPolicy(Cors(("*",), override=override))
    assert answer(policy, {"Access-Control-Max-Age": "1"}, origin=OWN) == expected


@pytest.mark.parametrize(
    ("origin", "expected"),
    rows(
        ("one that is listed", OWN, {"vary": "Origin", "access-control-allow-origin": OWN}, GUIDE),
        ("one that is not", "https://x.example.com", {"vary": "Origin"}, GUIDE),
    ),
)
def test_where_the_policy_counts_the_origin_opens_nothing_beyond_it(
    origin: str, expected: dict[str, str]
) -> None:
    sent = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true"}
    assert answer(ResponseHeadersPolicy(Cors((OWN,), override=True)), sent, origin=origin) == expected


@pytest.mark.parametrize(
    ("pattern", "origin", "is_allowed"),
    [
        ("*", "https://a.example", True),
        ("https://a.example", "https://a.example", True),
        ("https://a.example", "HTTPS://A.example", True),
        ("https://a.example", "http://a.example", False),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example:8443", "https://a.example:8443", True),
        ("https://a.example:*", "https://a.example:8443", True),
        ("https://a.example:*", "https://a.example", True),
        ("a.example", "http://a.example", True),
        ("https://*.a.example", "https://b.a.example", True),
        ("https://*.a.example", "https://c.b.a.example", True),
        ("https://*.a.example", "https://a.example", False),
        ("https://*.a.example", "https://evila.example", False),
        ("https://*.a.example", "https://b.a.example.evil", False),
        ("*.a.example", "null", False),
        ("https://a.example", "https://a.example/", False),
    ],
)
def test_allowed_origins(pattern: str, origin: str, is_allowed: bool) -> None:
    """CloudFront, Understand response headers policies: "Access-Control-Allow-Origin"."""
    assert (Cors((pattern,)).allowed(origin) is not None) == is_allowed


@steady
@given(st.text())
def test_an_origin_is_never_allowed_by_chance(origin: str) -> None:
    assert CORS.allowed(origin) in (None, origin)
    assert Cors(("*",)).allowed(origin) == "*"


@pytest.mark.parametrize(
    ("report", "passed", "expected"),
    rows(
        (
            "miss",
            MISS,
            "db;dur=5",
            'db;dur=5,cdn-upstream-layer;desc="EDGE",cdn-upstream-fbl;dur=13,cdn-cache-miss,'
            f'cdn-rid;desc="{ID}",cdn-downstream-fbl;dur=13',
            GUIDE,
        ),
        (
            "hit",
            HIT,
            "db;dur=5",
            f'cdn-cache-hit,cdn-rid;desc="{ID}",cdn-hit-layer;desc="EDGE",cdn-downstream-fbl;dur=13',
            GUIDE,
        ),
        (
            "refresh",
            Report(XCache.REFRESH_HIT, Forward.STALE),
            None,
            'cdn-upstream-layer;desc="EDGE",cdn-upstream-fbl;dur=13,cdn-cache-refresh,'
            f'cdn-rid;desc="{ID}",cdn-downstream-fbl;dur=13',
            GUIDE,
        ),
    ),
)
def test_server_timing(report: Report, passed: str | None, expected: str) -> None:
    sent = Headers([("Server-Timing", passed)] if passed else [])
    policy = ResponseHeadersPolicy(timing_rate=100)
    headers = dressed(sent, policy, Request("GET", "/a"), Timing(report, ID, 12.6))
    assert headers.get("server-timing") == expected


@pytest.mark.parametrize(
    ("rate", "request_id", "is_sampled"),
    [
        (0, "AAAA", False),
        (0.0001, "AAAA", True),
        (50, "f___", True),
        (50, "gAAA", False),
        (100, "____", True),
    ],
)
def test_the_sample_is_as_random_as_the_id(rate: float, request_id: str, is_sampled: bool) -> None:
    """CloudFront, Understand response headers policies: "Sampling rate and Pragma request header"."""
    policy = ResponseHeadersPolicy(timing_rate=rate)
    timing = Timing(HIT, request_id, 1)
    plain = dressed(Headers(), policy, Request("GET", "/a"), timing)
    assert ("server-timing" in plain) == is_sampled
    asked = Request("GET", "/a", headers=Headers([("Pragma", "server-timing")]))
    assert "server-timing" in dressed(Headers(), policy, asked, timing)


def test_without_the_setting_the_origins_timing_passes() -> None:
    assert answer(ResponseHeadersPolicy(), {"Server-Timing": "db"}, pragma="server-timing") == {
        "server-timing": "db"
    }
