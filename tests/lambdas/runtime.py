"""AWS Lambda's runtime API on loopback, and behind it AWS's own runtime client in an empty Python.

Lambda Developer Guide, "Using the Lambda runtime API for custom runtimes".
"""

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_NEXT = "/2018-06-01/runtime/invocation/next"
_ENDED = re.compile(r"/2018-06-01/runtime/(?:invocation/[^/]+/)?(?:init/)?(response|error)")
_WAIT_S = 15


@dataclass
class Function:
    """A function that waits for events."""

    events: "queue.Queue[Any]"
    results: "queue.Queue[tuple[str, Any]]"
    cold_s: float = 0.0
    """From the start of the process until it asked for its first event."""

    def call(self, event: object) -> Any:
        """What it returns; fails where it raises."""
        kind, result = self.ended(event)
        assert kind == "response", result
        return result

    def ended(self, event: object) -> tuple[str, Any]:
        """How it ended: "response" or "error", and with what."""
        self.events.put(event)
        return self.results.get(timeout=_WAIT_S)


@contextmanager
def running(folder: Path, client: Path, handler: str, environ: dict[str, str]) -> Iterator[Function]:
    """The function `handler` of the unpacked zip `folder`, with AWS's `client` and nothing else beside it."""
    events: queue.Queue[Any] = queue.Queue()
    results: queue.Queue[tuple[str, Any]] = queue.Queue()
    asked = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            assert self.path == _NEXT
            asked.set()
            event = events.get()
            if event is None:
                self.close_connection = True
                return
            body = json.dumps(event).encode()
            self.send_response(200)
            self.send_header("Lambda-Runtime-Aws-Request-Id", "r1")
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + 20) * 1000)))  # noqa: TID251
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:1:function:f")
            # AWS's client dies of their absence.
            self.send_header("Content-Type", "application/json")
            self.send_header("Lambda-Runtime-Trace-Id", "Root=1-0-0;Parent=0;Sampled=0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            said = b"".join(self._body())
            kind = _ENDED.fullmatch(self.path)
            assert kind is not None
            results.put((kind[1], json.loads(said)))
            asked.set()
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _body(self) -> Iterator[bytes]:
            if "Content-Length" in self.headers:
                yield self.rfile.read(int(self.headers["Content-Length"]))
                return
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, address: object) -> None:
            """The process was killed while it waited; anything else is a fault of this file."""
            if not isinstance(sys.exc_info()[1], OSError):
                results.put(("error", repr(sys.exc_info()[1])))

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        surroundings = {
            "PATH": os.defpath,
            "PYTHONPATH": f"{folder}{os.pathsep}{client}",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "LAMBDA_TASK_ROOT": str(folder),
            **environ,
        }
        # Without site-packages: what the zip lacks is missing.
        python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
        started = time.monotonic()
        process = subprocess.Popen(
            [python, "-S", "-s", "-m", "awslambdaric", handler], cwd=folder, env=surroundings
        )
        try:
            assert asked.wait(_WAIT_S)
            yield Function(events, results, time.monotonic() - started)
        finally:
            process.kill()
            process.wait()
            events.put(None)
            server.shutdown()
            thread.join()
