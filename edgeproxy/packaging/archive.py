"""Zip files that are the same for the same contents, wherever and whenever they are made."""

import hashlib
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_READABLE = 0o100644 << 16
_LEVEL = 9


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip file. Sizes in bytes; `digest` is the SHA-256 of the contents, whatever packed them."""

    path: Path
    size: int
    unpacked: int
    digest: str


def archived(files: Mapping[str, bytes], path: Path) -> Archive:
    """Write `files`, by their names, to the zip file `path`: all of it, or nothing.  Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
            for name in sorted(files):
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.create_system = _UNIX
                entry.external_attr = _READABLE
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, files[name])
                digest.update(f"{name}\0{len(files[name])}\0".encode())
                digest.update(files[name])
        size = draft.stat().st_size
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return Archive(path, size, sum(map(len, files.values())), digest.hexdigest())
