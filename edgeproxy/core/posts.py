"""POST requests that only read, so that their answers may be cached: JSON-RPC calls and GraphQL queries.

JSON-RPC 2.0; GraphQL over HTTP. RFC 9110 §9.3.3 lets an answer to POST be cached; that a request only
reads is the operator's word for a JSON-RPC method, and the document's own for a GraphQL query. In doubt
it does not.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from edgeproxy.core.graphql import only_reads
from edgeproxy.core.message import Headers
from edgeproxy.core.reason import Reason

_OF_A_CALL = frozenset({"jsonrpc", "method", "params", "id"})
_OF_A_QUERY = frozenset({"query", "variables", "operationName", "extensions"})
_MAX_ID_CHARS = 256
_WHITE = " \t\n\r"
_STAND_IN = '{"id":null,'
_BEFORE_ID = '{"id":'


@dataclass(frozen=True, slots=True)
class PostPolicy:
    """Which POST requests are reads. Times are seconds, sizes bytes."""

    calls: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """JSON-RPC methods, and how long their answers are kept."""
    queries_s: float | None = None
    """How long answers to GraphQL queries are kept; None: they are not."""
    max_body: int = 64 * 1024
    max_answer: int = 2**20


@dataclass(frozen=True, slots=True)
class Call:
    """A JSON-RPC call of a listed method."""

    method: str
    ttl_s: float
    digest: str
    """Of all that it says but its `id`: equal calls have the same, whitespace and order of names aside."""
    id: str
    """As it was written: JSON text of a string or a whole number."""

    def __str__(self) -> str:
        return self.method


@dataclass(frozen=True, slots=True)
class Query:
    """A GraphQL request that only reads."""

    ttl_s: float
    digest: str

    def __str__(self) -> str:
        return "GraphQL query"


Read: TypeAlias = Call | Query


@dataclass(frozen=True, slots=True)
class _Number:
    """A number as it was written: 1.0 and 1, or what no float can hold, are not made the same."""

    text: str


def unfit(headers: Headers, policy: PostPolicy) -> Reason | None:
    """Why the body of a request with these fields need not be looked at; None if it is worth it."""
    media, _, parameters = (headers.get("content-type") or "").partition(";")
    if media.strip().lower() != "application/json":
        return Reason.CALL_UNCLEAR
    if parameters.strip().lower().replace('"', "") not in ("", "charset=utf-8"):
        return Reason.CALL_UNCLEAR
    if "content-encoding" in headers:
        return Reason.CALL_UNCLEAR
    length = headers.get("content-length") or "0"
    if not length.isascii() or not length.isdigit() or int(length[:19]) > policy.max_body:
        return Reason.CALL_TOO_LARGE
    return None


def read_in(body: bytes, policy: PostPolicy) -> Read | Reason:
    """What `body` reads, if that may be cached; else why not."""
    try:
        text = body.decode()
        said = _STRICT.decode(text)
        if isinstance(said, list):
            return Reason.CALL_BATCH
        if not isinstance(said, dict):
            return Reason.CALL_UNCLEAR
        if "jsonrpc" in said:
            return _call(said, text, policy)
        return _query(said, policy)
    except (ValueError, RecursionError):
        return Reason.CALL_UNCLEAR


def _call(said: dict[str, Any], text: str, policy: PostPolicy) -> Call | Reason:
    """JSON-RPC 2.0 §4. Without an `id` it wants no answer; null is what answers to nobody have."""
    method, params, own_id = said.get("method"), said.get("params", []), said.get("id")
    if said["jsonrpc"] != "2.0" or not isinstance(method, str) or not isinstance(params, list | dict):
        return Reason.CALL_UNCLEAR
    if not said.keys() <= _OF_A_CALL or not _is_id(own_id):
        return Reason.CALL_UNCLEAR
    ttl_s = policy.calls.get(method)
    if ttl_s is None:
        return Reason.CALL_NOT_LISTED
    _, (start, end) = _members(text)["id"]
    if end - start > _MAX_ID_CHARS:
        return Reason.CALL_UNCLEAR
    digest = _digest("json-rpc", {"method": method, "params": said.get("params")})
    return Call(method, ttl_s, digest, text[start:end])


def _is_id(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, _Number) and value.text.lstrip("-").isdigit())


def _query(said: dict[str, Any], policy: PostPolicy) -> Query | Reason:
    document = said.get("query")
    if policy.queries_s is None:
        return Reason.CALL_NOT_LISTED
    if not isinstance(document, str) or not said.keys() <= _OF_A_QUERY:
        return Reason.CALL_UNCLEAR
    if not only_reads(document):
        return Reason.NOT_A_QUERY
    return Query(policy.queries_s, _digest("graphql", said))


def _digest(kind: str, said: object) -> str:
    return hashlib.sha256(f"{kind} {_canonical(said)}".encode()).hexdigest()


def _canonical(value: object) -> str:
    """JSON text that is the same for values that are."""
    match value:
        case _Number():
            return value.text
        case dict():
            members = (f"{json.dumps(name)}:{_canonical(value[name])}" for name in sorted(value))
            return f"{{{','.join(members)}}}"
        case list():
            return f"[{','.join(map(_canonical, value))}]"
        case _:
            return json.dumps(value)


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 8259 §4: of names that come twice, each reader makes what it will."""
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a name comes twice")
    return found


