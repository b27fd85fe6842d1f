"""Lambda@Edge: what CloudFront tells, what it takes, and what it would answer 502 to."""

import base64
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.message import Headers
from edgeproxy.lambdas.edge_event import (
    EdgeAnswerTooLargeError,
    EdgeEvent,
    Stage,
    complaints,
    edge_event,
    generated,
)
from edgeproxy.lambdas.reading import EventError

S3 = {
    "domainName": "assets.s3.us-east-1.amazonaws.com",
    "path": "/p",
    "authMethod": "none",
    "region": "us-east-1",
}
CUSTOM = {
    "domainName": "alb-1.example.com",
    "port": 443,
    "protocol": "https",
    "path": "",
    "sslProtocols": ["TLSv1.2"],
}


def event(stage: str, origin: object = None, response: object = None) -> dict[str, Any]:
    """CloudFront Developer Guide, "Example request event", "Example response event"."""
    request = {
        "clientIp": "198.51.100.7",
        "method": "GET",
        "uri": "/img/a%20b.jpg",
        "querystring": "w=1",
        "headers": {
            "host": [{"key": "Host", "value": "d1.cloudfront.net"}],
            "via": [{"key": "Via", "value": "2.0 x"}],
            "cookie": [{"key": "Cookie", "value": "a=1"}, {"value": "b=2"}],
        },
    }
    cf: dict[str, Any] = {"config": {"eventType": stage, "requestId": "q1w2e3=="}, "request": request}
    if origin is not None:
        request["origin"] = origin
    if response is not None:
        cf["response"] = response
    return {"Records": [{"cf": cf}]}


RESPONSE = {
    "status": "404",
    "statusDescription": "Not Found",
    "headers": {
        "server": [{"key": "Server", "value": "AmazonS3"}],
        "transfer-encoding": [{"key": "Transfer-Encoding", "value": "chunked"}],
        "content-type": [{"key": "Content-Type", "value": "application/xml"}],
    },
}


def answered() -> EdgeEvent:
    return edge_event(event("origin-response", {"s3": S3}, deepcopy(RESPONSE)))


def test_a_request_on_its_way_to_the_bucket() -> None:
    got = edge_event(event("origin-request", {"s3": {**S3, "customHeaders": {}}}))
    assert (got.stage, got.request.method, got.request.target) == (
        Stage.ORIGIN_REQUEST,
        "GET",
        "/img/a%20b.jpg?w=1",
    )
    assert (got.request.host, got.request.viewer, got.request_id) == (
        "d1.cloudfront.net",
        "198.51.100.7",
        "q1w2e3==",
    )
    assert got.request.headers.all("cookie") == ("a=1", "b=2")
    assert got.origin is not None
    assert (got.origin.kind, got.origin.domain, got.origin.path) == ("s3", S3["domainName"], "/p")
    assert got.response is None


def test_an_answer_on_its_way_back() -> None:
    got = answered()
    assert got.response is not None
    assert (got.response.status, got.response.headers.get("server")) == (404, "AmazonS3")


@pytest.mark.parametrize(
    ("origin", "is_secondary"),
    [
        ({"s3": S3}, False),
        ({"custom": CUSTOM}, True),
        ({"s3": {**S3, "customHeaders": {"x-origin-role": [{"value": "secondary"}]}}}, True),
        ({"custom": {**CUSTOM, "customHeaders": {"x-origin-role": [{"value": "primary"}]}}}, False),
    ],
)
def test_which_of_the_group_is_asked(origin: object, is_secondary: bool) -> None:
    got = edge_event(event("origin-request", origin))
    assert got.origin is not None
    assert got.origin.is_secondary is is_secondary


def test_a_generated_answer_is_one_that_cloudfront_takes() -> None:
    got = answered()
    fields = [
        ("Content-Type", "image/png"),
        ("X-Cache", "Hit"),
        ("Content-Length", "3"),
        ("Via", "1.1 me"),
        ("X-A", "1"),
    ]
    answer = generated(got, 200, Headers(fields), b"abc")
    assert complaints(got, answer) == []
    assert answer["status"] == "200"
    assert base64.b64decode(answer["body"]) == b"abc"
    assert answer["headers"] == {
        "server": [{"key": "Server", "value": "AmazonS3"}],
        "transfer-encoding": [{"key": "Transfer-Encoding", "value": "chunked"}],
        "content-type": [{"key": "Content-Type", "value": "image/png"}],
        "x-a": [{"key": "X-A", "value": "1"}],
    }


