"""Sizes and durations with their units in the value: `256MiB`, `30s`; and addresses: `127.0.0.1:8080`."""

import re
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import ip_address

from edgeproxy.config.kinds import OR_VARIABLE, JsonSchema, Kind

_SIZE = r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)"
_SIZE_UNITS = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE_UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_DURATION = r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?(ms|s|m|h|d)"
_DURATION_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_ADDRESS = r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.\-]+)):([0-9]{1,5})"

MOST_BYTES = 2**53
"""The largest whole number that every reader of JSON can hold, and larger than any object."""
MOST_SECONDS = 36_500 * 86_400
"""A hundred years: the longest that CloudFront takes of `max-age`."""


class Size(Kind[int]):
    """Bytes, from `least` to `most`."""

    def __init__(self, least: int = 0, most: int = MOST_BYTES) -> None:
        bounds = f" from {size_text(least)} to {size_text(most)}" if least else ""
        super().__init__(f"a size{bounds} with its unit such as 512KiB, 256MiB or 10GB", f"size{bounds}")
        self._least, self._most = least, most

    def read(self, value: object) -> int:
        match = re.fullmatch(_SIZE, value) if isinstance(value, str) else None
        if match is not None:
            size = int(Decimal(match[1]) * _SIZE_UNITS[match[2]])
        elif _is_zero(value):
            size = 0
        else:
            raise ValueError(self.wanted)
        if not self._least <= size <= self._most:
            raise ValueError(f"a size from {size_text(self._least)} to {size_text(self._most)}")
        return size

    def write(self, value: int) -> object:
        return size_text(value)

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"const": 0}, {"type": "string", "pattern": f"^(?:0|{_SIZE})${OR_VARIABLE}"}]}


class Duration(Kind[float]):
    """Seconds, to the millisecond; with `above_zero` there has to be at least one of these."""

    def __init__(self, *, above_zero: bool = False) -> None:
        above = " above 0" if above_zero else ""
        super().__init__(
            f"a duration{above} with its unit such as 500ms, 30s, 5m, 24h or 365d", f"duration{above}"
        )
        self._least_ms = 1 if above_zero else 0

    def read(self, value: object) -> float:
        match = re.fullmatch(_DURATION, value) if isinstance(value, str) else None
        if match is not None:
            milliseconds = int(Decimal(match[1]) * _DURATION_UNITS_MS[match[2]])
        elif _is_zero(value):
            milliseconds = 0
        else:
            raise ValueError(self.wanted)
        if milliseconds < self._least_ms:
            raise ValueError("a duration of at least 1ms")
        if milliseconds > MOST_SECONDS * 1_000:
            raise ValueError(f"a duration of at most {duration_text(MOST_SECONDS)}")
        return milliseconds / 1_000

    def write(self, value: float) -> object:
        return duration_text(value)

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"const": 0}, {"type": "string", "pattern": f"^(?:0|{_DURATION})${OR_VARIABLE}"}]}


def _is_zero(value: object) -> bool:
    return value == "0" or (isinstance(value, int) and not isinstance(value, bool) and value == 0)


def size_text(size: int) -> str:
    """Bytes in the largest unit that keeps them whole, binary ones first: 268435456 -> "256MiB"."""
    for unit in ("TiB", "GiB", "MiB", "TB", "GB", "MB", "KiB", "kB"):
        if size and size % _SIZE_UNITS[unit] == 0:
            return f"{size // _SIZE_UNITS[unit]}{unit}"
    return f"{size}B"


def duration_text(seconds: float) -> str:
    """Seconds in the largest unit that keeps them whole, to the millisecond: 86400 -> "1d"."""
    milliseconds = round(seconds * 1_000)
    if not milliseconds:
        return "0s"
    units = reversed(_DURATION_UNITS_MS.items())
    unit, size = next((unit, size) for unit, size in units if milliseconds % size == 0)
    return f"{milliseconds // size}{unit}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 takes any free port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host.lower() == "localhost" or _is_loopback(self.host)

    def meets(self, other: "Address") -> bool:
        """Whether the two cannot both be listened on."""
        everywhere = {"0.0.0.0", "::"}  # noqa: S104 - compared, not listened on
        same_host = self.host.lower() == other.host.lower() or bool({self.host, other.host} & everywhere)
        return same_host and self.port == other.port != 0

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Listen(Kind[Address]):
    """An address and a port to listen on."""

    def __init__(self) -> None:
        super().__init__("an address such as 127.0.0.1:8080 or [::1]:8080", "address and port")

    def read(self, value: object) -> Address:
        if isinstance(value, Address):
            return value
        match = re.fullmatch(_ADDRESS, value) if isinstance(value, str) else None
        if match is None or int(match[3]) > 65535:
            raise ValueError(self.wanted)
        host = match[1] or match[2]
        # In brackets, or of digits alone: it cannot be a name.
        if match[1] or re.fullmatch("[0-9.]+", host):
            try:
                ip_address(host)
            except ValueError:
                raise ValueError(self.wanted) from None
        return Address(host, int(match[3]))

    def write(self, value: Address) -> object:
        return str(value)

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": f"^{_ADDRESS}${OR_VARIABLE}"}


def address(text: str) -> Address:
    """The address in text such as "127.0.0.1:8080".  Raises `ValueError` with what is wanted."""
    return Listen().read(text)
