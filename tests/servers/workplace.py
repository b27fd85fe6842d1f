"""Where a server under test lives: a folder and its processes, and nothing of them left afterwards."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tests.servers import guard

_Process = subprocess.Popen[bytes]


class Workplace:
    """A folder, and the processes that were started in it. Made by `workplace`."""

    def __init__(self, folder: Path, guard_input: IO[bytes]) -> None:
        self.folder = folder
        self._log = folder / "output"
        self._guard_input = guard_input
        self._running: list[_Process] = []

    def start(self, *command: object, environ: dict[str, str] | None = None) -> _Process:
        """Run `command` in a process group of its own until the workplace is left."""
        with self._log.open("ab") as output:
            return self._start(command, environ, stdout=output, stderr=output)

    def call(self, *command: object, environ: dict[str, str] | None = None, within_s: float = 20.0) -> str:
        """What `command` says; raises with that when it fails, with what was logged when it does not end."""
        words = " ".join(str(word) for word in command)
        process = self._start(command, environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            said, complaint = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{words}: no end after {within_s} s:\n{self._logged()}") from error
        finally:
            self._stop(process)
        if process.returncode != 0:
            raise RuntimeError(f"{words}:\n{said.decode()}{complaint.decode()}")
        return said.decode()

    def await_answer(self, url: str, process: _Process, within_s: float = 30.0) -> None:
        """Return when `url` answers with 200; raise with what was logged if that does not come."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise RuntimeError(f"{url} does not answer (exit status {process.poll()}):\n{self._logged()}")

    def stop(self) -> None:
        """End the processes, the last one first; one that does not go within 2 s is killed."""
        for process in reversed(self._running.copy()):
            self._stop(process)

    def _start(
        self,
        command: tuple[object, ...],
        environ: dict[str, str] | None,
        *,
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
    ) -> _Process:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=stdout,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environ or {})},  # noqa: TID251
            start_new_session=True,
        )
        self._running.append(process)
        self._tell("started", process)
        return process

    def _stop(self, process: _Process) -> None:
        for sign, patience_s in ((signal.SIGCONT, 0.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 10.0)):
            if process.poll() is None:
                os.killpg(process.pid, sign)
                try:
                    process.wait(patience_s)
                except subprocess.TimeoutExpired:
                    continue
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        self._running.remove(process)
        self._tell("ended", process)

    def _tell(self, word: str, process: _Process) -> None:
        # A guard that somebody ended must not keep us from stopping the rest.
        with suppress(BrokenPipeError):
            self._guard_input.write(f"{word} {process.pid}\n".encode())

    def _logged(self) -> str:
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return "\n".join(text.splitlines()[-20:])


@contextmanager
def workplace(name: str) -> Iterator[Workplace]:
    """A folder with its processes; all gone when the context ends, and also when the test run is killed."""
    folder = tempfile.mkdtemp(prefix=f"edgeproxy-{name}-")
    with subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, folder],
        stdin=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    ) as watching:
        assert watching.stdin is not None
        place = Workplace(Path(folder), watching.stdin)
        try:
            yield place
        finally:
            place.stop()


def free_port() -> int:
    """A port on loopback that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
