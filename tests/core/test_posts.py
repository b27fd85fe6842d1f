"""Bodies that are reads, what makes two of them the same, and answers in the name of whoever asked."""

import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.message import Headers
from edgeproxy.core.posts import Call, PostPolicy, Query, Read, kept, own_start, read_in, unfit
from edgeproxy.core.reason import Reason

POLICY = PostPolicy(MappingProxyType({"head": 2.0, "get": 60.0}), queries_s=30.0)


def call(body: str | bytes) -> Call:
    found = read_in(body.encode() if isinstance(body, str) else body, POLICY)
    assert isinstance(found, Call), found
    return found


def delivered(asker: Call, stored: bytes) -> bytes:
    size, own = own_start(asker)
    return own + stored[size:]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"jsonrpc":"2.0","method":"send","id":1}', Reason.CALL_NOT_LISTED),
        ('[{"jsonrpc":"2.0","method":"head","id":1}]', Reason.CALL_BATCH),  # JSON-RPC 2.0 §6
        ('{"jsonrpc":"2.0","method":"head"}', Reason.CALL_UNCLEAR),  # §4.1: a notification
        ('{"jsonrpc":"2.0","method":"head","id":null}', Reason.CALL_UNCLEAR),  # §4: discouraged
        ('{"jsonrpc":"2.0","method":"head","id":1.5}', Reason.CALL_UNCLEAR),
        ('{"jsonrpc":"2.0","method":"head","id":1e3}', Reason.CALL_UNCLEAR),
        (f'{{"jsonrpc":"2.0","method":"head","id":{"1" * 5_000}}}', Reason.CALL_UNCLEAR),
        ('{"jsonrpc":"2.0","method":"head","id":true}', Reason.CALL_UNCLEAR),
        ('{"jsonrpc":"2.0","method":"head","id":[1]}', Reason.CALL_UNCLEAR),
        ('{"jsonrpc":"1.0","method":"head","id":1}', Reason.CALL_UNCLEAR),
        ('{"jsonrpc":2.0,"method":"head","id":1}', Reason.CALL_UNCLEAR),
        ('{"jsonrpc":"2.0","method":"head","id":1,"params":"x"}', Reason.CALL_UNCLEAR),  # §4.2
        ('{"jsonrpc":"2.0","method":"head","id":1,"Method":"send"}', Reason.CALL_UNCLEAR),
        ('{"jsonrpc":"2.0","method":"head","method":"send","id":1}', Reason.CALL_UNCLEAR),  # RFC 8259 §4
        ('{"jsonrpc":"2.0","method":"get","params":[{"a":1,"a":2}],"id":1}', Reason.CALL_UNCLEAR),
        ('{"jsonrpc":"2.0","method":"get","params":[NaN],"id":1}', Reason.CALL_UNCLEAR),
        ('{"jsonrpc":"2.0","method":"head","id":1} x', Reason.CALL_UNCLEAR),
        ('\ufeff{"jsonrpc":"2.0","method":"head","id":1}', Reason.CALL_UNCLEAR),  # RFC 8259 §8.1
        (b'{"jsonrpc":"2.0","method":"head","id":"\xff"}', Reason.CALL_UNCLEAR),
        (b"", Reason.CALL_UNCLEAR),
        (b"[" * 100_000, Reason.CALL_UNCLEAR),
        ('"head"', Reason.CALL_UNCLEAR),
        ('{"query":"mutation { a }"}', Reason.NOT_A_QUERY),
        ('{"query":"{ a","variables":{}}', Reason.NOT_A_QUERY),
        ('{"query":"{ a }","mutation":1}', Reason.CALL_UNCLEAR),
        ('{"query":7}', Reason.CALL_UNCLEAR),
        ('{"extensions":{"persistedQuery":{"sha256Hash":"ab"}}}', Reason.CALL_UNCLEAR),
    ],
)
def test_in_doubt_it_is_no_read(body: str | bytes, reason: Reason) -> None:
    assert read_in(body.encode() if isinstance(body, str) else body, POLICY) is reason


