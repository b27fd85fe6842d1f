"""The sockets that viewers connect to."""

import os
import socket
import sys

BACKLOG = 1024


class ListenError(Exception):
    """The address cannot be listened on; the message says which and why."""

    def __init__(self, address: str, cause: OSError) -> None:
        why = os.strerror(cause.errno) if cause.errno else str(cause)
        self.address = address
        super().__init__(f"cannot listen on {address} ({why})")


def bound(host: str, port: int, copies: int = 1) -> list[list[socket.socket]]:
    """Listening sockets for `copies` processes, for each one on every address of `host`.

    The kernel deals connections out among the copies; one whose process is being started anew keeps
    them waiting. Port 0 is a free one, the same for all.  Raises `ListenError`.
    """
    opened: list[list[socket.socket]] = [[] for _ in range(copies)]
    try:
        for family, kind, protocol, _, address in _addresses(host, port):
            # Without this look, several gateways on one port would share it and nobody would notice.
            if copies > 1:
                _bound(family, kind, protocol, (address[0], port), is_shared=False).close()
            for number in range(copies):
                one = _bound(family, kind, protocol, (address[0], port), is_shared=copies > 1)
                opened[number].append(one)
                one.listen(BACKLOG)
                port = one.getsockname()[1]
    except OSError as error:
        close(opened)
        raise ListenError(f"{host}:{port}", error) from error
    return opened


def _addresses(host: str, port: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys(found))  # type: ignore[arg-type]


def _bound(
    family: int, kind: int, protocol: int, address: tuple[str, int], *, is_shared: bool
) -> socket.socket:
    one = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.setblocking(False)
        one.bind(address)
    except BaseException:
        one.close()
        raise
    return one


def close(sockets: list[list[socket.socket]]) -> None:
    """Close them all."""
    for copies in sockets:
        for one in copies:
            one.close()
