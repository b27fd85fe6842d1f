"""A map of heads, bounded in number and in bytes."""

from typing import Generic, TypeVar

_MAX_HEADS = 8_192
_MAX_BYTES = 16 * 2**20
_HEAD_BYTES = 4_500
_COPIES = 3
"""What a head takes, measured: what was asked and what is answered, with parts of the head in both."""
_MAX_SEEN = 16_384

V = TypeVar("V")


class _Line(Generic[V]):
    __slots__ = ("is_asked", "value")

    def __init__(self, value: V) -> None:
        self.value = value
        self.is_asked = False


class Book(Generic[V]):
    """What is known of a head. The oldest goes first, but for what was asked for since it came.

    Only what comes twice is to be put in: `has_come_before` keeps a number of each head for that, and
    whoever sends another one each time gains no place.
    """

    def __init__(self, max_heads: int = _MAX_HEADS, max_bytes: int = _MAX_BYTES) -> None:
        self._max_heads = max_heads
        self._max_bytes = max_bytes
        self._lines: dict[bytes, _Line[V]] = {}
        self._bytes = 0
        self._seen: set[int] = set()

    def get(self, head: bytes) -> V | None:
        """What is known of `head`."""
        line = self._lines.get(head)
        if line is None:
            return None
        line.is_asked = True
        return line.value

    def has_come_before(self, head: bytes) -> bool:
        """Whether this was asked about the same head not long ago."""
        number = hash(head)
        if number in self._seen:
            return True
        if len(self._seen) >= _MAX_SEEN:
            self._seen.clear()
        self._seen.add(number)
        return False

    def put(self, head: bytes, value: V) -> None:
        """Remember `value`, in place of what was known."""
        self.forget(head)
        self._lines[head] = _Line(value)
        self._bytes += _size(head)
        while len(self._lines) > self._max_heads or self._bytes > self._max_bytes:
            self._make_room()

    def forget(self, head: bytes) -> None:
        """Know nothing of `head`."""
        if self._lines.pop(head, None) is not None:
            self._bytes -= _size(head)

    def clear(self) -> None:
        """Know nothing."""
        self._lines.clear()
        self._seen.clear()
        self._bytes = 0

    def _make_room(self) -> None:
        """Each that was asked for is passed over once, and is then as old as it will ever be."""
        head, line = next(iter(self._lines.items()))
        if line.is_asked:
            line.is_asked = False
            self._lines[head] = self._lines.pop(head)
        else:
            self.forget(head)

    def __len__(self) -> int:
        return len(self._lines)


def _size(head: bytes) -> int:
    return _COPIES * len(head) + _HEAD_BYTES
