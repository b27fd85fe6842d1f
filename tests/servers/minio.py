"""MinIO, from the binary that scripts/servers builds."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.server import MissingError, S3Server, await_answer, free_port, process

_USER, _PASSWORD = "edgeproxy-root", "edgeproxy-root-secret"


def binary() -> Path:
    """Where scripts/servers puts it."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")  # noqa: TID251
    cache = os.environ.get("EDGEPROXY_CACHE") or f"{home}/edgeproxy"  # noqa: TID251
    return Path(cache) / "bin" / "minio"


@contextmanager
def running() -> Iterator[S3Server]:
    """A MinIO over a folder of its own.  Raises `MissingError`."""
    if not binary().exists():
        raise MissingError(f"{binary()} is not there: run scripts/servers")
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="edgeproxy-minio-") as folder:
        log = Path(folder) / "log"
        command = [str(binary()), "server", f"{folder}/data", "--address", f"127.0.0.1:{port}"]
        environ = {
            "MINIO_ROOT_USER": _USER,
            "MINIO_ROOT_PASSWORD": _PASSWORD,
            "MINIO_BROWSER": "off",
            "CI": "",
        }
        with process(command, log, environ) as server:
            await_answer(f"{endpoint}/minio/health/ready", server, log)
            yield S3Server(
                "minio",
                endpoint,
                _USER,
                _PASSWORD,
                has_odd_keys=False,
                says_403_of_missing=False,
                pids=(server.pid,),
            )
