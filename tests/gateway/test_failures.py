"""What is remembered of failures, for how long, and how much of it."""

import pytest

from edgeproxy.core.errors import unreachable
from edgeproxy.core.invalidation import invalidation
from edgeproxy.core.key import CacheKey
from edgeproxy.gateway.failures import Failures

ERROR = unreachable("site", "refused")
KEY = CacheKey("GET", "/a/b")


def test_a_failure_is_remembered_until_its_time_is_up() -> None:
    failures = Failures(10_000)
    failures.add(KEY, ERROR, 100.0)
    found = failures.find(KEY, 97.5)
    assert found is not None
    assert (found.status, found.reason, found.message) == (502, "origin-unreachable", "site: refused")
    assert found.rest_s == 2.5
    assert failures.find(CacheKey("GET", "/a"), 97.5) is None
    assert failures.find(KEY, 100.0) is None
    assert failures.find(KEY, 97.5) is None, "it is forgotten for good"


def test_what_is_found_is_no_error_that_was_raised_before() -> None:
    """An exception that is raised again and again would gather traces."""
    failures = Failures(10_000)
    failures.add(KEY, ERROR, 100.0)
    assert failures.find(KEY, 0.0) is not failures.find(KEY, 0.0)


@pytest.mark.parametrize(
    ("path", "count"), [("/a/b", 1), ("/a/*", 1), ("/a/b?x=1", 0), ("/b", 0), ("#tag", 0)]
)
def test_a_failure_can_be_purged(path: str, count: int) -> None:
    failures = Failures(10_000)
    failures.add(KEY, ERROR, 100.0)
    assert failures.invalidate(invalidation(path)) == count
    assert (failures.find(KEY, 0.0) is None) == bool(count)


def test_the_least_recently_used_go_first_and_nothing_is_remembered_without_room() -> None:
    failures = Failures(2_500)
    keys = [CacheKey("GET", f"/{n}") for n in range(3)]
    for key in keys:
        failures.add(key, ERROR, 100.0)
    assert [failures.find(key, 0.0) is not None for key in keys] == [False, True, True]
    failures.add(CacheKey("GET", "/" + "x" * 2_000), ERROR, 100.0)
    assert failures.find(keys[2], 0.0) is not None, "what is too large pushes nothing out"
    none = Failures(0)
    none.add(KEY, ERROR, 100.0)
    assert none.find(KEY, 0.0) is None
