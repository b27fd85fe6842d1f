"""The invalidations that are remembered."""

import pytest

from edgeproxy.admin.history import History
from edgeproxy.core.batch import ApiError, Batch, Status

NOW = "2026-01-01T00:00:00.000Z"


def completed(history: History, number: str, *paths: str) -> None:
    history.begin(Batch(paths or ("/a",), f"of {number}"), number, NOW)
    history.complete(number)


def code(history: History, batch: Batch) -> str:
    with pytest.raises(ApiError) as refusal:
        history.begin(batch, "I9", NOW)
    return refusal.value.code


def test_what_is_sent_again_is_what_it_was() -> None:
    history = History()
    first, is_new = history.begin(Batch(("/a", "/b"), "r"), "I1", NOW)
    assert (first.id, first.status, is_new) == ("I1", Status.IN_PROGRESS, True)
    history.complete("I1")
    again, is_new = history.begin(Batch(("/b", "/a"), "r"), "I2", NOW)
    assert (again.id, again.status, is_new) == ("I1", Status.COMPLETED, False)
    assert code(history, Batch(("/c",), "r")) == "InvalidationBatchAlreadyExists"


def test_only_what_is_in_progress_counts_against_the_limit() -> None:
    history = History()
    wild = tuple(f"/{number}/*" for number in range(15))
    history.begin(Batch(wild, "r"), "I1", NOW)
    assert code(history, Batch(("/x*",), "s")) == "TooManyInvalidationsInProgress"
    history.complete("I1")
    assert history.begin(Batch(("/x*",), "s"), "I2", NOW)[1]


def test_what_failed_may_be_asked_for_again() -> None:
    history = History()
    history.begin(Batch(("/a",), "r"), "I1", NOW)
    history.drop_unfinished("I1")
    assert history.begin(Batch(("/b",), "r"), "I2", NOW)[1]
    history.complete("I2")
    history.drop_unfinished("I2")
    assert history.find("I2").status is Status.COMPLETED


def test_pages_go_from_the_newest_to_the_oldest() -> None:
    history = History()
    for number in range(1, 6):
        completed(history, f"I{number}")
    first = history.page("", 2)
    assert ([r.id for r in first.items], first.is_truncated) == (["I5", "I4"], True)
    second = history.page("I4", 3)
    assert ([r.id for r in second.items], second.is_truncated) == (["I3", "I2", "I1"], False)
    assert history.page("I1", 1).items == ()
    with pytest.raises(ApiError, match=r"^InvalidArgument: Marker"):
        history.page("I7", 1)


@pytest.mark.parametrize(("path", "most"), [("/a", 1_000), ("/" + "a" * 3_999, 1_048)])
def test_it_is_bounded(path: str, most: int) -> None:
    history = History()
    for number in range(1_100):
        completed(history, f"I{number}", path)
    kept = len(history._by_id)
    assert 0 < kept <= min(most, 1_000)
    assert len(history._ids) == kept
    assert history.find("I1099")
    with pytest.raises(ApiError, match="NoSuchInvalidation"):
        history.find("I0")


def test_a_very_large_one_is_remembered_until_the_next() -> None:
    history = History()
    paths = [f"/{number}{'a' * 3_900}" for number in range(3_000)]
    completed(history, "I1", *paths)
    assert history.find("I1")
    completed(history, "I2")
    with pytest.raises(ApiError, match="NoSuchInvalidation"):
        history.find("I1")
