"""What all tests may use: a scripted origin that speaks raw bytes, a moto S3, a gateway over both."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import hypothesis
import pytest
from moto.server import ThreadedMotoServer
from yarl import URL

from edgeproxy.app import Observers
from edgeproxy.aws import session
from edgeproxy.config import parse
from edgeproxy.record import Record
from edgeproxy.serve import Running, running

# The same examples every time: a run that fails by chance helps nobody who did not cause it.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("steady")

# A hundred processes are started here: each would compile all over again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # noqa: TID251
sys.dont_write_bytecode = False

Script = Callable[["Exchange"], Awaitable[None]]


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection and see it gone."""
    writer.close()
    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        await writer.wait_closed()


@dataclass
class Exchange:
    """One request as a scripted origin got it, and the connection to misbehave on."""

    head: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def method(self) -> str:
        return self.head.split(b" ")[0].decode()

    @property
    def target(self) -> str:
        return self.head.split(b" ")[1].decode()

    def field(self, name: str) -> str | None:
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name.lower().encode():
                return value.strip().decode()
        return None

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int = 200, body: bytes = b"", **fields: str) -> None:
        """A whole answer; `cache_control="..."` becomes `cache-control: ...`."""
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode() + (b"" if self.method == "HEAD" else body))


@dataclass
class ScriptedOrigin:
    """An HTTP server that does what the test says, byte by byte; `asked` has every request head."""

    script: Script
    url: str = ""
    asked: list[Exchange] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return [f"{exchange.method} {exchange.target}" for exchange in self.asked]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                exchange = Exchange(head, reader, writer)
                self.asked.append(exchange)
                await self.script(exchange)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            await closed(writer)


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], Any]]:
    """The loop that `edgeproxy serve` runs on; where it matters, that of others too."""
    own: dict[str, Callable[[], Any]] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        return own
    if os.environ.get("EDGEPROXY_TEST_LOOP") == "asyncio":  # noqa: TID251 - for a run by hand
        return own
    fast: dict[str, Callable[[], Any]] = {"uvloop": uvloop.new_event_loop}
    return fast | own if item.get_closest_marker("each_loop") is not None else fast


@pytest.fixture
async def scripted() -> AsyncIterator[Callable[[Script], Awaitable[ScriptedOrigin]]]:
    """Starts scripted origins."""
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def start(script: Script) -> ScriptedOrigin:
        origin = ScriptedOrigin(script)

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(origin.serve(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        servers.append(server)
        origin.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return origin

    yield start
    for server in servers:
        server.close()
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Edge:
    """A gateway that runs in the test, and a viewer for it."""

    gateway: Running
    records: list[Record]
    viewer: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://{self.gateway.viewers}"

    @property
    def port(self) -> int:
        return self.gateway.viewers.port

    def counts(self) -> dict[str, int]:
        state = self.gateway.app.state()["backfill"]
        assert isinstance(state, dict)
        return {name: n for name, n in state.items() if name not in ("waiting", "at_work")}

    async def get(
        self, target: str, method: str = "GET", **fields: str
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """One request with its answer read; `if_none_match="..."` becomes a field."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        url = URL(self.url + target, encoded=True)
        async with self.viewer.request(method, url, headers=headers, allow_redirects=False) as answer:
            return answer, await answer.read()

    async def raw(self, data: bytes, *, half_close: bool = False) -> bytes:
        """What comes back for raw bytes until the connection is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        if half_close:
            writer.write_eof()
        try:
            return await asyncio.wait_for(reader.read(), 10)
        except ConnectionError:
            return b""
        finally:
            await closed(writer)


@asynccontextmanager
async def edge_of(text: str) -> AsyncIterator[Edge]:
    """A gateway from YAML, until the context ends; ports and `debug_headers` are filled in."""
    records: list[Record] = []
    text = text.replace("server: {", "server: {listen: '127.0.0.1:0', debug_headers: true, ")
    if "server:" not in text:
        text += "\nserver: {listen: '127.0.0.1:0', debug_headers: true}"
    if "admin:" not in text:
        text += "\nadmin: {listen: '127.0.0.1:0'}"
    config = parse(text, {})
    async with (
        running(config, Observers(on_record=[records.append])) as gateway,
        aiohttp.ClientSession(
            auto_decompress=False, skip_auto_headers=["Accept-Encoding", "Accept"]
        ) as viewer,
    ):
        yield Edge(gateway, records, viewer)
    assert [record.fault for record in records if record.reason == "internal"] == []


@pytest.fixture
async def edge() -> AsyncIterator[Callable[[str], Awaitable[Edge]]]:
    """Starts gateways from YAML, which run until the test ends."""
    async with AsyncExitStack() as stack:
        yield lambda text: stack.enter_async_context(edge_of(text))


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """Endpoint of an S3 in this process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        os.environ.pop(name, None)  # noqa: TID251 - a developer's own settings must not lead tests elsewhere
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def free_port() -> int:
    """One on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def bucket_name() -> str:
    """A name that no other test has."""
    return f"test-{uuid.uuid4().hex[:12]}"


@dataclass
class Box:
    """A queue of SQS, asked past ours."""

    client: Any
    url: str

    async def put(self, *texts: str) -> None:
        for text in texts:
            await self.client.send_message(QueueUrl=self.url, MessageBody=text)

    async def texts(self) -> list[str]:
        """The messages that anybody could have now; afterwards they are gone."""
        found: list[str] = []
        while came := await self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10):
            if not came.get("Messages"):
                break
            for message in came["Messages"]:
                found.append(message["Body"])
                await self.client.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return sorted(found)

    async def held(self) -> tuple[int, int]:
        """How many wait, and how many are hidden."""
        answer = await self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        attributes, name = answer["Attributes"], "ApproximateNumberOfMessages"
        return int(attributes[name]), int(attributes[f"{name}NotVisible"])

    async def redrives(self, dead: "Box", after: int) -> None:
        """From now on messages go to `dead` when they were received that often."""
        answer = await self.client.get_queue_attributes(QueueUrl=dead.url, AttributeNames=["QueueArn"])
        policy = {"deadLetterTargetArn": answer["Attributes"]["QueueArn"], "maxReceiveCount": after}
        await self.client.set_queue_attributes(
            QueueUrl=self.url, Attributes={"RedrivePolicy": json.dumps(policy)}
        )


@pytest.fixture
async def box_of(moto: str) -> AsyncIterator[Callable[..., Awaitable[Box]]]:
    """Makes queues of SQS."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test-secret"}
    async with session().create_client("sqs", endpoint_url=moto, region_name="us-east-1", **keys) as client:

        async def make(suffix: str = "", **attributes: str) -> Box:
            name = f"test-{uuid.uuid4().hex}{suffix}"
            return Box(client, (await client.create_queue(QueueName=name, Attributes=attributes))["QueueUrl"])

        yield make


@pytest.fixture
async def box(box_of: Callable[..., Awaitable[Box]]) -> Box:
    """One of them."""
    return await box_of()
