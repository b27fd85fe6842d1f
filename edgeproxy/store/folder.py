"""The folder of the disk cache: who owns it, which file is whose, the threads that wait for the disk."""

import asyncio
import errno
import fcntl
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from edgeproxy.store.catalog import Catalog, CatalogError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_READERS = 4


class DiskError(Exception):
    """The disk failed, or is full; the message says what of."""


class NoRoomError(DiskError):
    """All that is there is on its way: the cache, though not the disk, is full."""


class Folder:
    """Where the files are. One edgeproxy at a time, with all its processes, owns it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._locks: list[int] = []

    @property
    def catalog(self) -> Path:
        """The file of the catalogue."""
        return self.path / "catalog.sqlite"

    def file(self, number: int) -> Path:
        """The file of entry `number`."""
        return self.path / "bodies" / f"{number % 256:02x}" / f"{number:x}"

    def take(self, max_bytes: int) -> None:
        """Make the folder ready, own it, sweep away what is not whole.  Raises `DiskError`."""
        try:
            self.path.mkdir(0o700, parents=True, exist_ok=True)
            (self.path / "bodies").mkdir(0o700, exist_ok=True)
            for number in range(256):
                (self.path / "bodies" / f"{number:02x}").mkdir(0o700, exist_ok=True)
            self._locked("lock", fcntl.LOCK_EX)
            # The workers of an owner that was killed may still be serving.
            self._locked("members", fcntl.LOCK_EX)
            os.close(self._locks.pop())
            self._sweep(max_bytes)
        except OSError as error:
            self.release()
            if error.errno == errno.EWOULDBLOCK:
                raise DiskError(f"{self.path}: another edgeproxy uses this folder") from None
            raise DiskError(f"{error.filename or self.path}: {error.strerror}") from error

    def join(self) -> None:
        """Belong to the owner, as one of its processes.  Raises `DiskError`."""
        try:
            self._locked("members", fcntl.LOCK_SH)
        except OSError as error:
            raise DiskError(f"{self.path}: {error.strerror}") from error

    def _locked(self, name: str, how: int) -> None:
        self._locks.append(os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        fcntl.flock(self._locks[-1], how | fcntl.LOCK_NB)

    def _sweep(self, max_bytes: int) -> None:
        catalog = Catalog(self.catalog, max_bytes)
        try:
            try:
                catalog.prepare()
            except CatalogError:
                # Without the catalogue the files are nothing, with a damaged one they are suspect.
                catalog.close()
                for file in self.path.glob(f"{self.catalog.name}*"):
                    file.unlink()
                catalog.prepare()
            catalog.unfinished()
            catalog.shrink()
            known = catalog.ids()
        except CatalogError as error:
            raise DiskError(f"{self.catalog}: {error}") from error
        finally:
            catalog.close()
        for file in (self.path / "bodies").glob("*/*"):
            number = _number(file.name)
            # A folder that held something else before may hold files that are not ours.
            if number is not None and number not in known and file == self.file(number):
                file.unlink()

    def release(self) -> None:
        """Let others own it."""
        while self._locks:
            os.close(self._locks.pop())

    def delete(self, ids: Iterable[int]) -> None:
        """Delete the files of these entries. Whoever reads one goes on reading.

        Raises `OSError` when all have been tried.
        """
        fault: OSError | None = None
        for number in ids:
            try:
                self.file(number).unlink(missing_ok=True)
            except OSError as error:
                fault = error
        if fault is not None:
            raise fault

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r})"


def _number(name: str) -> int | None:
    """The number that a file is named after, if it is."""
    try:
        return int(name, 16)
    except ValueError:
        return None


class Threads:
    """Who waits for the disk in place of the loop. All that they raise is `DiskError`."""

    def __init__(self) -> None:
        self.readers = ThreadPoolExecutor(_READERS, "disk")
        # One thread for all changes: they happen in the order in which they were asked for.
        self._changes = ThreadPoolExecutor(1, "catalog")

    async def read(self, act: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """What `act` gives, among others at the same time."""
        return await _in(self.readers, act, *arguments)

    async def change(self, act: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """What `act` gives, after all changes that were asked for before."""
        return await _in(self._changes, act, *arguments)

    def change_later(self, act: Callable[[], None]) -> None:
        """Let `act` happen, from whatever thread; nobody hears how it went."""
        try:
            self._changes.submit(act)
        except RuntimeError:  # the cache has been closed
            return

    def close(self) -> None:
        """Finish what was asked for."""
        self._changes.shutdown()
        self.readers.shutdown()


async def _in(executor: ThreadPoolExecutor, act: Callable[[*Ts], T], *arguments: *Ts) -> T:
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, act, *arguments)
    except CatalogError as error:
        raise DiskError(str(error)) from error
    except OSError as error:
        raise DiskError(error.strerror or str(error)) from error
