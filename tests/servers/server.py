"""What an S3 server under test is, and what each does differently from AWS."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


def cache_folder() -> Path:
    """Where scripts/servers puts what it builds."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")  # noqa: TID251
    return Path(os.environ.get("EDGEPROXY_CACHE") or f"{home}/edgeproxy")  # noqa: TID251


WEBHOOK_TOKEN = "token-of-the-webhook"


class MissingError(Exception):
    """The server is not installed here; the message says what to do."""


@dataclass(frozen=True)
class S3Server:
    """A running server, and what it does differently from AWS."""

    name: str
    endpoint: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str = "us-east-1"
    checks_signatures: bool = True
    """Whether keys and rights count; moto takes any keys, and lists for everybody."""
    has_odd_keys: bool = True
    """Whether a key may hold "//" or a segment "."; MinIO's may not."""
    says_403_of_missing: bool = True
    """What it says of a missing key to those who may read but not list: 403 on AWS, else 404."""
    guards_completion: bool = True
    """Whether CompleteMultipartUpload heeds If-None-Match; Ceph 16 answers 200 and overwrites."""
    restricted_access_key_id: str | None = None
    """One who may get and put but not list; None where only those who do not sign can be that."""
    restricted_secret_access_key: str | None = field(default=None, repr=False)
    restricted_session_token: str | None = field(default=None, repr=False)
    restricted_principal: str | None = "*"
    """Whom a bucket policy has to name to give the restricted one these rights; None: has them anyhow."""
    webhook_port: int | None = None
    """Where it sends notifications of buckets that want them, if that was said when it was started."""
    pids: tuple[int, ...] = ()
    """Processes that answer requests: stopped by `paused`."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The server takes connections and answers nothing."""
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)
        # Threads on other processors stop a moment later, and may answer until then.
        while not all(map(_is_stopped, self.pids)):
            time.sleep(0.001)
        try:
            yield
        finally:
            for pid in self.pids:
                os.kill(pid, signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    """Whether every thread of the process has stopped."""
    states = (task / "stat" for task in Path(f"/proc/{pid}/task").iterdir())
    return all(state.read_text().rpartition(")")[2].split()[0] in "Tt" for state in states)
