"""What a real S3 server under test is, and how its processes are started and surely stopped."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


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
    has_odd_keys: bool = True
    """Whether a key may hold "//" or a segment "."; MinIO's may not."""
    says_403_of_missing: bool = True
    """What it says of a missing key to those who may read but not list: 403 on AWS, else 404."""
    pids: tuple[int, ...] = ()
    """Processes that answer requests: stopped by `paused`."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The server takes connections and answers nothing."""
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in self.pids:
                os.kill(pid, signal.SIGCONT)


def free_port() -> int:
    """A port on loopback that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(
    command: list[str], log: Path, environ: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`command` in a process group of its own, its output in `log`; gone for sure when the context ends."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environ or {})},  # noqa: TID251
            start_new_session=True,
        )
    try:
        yield running
    finally:
        for sign, patience_s in ((signal.SIGCONT, 0.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 10.0)):
            if running.poll() is None:
                os.killpg(running.pid, sign)
                try:
                    running.wait(patience_s)
                except subprocess.TimeoutExpired:
                    continue


def await_answer(url: str, running: subprocess.Popen[bytes], log: Path, within_s: float = 60.0) -> None:
    """Return when `url` answers with 200; raise with the end of the log if that does not come."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and running.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise RuntimeError(f"{url} does not answer (exit status {running.poll()}):\n{tail}")
