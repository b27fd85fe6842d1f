"""Requests through a function URL, an HTTP API, a REST API, a load balancer, the published mapping template.

The events are AWS's own examples (Lambda and API Gateway Developer Guides, Application Load Balancers).
"""

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.message import Headers
from edgeproxy.lambdas.http_event import (
    MAX_ANSWER_BYTES,
    AnswerTooLargeError,
    MappedStatusError,
    Shape,
    answer,
    asked,
)
from edgeproxy.lambdas.reading import EventError

URL: dict[str, Any] = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/file/a%20b.jpg",
    "rawQueryString": "w=1&w=2",
    "cookies": ["a=1", "b=2"],
    "headers": {"host": "abc.lambda-url.us-east-1.on.aws", "accept": "image/*,*/*"},
    "queryStringParameters": {"w": "1,2"},
    "requestContext": {
        "domainName": "abc.lambda-url.us-east-1.on.aws",
        "http": {"method": "GET", "path": "/file/a%20b.jpg", "sourceIp": "198.51.100.7"},
        "stage": "$default",
    },
    "body": "eyJhIjoxfQ==",
    "isBase64Encoded": True,
}
REST: dict[str, Any] = {
    "resource": "/{proxy+}",
    "path": "/file/a b.jpg",
    "httpMethod": "GET",
    "headers": {"Accept": "*/*", "Host": "x.execute-api.us-east-1.amazonaws.com"},
    "multiValueHeaders": {"Accept": ["*/*"], "Host": ["x.execute-api.us-east-1.amazonaws.com"]},
    "queryStringParameters": {"w": "2 3"},
    "multiValueQueryStringParameters": {"w": ["1", "2 3"]},
    "stageVariables": None,
    "requestContext": {"stage": "prod", "path": "/prod/file/a.jpg", "identity": {"sourceIp": "198.51.100.7"}},
    "body": None,
    "isBase64Encoded": False,
}
ALB: dict[str, Any] = {
    "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/t/0"}},
    "httpMethod": "POST",
    "path": "/file/a.jpg",
    "multiValueQueryStringParameters": {"w": ["1", "2%203"]},
    "multiValueHeaders": {"host": ["alb.example.com"], "x-forwarded-proto": ["http"], "x": ["1", "2"]},
    "body": "text",
    "isBase64Encoded": False,
}
ALB_SINGLE: dict[str, Any] = {
    **{k: v for k, v in ALB.items() if not k.startswith("multi")},
    "headers": {"host": "alb.example.com"},
    "queryStringParameters": {"w": "2%203"},
}
MAPPED: dict[str, Any] = {
    "body-json": {"id": 0, "jsonrpc": "2.0", "method": "call", "params": []},
    "params": {"path": {}, "querystring": {"a": "1"}, "header": {"Host": "x.example.com"}},
    "stage-variables": {"env": "prod"},
    "context": {"http-method": "POST", "stage": "prod", "source-ip": "198.51.100.7", "resource-path": "/"},
}


@pytest.mark.parametrize(
    ("event", "shape", "line", "host", "body"),
    [
        (URL, Shape.HTTP, "GET /file/a%20b.jpg?w=1&w=2", "abc.lambda-url.us-east-1.on.aws", b'{"a":1}'),
        (REST, Shape.REST, "GET /file/a%20b.jpg?w=1&w=2+3", "x.execute-api.us-east-1.amazonaws.com", b""),
        (ALB, Shape.ALB, "POST /file/a.jpg?w=1&w=2%203", "alb.example.com", b"text"),
        (ALB_SINGLE, Shape.ALB, "POST /file/a.jpg?w=2%203", "alb.example.com", b"text"),
        (
            MAPPED,
            Shape.MAPPED,
            "POST /?a=1",
            "x.example.com",
            b'{"id":0,"jsonrpc":"2.0","method":"call","params":[]}',
        ),
    ],
    ids=["url", "rest", "alb", "alb-single", "mapped"],
)
def test_the_request_of_an_event(event: object, shape: Shape, line: str, host: str, body: bytes) -> None:
    got = asked(event)
    assert (got.shape, f"{got.request.method} {got.request.target}") == (shape, line)
    assert (got.request.host, got.body) == (host, body)


def test_who_asks() -> None:
    assert [asked(e).request.viewer for e in (URL, REST, MAPPED)] == ["198.51.100.7"] * 3
    assert [asked(e).request.scheme for e in (URL, REST, ALB)] == ["https", "https", "http"]


