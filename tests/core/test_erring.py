"""How long errors are remembered."""

import pytest

from edgeproxy.core.erring import ErrorPolicy, error_lifetime
from edgeproxy.core.freshness import TtlPolicy
from edgeproxy.core.message import Head, Headers
from tests.core.conftest import rows

NOW = 784_111_777.0
OPTIMIZED = TtlPolicy(1, 86_400, 31_536_000)
SHORT = TtlPolicy(0, 10, 30)
RFC = TtlPolicy(0, 0, 31_536_000)
ERRORS = ErrorPolicy(10, ((404, 60.0), (500, 0.0)))
DOC = "CloudFront, How CloudFront caches HTTP 4xx and 5xx status codes"


@pytest.mark.parametrize(
    ("status", "control", "ttl", "expected"),
    rows(
        ("nothing said", 503, None, OPTIMIZED, 10, DOC),
        ("its own minimum", 404, None, OPTIMIZED, 60, DOC),
        ("a minimum of 0", 500, None, OPTIMIZED, 0, DOC),
        ("longer than the minimum", 503, "max-age=90", OPTIMIZED, 90, DOC),
        ("shorter than the minimum", 503, "max-age=3", OPTIMIZED, 10, DOC),
        ("longer than the max TTL", 503, "max-age=90", SHORT, 30, DOC),
        ("s-maxage before max-age", 503, "max-age=90, s-maxage=20", OPTIMIZED, 20, DOC),
        ("no-store on a 404 counts", 404, "no-store", OPTIMIZED, 0, DOC),
        ("private on a 501 counts", 501, "private", OPTIMIZED, 0, DOC),
        ("no-store on a 503 does not", 503, "no-store", OPTIMIZED, 10, DOC),
        ("no-cache on a 500 with a max-age", 500, "no-cache, max-age=20", OPTIMIZED, 20, DOC),
        ("403 alone", 403, None, OPTIMIZED, 0, DOC),
        ("403 with a max-age", 403, "max-age=20", OPTIMIZED, 20, DOC),
        ("403 of two minds", 403, "max-age=20, no-store", OPTIMIZED, 0, "our choice"),
        ("416 never", 416, "max-age=20", OPTIMIZED, 0, DOC),
        ("401 never", 401, "max-age=20", OPTIMIZED, 0, "our choice"),
        ("429 never", 429, "max-age=20", OPTIMIZED, 0, "our choice"),
        ("the origin has the word and is silent", 503, None, RFC, 0, "RFC 9111 §4.2.2"),
        ("the origin has the word and says it", 503, "max-age=20", RFC, 20, "RFC 9111 §3"),
        ("the origin has the word and forbids it", 503, "no-store, max-age=20", RFC, 0, "RFC 9111 §5.2.2.5"),
    ),
)
def test_error_lifetime(status: int, control: str | None, ttl: TtlPolicy, expected: float) -> None:
    head = Head(status, Headers([("Cache-Control", control)] if control is not None else []))
    assert error_lifetime(head, ttl, ERRORS, NOW) == expected


def test_an_error_may_be_guessed_at_where_its_status_allows_it() -> None:
    """RFC 9111 §4.2.2."""
    modified = Headers([("Last-Modified", "Sun, 06 Nov 1994 07:49:37 GMT")])
    guessing = TtlPolicy(0, 0, 1_000, heuristic=0.1)
    assert error_lifetime(Head(404, modified), guessing, ERRORS, NOW) == 360
    assert error_lifetime(Head(503, modified), guessing, ERRORS, NOW) == 0
    assert error_lifetime(Head(405, modified), guessing, ERRORS, NOW) == 0


def test_expires_counts_as_well() -> None:
    head = Head(503, Headers([("Expires", "Sun, 06 Nov 1994 08:51:17 GMT")]))
    assert error_lifetime(head, OPTIMIZED, ERRORS, NOW) == 100