def _refused(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


_STRICT = json.JSONDecoder(
    object_pairs_hook=_once, parse_float=_Number, parse_int=_Number, parse_constant=_refused
)
_PLAIN = json.JSONDecoder(parse_constant=_refused)


def _members(text: str) -> dict[str, tuple[Any, tuple[int, int]]]:
    """The members of an object: value, and where in `text` it stands. Raises `ValueError` for all else.

    Only the names of the object itself have to differ.
    """
    found: dict[str, tuple[Any, tuple[int, int]]] = {}
    at = _past_white(text, 0)
    at = _past(text, at, "{")
    if text[at : at + 1] == "}":
        closing = at
    else:
        while True:
            name, at = _PLAIN.raw_decode(text, at)
            if not isinstance(name, str) or name in found:
                raise ValueError("a name is none, or comes twice")
            start = _past(text, _past_white(text, at), ":")
            value, end = _PLAIN.raw_decode(text, start)
            found[name] = value, (start, end)
            at = _past_white(text, end)
            if text[at : at + 1] != ",":
                break
            at = _past(text, at, ",")
        closing = at
    if _past(text, closing, "}") != len(text):
        raise ValueError("there is more than an object")
    return found


def _past(text: str, at: int, mark: str) -> int:
    if text[at : at + 1] != mark:
        raise ValueError(f"want {mark}")
    return _past_white(text, at + 1)


def _past_white(text: str, at: int) -> int:
    while at < len(text) and text[at] in _WHITE:
        at += 1
    return at


def kept(read: Read, body: bytes) -> bytes | Reason:
    """The body of an answer with status 200 as it is to be stored; else why it is not.

    Nor are errors, and in JSON-RPC what is null: in most APIs it says "not there yet".
    """
    try:
        text = body.decode()
        said = _members(text)
    except (ValueError, RecursionError):
        return Reason.ANSWER_UNCLEAR
    match read:
        case Query():
            if said.get("errors", ([], None))[0] not in ([], None):
                return Reason.ANSWER_ERROR
            return body if said.get("data", (None,))[0] is not None else Reason.ANSWER_UNCLEAR
        case Call():
            return _kept_call(read, text, said)


def _kept_call(call: Call, text: str, said: dict[str, tuple[Any, tuple[int, int]]]) -> bytes | Reason:
    """JSON-RPC 2.0 §5, with a stand-in for the `id`, in front."""
    if said.get("error", (None,))[0] is not None:
        return Reason.ANSWER_ERROR
    own_id, (answered_id, _) = _PLAIN.decode(call.id), said.get("id", (None, None))
    # 1, 1.0 and true are the same to Python.
    if type(answered_id) is not type(own_id) or answered_id != own_id:
        return Reason.ANSWER_UNCLEAR
    if said.get("result", (None,))[0] is None:
        return Reason.ANSWER_ERROR
    members = (
        f"{json.dumps(name)}:{text[start:end]}" for name, (_, (start, end)) in said.items() if name != "id"
    )
    return f"{_STAND_IN}{','.join(members)}}}".encode()


def own_start(call: Call) -> tuple[int, bytes]:
    """How many bytes at the start of what is stored give way to which, for the one who asked `call`."""
    return len(_STAND_IN), f"{_BEFORE_ID}{call.id},".encode()
