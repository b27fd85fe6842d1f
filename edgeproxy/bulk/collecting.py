"""From the inputs onto the roll: lists, logs, and what is in a bucket."""

import hashlib
import os
import select
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgeproxy.bulk.judging import Item, Judge
from edgeproxy.bulk.logs import SERVED, LogReader
from edgeproxy.bulk.named import Bad, Line, ObjectKey, Passed, of_list
from edgeproxy.bulk.reading import STDIN, InputError, lines_of, opened
from edgeproxy.bulk.roll import Roll

_BATCH = 2_000
_WAIT_S = 0.25
_TOLD = 10
"""Lines that are told by number; the others are counted."""


@dataclass(frozen=True, slots=True)
class Files:
    """Lists, or logs, of which requests that ended with `statuses` count; `strict` = all must be in order."""

    names: tuple[str, ...]
    are_logs: bool
    statuses: frozenset[int] = SERVED
    strict: bool = False

    def __str__(self) -> str:
        return ", ".join(self.names)


@dataclass(frozen=True, slots=True)
class Input:
    """One file of them, as it is on disk: `mark` changes when it does."""

    name: str
    path: str
    mark: str


def inputs_of(files: Files, folder: Path, has_to_stop: Callable[[], bool]) -> list[Input]:
    """The files as they are now; standard input is copied into `folder` first.

    Raises `InputError`, also when it has to stop while it waits for more.
    """
    return [_copied(folder, has_to_stop) if name == STDIN else _found(name) for name in files.names]


def _found(name: str) -> Input:
    try:
        path = Path(name).resolve()
        told = path.stat()
    except (OSError, ValueError) as error:
        cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InputError(f"{name}: {cause.lower()}") from None
    if not path.is_file():
        raise InputError(f"{name}: is no file, want one (standard input is -)")
    return Input(str(path), str(path), f"{told.st_size}:{told.st_mtime_ns}")


def _copied(folder: Path, has_to_stop: Callable[[], bool]) -> Input:
    copy = folder / "stdin"
    try:
        with copy.open("wb") as file:
            for chunk in _chunks(sys.stdin.buffer, has_to_stop):
                file.write(chunk)
        with copy.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise InputError(f"{STDIN}: cannot be copied into {folder}: {cause}") from None
    return Input(f"{STDIN}{digest}", str(copy), digest)


def _chunks(stream: BinaryIO, has_to_stop: Callable[[], bool]) -> Iterator[bytes]:
    """What comes, without ever waiting long: a thread that reads from a terminal cannot be woken."""
    fd = stream.fileno()
    while not has_to_stop():
        if select.select([fd], [], [], _WAIT_S)[0]:
            chunk = os.read(fd, 1 << 20)
            if not chunk:
                return
            yield chunk
    raise InputError(f"{STDIN}: was not read to its end")


class Collector:
    """Puts what files name onto a roll, in the roll's thread.

    `say` hears of lines that are in disorder; `has_to_stop` is asked now and then.
    """

    def __init__(
        self, roll: Roll, judge: Judge, say: Callable[[str], None], has_to_stop: Callable[[], bool]
    ) -> None:
        self._roll = roll
        self._judge = judge
        self._say = say
        self._has_to_stop = has_to_stop
        self.lines = 0
        self.bad = 0

    def read(self, files: Files, inputs: list[Input]) -> None:
        """Read all of it that was not read before.  Raises `InputError` and `RollError`."""
        for name, one in zip(files.names, inputs, strict=True):
            mark, _, bad = self._roll.mark(one.name).rpartition("/")
            if mark == one.mark:
                self.bad += int(bad)
                continue
            before = self.bad
            batch: list[tuple[Item, int | None]] = []
            for item in self._items(name, one.path, files):
                batch.append((item, None))
                if len(batch) >= _BATCH:
                    self._roll.add(batch)
                    batch = []
            if not self._has_to_stop():
                self._roll.add(batch, (one.name, f"{one.mark}/{self.bad - before}"))
        if self.bad > _TOLD:
            self._say(f"{self.bad} lines in all name nothing and were passed over")

    def _items(self, name: str, path: str, files: Files) -> Iterator[Item]:
        reader = LogReader(files.statuses)
        with opened(path) as file:
            for number, text in lines_of(file):
                self.lines += 1
                if self.lines % _BATCH == 0 and self._has_to_stop():
                    return
                named: Line = Bad("is too long")
                if text is not None:
                    named = reader.read(text) if files.are_logs else of_list(text)
                item = self._judge.judged(named) if not isinstance(named, Bad | Passed) else named
                if isinstance(item, Bad):
                    self._complain(f"{name}:{number}: {item.why}", strict=files.strict)
                elif isinstance(item, Item):
                    yield item

    def _complain(self, line: str, *, strict: bool) -> None:
        if strict:
            raise InputError(line)
        self.bad += 1
        if self.bad <= _TOLD:
            self._say(line)


def listed_items(
    objects: tuple[tuple[bytes, int], ...], source_prefix: str, bucket_prefix: str, judge: Judge
) -> tuple[list[tuple[Item, int | None]], int]:
    """The items of objects of a source that is a bucket itself, and how many of these can be none.

    The prefixes are origin paths.
    """
    items: list[tuple[Item, int | None]] = []
    bad = 0
    above, below = f"{source_prefix}/"[1:].encode(), f"{bucket_prefix}/"[1:].encode()
    for key, size in objects:
        if key.endswith(b"/") and not size:
            # A console's folder.
            continue
        item = judge.judged(ObjectKey(below + key.removeprefix(above)))
        if isinstance(item, Item):
            items.append((item, size))
        else:
            bad += 1
    return items, bad
