"""What CloudFront tells a Lambda@Edge function, and what it takes for an answer.

CloudFront Developer Guide, "Lambda@Edge event structure", "Work with requests and responses",
"Restrictions on edge functions".
"""

import base64
import binascii
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.lambdas.http_event import field_text
from edgeproxy.lambdas.reading import Event, EventError, at, name_of, short, table, text

ROLE_FIELD = "x-origin-role"
"""The custom header of an origin that says which one of its group it is: `secondary`."""


class Stage(StrEnum):
    """When the function runs."""

    VIEWER_REQUEST = "viewer-request"
    ORIGIN_REQUEST = "origin-request"
    ORIGIN_RESPONSE = "origin-response"
    VIEWER_RESPONSE = "viewer-response"


MAX_ANSWER_BYTES = {
    # Of the fields and the body as it is returned: whether the body counts decoded is not documented.
    Stage.VIEWER_REQUEST: 40 * 1024,
    Stage.VIEWER_RESPONSE: 40 * 1024,
    Stage.ORIGIN_REQUEST: 2**20,
    Stage.ORIGIN_RESPONSE: 2**20,
}
READ_ONLY = {
    Stage.VIEWER_REQUEST: frozenset({"content-length", "host", "transfer-encoding", "via"}),
    Stage.ORIGIN_REQUEST: frozenset(
        "accept-encoding content-length if-modified-since if-none-match if-range if-unmodified-since"
        " transfer-encoding via".split()
    ),
    Stage.ORIGIN_RESPONSE: frozenset({"transfer-encoding", "via"}),
    Stage.VIEWER_RESPONSE: frozenset({"warning", "via"}),
}
"""Fields that may be neither added, nor changed, nor taken away."""
_DISALLOWED = frozenset(
    "connection expect keep-alive proxy-authenticate proxy-authorization proxy-connection trailer upgrade"
    " x-accel-buffering x-accel-charset x-accel-limit-rate x-accel-redirect x-amzn-auth x-amzn-cf-billing"
    " x-amzn-cf-id x-amzn-cf-xff x-amzn-errortype x-amzn-fle-profile x-amzn-header-count"
    " x-amzn-header-order x-amzn-lambda-integration-tag x-amzn-requestid x-cache x-forwarded-proto"
    " x-real-ip".split()
)
_DISALLOWED_PREFIXES = ("x-amz-cf-", "x-edge-")
_ABOUT_THE_OLD_BODY = frozenset(
    "content-length content-encoding content-md5 content-range accept-ranges etag last-modified expires"
    " content-type cache-control content-disposition content-language".split()
)
_REQUESTS = frozenset({Stage.VIEWER_REQUEST, Stage.ORIGIN_REQUEST})


