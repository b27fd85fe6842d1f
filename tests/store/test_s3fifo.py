"""S3-FIFO: what is asked for twice on trial stays, what comes once goes first."""

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edgeproxy.store.s3fifo import S3Fifo
from tests.core.conftest import steady


@dataclass(slots=True)
class Value:
    size: int = 1
    asked: int = 0


Order = S3Fifo[int, Value]


def filled(max_bytes: int, *letters: str) -> Order:
    order: Order = S3Fifo(max_bytes)
    put(order, *letters)
    return order


def put(order: Order, *letters: str) -> None:
    """Letters stand for their numbers, whose hashes are the same in each run."""
    for letter in letters:
        order[ord(letter)] = Value()


def ask(order: Order, *letters: str) -> None:
    for letter in letters:
        assert order.get(ord(letter)) is not None


def letters(order: Order) -> str:
    return "".join(sorted(map(chr, order)))


def test_what_was_never_asked_for_goes_in_the_order_in_which_it_came() -> None:
    order = filled(10, *"abc")
    assert [chr(order.popitem()[0]) for _ in range(3)] == ["a", "b", "c"]


def test_to_take_from_nothing_is_an_error() -> None:
    with pytest.raises(KeyError):
        filled(10).popitem()


def test_what_was_asked_for_twice_outlives_what_came_later() -> None:
    order = filled(3, *"abc")
    ask(order, "a", "a")
    put(order, "d")
    put(order, "e")
    assert letters(order) == "ade"


def test_what_was_asked_for_once_goes_like_the_others() -> None:
    order = filled(3, *"abc")
    ask(order, "a")
    put(order, "d")
    assert letters(order) == "bcd"


def test_a_look_is_no_question() -> None:
    order = filled(3, *"abc")
    assert order.peek(ord("a")) is order.peek(ord("a")) is not None
    assert order.peek(ord("x")) is None
    put(order, "d")
    assert letters(order) == "bcd"


def test_what_comes_again_soon_after_it_failed_needs_no_trial() -> None:
    order = filled(3, *"abcd")
    put(order, *"aefg")
    assert letters(order) == "afg"


def test_what_failed_long_ago_is_forgotten() -> None:
    order = filled(3, *"abcdefghij")
    put(order, *"axyz")
    assert letters(order) == "xyz"


def test_the_proven_go_when_nobody_asks_for_them_any_more() -> None:
    order = filled(3, *"abc")
    ask(order, *"aabbcc")
    put(order, "d")
    assert letters(order) == "bcd"
    ask(order, *"ddb")
    put(order, "e")
    assert letters(order) == "bde"


def test_a_scan_leaves_the_proven_alone() -> None:
    order: Order = S3Fifo(100)
    for key in range(60):
        order[key] = Value()
        assert order[key] is order[key]
    for key in range(1_000, 11_000):
        order[key] = Value()
    assert set(range(60)) < set(order)


def test_one_eviction_does_not_walk_through_all() -> None:
    class Counting(S3Fifo[int, Value]):
        steps = 0

        def _is_trials_turn(self) -> bool:
            self.steps += 1
            return super()._is_trials_turn()

    order = Counting(10_000)
    for key in range(10_000):
        order[key] = Value()
        assert order[key] is order[key]
    order[10_000] = Value()
    assert len(order) == 10_000
    assert order.steps <= 65


def test_a_replacement_on_trial_keeps_its_merit() -> None:
    order = filled(3, *"abc")
    ask(order, "a", "a")
    put(order, *"ade")
    assert letters(order) == "ade"


def test_a_replacement_of_the_proven_keeps_its_merit() -> None:
    order = filled(3, *"abc")
    ask(order, *"aabbcc")
    put(order, "d")
    ask(order, *"bdd")
    put(order, *"be")
    assert letters(order) == "bde"


def test_what_made_it_through_its_trial_starts_from_nothing() -> None:
    order = filled(3, *"abc")
    ask(order, *"aaabbcc")
    put(order, "d")
    assert letters(order) == "bcd"


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        filled(3, *"abc")[0] = Value(4)


class Life(RuleBasedStateMachine):
    """Anything at all, in any order."""

    @initialize(max_bytes=st.integers(10, 60))
    def opened(self, max_bytes: int) -> None:
        self.order: S3Fifo[int, Value] = S3Fifo(max_bytes)
        self.model: dict[int, Value] = {}

    @rule(key=st.integers(0, 12), size=st.integers(0, 10))
    def put(self, key: int, size: int) -> None:
        value = Value(size)
        self.order[key] = value
        self.model[key] = value
        assert self.order.peek(key) is value
        self.forget_what_went()

    @rule(key=st.integers(0, 12), times=st.integers(1, 4))
    def get(self, key: int, times: int) -> None:
        for _ in range(times):
            assert self.order.get(key) is self.model.get(key)

    @rule(key=st.integers(0, 12))
    def delete(self, key: int) -> None:
        assert self.order.pop(key, None) is self.model.pop(key, None)

    @rule()
    def evict(self) -> None:
        if not self.model:
            return
        key, value = self.order.popitem()
        assert self.model.pop(key) is value

    def forget_what_went(self) -> None:
        self.model = {key: value for key, value in self.model.items() if key in self.order}

    @invariant()
    def holds_what_it_says(self) -> None:
        order = self.order
        assert set(order) == set(self.model)
        assert order.currsize == sum(value.size for value in self.model.values()) <= order.maxsize

    @invariant()
    def each_key_is_in_one_queue(self) -> None:
        order = self.order
        assert {**order._trial, **order._proven} == self.model
        assert len(order._trial) + len(order._proven) == len(self.model)
        assert order._trial_bytes == sum(value.size for value in order._trial.values())


TestLife = Life.TestCase
TestLife.settings = steady
