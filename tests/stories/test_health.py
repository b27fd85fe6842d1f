"""Gateways check the nodes of a pool, and tell each other; a canary of its own does it for them."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgeproxy.origins.pool import PoolOrigin
from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]


@dataclass
class Node:
    """Answers checks with its head, and all else with its name."""

    name: str
    status: int = 200
    head: int = 100
    checks: int = 0

    async def __call__(self, exchange: Exchange) -> None:
        if exchange.target == "/head":
            self.checks += 1
            await exchange.answer(self.status, b'{"head":"%s"}' % hex(self.head).encode())
        else:
            await exchange.answer(200, self.name.encode())


@dataclass
class Farm:
    nodes: dict[str, Node]
    urls: dict[str, str]

    def config(self, state: Path | None = None, interval: str = "60s", more: str = "") -> str:
        nodes = ", ".join(f"{{name: {name}, url: '{url}'}}" for name, url in self.urls.items())
        return f"""
origins:
  api:
    type: pool
    algorithm: round-robin
    nodes: [{nodes}]
    checks: {{path: /head, head_pointer: /head, max_lag: 5, interval: {interval}, fall: 2}}
default_behavior: {{target_origin: api, cache_policy: CachingDisabled}}
{f"state: {{folder: '{state}'}}" if state is not None else ""}
{more}
"""


@pytest.fixture
async def farm(scripted: Starts) -> Farm:
    nodes = {name: Node(name) for name in "abc"}
    return Farm(nodes, {name: (await scripted(node)).url for name, node in nodes.items()})


Open = Callable[[str], Awaitable[Edge]]


def pool_of(edge: Edge) -> PoolOrigin:
    pool = edge.gateway.app._pools._by_name["api"]
    assert isinstance(pool, PoolOrigin)
    return pool


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.005)


async def told(*words: str) -> tuple[int, str, str]:
    """What a command says: exit status, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edgeproxy", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


async def asked(edge: Edge, times: int) -> set[str]:
    """The names of those who answered."""
    return {(await edge.get(f"/{number}"))[1].decode() for number in range(times)}


async def test_requests_go_round_a_node_that_fails_its_checks_and_come_back(farm: Farm, edge: Open) -> None:
    gateway = await edge(farm.config(interval="20ms"))
    said: list[str] = []
    gateway.gateway.app.observers.on_fault.append(said.append)
    pool = pool_of(gateway)
    await until(lambda: all(node.checks for node in farm.nodes.values()))
    assert await asked(gateway, 6) == {"a", "b", "c"}
    farm.nodes["b"].status = 503
    await until(lambda: len(pool.candidates().states) == 2)
    assert await asked(gateway, 6) == {"a", "c"}
    farm.nodes["c"].head = 90
    await until(lambda: len(pool.candidates().states) == 1)
    assert await asked(gateway, 4) == {"a"}
    farm.nodes["b"].status, farm.nodes["c"].head = 200, 100
    await until(lambda: len(pool.candidates().states) == 3)
    assert await asked(gateway, 6) == {"a", "b", "c"}
    assert said == ["api: node b is down: it answered 503", "api: node b is up"]


async def test_gateways_with_one_state_folder_check_together(farm: Farm, edge: Open, tmp_path: Path) -> None:
    first = await edge(farm.config(tmp_path))
    await until(lambda: all(member.state.ping for member in pool_of(first).members))
    second = await edge(farm.config(tmp_path))
    await until(lambda: all(member.state.ping for member in pool_of(second).members))
    assert [node.checks for node in farm.nodes.values()] == [1, 1, 1]
    assert [member.state.head for member in pool_of(second).members] == [100, 100, 100]
    counts = [gateway.gateway.app.state()["checks"] for gateway in (first, second)]
    assert (counts[0]["pings"], counts[1]["heard"]) == (3, 3)


async def test_a_canary_of_its_own(farm: Farm, edge: Open, tmp_path: Path) -> None:
    farm.nodes["b"].status = 500
    path = tmp_path / "config.yaml"
    path.write_text(farm.config(tmp_path / "state"))
    status, out, error = await told("canary", "--once", "--json", "-c", str(path))
    assert (status, error) == (1, "api: node b is down: it answered 500\n")
    found = {one["node"]: one for one in json.loads(out)}
    assert {name: one["health"]["verdict"] for name, one in found.items()} == {
        "api/a": "up",
        "api/b": "down",
        "api/c": "up",
    }
    assert (found["api/a"]["head"], found["api/b"]["why"]) == (100, "it answered 500")
    gateway = await edge(farm.config(tmp_path / "state"))
    await until(lambda: all(member.state.ping for member in pool_of(gateway).members))
    # What failed there the gateway has seen for itself.
    assert [node.checks for node in farm.nodes.values()] == [1, 2, 1]
    assert await asked(gateway, 4) == {"a", "c"}


async def test_the_canary_runs_until_it_is_told_to_stop(farm: Farm, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(farm.config(tmp_path / "state", interval="20ms"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edgeproxy", "canary", "-c", str(path)), stderr=asyncio.subprocess.PIPE
    )
    try:
        await until(lambda: all(node.checks > 3 for node in farm.nodes.values()))
        process.terminate()
        assert process.stderr is not None
        said = (await process.stderr.read()).decode().splitlines()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
    assert said == [
        "edgeproxy checks nodes, and tells those who share the board (sqlite)",
        "SIGTERM: done",
    ]


async def test_a_canary_that_nobody_would_hear(farm: Farm, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(farm.config())
    wanted = "want one that others can read: sqlite, redis or dynamodb"
    assert await told("canary", "-c", str(path)) == (2, "", f"{path}: health.board: got memory, {wanted}\n")


async def test_explain_asks_no_node(farm: Farm, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(farm.config(tmp_path / "state") + "\nadmin: {listen: '127.0.0.1:1'}")
    status, out, _ = await told("explain", "-c", str(path), "http://x/y")
    assert (status, [node.checks for node in farm.nodes.values()]) == (0, [0, 0, 0])
    assert not (tmp_path / "state" / "health.sqlite").exists()
    assert "api" in out


async def test_a_board_that_cannot_be_opened_keeps_nobody_from_serving(
    farm: Farm, edge: Open, tmp_path: Path
) -> None:
    (tmp_path / "health.sqlite").write_text("no database, and long enough to be seen as none\n" * 100)
    gateway = await edge(farm.config(tmp_path))
    await until(lambda: all(node.checks for node in farm.nodes.values()))
    assert await asked(gateway, 6) == {"a", "b", "c"}