def test_cookies_come_apart_from_the_fields_and_are_one_field_again() -> None:
    assert asked(URL).request.headers.get("cookie") == "a=1; b=2"


def test_the_stage_of_an_http_api_is_no_part_of_the_path() -> None:
    def path(raw: str, stage: str) -> str:
        context = {**URL["requestContext"], "stage": stage}
        return asked({**URL, "rawPath": raw, "requestContext": context}).request.path

    assert path("/prod/a", "prod") == "/a"
    assert path("/prod", "prod") == "/"
    assert path("/product", "prod") == "/product"
    assert path("/$default/a", "$default") == "/$default/a"


@pytest.mark.parametrize(
    ("context", "top", "body", "method"),
    [
        ({"http-method": "GET"}, None, {}, "GET"),
        ({"http-method": "PUT"}, "GET", {}, "PUT"),
        # As published: the method is looked for where the template has none, and what is empty is a GET.
        ({}, "GET", {"a": 1}, "GET"),
        ({}, None, {"a": 1}, "POST"),
        ({}, None, {}, "GET"),
        ({}, None, "", "GET"),
    ],
)
def test_the_method_of_a_mapping_template(context: object, top: object, body: object, method: str) -> None:
    event = {"body-json": body, "params": {}, "context": context, "http-method": top}
    assert asked(event).request.method == method


def test_a_mapped_path_gets_its_parameters() -> None:
    event = {
        **MAPPED,
        "params": {"path": {"proxy": "a/b c", "id": "x/y"}},
        "context": {"resource-path": "/v1/{id}/{proxy+}", "http-method": "GET"},
    }
    assert asked(event).request.target == "/v1/x%2Fy/a/b%20c"


