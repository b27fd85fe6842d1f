"""Which methods a JSON-RPC request calls.  JSON-RPC 2.0 §4, §6."""

import pytest

from edgeproxy.core.jsonrpc import methods_in


@pytest.mark.parametrize(
    ("body", "methods"),
    [
        (b'{"jsonrpc": "2.0", "id": 1, "method": "get_block", "params": []}', ("get_block",)),
        (b'[{"method": "a"}, {"method": "b"}]', ("a", "b")),
        (b"[]", ()),
        (b'[{"method": "a"}, {}]', ()),
        (b'[{"method": "a"}, 1]', ()),
        (b'{"method": 1}', ()),
        (b'{"query": "{ a }"}', ()),
        (b'{"method": "pay", "method": "get_block"}', ()),
        (b'{"method": "pay", "m\\u0065thod": "get_block"}', ()),
        (b'{"method": "a"', ()),
        (b"\xff", ()),
        (b"", ()),
        (b"[" * 100_000, ()),
    ],
)
def test_methods(body: bytes, methods: tuple[str, ...]) -> None:
    assert methods_in(body) == methods
