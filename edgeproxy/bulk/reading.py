"""The lines of files, plain or gzipped, however long the files are."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

MAX_LINE_BYTES = 64 * 1024
STDIN = "-"
"""Standard input, among names of files."""
_GZIP = b"\x1f\x8b"


class InputError(Exception):
    """An input could not be read; the message says which and why."""


@contextmanager
def opened(name: str) -> Iterator[BinaryIO]:
    """The file `name`, unpacked if it is gzipped.  Raises `InputError`."""
    try:
        with Path(name).open("rb") as file:
            yield _unpacked(file)
    except (OSError, ValueError) as error:
        # A ValueError: the name holds a NUL.
        cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InputError(f"{name}: {cause.lower()}") from None
    except (EOFError, zlib.error) as error:
        raise InputError(f"{name}: is damaged: {str(error).lower()}") from None


def _unpacked(file: io.BufferedReader) -> BinaryIO:
    is_packed = file.peek(2)[:2] == _GZIP
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if is_packed else file


def lines_of(file: BinaryIO) -> Iterator[tuple[int, str | None]]:
    """Number, from 1, and text of each line, less its end; None for one that is too long to be one.

    Bytes that are no UTF-8 become surrogates. A mark of their order in front of the first line (RFC 3629
    §6), as some editors write it, is no part of it.
    """
    number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
            yield number, None
        else:
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            yield number, line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
