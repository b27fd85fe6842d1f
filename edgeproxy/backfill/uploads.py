"""Which multipart uploads are ours and under way, so that none outlives its process for ever.

Each is a file in a folder that several processes share. Whoever made it holds its lock, which the system
takes away when that process ends, however it does; then any other may clean up. Methods wait for the disk.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload: where, and the number that the server gave it."""

    endpoint: str
    bucket: str
    key: str
    upload_id: str


@dataclass(frozen=True, slots=True)
class Mark:
    """The file of an upload, and its lock as long as it is open."""

    path: Path
    fd: int


class Uploads:
    """The uploads of all processes that share `folder`; without one nothing is remembered."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def begin(self, upload: Upload) -> Mark | None:
        """From now on `upload` is known; None where it cannot be written down."""
        if self._folder is None:
            return None
        path = self._folder / secrets.token_hex(8)
        hidden = path.with_suffix(".new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError:
            # The upload goes on: what remains of it, should we be killed, is for the bucket's lifecycle rule.
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            text = json.dumps(asdict(upload)).encode()
            if os.write(fd, text) != len(text):
                raise OSError("written by halves")
            os.rename(hidden, path)
        except OSError:
            os.close(fd)
            hidden.unlink(missing_ok=True)
            return None
        return Mark(path, fd)

    def end(self, mark: Mark) -> None:
        """It was completed, or aborted."""
        mark.path.unlink(missing_ok=True)
        os.close(mark.fd)

    def leave(self, mark: Mark) -> None:
        """It could not be aborted: let it be tried again later, by whoever looks."""
        os.close(mark.fd)

    def orphans(self, endpoint: str, bucket: str) -> list[tuple[Upload, Mark]]:
        """Uploads to this bucket whose processes are gone; each is to be given to `end` or `leave`."""
        return list(self._orphans(endpoint, bucket))

    def _orphans(self, endpoint: str, bucket: str) -> Iterator[tuple[Upload, Mark]]:
        if self._folder is None:
            return
        try:
            paths = [path for path in self._folder.iterdir() if not path.suffix]
        except OSError:
            return
        for path in paths:
            held = _abandoned(path)
            if held is None:
                continue
            upload, mark = held
            if upload is None:
                self.end(mark)
            elif (upload.endpoint, upload.bucket) == (endpoint, bucket):
                yield upload, mark
            else:
                self.leave(mark)

    def __repr__(self) -> str:
        return f"Uploads({self._folder})"


def _abandoned(path: Path) -> tuple[Upload | None, Mark] | None:
    """What `path` tells, if nobody holds it any more; no upload where it tells nothing."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink == 0:
            raise OSError("ended meanwhile")
        text = os.read(fd, 1 << 16)
    except OSError:
        os.close(fd)
        return None
    try:
        return Upload(**json.loads(text)), Mark(path, fd)
    except (ValueError, TypeError):
        return None, Mark(path, fd)
