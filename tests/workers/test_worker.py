"""A worker among others: a write that it passed on is done, whether or not the others hear of it."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from edgeproxy.admin.operated import NotDoneError
from edgeproxy.app import Member, Observers
from edgeproxy.config.load import parse
from edgeproxy.core.invalidation import Invalidation, invalidation
from edgeproxy.record import Record
from edgeproxy.serve import viewed
from edgeproxy.server.sockets import bound
from edgeproxy.store.folder import DiskError
from edgeproxy.workers.channel import Channel
from edgeproxy.workers.worker import Worker
from tests.conftest import Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]

CONFIG = """
origins: {{site: {{type: http, url: "{}"}}}}
default_behavior: {{target_origin: site, allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]}}
"""


@pytest.mark.parametrize(
    "fault", [NotDoneError("worker 1 does not answer"), DiskError("disk I/O error"), None]
)
async def test_why_others_did_not_forget_is_told(fault: Exception | None) -> None:
    async def supervisor(what: str, value: Any) -> None:
        if fault is not None:
            raise fault

    ours, theirs = socket.socketpair()
    worker, far = (
        Worker(parse(CONFIG.format("http://localhost"), {}), 0, "us", ours),
        Channel(theirs, supervisor),
    )
    running = []
    for channel in (worker._channel, far):
        await channel.open()
        running.append(asyncio.ensure_future(channel.run()))
    assert await worker._elsewhere(invalidation("/x")) == (str(fault) if fault is not None else None)
    far.close()
    await asyncio.gather(*running)
    assert await worker._elsewhere(invalidation("/x")) is None


async def test_a_write_is_answered_though_another_worker_hangs(scripted: Starts) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(201, b"done")

    async def elsewhere(what: Invalidation) -> str:
        return "worker 1 does not answer"

    origin = await scripted(script)
    records: list[Record] = []
    (sockets,) = bound("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/x"
    config = parse(CONFIG.format(origin.url), {})
    async with (
        viewed(config, sockets, Observers([records.append]), member=Member(0, "us", elsewhere)),
        aiohttp.ClientSession() as viewer,
        viewer.post(url, data=b"x") as answer,
    ):
        assert (answer.status, await answer.read()) == (201, b"done")
    assert records[0].fault == "another worker did not forget /x: worker 1 does not answer"
