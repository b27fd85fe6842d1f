"""Requests that reach a function through a function URL, an API Gateway or a load balancer, and the answers.

Lambda Developer Guide, "Invoking Lambda function URLs"; API Gateway Developer Guide, "Lambda proxy
integrations for HTTP APIs / in REST APIs"; "Lambda functions as targets for Application Load Balancers".
"""

import base64
import json
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from edgeproxy.core.message import HOP_BY_HOP, Headers, Request
from edgeproxy.lambdas.reading import Event, EventError, at, name_of, octets, short, table, text


class Shape(StrEnum):
    """Who sends the event, and therefore how it is written."""

    HTTP = "http"
    """Payload 2.0: function URLs and HTTP APIs."""
    REST = "rest"
    """Payload 1.0: REST APIs with a proxy integration."""
    ALB = "alb"
    """A load balancer."""
    MAPPED = "mapped"
    """A REST API with the mapping template "Method Request passthrough": the answer is a body alone, and any
    other status than 200 is an error that the template's responses know by its text."""


MAX_ANSWER_BYTES = {
    # What the runtime takes in, the JSON around the body included.
    Shape.HTTP: 6 * 2**20,
    Shape.REST: 6 * 2**20,
    Shape.ALB: 10**6,
    Shape.MAPPED: 6 * 2**20,
}
MAPPED_STATUSES = (
    *(301, 302, 303, 304, 307, 308),
    *(400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415, 416, 422, 428, 429, 431),
    *(500, 501, 502, 503, 504, 508),
)
"""Statuses that a mapping template's responses have to know; another is told as the first of its hundred,
as RFC 9110 §15 has it."""
MAPPED_FIELDS = ("allow", "location", "retry-after")
"""Fields that go with them."""
_TEXTS = ("text/", "application/json", "application/xml", "application/javascript", "image/svg+xml")
_VISIBLE = b"\t" + bytes(range(0x20, 0x7F))
_EMPTY_JSON = 2
"""Characters that the template makes of no body: `{}`."""


class AnswerTooLargeError(Exception):
    """The answer does not fit what the front end takes: `size` bytes of at most `limit`."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the answer takes {size} bytes, and at most {limit} are passed on")
        self.size = size
        self.limit = limit


class MappedStatusError(Exception):
    """An answer whose status is not 200, for a mapping template: its text is what API Gateway looks at.

    JSON in one line that begins with `{"status": 404,`, with the fields that go with it by their names, and
    the body, which is JSON too, as a text.
    """

    def __init__(self, status: int, headers: Headers, body: Any) -> None:
        known = status if status in MAPPED_STATUSES else max(status // 100 * 100, 400)
        fields = {name: headers.get(name) for name in MAPPED_FIELDS if name in headers}
        told = {"status": known, "said": status, **fields, "body": json.dumps(body)}
        super().__init__(json.dumps(told))
        self.status = status


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came in. `request.body` is None: the bytes, all there, are in `body`."""

    shape: Shape
    request: Request
    body: bytes
    is_multi_value: bool = False
    """Whether a load balancer sends, and wants, every field as a list."""


def asked(event: object) -> Asked:
    """The request of an event of any of the shapes.  Raises `EventError`."""
    try:
        return _asked(event)
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can hold
        raise EventError(f"event: got {short(error.object)} in it, want Unicode text") from None


def _asked(event: object) -> Asked:
    match _shape(event):
        case Shape.HTTP:
            return _of_http(event)
        case Shape.REST:
            return _of_proxy(event, Shape.REST, is_escaped=False)
        case Shape.ALB:
            return _of_proxy(event, Shape.ALB, is_escaped=True)
        case Shape.MAPPED:
            return _of_mapping(event)


