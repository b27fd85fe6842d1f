"""Operators see nodes and take them out: `edgeproxy pool`, with one process or several; `explain`."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from edgeproxy.cli.main import main
from tests.conftest import Exchange, Script, ScriptedOrigin
from tests.stories.process import served
from tests.stories.test_workers import workers as running

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]


def named(name: str) -> Script:
    async def answers(exchange: Exchange) -> None:
        await exchange.answer(200, name.encode())

    return answers


async def said(path: Path, *words: str) -> tuple[int, str]:
    """Exit status and output of `edgeproxy pool`."""
    answer = await asyncio.to_thread(CliRunner().invoke, main, [*words, "-c", str(path)])
    return answer.exit_code, answer.output.strip()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_node_is_taken_out_and_put_back(scripted: Starts, tmp_path: Path, workers: int) -> None:
    a, b = await scripted(named("a")), await scripted(named("b"))
    text = f"""
origins:
  api: {{type: pool, algorithm: dns, nodes: [{{url: "{a.url}", name: a}}, {{url: "{b.url}", name: b}}]}}
default_behavior: {{target_origin: api, cache_policy: CachingDisabled}}
log: {{access: false}}
"""
    text += f"server: {{listen: '127.0.0.1:0', workers: {workers}}}"
    async with served(tmp_path, text) as edge, aiohttp.ClientSession() as viewer:
        path = tmp_path / "operator.yaml"
        path.write_text(f"{text}\nadmin: {{listen: '127.0.0.1:{edge.admin}'}}")

        async def got() -> set[str]:
            bodies = set()
            for _ in range(6):
                async with viewer.get(f"{edge.url}/", headers={"Connection": "close"}) as answer:
                    bodies.add(await answer.text())
            return bodies

        assert await got() == {"a"}
        code, told = await said(path, "pool", "cordon", "a")
        assert (code, told) == (0, "a: cordoned, new, not asked (node-cordoned)")
        assert await got() == {"b"}
        _, told = await said(path, "explain", "/")
        assert "b of b by dns; not a (node-cordoned)" in told
        _, told = await said(path, "pool", "ls")
        assert told.splitlines()[0] == "api (dns)"
        assert "cordoned" in told.splitlines()[2]
        _, told = await said(path, "pool", "ls", "--json")
        nodes = json.loads(told)["pools"][0]["nodes"]
        assert [(node["name"], node["requests"], node["why"]) for node in nodes] == [
            ("a", 6, "node-cordoned"),
            ("b", 6, None),
        ]
        for pid in running(edge) if workers > 1 else []:
            # Those that come in their place heed it too.
            os.kill(pid, signal.SIGKILL)
        assert (await said(path, "pool", "drain", "b", "--pool", "api"))[1].startswith("b: drained")
        async with viewer.get(f"{edge.url}/") as answer:
            assert (answer.status, "Retry-After" in answer.headers) == (503, True)
        _, told = await said(path, "explain", "/")
        assert "none: a=node-cordoned b=node-drained (no-node)" in told
        assert (await said(path, "pool", "uncordon", "a"))[1] == "a: ready, new"
        assert await got() == {"a"}
        code, told = await said(path, "pool", "ping", "a")
        assert told.startswith("a: ready, up, last ping ")
        code, told = await said(path, "pool", "cordon", "zzz")
        assert (code, told.endswith('node: got "zzz", want one of a, b')) == (1, True)
        code, told = await said(path, "pool", "cordon", "a", "--pool", "zzz")
        assert (code, told.endswith('pool: got "zzz", want one of api')) == (1, True)


def in_halves(go: asyncio.Event) -> Script:
    """Answers "ha", and "lf" when it may."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 X\r\ncontent-length: 4\r\n\r\nha")
        await go.wait()
        await exchange.send(b"lf")

    return script


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_hangup_reads_the_pools_anew(scripted: Starts, tmp_path: Path, workers: int) -> None:
    go = asyncio.Event()
    a, b = await scripted(in_halves(go)), await scripted(named("b"))
    text = f"""
origins: {{api: {{type: pool, nodes: [{{url: "{a.url}", name: a}}]}}}}
default_behavior: {{target_origin: api, cache_policy: CachingDisabled}}
log: {{access: false}}
server: {{listen: '127.0.0.1:0', workers: {workers}}}
"""
    async with served(tmp_path, text) as edge, aiohttp.ClientSession() as viewer:
        assert edge.process.stderr is not None
        async with viewer.get(f"{edge.url}/") as under_way:
            path = tmp_path / "config.yaml"
            before = path.read_text()
            path.write_text(before.replace(a.url, "nowhere"))
            edge.process.send_signal(signal.SIGHUP)
            assert b"nodes[0].url" in await edge.process.stderr.readline()
            assert await edge.process.stderr.readline() == b"SIGHUP: nothing was changed\n"
            path.write_text(before.replace(a.url, b.url).replace("access: false", "access: true"))
            edge.process.send_signal(signal.SIGHUP)
            line = await edge.process.stderr.readline()
            assert line == b"SIGHUP: pools were read anew: api; other settings need a restart\n"
            async with viewer.get(f"{edge.url}/") as answer:
                assert await answer.text() == "b"
            go.set()
            assert await under_way.text() == "half"


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_hangup_does_not_end_a_drain(scripted: Starts, tmp_path: Path, workers: int) -> None:
    go = asyncio.Event()
    a = await scripted(in_halves(go))
    text = f"""
origins: {{api: {{type: pool, nodes: [{{url: "{a.url}", name: a}}]}}}}
default_behavior: {{target_origin: api, cache_policy: CachingDisabled}}
log: {{access: false}}
server: {{listen: '127.0.0.1:0', workers: {workers}}}
"""
    async with served(tmp_path, text) as edge, aiohttp.ClientSession() as viewer:
        assert edge.process.stderr is not None
        async with viewer.get(f"{edge.url}/") as under_way:
            edge.process.send_signal(signal.SIGTERM)
            assert b"draining" in await edge.process.stderr.readline()
            edge.process.send_signal(signal.SIGHUP)
            go.set()
            assert await under_way.text() == "half"
        assert (await edge.ended())[0] == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_cordon_outlives_reloads_and_restarts(scripted: Starts, tmp_path: Path, workers: int) -> None:
    a, b = await scripted(named("a")), await scripted(named("b"))
    text = f"""
origins:
  api: {{type: pool, algorithm: dns, nodes: [{{url: "{a.url}", name: a}}, {{url: "{b.url}", name: b}}]}}
default_behavior: {{target_origin: api, cache_policy: CachingDisabled}}
log: {{access: false}}
state: {{folder: "{tmp_path / "state"}"}}
server: {{listen: '127.0.0.1:0'}}"""
    path = tmp_path / "operator.yaml"

    async def got(url: str) -> str:
        async with aiohttp.ClientSession() as viewer, viewer.get(f"{url}/") as answer:
            return await answer.text()

    async with served(tmp_path, text) as edge:
        path.write_text(f"{text}\nadmin: {{listen: '127.0.0.1:{edge.admin}'}}")
        assert (await said(path, "pool", "cordon", "a"))[0] == 0
        # Reached in another way it is the same node to the operator.
        config = tmp_path / "config.yaml"
        config.write_text(config.read_text().replace("name: a}", "name: a, path: /x}"))
        assert edge.process.stderr is not None
        edge.process.send_signal(signal.SIGHUP)
        assert b"anew: api" in await edge.process.stderr.readline()
        assert await got(edge.url) == "b"
    async with served(tmp_path, text) as edge:
        path.write_text(f"{text}\nadmin: {{listen: '127.0.0.1:{edge.admin}'}}")
        assert await got(edge.url) == "b"
        assert (await said(path, "pool", "uncordon", "a"))[1] == "a: ready, new"
    async with served(tmp_path, text) as edge:
        assert await got(edge.url) == "a"
