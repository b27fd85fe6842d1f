"""What a JSON-RPC request calls.  JSON-RPC 2.0 §4, §6."""

import json


def methods_in(body: bytes) -> tuple[str, ...]:
    """The methods that are called, several for a batch; none if it is no request that could be read."""
    try:
        # UTF-8 alone (RFC 8259 §8.1): what a node may read otherwise is not for us to guess.
        called = json.loads(body.decode())
    except (ValueError, RecursionError):
        return ()
    calls = called if isinstance(called, list) else [called]
    methods = [
        call["method"] for call in calls if isinstance(call, dict) and isinstance(call.get("method"), str)
    ]
    return tuple(methods) if len(methods) == len(calls) else ()
