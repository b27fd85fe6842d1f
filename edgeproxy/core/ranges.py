"""Byte ranges.  RFC 9110 §14."""

import re
from dataclasses import dataclass

MAX_RANGES = 16
"""Ranges that are served of one representation; each costs some 200 bytes of framing."""

_SET = re.compile(r"\s*bytes\s*=(.*)\Z", re.ASCII | re.IGNORECASE | re.DOTALL)
_SPEC = re.compile(r"(?:(\d{1,19})\s*-\s*(\d{1,19})?|-\s*(\d{1,19}))", re.ASCII)
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


def requested_slices(value: str | None, length: int) -> tuple[Slice, ...] | Unsatisfiable | None:
    """What a `Range` field asks of a representation of `length` bytes; None = send the whole.

    Ranges of which no byte exists are passed over where others have some. Other units and nonsense
    give the whole representation, and so do ranges that are out of order, overlap or are more than
    `MAX_RANGES`: RFC 9110 §14.2 allows it, and CloudFront does so (Developer Guide, "Range GETs").
    """
    match = _SET.match(value) if value is not None else None
    if match is None:
        return None
    specs = match[1].split(",", MAX_RANGES)
    if len(specs) > MAX_RANGES:
        return None
    slices: list[Slice] = []
    for spec in specs:
        part = _resolved(spec, length)
        if part is None or (isinstance(part, Slice) and slices and part.first <= slices[-1].last):
            return None
        if isinstance(part, Slice):
            slices.append(part)
    return tuple(slices) or Unsatisfiable(length)


def _resolved(spec: str, length: int) -> Slice | Unsatisfiable | None:
    """One range; None if it is none.  RFC 9110 §14.1.2."""
    # Blanks around it go first: two runs of them side by side in the pattern take quadratic time.
    match = _SPEC.fullmatch(spec.strip(" \t"))
    if match is None:
        return None
    if match[3] is not None:
        suffix = min(int(match[3]), length)
        if suffix:
            return Slice(length - suffix, length - 1, length)
        # The last bytes of an empty representation are all of it; the last 0 bytes are none.
        return None if int(match[3]) else Unsatisfiable(length)
    first = int(match[1])
    last = length - 1 if match[2] is None else int(match[2])
    if match[2] is not None and last < first:
        return None
    return Slice(first, min(last, length - 1), length) if first < length else Unsatisfiable(length)


@dataclass(frozen=True, slots=True)
class Multipart:
    """The body of a 206 with several ranges: bytes to send as they are, and slices of the representation."""

    content_type: str
    parts: tuple[bytes | Slice, ...]

    @property
    def size(self) -> int:
        """Its `Content-Length`."""
        return sum(part.size if isinstance(part, Slice) else len(part) for part in self.parts)


def multipart(slices: tuple[Slice, ...], content_type: str | None, boundary: str) -> Multipart:
    """`slices` as `multipart/byteranges`.  RFC 9110 §14.6, RFC 2046 §5.1.

    `content_type` is that of the representation, if it has one; `boundary` a token of at most 70
    characters that nobody can have put into it.
    """
    typed = f"Content-Type: {content_type}\r\n" if content_type is not None else ""
    parts: list[bytes | Slice] = []
    for number, part in enumerate(slices):
        start = "\r\n" if number else ""
        parts.append(f"{start}--{boundary}\r\n{typed}Content-Range: {part}\r\n\r\n".encode())
        parts.append(part)
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    return Multipart(f"multipart/byteranges; boundary={boundary}", tuple(parts))


def complete_length(content_range: str | None) -> int | None:
    """Length of the whole of which a 206 is a part, by its `Content-Range`; None where that is not said.

    RFC 9110 §14.4.
    """
    match = _CONTENT_RANGE.match(content_range) if content_range is not None else None
    return int(match[1]) if match is not None else None
