"""So much a second."""

from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.core.allowance import Allowance


def test_what_is_saved_up_goes_at_once_and_the_rest_is_waited_for() -> None:
    allowance = Allowance.full(8, 2, 100.0)
    assert allowance.wait_s(2, 100.0) == 0
    allowance = allowance.taken(2, 100.0)
    assert allowance.wait_s(1, 100.0) == 0.125
    assert allowance.wait_s(1, 100.0625) == 0.0625
    assert allowance.wait_s(1, 100.2) == 0
    assert allowance.wait_s(2, 9_999.0) == 0


def test_no_more_is_saved_up_than_may_be() -> None:
    allowance = Allowance.full(10, 2, 100.0).taken(2, 9_999.0).taken(0, 9_999.0)
    assert (allowance.left, allowance.wait_s(1, 9_999.0)) == (0, 0.1)


def test_more_than_can_be_saved_up_is_a_debt() -> None:
    allowance = Allowance.full(10, 2, 0.0)
    assert allowance.wait_s(50, 0.0) == 0, "it could never be there"
    allowance = allowance.taken(50, 0.0)
    assert (allowance.wait_s(0, 0.0), allowance.wait_s(2, 0.0)) == (4.8, 5.0)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    allowance = Allowance.full(10, 1, 100.0).taken(1, 100.0)
    assert allowance.wait_s(1, 50.0) == 0.1
    assert allowance.taken(0, 50.0).at == 100.0


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 9)), max_size=30))
def test_in_any_time_there_is_never_more_than_the_rate_and_what_was_saved_up(
    steps: list[tuple[float, int]],
) -> None:
    allowance, now, taken = Allowance.full(5, 4, 0.0), 0.0, 0
    for passed, amount in steps:
        now += passed
        if allowance.wait_s(amount, now) > 0:
            continue
        allowance, taken = allowance.taken(amount, now), taken + amount
        # The last one may be larger than all that can be saved up.
        assert taken - amount <= 5 * now + 4 + 1e-6
