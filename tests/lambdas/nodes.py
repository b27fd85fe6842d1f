"""Nodes of a pool: small HTTP servers, each with a mood, and a table that functions share."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .conftest import Answer


@dataclass
class Node:
    """A server that says its name, or what it has for a target; `status` is what its checks get."""

    name: str
    url: str = ""
    status: int = 200
    hangs: bool = False
    leaves: bool = False
    """Whether it closes connections after each answer, once it is let go, and says nothing of it."""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Method and target of all but the checks."""
    bodies: list[bytes] = field(default_factory=list)
    fields: list[dict[str, str]] = field(default_factory=list)
    let_go: threading.Event = field(default_factory=threading.Event)
    has_left: threading.Event = field(default_factory=threading.Event)
    pings: int = 0


@contextmanager
def served(node: Node) -> Iterator[Node]:
    """The node at work."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == "/ping":
                node.pings += 1
                if node.hangs:
                    node.let_go.wait(20)
                self._say(Answer(b"ok", node.status))
                return
            node.asked.append(f"{self.command} {self.path}")
            node.bodies.append(body)
            node.fields.append({name.lower(): value for name, value in self.headers.items()})
            said = f'{{"node":"{node.name}"}}'.encode()
            fallback = Answer(said, node.status, {"Content-Type": "application/json"})
            self._say(node.answers.get(self.path, fallback))

        do_POST = do_PUT = do_HEAD = do_OPTIONS = do_GET  # noqa: N815

        def _say(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            length = len(answer.body) if answer.length is None else answer.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)
            if node.leaves:
                node.let_go.wait(10)
            if answer.length is not None or node.leaves:
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def shutdown_request(self, request: Any) -> None:
            super().shutdown_request(request)
            node.has_left.set()

        def handle_error(self, request: object, address: object) -> None:
            """Who checks nodes leaves with the test."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        node.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield node
        finally:
            node.let_go.set()
            server.shutdown()
            thread.join()
