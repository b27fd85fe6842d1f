"""Until when something holds for objects."""

from collections import OrderedDict


class Until:
    """Times of the monotonic clock, by the identity of a job; of those that were noted last, `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._times: OrderedDict[tuple[str, bytes], float] = OrderedDict()

    def note(self, identity: tuple[str, bytes], until: float) -> None:
        """It holds until then."""
        self._times[identity] = until
        self._times.move_to_end(identity)
        while len(self._times) > self._most:
            self._times.popitem(last=False)

    def holds(self, identity: tuple[str, bytes], now: float) -> bool:
        """Whether it still does."""
        return now < self._times.get(identity, 0.0)

    def forget(self, identity: tuple[str, bytes]) -> None:
        """It does no more."""
        self._times.pop(identity, None)

    def __repr__(self) -> str:
        return f"Until({len(self._times)} of {self._most})"
