"""A body on its way to disk."""

import os

from edgeproxy.store.blob import Sums, file_bytes
from edgeproxy.store.catalog import Catalog
from edgeproxy.store.folder import DiskError, Folder, NoRoomError, Threads

GROWTH_BYTES = 4 * 2**20
"""Room is taken in steps of this for a body that does not say how long it is."""


class Draft:
    """A body that is being written. It is read as far as it has come; nobody finds it before `finish`.

    The file is closed when nobody holds the draft.
    """

    def __init__(
        self, folder: Folder, catalog: Catalog, threads: Threads, number: int, reserved: int
    ) -> None:
        """Make the file, for entry `number`; waits for the disk.  Raises `OSError`."""
        self._fd = -1
        self._folder = folder
        self._catalog = catalog
        self._threads = threads
        self._id = number
        self._reserved = reserved
        self._sums = Sums()
        self._fd = os.open(folder.file(number), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    @property
    def length(self) -> int:
        """Bytes of the body that are in the file."""
        return self._sums.length

    async def append(self, data: bytes) -> None:
        """Write the next bytes of the body.  Raises `DiskError`, also `NoRoomError`."""
        wanted = file_bytes(self.length + len(data))
        if wanted > self._reserved:
            await self._grow(max(wanted, self._reserved + GROWTH_BYTES))
        await self._threads.read(self._append, data)

    def _append(self, data: bytes) -> None:
        write(self._fd, data)
        self._sums.feed(data)

    async def _grow(self, size: int) -> None:
        def grow() -> bool:
            has_room, gone = self._catalog.grow(self._id, size)
            self._folder.delete(gone)
            return has_room

        if not await self._threads.change(grow):
            raise NoRoomError("no room for more of this body")
        self._reserved = size

    async def read(self, start: int, size: int) -> bytes:
        """At most `size` bytes from `start` on, of those that are there.  Raises `DiskError`."""
        wanted = min(size, self.length - start)
        data = await self._threads.read(os.pread, self._fd, wanted, start)
        if len(data) != wanted:
            raise DiskError("the file is shorter than it was")
        return data

    async def finish(self) -> None:
        """The body is whole: it is found from now on.  Raises `DiskError`."""

        def finish() -> None:
            length = self.length
            write(self._fd, self._sums.ending())
            self._folder.delete(self._catalog.finish(self._id, length, file_bytes(length)))

        await self._threads.change(finish)

    async def abandon(self) -> None:
        """Forget it; what has been written can still be read.  Raises `DiskError`."""

        def abandon() -> None:
            try:
                self._catalog.remove((self._id,))
            finally:
                self._folder.delete((self._id,))

        await self._threads.change(abandon)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def __repr__(self) -> str:
        return f"Draft({self.length} bytes)"


def write(fd: int, data: bytes) -> None:
    """All of `data` at the end of the file.  Raises `OSError`."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
