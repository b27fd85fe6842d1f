"""Several processes on one port: what one has to forget all forget, and none is missed when it dies."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import Exchange, Script, ScriptedOrigin, closed
from tests.stories.process import Served, served

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]


def config(url: str, more: str = "") -> str:
    return f"""
server: {{listen: '127.0.0.1:0', workers: 2, drain_timeout: 10s}}
origins: {{site: {{type: http, url: "{url}"}}}}
default_behavior:
  target_origin: site
  cache_policy: CachingOptimizedForUncompressedObjects
  allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]
log: {{access: false}}
{more}
"""


class Versions:
    """A site whose objects change when it is told so."""

    def __init__(self) -> None:
        self.version = 1

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.answer(200, b"%d" % self.version, cache_control="max-age=600", cache_tag="all")


async def seen(edge: Served, target: str = "/x", *, times: int = 40) -> set[bytes]:
    """What viewers get that each come on a connection of their own, and so to any worker."""

    async def one() -> bytes:
        connector = aiohttp.TCPConnector(force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector) as viewer,
            viewer.get(edge.url + target) as answer,
        ):
            assert answer.status == 200
            return await answer.read()

    return set(await asyncio.gather(*(one() for _ in range(times))))


async def is_open(edge: Served) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    except ConnectionRefusedError:
        return False
    await closed(writer)
    return True


async def purged(edge: Served, *paths: str) -> None:
    url = f"http://127.0.0.1:{edge.admin}/purge"
    async with aiohttp.ClientSession() as operator, operator.post(url, json={"paths": paths}) as answer:
        assert answer.status == 200, await answer.text()


def workers(edge: Served) -> list[int]:
    """Their process ids."""
    pid = edge.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        child for child in map(int, children) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


async def gone(pids: list[int]) -> None:
    while any(Path(f"/proc/{pid}").exists() for pid in pids):  # noqa: ASYNC240 - not a disk
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("on_disk", [False, True])
async def test_a_purge_reaches_all_of_them_before_it_answers(
    scripted: Starts, tmp_path: Path, on_disk: bool
) -> None:
    site = Versions()
    origin = await scripted(site)
    more = f"cache: {{disk: {{folder: '{tmp_path}/cache', size: 1GiB}}}}" if on_disk else ""
    async with served(tmp_path, config(origin.url, more)) as edge:
        assert len(workers(edge)) == 2
        for what in ("/x", "/*", "#all", "/x*"):
            assert await seen(edge) == {b"%d" % site.version}
            # Each has a memory of its own; what is on disk is everybody's.
            site.version += 1
            assert await seen(edge) == {b"%d" % (site.version - 1)}
            await purged(edge, what)
            assert await seen(edge) == {b"%d" % site.version}


async def test_what_is_on_its_way_in_another_worker_is_not_kept(scripted: Starts, tmp_path: Path) -> None:
    gate = asyncio.Event()
    version = 1

    async def script(exchange: Exchange) -> None:
        body = b"%d" % version
        await exchange.send(
            b"HTTP/1.1 200 X\r\ncache-control: max-age=600\r\ncontent-length: 2\r\n\r\n" + body
        )
        await gate.wait()
        await exchange.send(b"!")

    origin = await scripted(script)
    async with served(tmp_path, config(origin.url)) as edge:
        early = asyncio.ensure_future(seen(edge))
        while len(origin.asked) < 2:
            await asyncio.sleep(0.01)
        version = 2
        await purged(edge, "/x")
        gate.set()
        assert await early == {b"1!"}
        assert await seen(edge) == {b"2!"}


async def test_a_write_that_one_has_passed_on_makes_all_forget(scripted: Starts, tmp_path: Path) -> None:
    site = Versions()
    origin = await scripted(site)
    async with served(tmp_path, config(origin.url)) as edge, aiohttp.ClientSession() as viewer:
        assert await seen(edge) == {b"1"}
        site.version = 2
        async with viewer.post(edge.url + "/x", data=b"new") as answer:
            assert answer.status == 200
        assert await seen(edge) == {b"2"}


async def test_one_that_is_killed_is_started_anew(scripted: Starts, tmp_path: Path) -> None:
    site = Versions()
    origin = await scripted(site)
    async with served(tmp_path, config(origin.url)) as edge:
        assert edge.process.stderr is not None
        for _ in range(2):
            killed = workers(edge)[0]
            os.kill(killed, signal.SIGKILL)
            # Who is dealt to the dead one waits for its successor, and so does a purge.
            await asyncio.gather(purged(edge, "/*"), seen(edge))
            said = (await edge.process.stderr.readline()).decode()
            assert said.endswith(f"(pid {killed}) was killed by SIGKILL; another one is started\n")
            assert len(workers(edge)) == 2
        edge.process.send_signal(signal.SIGTERM)
        assert await edge.ended() == (
            0,
            ["SIGTERM: draining, for at most 10 s", "drained: nothing was left undone"],
        )


async def test_all_are_drained(scripted: Starts, tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\n01234")
        await gate.wait()
        await exchange.send(b"56789")

    origin = await scripted(script)
    async with served(tmp_path, config(origin.url)) as edge, AsyncExitStack() as stack:
        pids = workers(edge)
        answers = []
        for _ in range(10):
            viewer = await stack.enter_async_context(aiohttp.ClientSession())
            answers.append(await stack.enter_async_context(viewer.get(edge.url + "/x")))
        # As a terminal does: to every process.
        for pid in (edge.process.pid, *pids):
            os.kill(pid, signal.SIGINT)
        assert edge.process.stderr is not None
        assert await edge.process.stderr.readline() == b"SIGINT: draining, for at most 10 s\n"
        while await is_open(edge):
            await asyncio.sleep(0.01)
        gate.set()
        assert {await answer.read() for answer in answers} == {b"0123456789"}
        assert await edge.ended() == (0, ["drained: nothing was left undone"])
        await gone(pids)


@pytest.mark.parametrize("how", ["killed", "told twice"])
async def test_they_do_not_outlive_the_supervisor(scripted: Starts, tmp_path: Path, how: str) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\n01234")
        await asyncio.sleep(60)

    origin = await scripted(script)
    async with served(tmp_path, config(origin.url)) as edge, aiohttp.ClientSession() as viewer:
        pids = workers(edge)
        if how == "killed":
            edge.process.send_signal(signal.SIGKILL)
            await gone(pids)
            return
        async with viewer.get(edge.url + "/slow") as answer:
            await answer.content.readexactly(5)
            edge.process.send_signal(signal.SIGTERM)
            assert edge.process.stderr is not None
            await edge.process.stderr.readline()
            edge.process.send_signal(signal.SIGTERM)
            await edge.process.wait()
            await gone(pids)


async def test_the_port_is_not_shared_with_another_gateway(scripted: Starts, tmp_path: Path) -> None:
    origin = await scripted(Versions())
    async with served(tmp_path, config(origin.url)) as edge:
        text = config(origin.url).replace("127.0.0.1:0", f"127.0.0.1:{edge.port}")
        with pytest.raises(AssertionError, match="Address already in use"):
            async with served(tmp_path, text):
                pass


async def test_the_state_is_that_of_all_together(scripted: Starts, tmp_path: Path) -> None:
    origin = await scripted(Versions())
    more = f"cache: {{memory: 96MiB, disk: {{folder: '{tmp_path}/cache', size: 1GiB}}}}"
    async with served(tmp_path, config(origin.url, more)) as edge, aiohttp.ClientSession() as operator:
        await seen(edge, times=30)
        async with operator.get(f"http://127.0.0.1:{edge.admin}/stats") as answer:
            state = await answer.json()
        assert (state["workers"], state["requests"]["requests"]) == (2, 30)
        assert state["cache"]["max_bytes"] == 96 * 2**20
        assert state["disk"]["max_bytes"] == 2**30
        async with operator.get(f"http://127.0.0.1:{edge.admin}/explain?url=/x") as answer:
            steps = dict((await answer.json())["steps"])
        assert "hit in" in steps["cache"]


async def test_a_request_that_comes_round_is_known_by_all(scripted: Starts, tmp_path: Path) -> None:
    """Whichever worker it reaches the second time: they go by one name."""
    origin = await scripted(Versions())
    async with served(tmp_path, config(origin.url)) as edge:
        await seen(edge)
        names = {exchange.field("cdn-loop") for exchange in origin.asked}
        assert (len(origin.asked), len(names)) == (2, 1)