FIELDS = Headers(
    [("Content-Type", "image/png"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X", "1"), ("X", "2")]
)


def test_the_answer_for_each() -> None:
    png = base64.b64encode(b"\x89PNG").decode()
    assert answer(asked(URL), 200, FIELDS, b"\x89PNG") == {
        "statusCode": 200,
        "headers": {"Content-Type": "image/png", "X": "1, 2"},
        "cookies": ["a=1", "b=2"],
        "body": png,
        "isBase64Encoded": True,
    }
    lists = {"Content-Type": ["image/png"], "Set-Cookie": ["a=1", "b=2"], "X": ["1", "2"]}
    assert answer(asked(REST), 200, FIELDS, b"\x89PNG") == {
        "statusCode": 200,
        "multiValueHeaders": lists,
        "body": png,
        "isBase64Encoded": True,
    }
    assert answer(asked(ALB), 200, FIELDS, b"\x89PNG") == {
        "statusCode": 200,
        "statusDescription": "200 OK",
        "multiValueHeaders": lists,
        "body": png,
        "isBase64Encoded": True,
    }
    single = answer(asked(ALB_SINGLE), 200, FIELDS, b"\x89PNG")
    assert single["headers"] == {"Content-Type": "image/png", "X": "1, 2", "set-cookie": "b=2"}
    assert "multiValueHeaders" not in single
    assert answer(asked(MAPPED), 200, Headers(), b'{"result":1}') == {"result": 1}
    assert answer(asked(MAPPED), 200, Headers(), b"plain") == "plain"


@pytest.mark.parametrize(
    ("body", "fields", "expected"),
    [
        (b'{"n": 123456789012345678901234567890}', (), {"n": 123456789012345678901234567890}),
        (b"", (), ""),
        ("é\n".encode(), (), "é\n"),
        # Neither is JSON, whatever Python thinks.
        (b"NaN", (), "NaN"),
        (b"[1e999]", (), "[1e999]"),
        (
            b"\x89PNG",
            ("image/png",),
            {"isBase64Encoded": True, "contentType": "image/png", "body": "iVBORw=="},
        ),
        (b"{}", ("", "gzip"), {"isBase64Encoded": True, "contentType": "", "body": "e30="}),
    ],
)
def test_a_mapped_answer_is_json_in_any_case(body: bytes, fields: tuple[str, ...], expected: object) -> None:
    names = ("Content-Type", "Content-Encoding")
    headers = Headers((name, value) for name, value in zip(names, fields, strict=False) if value)
    assert answer(asked(MAPPED), 201, headers, body) == expected


@pytest.mark.parametrize(
    ("status", "known"),
    [(404, 404), (503, 503), (302, 302), (418, 400), (507, 500), (599, 500), (300, 400), (499, 400)],
)
def test_a_mapped_status_is_an_error_that_a_pattern_finds(status: int, known: int) -> None:
    headers = Headers([("Retry-After", "60"), ("X", "1"), ("Content-Type", "text/plain")])
    with pytest.raises(MappedStatusError) as caught:
        answer(asked(MAPPED), status, headers, b"line\nline")
    text = str(caught.value)
    told = json.loads(text)
    assert told == {"status": known, "said": status, "retry-after": "60", "body": '"line\\nline"'}
    # As `SelectionPattern` has it: the whole text, and a dot is no line break.
    assert re.fullmatch(rf'\{{"status": {known},.*', text)


def test_text_stays_text_and_what_is_none_goes_in_base64() -> None:
    def body(kind: str, octets: bytes, *more: tuple[str, str]) -> tuple[str, bool]:
        got = answer(asked(URL), 200, Headers([("Content-Type", kind), *more]), octets)
        return got["body"], got["isBase64Encoded"]

    assert body("text/html; charset=utf-8", "é".encode()) == ("é", False)
    assert body("application/json", b"{}") == ("{}", False)
    assert body("text/plain", b"\xff") == ("/w==", True)
    assert body("text/plain", b"gzipped", ("Content-Encoding", "gzip")) == ("Z3ppcHBlZA==", True)
    assert body("image/png", b"") == ("", False)


def test_fields_between_neighbours_stay_here_and_others_are_ascii() -> None:
    got = answer(
        asked(URL), 200, Headers([("Connection", "close"), ("Transfer-Encoding", "chunked"), ("X", "é %")])
    )
    assert got["headers"] == {"X": "%E9 %"}


@pytest.mark.parametrize("event", [URL, REST, ALB, MAPPED], ids=["url", "rest", "alb", "mapped"])
def test_what_does_not_fit_is_told_and_not_cut(event: object) -> None:
    limit = MAX_ANSWER_BYTES[asked(event).shape]
    plain = Headers([("Content-Type", "text/plain")])
    assert answer(asked(event), 200, plain, b"x" * (limit - 1000))
    with pytest.raises(AnswerTooLargeError, match=rf"at most {limit} are passed on"):
        answer(asked(event), 200, plain, b"x" * limit)
    if event is not MAPPED:
        with pytest.raises(AnswerTooLargeError):
            answer(asked(event), 200, Headers(), b"x" * (limit * 3 // 4))


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        ({}, "event: got [], want that of a function URL, an HTTP API, a REST API or a load balancer"),
        (None, "event: got None, want that of a function URL, an HTTP API, a REST API or a load balancer"),
        ({**URL, "rawPath": 1}, "rawPath: got 1, want text"),
        ({**URL, "rawPath": "a"}, "path: got 'a', want one that begins with \"/\""),
        ({**URL, "body": "%"}, "body: got '%', want base64, as isBase64Encoded says"),
        ({**URL, "cookies": "a"}, "cookies: got 'a', want a list of text"),
        ({**URL, "headers": []}, "headers: got [], want a JSON object"),
        ({**URL, "headers": {"a": 1}}, "headers.a: got 1, want text"),
        ({**REST, "multiValueHeaders": {"a": "b"}}, "multiValueHeaders.a: got 'b', want a list of text"),
        ({**REST, "httpMethod": 5}, "httpMethod: got 5, want text"),
        ({**MAPPED, "params": {"path": []}}, "params.path: got [], want a JSON object"),
    ],
)
def test_what_is_no_event_is_told_in_one_line(event: object, complaint: str) -> None:
    with pytest.raises(EventError) as caught:
        asked(event)
    assert str(caught.value) == complaint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.sampled_from([URL, REST, ALB, ALB_SINGLE, MAPPED]), st.data(), JSON)
def test_nothing_in_an_event_breaks_it(event: dict[str, Any], data: st.DataObject, value: object) -> None:
    name = data.draw(st.sampled_from(sorted(event)))
    try:
        got = asked({**event, name: value})
    except EventError as error:
        told = str(error)
    else:
        told = got.request.target
        assert got.request.path.startswith("/")
        json.dumps(answer(got, 200, got.request.headers, got.body))
    assert "\n" not in told
