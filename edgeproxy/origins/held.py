"""Bodies that are held in memory while it is not certain that they are needed only once."""

from collections.abc import AsyncIterable, AsyncIterator


class Room:
    """Bytes that may be held at once, by all together."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.used_bytes = 0

    def take(self, size: int) -> bool:
        """Whether there is room for so many more; it is theirs then."""
        if self.used_bytes + size > self._max_bytes:
            return False
        self.used_bytes += size
        return True

    def give_back(self, size: int) -> None:
        """So many are held no more."""
        self.used_bytes -= size


class Held:
    """A body: all of it, or its start and the rest, which can be read once."""

    def __init__(self, start: bytes, rest: AsyncIterator[bytes] | None, room: Room, taken: int) -> None:
        self._start = start
        self._rest = rest
        self._room = room
        self._taken = taken
        self.is_spent = False
        """It was read, and cannot be again."""

    @property
    def whole(self) -> bytes | None:
        """The body, if it is all here."""
        return self._start if self._rest is None else None

    def content(self) -> bytes | AsyncIterable[bytes]:
        """The body, to be read once more; not if it is spent."""
        return self._start if self._rest is None else self._in_turn(self._rest)

    async def _in_turn(self, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self.is_spent = True
        start, self._start = self._start, b""
        yield start
        self.release()
        del start
        async for chunk in rest:
            yield chunk

    def release(self) -> None:
        """It is needed no more. May be called twice."""
        self._room.give_back(self._taken)
        self._taken = 0


async def held(body: AsyncIterable[bytes], max_bytes: int, room: Room) -> Held:
    """`body`, all of it in memory if that is at most `max_bytes` and there is room.

    What comes at once is in memory already: at most that goes beyond. Raises what reading it raises.
    """
    chunks: list[bytes] = []
    size = taken = 0
    rest = aiter(body)
    try:
        async for chunk in rest:
            chunks.append(chunk)
            size += len(chunk)
            if size > max_bytes or not room.take(len(chunk)):
                return Held(b"".join(chunks), rest, room, taken)
            taken += len(chunk)
    except BaseException:
        room.give_back(taken)
        raise
    return Held(b"".join(chunks), None, room, taken)
