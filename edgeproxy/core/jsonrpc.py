"""What a JSON-RPC request calls.  JSON-RPC 2.0 §4, §6."""

import json
from typing import Any


def methods_in(body: bytes) -> tuple[str, ...]:
    """The methods that are called, several for a batch; none if it is no request that could be read."""
    try:
        # UTF-8 alone (RFC 8259 §8.1): what a node may read otherwise is not for us to guess.
        called = json.loads(body.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return ()
    calls = called if isinstance(called, list) else [called]
    methods = [
        call["method"] for call in calls if isinstance(call, dict) and isinstance(call.get("method"), str)
    ]
    return tuple(methods) if len(methods) == len(calls) else ()


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 8259 §4: of two members of one name it is for the node to say which one counts."""
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a name comes twice")
    return found