def answer(asked: Asked, status: int, headers: Headers, body: bytes = b"") -> Any:
    """What the function returns.  Raises `AnswerTooLargeError`.

    Fields between two neighbours are left out. For `Shape.MAPPED` the answer is the body as JSON: as it is
    if it is JSON, a JSON text if it is another text, else `{"isBase64Encoded": true, "contentType": ...,
    "body": ...}`. Raises `MappedStatusError` there for what is not 2xx.
    """
    if asked.shape is Shape.MAPPED:
        returned = _as_json(headers, body)
        if not 200 <= status < 300:
            raise MappedStatusError(status, headers, returned)
    else:
        said, is_base64 = _body(headers, body)
        fields = [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP]
        returned = {"statusCode": status, "body": said, "isBase64Encoded": is_base64}
        returned |= _fields(asked, status, fields)
    size = len(json.dumps(returned, ensure_ascii=False).encode("utf-8", "replace"))
    limit = MAX_ANSWER_BYTES[asked.shape]
    if size > limit:
        raise AnswerTooLargeError(size, limit)
    return returned


def _shape(event: object) -> Shape:
    if at(event, "version") == "2.0" and at(event, "requestContext", "http") is not None:
        return Shape.HTTP
    if at(event, "requestContext", "elb") is not None:
        return Shape.ALB
    if at(event, "httpMethod") is not None:
        return Shape.REST
    if isinstance(event, dict) and "body-json" in event:
        return Shape.MAPPED
    keys = short(sorted(map(str, event))) if isinstance(event, dict) else short(event)
    raise EventError(
        f"event: got {keys}, want that of a function URL, an HTTP API, a REST API or a load balancer"
    )


def _of_http(event: object) -> Asked:
    path = text(event, "rawPath", default="/")
    stage = text(event, "requestContext", "stage", default="$default")
    if stage != "$default" and (path == f"/{stage}" or path.startswith(f"/{stage}/")):
        path = path[len(stage) + 1 :] or "/"
    fields = [(name, _told(value, "headers", name)) for name, value in _table(event, "headers").items()]
    cookies = at(event, "cookies") or []
    if not isinstance(cookies, list) or not all(isinstance(cookie, str) for cookie in cookies):
        raise EventError(f"cookies: got {short(cookies)}, want a list of text")
    if cookies:
        fields.append(("cookie", "; ".join(cookies)))
    method = text(event, "requestContext", "http", "method")
    viewer = text(event, "requestContext", "http", "sourceIp", default="")
    request = _request(method, path, text(event, "rawQueryString", default=""), fields, viewer)
    return Asked(Shape.HTTP, request, octets(event, "body", "isBase64Encoded"))


def _of_proxy(event: object, shape: Shape, *, is_escaped: bool) -> Asked:
    is_multi = at(event, "multiValueHeaders") is not None
    fields = (
        _lists(event, "multiValueHeaders")
        if is_multi
        else [(name, _told(value, "headers", name)) for name, value in _table(event, "headers").items()]
    )
    if at(event, "multiValueQueryStringParameters") is not None:
        pairs = _lists(event, "multiValueQueryStringParameters")
    else:
        singles = _table(event, "queryStringParameters")
        pairs = [(name, _told(value, "queryStringParameters", name)) for name, value in singles.items()]
    query = "&".join(f"{name}={value}" for name, value in pairs) if is_escaped else urlencode(pairs)
    viewer = text(event, "requestContext", "identity", "sourceIp", default="")
    request = _request(text(event, "httpMethod"), text(event, "path", default="/"), query, fields, viewer)
    return Asked(shape, request, octets(event, "body", "isBase64Encoded"), is_multi)


