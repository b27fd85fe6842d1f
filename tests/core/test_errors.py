"""Whose fault, which status, and as which status it counts for failover."""

import pytest

from edgeproxy.core.errors import EdgeError, OriginError, RequestError, WriteError, timed_out, unreachable
from edgeproxy.core.reason import Reason
from tests.core.conftest import rows

FAILOVER = "CloudFront, Origin failover"


@pytest.mark.parametrize(
    ("error", "expected"),
    rows(
        (
            "no connection counts as 503",
            unreachable("site", "connection refused"),
            (Reason.ORIGIN_UNREACHABLE, 502, 503, "site: connection refused"),
            FAILOVER,
        ),
        (
            "so does one that takes too long",
            timed_out("site", "connecting", 2.5, connecting=True),
            (Reason.ORIGIN_TIMEOUT, 504, 503, "site: connecting timed out after 2.5 s"),
            FAILOVER,
        ),
        (
            "silence counts as 504",
            timed_out("site", "the answer", 30.0),
            (Reason.ORIGIN_TIMEOUT, 504, 504, "site: the answer timed out after 30 s"),
            FAILOVER,
        ),
        (
            "the rest counts as what the viewer gets",
            OriginError(Reason.ORIGIN_BAD_REPLY, "site: not HTTP"),
            (Reason.ORIGIN_BAD_REPLY, 502, 502, "site: not HTTP"),
            "our choice",
        ),
        (
            "unless it is said",
            OriginError(Reason.ORIGIN_UNRESOLVED, "site: no address", failover_as=503),
            (Reason.ORIGIN_UNRESOLVED, 502, 503, "site: no address"),
            FAILOVER,
        ),
    ),
)
def test_an_origins_fault(error: OriginError, expected: tuple[Reason, int, int, str]) -> None:
    assert (error.reason, error.status, error.failover_as, error.message) == expected
    assert error.trail == ()
    assert str(error) == error.message


def test_a_viewers_fault() -> None:
    error = RequestError(Reason.BAD_PATH, "the path is not a valid URI path", status=400)
    assert (error.reason, error.status, str(error)) == (
        Reason.BAD_PATH,
        400,
        "the path is not a valid URI path",
    )


@pytest.mark.parametrize("is_final", [False, True])
def test_a_write_that_failed(is_final: bool) -> None:
    error = WriteError(Reason.WRITE_FAILED, "s3://b/k: the write failed", is_final=is_final)
    assert (error.reason, error.status, error.is_final) == (Reason.WRITE_FAILED, 502, is_final)
    assert not WriteError(Reason.WRITE_FAILED, "").is_final


def test_each_fault_is_caught_apart_or_all_together() -> None:
    kinds = (RequestError, OriginError, WriteError)
    assert all(issubclass(kind, EdgeError) for kind in kinds)
    assert not any(issubclass(a, b) for a in kinds for b in kinds if a is not b)
