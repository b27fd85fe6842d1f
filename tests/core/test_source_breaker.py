"""Leaving a server alone that is down."""

from edgeproxy.core.source_breaker import SourceBreaker

CLOSED = SourceBreaker(limit=3, rest_s=30)


def failed(times: int, now: float = 100.0) -> SourceBreaker:
    breaker = CLOSED
    for _ in range(times):
        breaker = breaker.failed(now)
    return breaker


def test_it_takes_so_many_faults_in_a_row() -> None:
    assert not failed(2).is_open
    assert failed(2).wait_s(100) == 0
    assert not failed(2).well().failed(100).failed(100).is_open
    assert failed(3).is_open


def test_while_it_rests_nobody_asks() -> None:
    assert (failed(3).wait_s(100), failed(3).wait_s(129), failed(3).wait_s(130)) == (30, 1, 0)


def test_then_one_asks_and_the_others_wait() -> None:
    tried = failed(3).asked()
    assert (tried.wait_s(131), tried.is_open) == (30, True)
    assert tried.well() == CLOSED
    assert tried.failed(131).wait_s(131) == 30
    assert tried.given_up().wait_s(131) == 0, "the next one asks instead"


def test_who_asks_while_all_is_well_is_not_waited_for() -> None:
    assert CLOSED.asked() == CLOSED
    assert failed(2).asked().wait_s(100) == 0
