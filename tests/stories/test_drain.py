"""SIGTERM: accept no more, finish what runs, say what is left."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import Exchange, Script, ScriptedOrigin
from tests.stories.process import served

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]


def slow(gate: asyncio.Event) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n0123456789")
        await gate.wait()
        await exchange.send(b"abcdefghij")

    return script


def config(url: str, drain: str) -> str:
    return f"""
server: {{listen: '127.0.0.1:0', drain_timeout: {drain}}}
origins: {{site: {{type: http, url: "{url}"}}}}
default_behavior: {{target_origin: site}}
"""


async def test_what_runs_is_finished_and_nothing_new_is_let_in(scripted: Starts, tmp_path: Path) -> None:
    gate = asyncio.Event()
    origin = await scripted(slow(gate))
    async with served(tmp_path, config(origin.url, "10s")) as edge, aiohttp.ClientSession() as viewer:
        async with viewer.get(edge.url + "/slow") as answer:
            await answer.content.readexactly(10)
            edge.process.send_signal(signal.SIGTERM)
            assert edge.process.stderr is not None
            assert await edge.process.stderr.readline() == b"SIGTERM: draining, for at most 10 s\n"
            async with viewer.get(f"http://127.0.0.1:{edge.admin}/readyz") as ready:
                assert (ready.status, await ready.json()) == (503, {"status": "draining"})
            with pytest.raises(aiohttp.ClientConnectorError):
                await viewer.get(edge.url + "/new")
            gate.set()
            assert await answer.content.read() == b"abcdefghij"
        assert await edge.ended() == (0, ["drained: nothing was left undone"])


async def test_what_does_not_finish_in_time_is_cut_off_and_counted(scripted: Starts, tmp_path: Path) -> None:
    origin = await scripted(slow(asyncio.Event()))
    async with served(tmp_path, config(origin.url, "200ms")) as edge, aiohttp.ClientSession() as viewer:
        async with viewer.get(edge.url + "/slow") as answer:
            await answer.content.readexactly(10)
            edge.process.send_signal(signal.SIGTERM)
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.content.read()
        status, said = await edge.ended()
    assert (status, said[-1]) == (1, "drained: 1 requests cut off, 1 fetches and 0 jobs given up")


async def test_a_second_signal_ends_it_at_once(scripted: Starts, tmp_path: Path) -> None:
    origin = await scripted(slow(asyncio.Event()))
    async with served(tmp_path, config(origin.url, "60s")) as edge, aiohttp.ClientSession() as viewer:
        async with viewer.get(edge.url + "/slow") as answer:
            await answer.content.readexactly(10)
            edge.process.send_signal(signal.SIGINT)
            assert edge.process.stderr is not None
            await edge.process.stderr.readline()
            edge.process.send_signal(signal.SIGINT)
            assert (await edge.ended())[0] == -signal.SIGINT


async def test_idle_connections_do_not_hold_it_up(scripted: Starts, tmp_path: Path) -> None:
    gate = asyncio.Event()
    gate.set()
    origin = await scripted(slow(gate))
    async with served(tmp_path, config(origin.url, "60s")) as edge, aiohttp.ClientSession() as viewer:
        async with viewer.get(edge.url + "/done") as answer:
            await answer.read()
        edge.process.send_signal(signal.SIGTERM)
        status, said = await asyncio.wait_for(edge.ended(), 5)
    assert (status, said[-1]) == (0, "drained: nothing was left undone")
