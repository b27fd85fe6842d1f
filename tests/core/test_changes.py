"""What a change in a bucket makes invalid."""

import pytest

from edgeproxy.core.changes import Buckets, on_event
from edgeproxy.core.invalidation import Invalidation, Reach
from edgeproxy.core.reason import Reason
from edgeproxy.core.s3_events import Change, ObjectEvent
from tests.core.conftest import rows

BUCKETS = Buckets(
    {"assets": frozenset({""}), "shared": frozenset({"/site", "/other"}), "both": frozenset({"", "/site"})},
    frozenset({"filler", "AWS:AROAEXAMPLE:*"}),
)
CREATED, REMOVED = Change.CREATED, Change.REMOVED


@pytest.mark.parametrize(
    ("bucket", "key", "change", "principal", "expected"),
    rows(
        ("new", "assets", "a/b", CREATED, None, {"/a/b"}, "S3 events"),
        ("gone", "assets", "a/b", REMOVED, None, {"/a/b"}, "S3 events"),
        ("below an origin path", "shared", "site/a", CREATED, None, {"/a"}, "CloudFront, OriginPath"),
        ("two origins", "both", "site/a", CREATED, None, {"/a", "/site/a"}, "CloudFront, OriginPath"),
        ("beside them", "shared", "a", CREATED, None, Reason.OUTSIDE_ORIGIN_PATH, "CloudFront, OriginPath"),
        ("another bucket", "others", "a", CREATED, None, Reason.OTHER_BUCKET, "our choice"),
        ("the backfill's own", "assets", "a", CREATED, "filler", Reason.IGNORED_PRINCIPAL, "our choice"),
        ("removed by it", "assets", "a", REMOVED, "filler", {"/a"}, "our choice"),
        ("a name that begins so", "assets", "a", CREATED, "fillers", {"/a"}, "our choice"),
        ("a session", "assets", "a", CREATED, "AWS:AROAEXAMPLE:i-1", Reason.IGNORED_PRINCIPAL, "our choice"),
        ("of another role", "assets", "a", CREATED, "AWS:AROAOTHER:i-1", {"/a"}, "our choice"),
    ),
)
def test_on_event(
    bucket: str, key: str, change: Change, principal: str | None, expected: set[str] | Reason
) -> None:
    verdict = on_event(ObjectEvent(bucket, key.encode(), change, principal=principal), BUCKETS)
    if isinstance(expected, set):
        expected_ones = {Invalidation(Reach.OBJECT, path) for path in expected}
        assert verdict == expected_ones
    else:
        assert verdict is expected