def _of_mapping(event: object) -> Asked:
    """The template `{"body-json": ..., "params": {...}, "context": {...}}` of the API Gateway console.

    It puts the method at `context.http-method`. The published load balancer read it at the top, where
    this template has none, took POST instead, and GET where there was no body: that is kept for
    templates that give no method.
    """
    value = at(event, "body-json")
    body = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    method = text(event, "context", "http-method", default="") or text(event, "http-method", default="")
    if not method:
        method = "POST" if len(body) > _EMPTY_JSON else "GET"
    params = {name: _table(event, "params", name) for name in ("path", "querystring", "header")}
    path = text(event, "context", "resource-path", default="") or "/"
    for name, part in params["path"].items():
        part = _told(part, "params", "path", name)
        path = path.replace(f"{{{name}+}}", quote(part, safe="/~")).replace(
            f"{{{name}}}", quote(part, safe="~")
        )
    pairs = [
        (name, _told(part, "params", "querystring", name)) for name, part in params["querystring"].items()
    ]
    fields = [(name, _told(part, "params", "header", name)) for name, part in params["header"].items()]
    viewer = text(event, "context", "source-ip", default="")
    request = _request(method, path, urlencode(pairs), fields, viewer)
    return Asked(Shape.MAPPED, request, b"" if request.method in ("GET", "HEAD") else body.encode())


def _request(method: str, path: str, query: str, fields: list[tuple[str, str]], viewer: str) -> Request:
    headers = Headers(fields)
    if not path.startswith("/"):
        raise EventError(f'path: got {short(path)}, want one that begins with "/"')
    return Request(
        method.upper(),
        # Some front ends decode it, some do not.
        quote(path, safe="/%!$&'()*+,;=:@~"),
        query,
        headers,
        host=headers.get("host") or "",
        scheme=headers.get("x-forwarded-proto") or "https",
        viewer=viewer,
    )


def _table(event: object, *path: str) -> Event:
    return table(event, *path, default={})


def _told(value: object, *path: str) -> str:
    if not isinstance(value, str):
        raise EventError(f"{name_of(path)}: got {short(value)}, want text")
    return value


def _lists(event: object, name: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for field, values in table(event, name).items():
        if not isinstance(values, list):
            raise EventError(f"{name}.{field}: got {short(values)}, want a list of text")
        pairs += [(field, _told(value, name, field)) for value in values]
    return pairs


def _body(headers: Headers, body: bytes) -> tuple[str, bool]:
    """The body as text if it is text, else in base64: a REST API only decodes types that it was told of."""
    kind = (headers.get("content-type") or "").lower()
    if "content-encoding" not in headers and (not body or kind.startswith(_TEXTS)):
        try:
            return body.decode("utf-8"), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode("ascii"), True


def _fields(asked: Asked, status: int, fields: list[tuple[str, str]]) -> Event:
    lists: dict[str, list[str]] = {}
    for name, value in fields:
        # The runtime sends JSON as UTF-8, and the front ends pass on ASCII only.
        lists.setdefault(name, []).append(field_text(value))
    joined = {name: ", ".join(values) for name, values in lists.items() if name.lower() != "set-cookie"}
    cookies = [value for name, values in lists.items() if name.lower() == "set-cookie" for value in values]
    if asked.shape is Shape.HTTP:
        return {"headers": joined, "cookies": cookies}
    if asked.shape is Shape.REST:
        return {"multiValueHeaders": lists}
    description = {"statusDescription": _description(status)}
    if asked.is_multi_value:
        return {"multiValueHeaders": lists, **description}
    # There is room for one cookie only: the last.
    last = {"set-cookie": cookies[-1]} if cookies else {}
    return {"headers": joined | last, **description}


def _description(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def field_text(value: str) -> str:
    """A field's value in visible ASCII: what else is in it is escaped, line ends too."""
    return quote(value.encode("latin-1", "replace"), safe=_VISIBLE)


def _as_json(headers: Headers, body: bytes) -> Any:
    try:
        if "content-encoding" not in headers:
            value = json.loads(body.decode("utf-8"))
            # Python reads, and would write, numbers that are none in JSON.
            json.dumps(value, allow_nan=False)
            return value
    except (ValueError, RecursionError):
        pass
    said, is_base64 = _body(headers.having(("Content-Type", "text/plain")), body)
    if not is_base64:
        return said
    return {"isBase64Encoded": True, "contentType": headers.get("content-type") or "", "body": said}