def test_without_a_body_the_origins_stays_and_so_does_what_is_said_of_it() -> None:
    answer = generated(answered(), 404, Headers([("X-A", "1")]), None)
    assert "body" not in answer
    assert answer["headers"]["content-type"] == RESPONSE["headers"]["content-type"]  # type: ignore[index]


def test_what_is_too_large_is_told_and_not_cut() -> None:
    limit = 2**20
    assert generated(answered(), 200, Headers(), b"x" * (limit * 3 // 4 - 300))
    with pytest.raises(EdgeAnswerTooLargeError, match=rf"at most {limit}"):
        generated(answered(), 200, Headers(), b"x" * (limit * 3 // 4))


def changed(path: tuple[Any, ...], value: object, of: dict[str, Any]) -> dict[str, Any]:
    made = deepcopy(of)
    place = made
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


ANSWER = generated(answered(), 200, Headers([("Content-Type", "image/png")]), b"abc")
LINE = [{"key": "X", "value": "1"}]


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("headers", "transfer-encoding"), None, "headers.transfer-encoding: got None, want it as it was"),
        (("headers", "via"), LINE, "headers.via: got ['1'], want it as it was, it is read-only"),
        (("headers", "x-cache"), LINE, "headers.x-cache: got a field that no function may add"),
        (
            ("headers", "x-edge-location"),
            LINE,
            "headers.x-edge-location: got a field that no function may add",
        ),
        (("headers", "x-a"), "1", "headers.x-a: got '1', want a list of {key, value}"),
        (("status",), "600", "status: got '600', want 200 to 599"),
        (("status",), "soon", "status: got 'soon', want 200 to 599"),
        (("status",), "204", "body: got one, want none with status 204"),
        (("body",), "%", "body: got '%', want base64, as bodyEncoding says"),
        (("bodyEncoding",), "hex", "bodyEncoding: got 'hex', want text or base64"),
        (("body",), "A" * 2**20, "want at most 1048576"),
    ],
)
def test_what_cloudfront_would_answer_502_to(path: tuple[Any, ...], value: object, complaint: str) -> None:
    (found,) = complaints(answered(), changed(path, value, ANSWER))
    assert complaint in found


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("method",), "PUT", "method: got 'PUT', want GET, which is read-only"),
        (("uri",), "a", "uri: got 'a', want a path, with \"/\" in front"),
        (("origin",), {"s3": {}, "custom": {}}, "want exactly one of s3 and custom"),
        (("headers", "via"), None, "headers.via: got None, want it as it was, it is read-only"),
    ],
)
def test_what_it_would_take_for_no_request(path: tuple[Any, ...], value: object, complaint: str) -> None:
    got = edge_event(event("origin-request", {"s3": S3}))
    assert complaints(got, deepcopy(got.raw_request)) == []
    (found,) = complaints(got, changed(path, value, got.raw_request))
    assert complaint in found


def test_a_viewer_response_keeps_its_status() -> None:
    got = edge_event(event("viewer-response", None, deepcopy(RESPONSE)))
    (found,) = complaints(got, {**RESPONSE, "status": "200"})
    assert found == "status: got 200, want 404, which a viewer-response cannot change"


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        ({}, "Records[0].cf: got None, want a JSON object"),
        (
            event("origin-reply"),
            "Records[0].cf.config.eventType: got 'origin-reply', want one of viewer-request,",
        ),
        (event("origin-request", {"s3": S3, "custom": CUSTOM}), "Records[0].cf.request.origin: got "),
        (
            event("origin-request", {"s3": {}}),
            "Records[0].cf.request.origin.s3.domainName: got None, want text",
        ),
        (event("origin-response", {"s3": S3}), "Records[0].cf.response: got None, want a JSON object"),
        (
            event("origin-response", {"s3": S3}, {"status": "x"}),
            "Records[0].cf.response.status: got 'x', want a status",
        ),
        (
            changed(("Records", 0, "cf", "request", "headers"), {"a": [{}]}, event("viewer-request")),
            "Records[0].cf.request.headers.a[0].value: got None, want text",
        ),
    ],
)
def test_what_is_no_event_is_told_in_one_line(made: object, complaint: str) -> None:
    with pytest.raises(EventError) as caught:
        edge_event(made)
    assert complaint in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_nothing_that_a_function_returns_breaks_the_check(result: object) -> None:
    for got in (answered(), edge_event(event("origin-request", {"s3": S3}))):
        assert all("\n" not in complaint for complaint in complaints(got, result))
        if isinstance(result, dict):
            assert isinstance(complaints(got, {**result, "headers": {"a": result}, "status": result}), list)