def test_what_is_not_configured_is_no_read() -> None:
    assert read_in(b'{"query":"{ a }"}', PostPolicy()) is Reason.CALL_NOT_LISTED
    assert read_in(b'{"jsonrpc":"2.0","method":"head","id":1}', PostPolicy()) is Reason.CALL_NOT_LISTED


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"Content-Type": "application/json"}, None),
        ({"Content-Type": "Application/JSON; charset=UTF-8", "Content-Length": "65536"}, None),
        ({"Content-Type": 'application/json;charset="utf-8"'}, None),
        ({}, Reason.CALL_UNCLEAR),
        ({"Content-Type": "text/plain"}, Reason.CALL_UNCLEAR),
        ({"Content-Type": "application/json; charset=utf-16"}, Reason.CALL_UNCLEAR),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, Reason.CALL_UNCLEAR),
        ({"Content-Type": "application/json", "Content-Length": "65537"}, Reason.CALL_TOO_LARGE),
        ({"Content-Type": "application/json", "Content-Length": "9" * 5000}, Reason.CALL_TOO_LARGE),
    ],
)
def test_fields_tell_what_need_not_be_read(fields: dict[str, str], reason: Reason | None) -> None:
    assert unfit(Headers(fields.items()), POLICY) is reason


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ('"params":[1],"id":1', '"id":"x", "params" : [ 1 ]', True),
        ('"params":[{"a":1,"b":2}],"id":1', '"params":[{"b":2,"a":1}],"id":1', True),
        ('"params":["\\u0061"],"id":1', '"params":["a"],"id":1', True),
        ('"params":[1],"id":1', '"params":[2],"id":1', False),
        ('"params":[1],"id":1', '"params":["1"],"id":1', False),
        ('"params":[1],"id":1', '"params":[1.0],"id":1', False),
        ('"params":[1e400],"id":1', '"params":[1e500],"id":1', False),
        ('"params":[],"id":1', '"id":1', False),
        ('"params":[[1],2],"id":1', '"params":[1,[2]],"id":1', False),
        ('"params":[null],"id":1', '"params":[false],"id":1', False),
    ],
)
def test_equal_calls_are_one_object_whoever_asks(one: str, other: str, is_same: bool) -> None:
    start = '{"jsonrpc":"2.0","method":"get",'
    assert (call(f"{start}{one}}}").digest == call(f"{start}{other}}}").digest) is is_same


def test_methods_and_queries_are_kept_apart() -> None:
    assert call('{"jsonrpc":"2.0","method":"head","id":1}').ttl_s == 2.0
    assert call('{"jsonrpc":"2.0","method":"get","id":1}').ttl_s == 60.0
    query = read_in(b'{"query":"{ a }"}', POLICY)
    same = read_in(b'{ "query" : "{ a }" }', POLICY)
    other = read_in(b'{"query":"{ a }","variables":{"x":1}}', POLICY)
    assert isinstance(query, Query)
    assert query == same
    assert query != other