class EdgeAnswerTooLargeError(Exception):
    """The answer does not fit: `size` bytes of at most `limit`."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the answer takes {size} bytes, and CloudFront takes at most {limit}")
        self.size = size
        self.limit = limit


@dataclass(frozen=True, slots=True)
class OriginAsked:
    """The origin that CloudFront is about to ask, or has asked."""

    kind: str
    """`s3` or `custom`."""
    domain: str
    path: str
    custom_headers: Headers

    @property
    def is_secondary(self) -> bool:
        """Whether it is the second of its group. There is no such flag in the event: an origin says so
        itself by `ROLE_FIELD`, else whatever is not a bucket counts as the second."""
        role = self.custom_headers.get(ROLE_FIELD)
        return role == "secondary" if role is not None else self.kind != "s3"


@dataclass(frozen=True, slots=True)
class EdgeEvent:
    """One record of an event. `raw_request` and `raw_response` are what is handed back unchanged."""

    stage: Stage
    request_id: str
    request: Request
    raw_request: Event
    origin: OriginAsked | None
    response: Head | None
    raw_response: Event | None


def edge_event(event: object) -> EdgeEvent:
    """What CloudFront sent.  Raises `EventError`."""
    here = ("Records", 0, "cf")
    record = table(event, *here)
    said = text(event, *here, "config", "eventType")
    if said not in set(Stage):
        raise EventError(f"Records[0].cf.config.eventType: got {short(said)}, want one of {', '.join(Stage)}")
    stage = Stage(said)
    raw = table(event, *here, "request")
    request = Request(
        text(event, *here, "request", "method"),
        text(event, *here, "request", "uri"),
        text(event, *here, "request", "querystring", default=""),
        headers := _headers(event, *here, "request", "headers"),
        host=headers.get("host") or "",
        scheme="https",
        viewer=text(event, *here, "request", "clientIp", default=""),
    )
    if not request.path.startswith("/"):
        raise EventError(
            f'Records[0].cf.request.uri: got {short(request.path)}, want a path, with "/" in front'
        )
    origin = _origin(event, *here, "request", "origin") if raw.get("origin") is not None else None
    head, raw_response = None, None
    if stage not in _REQUESTS:
        raw_response = table(event, *here, "response")
        head = Head(
            _status(event, *here, "response", "status"), _headers(event, *here, "response", "headers")
        )
    return EdgeEvent(
        stage, text(record, "config", "requestId", default=""), request, raw, origin, head, raw_response
    )


def generated(event: EdgeEvent, status: int, headers: Headers, body: bytes | None) -> Event:
    """An answer in place of the origin's.  Raises `EdgeAnswerTooLargeError`.

    After the origin has answered, its read-only fields stay as they are, and what its other fields say of
    its body goes. Fields that CloudFront takes from nobody are left out. `body` None = it has none, or the
    origin's stays.
    """
    untouchable = READ_ONLY[event.stage]
    kept: dict[str, Any] = {}
    if event.raw_response is not None:
        old: Event = event.raw_response.get("headers") or {}
        dropped = _ABOUT_THE_OLD_BODY if body is not None else frozenset()
        kept = {name: lines for name, lines in old.items() if name in untouchable or name not in dropped}
    given: dict[str, Any] = {}
    for name, value in headers:
        lower = name.lower()
        if lower not in untouchable and lower != "content-length" and not is_disallowed(lower):
            given.setdefault(lower, []).append({"key": name, "value": field_text(value)})
    answer: Event = {"status": str(status), "headers": kept | given}
    if body is not None:
        answer |= {"bodyEncoding": "base64", "body": base64.b64encode(body).decode("ascii")}
    size, limit = answer_bytes(answer), MAX_ANSWER_BYTES[event.stage]
    if size > limit:
        raise EdgeAnswerTooLargeError(size, limit)
    return answer


def answer_bytes(answer: Event) -> int:
    """What an answer counts for: names and values of its fields, and its body as it is returned."""
    headers = at(answer, "headers")
    fields = sum(
        len(str(name).encode("utf-8", "replace"))
        + len(str(at(line, "value") or "").encode("utf-8", "replace"))
        for name, lines in (headers.items() if isinstance(headers, dict) else ())
        for line in (lines if isinstance(lines, list) else ())
    )
    return fields + len(str(answer.get("body") or "").encode("utf-8", "replace"))


def is_disallowed(name: str) -> bool:
    """Whether CloudFront takes the field `name` (lower case) from no function."""
    return name in _DISALLOWED or name.startswith(_DISALLOWED_PREFIXES)


def complaints(event: EdgeEvent, result: object) -> list[str]:
    """Why CloudFront would answer 502 instead of taking `result`; nothing if it would take it."""
    if not isinstance(result, dict):
        return [f"result: got {short(result)}, want a request or a response"]
    if not isinstance(result.get("headers") or {}, dict):
        return [f"headers: got {short(result['headers'])}, want a JSON object"]
    is_answer = "status" in result or event.stage not in _REQUESTS
    before = event.raw_request if not is_answer else event.raw_response or {}
    found = list(_field_complaints(event.stage, before.get("headers") or {}, result.get("headers") or {}))
    if is_answer:
        return found + list(_answer_complaints(event, result))
    if result.get("method") != event.request.method:
        found.append(
            f"method: got {short(result.get('method'))}, want {event.request.method}, which is read-only"
        )
    uri = result.get("uri")
    if not isinstance(uri, str) or not uri.startswith("/"):
        found.append(f'uri: got {short(uri)}, want a path, with "/" in front')
    origin = result.get("origin")
    if origin is not None and (
        not isinstance(origin, dict) or len(origin) != 1 or not {"s3", "custom"} & set(origin)
    ):
        found.append(f"origin: got {short(origin)}, want exactly one of s3 and custom")
    return found


def _answer_complaints(event: EdgeEvent, result: Event) -> Any:
    try:
        status = int(result.get("status", ""))
    except (TypeError, ValueError):
        status = 0
    if not 200 <= status <= 599:
        yield f"status: got {short(result.get('status'))}, want 200 to 599"
    if (
        event.stage is Stage.VIEWER_RESPONSE
        and event.response is not None
        and status != event.response.status
    ):
        yield f"status: got {status}, want {event.response.status}, which a viewer-response cannot change"
    body = result.get("body")
    if result.get("bodyEncoding", "text") == "base64" and body is not None:
        try:
            base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError, TypeError):
            yield f"body: got {short(body)}, want base64, as bodyEncoding says"
    elif result.get("bodyEncoding", "text") not in ("text", "base64"):
        yield f"bodyEncoding: got {short(result['bodyEncoding'])}, want text or base64"
    if status == 204 and body:
        yield "body: got one, want none with status 204"
    size, limit = answer_bytes(result), MAX_ANSWER_BYTES[event.stage]
    if size > limit:
        yield f"answer: got {size} bytes, want at most {limit}"


def _field_complaints(stage: Stage, before: Event, after: Event) -> Any:
    for name in sorted(READ_ONLY[stage]):
        if _values(before.get(name)) != _values(after.get(name)):
            yield f"headers.{name}: got {short(_values(after.get(name)))}, want it as it was, it is read-only"
    for name, lines in after.items():
        if is_disallowed(name.lower()) and name not in before:
            yield f"headers.{name}: got a field that no function may add"
        elif not isinstance(lines, list) or not all(
            isinstance(line, dict) and isinstance(line.get("value"), str) for line in lines
        ):
            yield f"headers.{name}: got {short(lines)}, want a list of {{key, value}}"


def _values(lines: object) -> object:
    return [at(line, "value") for line in lines] if isinstance(lines, list) else lines


def _status(event: object, *path: str | int) -> int:
    value = at(event, *path)
    try:
        return int(value)
    except (TypeError, ValueError):
        raise EventError(f"{name_of(path)}: got {short(value)}, want a status") from None


def _headers(event: object, *path: str | int) -> Headers:
    pairs = []
    for name, lines in table(event, *path, default={}).items():
        if not isinstance(lines, list):
            raise EventError(f"{name_of((*path, name))}: got {short(lines)}, want a list of {{key, value}}")
        for number in range(len(lines)):
            where = (*path, name, number)
            pairs.append((text(event, *where, "key", default=name), text(event, *where, "value")))
    return Headers(pairs)


def _origin(event: object, *path: str | int) -> OriginAsked:
    kinds = table(event, *path)
    kind = next(iter(kinds), "")
    if len(kinds) != 1 or kind not in ("s3", "custom"):
        raise EventError(f"{name_of(path)}: got {short(kinds)}, want exactly one of s3 and custom")
    return OriginAsked(
        kind,
        text(event, *path, kind, "domainName"),
        text(event, *path, kind, "path", default=""),
        _headers(event, *path, kind, "customHeaders"),
    )
