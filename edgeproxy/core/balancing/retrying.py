"""Whether a request may be sent to a second node.  RFC 9110 §9.2.2."""

from collections.abc import Sequence

from edgeproxy.core.reason import Reason

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110 §9.2.2: PUT, DELETE and the safe methods (§9.2.1)."""


def is_idempotent(
    method: str, calls: Sequence[str] = (), idempotent_calls: frozenset[str] = frozenset()
) -> bool:
    """Whether sending it twice does what sending it once does.

    `calls` are the JSON-RPC methods in the body, several for a batch, none if it is no JSON-RPC: a POST is
    idempotent if all of them are listed. "A proxy MUST NOT automatically retry non-idempotent requests."
    """
    return method in IDEMPOTENT_METHODS or (
        method == "POST" and bool(calls) and all(call in idempotent_calls for call in calls)
    )


def may_retry(*, attempts: int, max_attempts: int, was_sent: bool, idempotent: bool) -> Reason | None:
    """Why a request is not sent to another node after `attempts` have failed; None if it is.

    `was_sent`: a node may have seen some of it. Where none has, any request may be sent again. The budget is
    asked after this, so that a "no" costs no token.
    """
    if attempts >= max_attempts:
        return Reason.ATTEMPTS_SPENT
    if was_sent and not idempotent:
        return Reason.NOT_IDEMPOTENT
    return None
