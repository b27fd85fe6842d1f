"""Each fault is counted; people hear of one now and then."""

from edgeproxy.store.faults import Faults


def test_the_first_is_told_and_then_one_in_ten_seconds() -> None:
    told: list[str] = []
    times = iter((100, 100, 109.9, 110, 119, 121))
    faults = Faults(told.append, lambda: next(times))
    for _ in range(6):
        faults.note("no room", ", 2 jobs wait")
    assert told == [f"no room ({n} faults so far, 2 jobs wait)" for n in (1, 4, 6)]
    assert faults.count == 6


def test_a_clock_that_is_set_back_silences_nobody() -> None:
    told: list[str] = []
    times = iter((1e9, 5.0))
    faults = Faults(told.append, lambda: next(times))
    for _ in range(2):
        faults.note("no room")
    assert len(told) == 2
