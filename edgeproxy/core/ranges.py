"""Byte ranges.  RFC 9110 §14."""

import re
from dataclasses import dataclass

_SINGLE = re.compile(
    r"\s*bytes\s*=\s*(?:(\d{1,19})\s*-\s*(\d{1,19})?|-\s*(\d{1,19}))\s*\Z", re.ASCII | re.IGNORECASE
)

_CONTENT_RANGE = re.compile(r"\s*bytes\s+\d{1,19}-\d{1,19}/(\d{1,19})\s*\Z", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes `first` to `last`, both included, of `length`."""

    first: int
    last: int
    length: int

    @property
    def size(self) -> int:
        """How many bytes it holds."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"bytes {self.first}-{self.last}/{self.length}"


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """No byte of the range exists: 416."""

    length: int

    def __str__(self) -> str:
        return f"bytes */{self.length}"


def requested_slice(value: str | None, length: int) -> Slice | Unsatisfiable | None:
    """What a `Range` field asks of a representation of `length` bytes; None = send the whole.

    Several ranges, other units and nonsense give the whole representation, as RFC 9110 §14.2
    allows and CloudFront does for ranges it does not like.
    """
    match = _SINGLE.match(value) if value is not None else None
    if match is None:
        return None
    if match[3] is not None:
        suffix = min(int(match[3]), length)
        if suffix:
            return Slice(length - suffix, length - 1, length)
        # The last bytes of an empty representation are all of it; the last 0 bytes are none.  §14.1.2.
        return None if int(match[3]) else Unsatisfiable(length)
    first = int(match[1])
    last = length - 1 if match[2] is None else int(match[2])
    if match[2] is not None and last < first:
        return None
    return Slice(first, min(last, length - 1), length) if first < length else Unsatisfiable(length)


def complete_length(content_range: str | None) -> int | None:
    """Length of the whole of which a 206 is a part, by its `Content-Range`; None where that is not said.

    RFC 9110 §14.4.
    """
    match = _CONTENT_RANGE.match(content_range) if content_range is not None else None
    return int(match[1]) if match is not None else None
