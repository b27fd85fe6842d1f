"""Redis, as Debian's redis-server has it."""

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.server import MissingError
from tests.servers.workplace import free_port, workplace


@contextmanager
def running() -> Iterator[str]:
    """The URL of a Redis that keeps nothing.  Raises `MissingError`."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise MissingError("redis-server is not there: install Debian's redis-server")
    port = free_port()
    with workplace("redis") as place:
        place.start(binary, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", place.folder)
        _await(port)
        yield f"redis://127.0.0.1:{port}/0"


def _await(port: int, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(5) == b"+PONG":
                    return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"redis-server on port {port} does not answer")
        time.sleep(0.02)
