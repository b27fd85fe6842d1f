"""Sizes and durations with their units in the value: `256MiB`, `30s`; and addresses: `127.0.0.1:8080`."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)\Z")
_SIZE_UNITS = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE_UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\Z")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.\-]+)):(\d{1,5})\Z")


def _size(value: object) -> int:
    match = _SIZE.match(value.strip()) if isinstance(value, str) else None
    if match is not None:
        return int(float(match[1]) * _SIZE_UNITS[match[2]])
    if value in (0, "0") and not isinstance(value, bool):
        return 0
    raise ValueError('a size with its unit such as "512KiB", "256MiB" or "10GB"')


def _duration(value: object) -> float:
    match = _DURATION.match(value.strip()) if isinstance(value, str) else None
    if match is not None:
        return float(match[1]) * _DURATION_UNITS[match[2]]
    if value in (0, "0") and not isinstance(value, bool):
        return 0.0
    raise ValueError('a duration with its unit such as "500ms", "30s", "5m", "24h" or "365d"')


def size_text(size: int) -> str:
    """Bytes in the largest unit that keeps them whole, binary ones first: 268435456 -> "256MiB"."""
    for unit in ("TiB", "GiB", "MiB", "TB", "GB", "MB", "KiB", "kB"):
        if size and size % _SIZE_UNITS[unit] == 0:
            return f"{size // _SIZE_UNITS[unit]}{unit}"
    return f"{size}B"


def duration_text(seconds: float) -> str:
    """Seconds in the largest unit that keeps them whole: 86400 -> "1d"."""
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _DURATION_UNITS[unit] == 0:
            return f"{seconds / _DURATION_UNITS[unit]:g}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 takes any free port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(value: object) -> Address:
    """The address in text such as "127.0.0.1:8080".  Raises `ValueError` with what is wanted."""
    if isinstance(value, Address):
        return value
    match = _ADDRESS.match(value.strip()) if isinstance(value, str) else None
    if match is None or int(match[3]) > 65535:
        raise ValueError('an address such as "127.0.0.1:8080" or "[::1]:8080"')
    return Address(match[1] or match[2], int(match[3]))


Bytes = Annotated[
    int,
    BeforeValidator(_size),
    PlainSerializer(size_text),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["512KiB", "256MiB", "10GB"]}),
]
Seconds = Annotated[
    float,
    BeforeValidator(_duration),
    PlainSerializer(duration_text),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["500ms", "30s", "5m", "24h", "365d"]}),
]
Listen = Annotated[
    Address,
    BeforeValidator(address),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["127.0.0.1:8080"]}),
]
