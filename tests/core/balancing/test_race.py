"""All are pinged at once; the first that answers well gets the request."""

from edgeproxy.core.balancing.nodes import Node
from edgeproxy.core.balancing.race import Finish, after_race, winner

A, B, C, D = (Node(name) for name in "abcd")
FINISHES = (Finish(C, False), Finish(B, True), Finish(A, True))


def test_the_first_that_is_well_wins() -> None:
    assert winner(FINISHES) == B
    assert winner(FINISHES[:1]) is None
    assert winner([]) is None


def test_after_the_race_those_who_failed_are_out() -> None:
    assert after_race((A, B, C, D), FINISHES) == (B, A, D)
    assert after_race((A, B), ()) == (A, B)