@pytest.mark.parametrize("own_id", ["1", "-7", '"a\\u00e9\\""', "123456789012345678901234567890", '""'])
def test_each_gets_its_own_id_back_as_it_was_written(own_id: str) -> None:
    """JSON-RPC 2.0 §5: it must be the same value as in the request."""
    first = call('{"jsonrpc":"2.0","method":"get","id":"first","params":[]}')
    stored = kept(first, b'{ "jsonrpc":"2.0", "result": {"id": "first", "n": 1.0}, "id" : "first" }')
    assert isinstance(stored, bytes)
    asker = call(f'{{"id": {own_id} ,"jsonrpc":"2.0","method":"get","params":[]}}')
    assert asker.id == own_id
    assert asker.digest == first.digest
    got = delivered(asker, stored)
    assert json.loads(got) == {
        "id": json.loads(own_id),
        "jsonrpc": "2.0",
        "result": {"id": "first", "n": 1.0},
    }
    assert f'"id":{own_id},'.encode() in got


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"jsonrpc":"2.0","error":{"code":-32000},"id":1}', Reason.ANSWER_ERROR),  # JSON-RPC 2.0 §5.1
        ('{"jsonrpc":"2.0","result":1,"error":{},"id":1}', Reason.ANSWER_ERROR),
        ('{"jsonrpc":"2.0","result":null,"id":1}', Reason.ANSWER_ERROR),
        ('{"jsonrpc":"2.0","id":1}', Reason.ANSWER_ERROR),
        ('{"jsonrpc":"2.0","result":1,"id":2}', Reason.ANSWER_UNCLEAR),
        ('{"jsonrpc":"2.0","result":1,"id":"1"}', Reason.ANSWER_UNCLEAR),
        ('{"jsonrpc":"2.0","result":1,"id":1.0}', Reason.ANSWER_UNCLEAR),
        ('{"jsonrpc":"2.0","result":1,"id":true}', Reason.ANSWER_UNCLEAR),
        ('{"jsonrpc":"2.0","result":1,"id":null}', Reason.ANSWER_UNCLEAR),
        ('{"jsonrpc":"2.0","result":1}', Reason.ANSWER_UNCLEAR),
        ('{"jsonrpc":"2.0","result":1,"id":1,"id":1}', Reason.ANSWER_UNCLEAR),
        ('{"jsonrpc":"2.0","result":1,"id":1', Reason.ANSWER_UNCLEAR),
        ('{"jsonrpc":"2.0","result":1,"id":1}{}', Reason.ANSWER_UNCLEAR),
        ('{"jsonrpc":"2.0","result":1,"id":1,}', Reason.ANSWER_UNCLEAR),
        ('[{"jsonrpc":"2.0","result":1,"id":1}]', Reason.ANSWER_UNCLEAR),
        ("{}", Reason.ANSWER_UNCLEAR),
        ("", Reason.ANSWER_UNCLEAR),
        ('{"a":' * 50_000, Reason.ANSWER_UNCLEAR),
    ],
)
def test_an_answer_that_is_no_result_is_not_stored(body: str, reason: Reason) -> None:
    assert kept(call('{"jsonrpc":"2.0","method":"get","id":1}'), body.encode()) is reason


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"data":{"a":1}}', None),
        ('{"data":{"a":1},"errors":[]}', None),
        ('{"data":{"a":null},"errors":[{"message":"x"}]}', Reason.ANSWER_ERROR),
        ('{"errors":[{"message":"x"}]}', Reason.ANSWER_ERROR),
        ('{"data":null}', Reason.ANSWER_UNCLEAR),
        ("<html>", Reason.ANSWER_UNCLEAR),
    ],
)
def test_an_answer_to_a_query_is_stored_as_it_is_or_not_at_all(body: str, expected: Reason | None) -> None:
    """GraphQL specification §7.1: `errors` stands beside `data` where only some of it went wrong."""
    query: Read | Reason = read_in(b'{"query":"{ a }"}', POLICY)
    assert isinstance(query, Query)
    assert kept(query, body.encode()) == (expected or body.encode())


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_IDS = st.integers() | st.text()


@given(_JSON.filter(lambda v: v is not None), _IDS, _IDS, st.dictionaries(st.text(), _JSON), st.booleans())
def test_only_the_id_is_another_ones(
    result: object, first_id: object, own_id: object, more: dict[str, object], ascii_only: bool
) -> None:
    more = {name: value for name, value in more.items() if name not in ("id", "error")}
    first, own = (
        call(json.dumps({"jsonrpc": "2.0", "method": "get", "id": one})) for one in (first_id, own_id)
    )
    answer = {**more, "result": result, "id": first_id}
    try:
        body = json.dumps(answer, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return
    stored = kept(first, body)
    assert isinstance(stored, bytes)
    assert json.loads(delivered(own, stored)) == {**answer, "id": own_id}


@given(_JSON, _JSON)
def test_parameters_that_differ_are_other_objects(one: object, other: object) -> None:
    texts = [json.dumps({"jsonrpc": "2.0", "method": "get", "id": 1, "params": [v]}) for v in (one, other)]
    # Compared as text: True == 1 in Python.
    is_same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (call(texts[0]).digest == call(texts[1]).digest) is is_same


@given(st.binary(max_size=80))
def test_any_bytes_are_judged(body: bytes) -> None:
    assert isinstance(read_in(body, POLICY), Reason)
    assert isinstance(kept(call('{"jsonrpc":"2.0","method":"get","id":1}'), body), Reason)
