"""Whether a request may be sent to a second node."""

import pytest

from edgeproxy.core.balancing.retrying import IDEMPOTENT_METHODS, is_idempotent, may_retry
from edgeproxy.core.reason import Reason
from tests.core.conftest import rows

SECTION = "RFC 9110 §9.2.2"
CALLS = frozenset({"get_block", "get_accounts"})


@pytest.mark.parametrize(
    ("method", "calls", "expected"),
    rows(
        *((method, method, [], True, SECTION) for method in sorted(IDEMPOTENT_METHODS)),
        ("POST", "POST", [], False, SECTION),
        ("PATCH", "PATCH", [], False, SECTION),
        ("CONNECT", "CONNECT", [], False, SECTION),
        ("one that is not known", "PURGE", [], False, SECTION),
        ("methods are case-sensitive", "get", [], False, "RFC 9110 §9.1"),
        ("a call that only reads", "POST", ["get_block"], True, "JSON-RPC 2.0"),
        ("one that is not listed", "POST", ["broadcast"], False, "JSON-RPC 2.0"),
        ("a batch that only reads", "POST", ["get_block", "get_accounts"], True, "JSON-RPC 2.0, §6"),
        ("a batch with one that writes", "POST", ["get_block", "broadcast"], False, "JSON-RPC 2.0, §6"),
        ("calls are for POST", "PATCH", ["get_block"], False, "JSON-RPC 2.0"),
    ),
)
def test_is_idempotent(method: str, calls: list[str], expected: bool) -> None:
    assert is_idempotent(method, calls, CALLS) is expected


@pytest.mark.parametrize(
    ("attempts", "was_sent", "idempotent", "expected"),
    rows(
        ("idempotent", 1, True, True, None, SECTION),
        ("not idempotent", 1, True, False, Reason.NOT_IDEMPOTENT, SECTION),
        ("but no node has seen it", 1, False, False, None, SECTION),
        ("the last but one", 2, True, True, None, "our limit"),
        ("the last", 3, True, True, Reason.ATTEMPTS_SPENT, "our limit"),
        ("the last, not seen", 3, False, True, Reason.ATTEMPTS_SPENT, "our limit"),
    ),
)
def test_may_retry(attempts: int, was_sent: bool, idempotent: bool, expected: Reason | None) -> None:
    assert may_retry(attempts=attempts, max_attempts=3, was_sent=was_sent, idempotent=idempotent) is expected
