"""Holds bytes against their digests as they pass."""

import hashlib
import zlib
from collections.abc import Iterable
from typing import Any

from edgeproxy.core.digests import Algorithm, Digest
from edgeproxy.core.errors import WriteError
from edgeproxy.core.reason import Reason


class Checks:
    """One pass over a body; only what is to be compared is computed."""

    def __init__(self, wanted: Iterable[Digest]) -> None:
        self._wanted = tuple(wanted)
        algorithms = {digest.algorithm for digest in self._wanted}
        self._crc32: int | None = 0 if Algorithm.CRC32 in algorithms else None
        self._hashers: dict[Algorithm, Any] = {
            algorithm: hashlib.new(algorithm, usedforsecurity=False)
            for algorithm in sorted(algorithms - {Algorithm.CRC32})
        }

    def update(self, chunk: bytes) -> None:
        """The next bytes."""
        if self._crc32 is not None:
            self._crc32 = zlib.crc32(chunk, self._crc32)
        for hasher in self._hashers.values():
            hasher.update(chunk)

    def verify(self) -> None:
        """Raise `WriteError` unless the bytes are what every digest says."""
        for digest in self._wanted:
            if self._value(digest.algorithm) != digest.value:
                message = f"the bytes do not have the {digest.algorithm} that {digest.field} says"
                raise WriteError(Reason.DIGEST_MISMATCH, message)

    def _value(self, algorithm: Algorithm) -> bytes:
        if algorithm is Algorithm.CRC32:
            assert self._crc32 is not None
            return self._crc32.to_bytes(4, "big")
        value: bytes = self._hashers[algorithm].digest()
        return value

    def __repr__(self) -> str:
        return f"Checks({', '.join(digest.field for digest in self._wanted)})"
