"""A body in a file, checked block by block, so that what is torn is never served.

The file is the body, then a table of the CRC-32 of each block, then a trailer. The trailer is written
last: a file whose writer was killed has none. Whoever opens a file has its length and its table
checked; whoever reads it has each block checked before a byte of it goes out.
"""

import asyncio
import os
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from pathlib import Path

from edgeproxy.core.errors import EdgeError
from edgeproxy.core.reason import Reason

BLOCK_BYTES = 64 * 1024
_READ_BYTES = 4 * BLOCK_BYTES
_SUM_BYTES = 4
_MAGIC = b"edgebdy1"
_TRAILER = struct.Struct(">8sQI")
"""Magic, length of the body in bytes, CRC-32 of the table."""
# Linux gives what is in the page cache without waiting for a disk; elsewhere a thread reads.
_AT_ONCE: int | None = getattr(os, "RWF_NOWAIT", None)


class TornError(Exception):
    """The file is not what was written."""


class Sums:
    """The CRC-32 of each block of a body that comes in pieces."""

    def __init__(self) -> None:
        self._table = bytearray()
        self._sum = 0
        self.length = 0

    def feed(self, data: bytes | memoryview) -> None:
        """The next bytes of the body."""
        view = memoryview(data)
        while view:
            piece = view[: BLOCK_BYTES - self.length % BLOCK_BYTES]
            self._sum = zlib.crc32(piece, self._sum)
            self.length += len(piece)
            if self.length % BLOCK_BYTES == 0:
                self._close_block()
            view = view[len(piece) :]

    def _close_block(self) -> None:
        self._table += self._sum.to_bytes(_SUM_BYTES, "big")
        self._sum = 0

    def ending(self) -> bytes:
        """What stands in the file after the body."""
        if self.length % BLOCK_BYTES:
            self._close_block()
        return bytes(self._table) + _TRAILER.pack(_MAGIC, self.length, zlib.crc32(self._table))


def file_bytes(length: int) -> int:
    """Bytes that a file with a body of `length` takes on a disk that gives them out by 4 KiB."""
    size = length + -(-length // BLOCK_BYTES) * _SUM_BYTES + _TRAILER.size
    return -(-size // 4096) * 4096


class Blob:
    """A body in an open file. Any number may read it, also when the file has no name any more.

    The file is closed when nobody holds the blob. `on_damage` is called when a block is found to be
    not what was written.
    """

    def __init__(
        self, fd: int, length: int, table: bytes, executor: Executor, on_damage: Callable[[], None]
    ) -> None:
        self._fd = fd
        self._length = length
        self._table = table
        self._executor = executor
        self._on_damage = on_damage

    @classmethod
    def opened(cls, path: Path, executor: Executor, on_damage: Callable[[], None]) -> "Blob":
        """The body in the file at `path`.  Raises `TornError` and `OSError`."""
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            size = os.fstat(fd).st_size
            if size < _TRAILER.size:
                raise TornError("the file has no end")
            magic, length, table_sum = _TRAILER.unpack(os.pread(fd, _TRAILER.size, size - _TRAILER.size))
            table_bytes = -(-length // BLOCK_BYTES) * _SUM_BYTES
            if magic != _MAGIC or size != length + table_bytes + _TRAILER.size:
                raise TornError("the file is not as long as it says")
            table = os.pread(fd, table_bytes, length)
            if zlib.crc32(table) != table_sum:
                raise TornError("the table of sums is damaged")
            return cls(fd, length, table, executor, on_damage)
        except BaseException:
            os.close(fd)
            raise

    def __len__(self) -> int:
        return self._length

    def __del__(self) -> None:
        os.close(self._fd)

    def whole(self) -> bytes:
        """All of it, at once: for small bodies, in a thread.  Raises `TornError` and `OSError`."""
        return self._checked(os.pread(self._fd, self._length, 0), 0, self._length)

    async def part(self, first: int, last: int) -> AsyncIterator[bytes]:
        """The bytes from `first` to `last`, both included, in pieces.

        Raises `EdgeError` where the file turns out to be damaged: too late for another answer, so
        that the transfer is cut.
        """
        loop = asyncio.get_running_loop()
        while first <= last:
            start = first - first % BLOCK_BYTES
            size = min(_READ_BYTES, last + 1 - start)
            # Blocks are checked whole, though less of the last one may be wanted.
            size = min(-(-size // BLOCK_BYTES) * BLOCK_BYTES, self._length - start)
            try:
                data = self._at_once(start, size)
                if data is None:
                    data = await loop.run_in_executor(self._executor, os.pread, self._fd, size, start)
                self._checked(data, start, size)
            except (TornError, OSError) as error:
                self._on_damage()
                raise EdgeError(Reason.DISK_DAMAGED, f"a body on disk: {error}", status=500) from None
            end = min(start + size, last + 1)
            yield data if first == start and end == start + size else data[first - start : end - start]
            first = end

    def _at_once(self, start: int, size: int) -> bytes | None:
        """What can be had without waiting for the disk; None if not all of it."""
        if _AT_ONCE is None:
            return None
        buffer = bytearray(size)
        try:
            got = os.preadv(self._fd, [buffer], start, _AT_ONCE)
        except OSError:  # not there yet, or a file system that cannot tell
            return None
        return bytes(buffer) if got == size else None

    def _checked(self, data: bytes, start: int, size: int) -> bytes:
        """`data`, the `size` bytes of the body whose first block starts at `start`.  Raises `TornError`."""
        if len(data) != size:
            raise TornError("the file is shorter than it was")
        view = memoryview(data)
        for offset in range(0, len(data), BLOCK_BYTES):
            number = (start + offset) // BLOCK_BYTES
            wanted = self._table[number * _SUM_BYTES : (number + 1) * _SUM_BYTES]
            if zlib.crc32(view[offset : offset + BLOCK_BYTES]).to_bytes(_SUM_BYTES, "big") != wanted:
                raise TornError(f"block {number} is damaged")
        return data

    def __repr__(self) -> str:
        return f"Blob({self._length} bytes)"
