"""Nodes by address over TLS: the certificate has to be that of the name, which the server is told."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from edgeproxy.core.balancing.nodes import Node
from edgeproxy.core.balancing.ranking import Algorithm
from edgeproxy.core.errors import OriginError
from edgeproxy.core.message import Request
from edgeproxy.core.reason import Reason
from edgeproxy.origins.conduct import Conduct
from edgeproxy.origins.member import Endpoint
from edgeproxy.origins.pool import PoolOrigin
from tests.certificates import certified

NAME = "api.example"
FIRST, SECOND = "127.0.0.1", "127.0.0.2"


class Site:
    """A TLS server at each of two addresses, on one port."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None]] = []
        """By which server, and which name it was told."""
        self.hosts: list[str] = []
        self.port = 0

    def hears(self, address: str, context: ssl.SSLContext) -> ssl.SSLContext:
        def told(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
            self.told.append((address, name))

        context.sni_callback = told
        return context

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.hosts += [line[6:] for line in head.split("\r\n") if line.lower().startswith("host: ")]
        address = writer.get_extra_info("sockname")[0].encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\n" + address)
        writer.close()


Start = Callable[[str, str], Awaitable[PoolOrigin]]


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
async def started(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """A pool over both servers, whose certificates are for these names; all are vouched for."""
    async with AsyncExitStack() as stack:

        async def start(*names: str) -> PoolOrigin:
            trusted = ssl.create_default_context()
            for address, name in zip((FIRST, SECOND), names, strict=True):
                both = tmp_path / f"{address}.pem"
                context = site.hears(address, certified(both, name))
                trusted.load_verify_locations(both)
                server = await asyncio.start_server(site.serve, address, site.port, ssl=context)
                stack.callback(server.close)
                site.port = server.sockets[0].getsockname()[1]
            # What the system trusts.
            monkeypatch.setattr("edgeproxy.origins.connections._context", lambda verify: trusted)
            now = asyncio.get_running_loop().time
            pool = PoolOrigin("api", Conduct(Algorithm.DNS), now, lambda: 0.5)
            stack.push_async_callback(pool.close)
            await pool.replace([Endpoint(Node("api"), f"https://{NAME}:{site.port}", each_address=True)])
            await pool.found_at({NAME: (FIRST, SECOND)})
            return pool

        yield start


async def answered_by(pool: PoolOrigin) -> tuple[str, list[str]]:
    reply = await pool.fetch(Request("GET", "/"))
    body = b"".join([chunk async for chunk in reply.body])
    reply.close()
    return body.decode(), [str(attempt) for attempt in reply.trail]


async def test_the_name_is_told_and_checked(site: Site, started: Start) -> None:
    pool = await started(NAME, NAME)
    assert await answered_by(pool) == (FIRST, [f"api/api@{FIRST}=200"])
    await pool.found_at({NAME: (SECOND,)})
    assert await answered_by(pool) == (SECOND, [f"api/api@{SECOND}=200"])
    assert site.told == [(FIRST, NAME), (SECOND, NAME)]
    assert site.hosts == [f"{NAME}:{site.port}"] * 2


@pytest.mark.parametrize(
    "other",
    ["elsewhere.example", FIRST],
    ids=["another name", "its address"],
)
async def test_another_certificate_is_no_good_and_another_node_is_asked(
    site: Site, started: Start, other: str
) -> None:
    """RFC 9110 §4.3.4. Nothing is sent to such a server, so that any request goes elsewhere."""
    pool = await started(other, NAME)
    assert await answered_by(pool) == (SECOND, [f"api/api@{FIRST}=origin-tls", f"api/api@{SECOND}=200"])
    await pool.found_at({NAME: (FIRST,)})
    with pytest.raises(OriginError) as raised:
        await pool.fetch(Request("POST", "/"))
    assert raised.value.reason is Reason.ORIGIN_TLS
    assert len(site.hosts) == 1
