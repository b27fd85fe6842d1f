"""What functions need around them: AWS by moto, a source that does as it is told, and Lambda's context."""

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.session
import pytest

from edgeproxy.lambdas import settings


@dataclass
class Answer:
    """What the source says. `length` is what it claims, where that is not so."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None


@dataclass
class Source:
    """An HTTP server with `answers` by target; 404 for the others."""

    url: str
    answers: dict[str, Answer]
    asked: list[str]
    fields: list[dict[str, str]]


@pytest.fixture
def source() -> Iterator[Source]:
    answers: dict[str, Answer] = {}
    asked: list[str] = []
    fields: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            fields.append({name.lower(): value for name, value in self.headers.items()})
            answer = answers.get(self.path, Answer(b"no", 404))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header(
                "Content-Length", str(len(answer.body) if answer.length is None else answer.length)
            )
            self.end_headers()
            self.wfile.write(answer.body)
            if answer.length is not None:
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Source(f"http://127.0.0.1:{server.server_port}", answers, asked, fields)
        server.shutdown()
        thread.join()


@dataclass
class Context:
    """What Lambda tells of a call."""

    left_s: float = 20.0
    aws_request_id: str = "r1"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.left_s * 1000)


@dataclass
class Aws:
    """AWS with a bucket and a queue of this test's own."""

    endpoint: str
    bucket: str
    queue: str
    client: Callable[[str], Any]

    def get(self, key: str) -> tuple[bytes, dict[str, Any]] | None:
        s3 = self.client("s3")
        try:
            found = s3.get_object(Bucket=self.bucket, Key=key)
        except s3.exceptions.NoSuchKey:
            return None
        return found["Body"].read(), found

    def keys(self) -> list[str]:
        listed = self.client("s3").list_objects_v2(Bucket=self.bucket)
        return [item["Key"] for item in listed.get("Contents", [])]

    def messages(self) -> list[str]:
        got = self.client("sqs").receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        return [message["Body"] for message in got.get("Messages", [])]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Set a function's environment variables."""

    def tell(**values: str | None) -> None:
        for name, value in values.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        settings.given.cache_clear()

    yield tell
    settings.given.cache_clear()


@cache
def _client(endpoint: str, service: str) -> Any:
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    session = botocore.session.get_session()
    return session.create_client(service, region_name="us-east-1", endpoint_url=endpoint, **keys)


@pytest.fixture
def aws(moto: str, told: Callable[..., None]) -> Aws:
    name = f"b-{uuid.uuid4().hex}"
    client = partial(_client, moto)
    client("s3").create_bucket(Bucket=name)
    queue = client("sqs").create_queue(QueueName=name)["QueueUrl"]
    told(
        AWS_ACCESS_KEY_ID="a",
        AWS_SECRET_ACCESS_KEY="b",
        AWS_REGION="us-east-1",
        endpoint_url_s3=moto,
        endpoint_url_sqs=moto,
        endpoint_url_cloudfront=moto,
        s3_bucket=name,
        queue_url=queue,
        # A machine that is busy with other tests is no reason for one of these to fail.
        send_timeout="20",
    )
    return Aws(moto, name, queue, client)
