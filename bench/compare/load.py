"""Load on a server: wrk, connections that do nothing, and what an application has without a proxy."""

import asyncio
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.roads import ORIGIN

_CONNECTIONS = 64
_PAUSE_MS = 10
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
# Each connection waits between its requests for about so long; not all at once.
_PACED = """
function delay()
  return math.random(0, %d)
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk says."""

    rate: float
    total: int
    p50_ms: float
    p99_ms: float


def driven(port: int, path: str, seconds: int, script: str = "", fields: tuple[str, ...] = ()) -> Load:
    """As many requests as can be had on 64 connections."""
    return _wrk(port, path, seconds, _CONNECTIONS, script, fields)


def paced(port: int, path: str, seconds: int, rate: float) -> Load:
    """About `rate` requests a second, on as many connections as that takes."""
    connections = max(1, min(5_000, round(rate * _PAUSE_MS / 1_000)))
    return _wrk(port, path, seconds, connections, _PACED % (2 * _PAUSE_MS), ())


def _wrk(port: int, path: str, seconds: int, connections: int, script: str, fields: tuple[str, ...]) -> Load:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency"]
    for field in fields:
        command += ["-H", field]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command += ["-s", file.name] if script else []
        said = subprocess.run(
            [*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True
        ).stdout
    return load_of(said)


def load_of(said: str) -> Load:
    """What wrk printed, as numbers.  Raises `ValueError` if there were errors, or it is not that."""
    if "Non-2xx" in said or "Socket errors" in said:
        raise ValueError(said)
    rate, total = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"(\d+) requests in", said)
    p50, p99 = (re.search(rf"{share}%\s+([\d.]+)([a-z]+)", said) for share in (50, 99))
    if rate is None or total is None or p50 is None or p99 is None:
        raise ValueError(said)
    times = [float(found[1]) * _UNITS[found[2]] for found in (p50, p99)]
    return Load(float(rate[1]), int(total[1]), *times)


def aiobotocore_rate(key: str, seconds: int) -> float:
    """Objects a second that an application gets with 64 `get_object` at a time, from the same origin."""
    return asyncio.run(_get_objects(key, seconds))


async def _get_objects(key: str, seconds: int) -> float:
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    count, deadline = 0, time.monotonic() + seconds
    config = AioConfig(max_pool_connections=_CONNECTIONS, s3={"addressing_style": "path"})
    async with get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{ORIGIN}",
        aws_access_key_id="bench",
        aws_secret_access_key="bench-secret",
        config=config,
    ) as client:

        async def one() -> None:
            nonlocal count
            while time.monotonic() < deadline:
                answer = await client.get_object(Bucket="assets", Key=key)
                async with answer["Body"] as body:
                    await body.read()
                count += 1

        began = time.monotonic()
        await asyncio.gather(*(one() for _ in range(_CONNECTIONS)))
        return count / (time.monotonic() - began)


@contextmanager
def idle(port: int, count: int, path: str) -> Iterator[None]:
    """So many open connections; each has asked once, and got its answer."""
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            connection.sendall(head)
            if not connection.recv(65_536).startswith(b"HTTP/1.1 200"):
                raise ConnectionError(f"port {port} does not answer on each of {count} connections")
        yield
