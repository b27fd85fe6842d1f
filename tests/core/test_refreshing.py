"""When an object that the bucket gave is held against its source again."""

from dataclasses import replace

import pytest

from edgeproxy.core.backfilling import Rule
from edgeproxy.core.failover import Attempt
from edgeproxy.core.freshness import http_date
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.paths import Pattern
from edgeproxy.core.reason import Reason
from edgeproxy.core.refreshing import ON_EVENT, Refresh, on_primary

WRITTEN = "Tue, 15 Nov 1994 12:45:26 GMT"
AT = http_date(WRITTEN) or 0.0
OURS = Headers([("x-amz-meta-edgeproxy-filled-by", "edgeproxy")])
DAILY = Rule(Pattern("/*"), frozenset({404}), 100, refresh_s=86_400.0)
KEY = CacheKey("GET", "/a")
FROM_BUCKET = (Attempt("bucket", 200),)


def verdict(
    *,
    rule: Rule | None = DAILY,
    sent: Request = Request("GET", "/a"),
    trail: tuple[Attempt, ...] = FROM_BUCKET,
    status: int = 200,
    fields: tuple[tuple[str, str], ...] = (("Last-Modified", WRITTEN),),
    noted: Headers = OURS,
    age_s: float = 86_400.0,
    key: CacheKey = KEY,
) -> object:
    rules = (rule,) if rule is not None else ()
    return on_primary(key, sent, trail, Head(status, Headers(fields)), noted, rules, "", AT + age_s)


def test_one_that_is_ours_and_old_enough() -> None:
    assert verdict() == Refresh(b"a", DAILY)
    assert verdict(status=206) == verdict(sent=Request("HEAD", "/a")) == Refresh(b"a", DAILY)


def test_a_304_brings_no_notes_and_perhaps_no_date() -> None:
    assert verdict(status=304, noted=Headers()) == Refresh(b"a", DAILY)
    assert verdict(status=304, noted=Headers(), fields=()) == Refresh(b"a", DAILY)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"noted": Headers()}, Reason.NOT_OURS),
        ({"age_s": 86_399.0}, Reason.CHECKED),
        ({"age_s": -100.0}, Reason.CHECKED),
        ({"rule": replace(DAILY, refresh_s=ON_EVENT)}, Reason.CHECKED),
        ({"rule": replace(DAILY, refresh_s=None)}, Reason.NOT_FAILED_OVER),
        ({"rule": replace(DAILY, enabled=False)}, Reason.NOT_FAILED_OVER),
        ({"rule": None}, Reason.NOT_FAILED_OVER),
        ({"trail": (Attempt("bucket", 404), Attempt("site", 200))}, Reason.NOT_FAILED_OVER),
        ({"sent": Request("PUT", "/a")}, Reason.NOT_FAILED_OVER),
        ({"sent": Request("GET", "/a", "versionId=1")}, Reason.NOT_FAILED_OVER),
        ({"status": 404}, Reason.PRIMARY_STATUS),
        ({"trail": (Attempt("bucket", 502, Reason.ORIGIN_CUT),)}, Reason.PRIMARY_STATUS),
        ({"key": replace(KEY, query="w=1")}, Reason.QUERY_IN_KEY),
    ],
)
def test_others_are_let_be(changes: dict[str, object], reason: Reason) -> None:
    assert verdict(**changes) is reason  # type: ignore[arg-type]
