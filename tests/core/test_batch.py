"""What CloudFront's API takes as one invalidation."""

import pytest

from edgeproxy.core.batch import ApiError, Batch, check_progress
from tests.core.conftest import rows

DOC = "CloudFront, Specify objects to invalidate"
QUOTAS = "CloudFront, Quotas on invalidations"


def batch(*paths: str, reference: str = "r") -> Batch:
    return Batch(paths, reference)


def plain(count: int) -> Batch:
    return batch(*(f"/{number}" for number in range(count)))


def wild(count: int) -> Batch:
    return batch(*(f"/{number}*" for number in range(count)))


@pytest.mark.parametrize(
    ("asked", "code", "status", "said"),
    rows(
        ("no path", batch(), "InvalidArgument", 400, "at least one path", DOC),
        ("no reference", batch("/a", reference=""), "InvalidArgument", 400, "CallerReference", DOC),
        (
            "no slash in front",
            batch("/a", "b"),
            "InvalidArgument",
            400,
            'invalid invalidation paths: got "b"',
            DOC,
        ),
        ("a tilde", batch("/~a"), "InvalidArgument", 400, '"~"', DOC),
        ("too long", batch("/" + "a" * 4000), "InvalidArgument", 400, "want a path", DOC),
        ("broken escapes", batch("/100%"), "InvalidArgument", 400, "not a valid URI path", DOC),
        ("too many", plain(3_001), "BatchTooLarge", 413, "got 3001 paths, want at most 3000", QUOTAS),
    ),
)
def test_what_is_refused(asked: Batch, code: str, status: int, said: str) -> None:
    with pytest.raises(ApiError) as refusal:
        asked.invalidations()
    assert (refusal.value.code, refusal.value.status) == (code, status)
    assert said in refusal.value.message


@pytest.mark.parametrize(
    "path", ["/", "/*", "/a.jpg", "/a.jpg?w=1", "/a*b", "/%C3%A9", "/%7Ea", "#tag", "#~"]
)
def test_what_is_taken(path: str) -> None:
    assert len(batch(path).invalidations()) == 1


@pytest.mark.parametrize(
    ("asked", "others", "is_taken"),
    rows(
        ("as many wildcards as may be", wild(15), [], True, QUOTAS),
        ("one more", wild(16), [], False, QUOTAS),
        ("one more beside others", wild(1), [wild(10), wild(5)], False, QUOTAS),
        ("as many paths as may be", plain(1_000), [plain(2_000)], True, QUOTAS),
        ("one path more", plain(1), [plain(3_000)], False, QUOTAS),
        ("wildcards and paths are counted apart", wild(15), [plain(3_000)], True, QUOTAS),
    ),
)
def test_what_may_be_in_progress(asked: Batch, others: list[Batch], is_taken: bool) -> None:
    if is_taken:
        check_progress(asked, others)
        return
    with pytest.raises(ApiError, match="maximum number of in-progress") as refusal:
        check_progress(asked, others)
    assert (refusal.value.code, refusal.value.status) == ("TooManyInvalidationsInProgress", 400)


def test_a_batch_is_the_same_whatever_the_order() -> None:
    assert batch("/a", "/b").is_same(batch("/b", "/a"))
    assert not batch("/a", "/b").is_same(batch("/a"))
    assert not batch("/a").is_same(batch("/a", reference="other"))
