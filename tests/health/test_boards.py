"""The contract of every board: the newest finding of each node, for all that share it."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeproxy.aws import session
from edgeproxy.core.balancing.findings import Finding
from edgeproxy.core.balancing.health import Health, Verdict
from edgeproxy.health.board import Board, BoardError, MemoryBoard
from edgeproxy.health.dynamodb import DynamoBoard
from edgeproxy.health.redis import RedisBoard
from edgeproxy.health.sqlite import SqliteBoard
from tests.servers import redis
from tests.servers.server import MissingError

NOW = 1_800_000_000.25
FOUND = Finding(
    "api/a.example.com:8090", NOW - 1, 0.0123, 2**63 - 1, Health(Verdict.UP, 1, NOW - 9), "", "gw"
)
FAILED = Finding(
    "api/[2001:db8::1]", NOW - 1, None, None, Health(Verdict.DOWN, 0, NOW), "it answered 5ü", "gw"
)

Open = Callable[[], Awaitable[Board]]
_TOLD = os.environ  # noqa: TID251


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> Any:
    """A running Redis, where servers are wanted."""
    if not (_TOLD.get("EDGEPROXY_SERVERS") or "servers" in request.config.option.markexpr):
        pytest.skip("redis: runs with -m servers or EDGEPROXY_SERVERS=1")
    is_required = bool(_TOLD.get("EDGEPROXY_REQUIRE_SERVERS")) or _TOLD.get("CI") == "true"
    with ExitStack() as stack:
        try:
            url = stack.enter_context(redis.running())
        except MissingError as error:
            (pytest.fail if is_required else pytest.skip)(str(error))
        yield url


async def table_in(moto: str, name: str) -> None:
    """A table as the published original has it."""
    async with session().create_client("dynamodb", **moto_options(moto)) as client:
        await client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "server", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "server", "KeyType": "HASH"}],
        )


def moto_options(moto: str) -> dict[str, Any]:
    return {
        "endpoint_url": moto,
        "region_name": "us-east-1",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test-secret",
    }


def dynamo(moto: str, table: str, **more: Any) -> DynamoBoard:
    return DynamoBoard(
        table,
        region="us-east-1",
        endpoint=moto,
        keys=("test", "test-secret", None),
        **{"timeout_s": 10} | more,
    )


@pytest.fixture(params=["memory", "sqlite", "dynamodb", pytest.param("redis", marks=pytest.mark.servers)])
async def opened(request: pytest.FixtureRequest, tmp_path: Path, bucket_name: str) -> AsyncIterator[Open]:
    """Opens boards that are the same one, as several processes do."""
    memory = MemoryBoard()
    made: Callable[[], Board]
    match request.param:
        case "memory":
            made = lambda: memory  # noqa: E731
        case "sqlite":
            made = lambda: SqliteBoard(tmp_path / "state" / "health.sqlite")  # noqa: E731
        case "dynamodb":
            moto = request.getfixturevalue("moto")
            await table_in(moto, bucket_name)
            made = lambda: dynamo(moto, bucket_name)  # noqa: E731
        case _:
            url = request.getfixturevalue("redis_url")
            await emptied(url)
            made = lambda: RedisBoard(url, timeout_s=10)  # noqa: E731
    async with AsyncExitStack() as stack:

        async def make() -> Board:
            board = made()
            stack.push_async_callback(board.close)
            await board.open()
            return board

        yield make


async def emptied(url: str) -> None:
    from redis.asyncio import Redis

    client = Redis.from_url(url)
    await client.flushall()
    await client.aclose()


async def test_what_one_puts_the_other_reads(opened: Open) -> None:
    one, other = await opened(), await opened()
    assert await one.put(FOUND, NOW)
    assert await other.put(FAILED, NOW)
    read = await one.read([FOUND.node, FAILED.node, "api/nobody"])
    assert read == {FOUND.node: FOUND, FAILED.node: FAILED}
    assert await other.read([FOUND.node]) == {FOUND.node: FOUND}
    assert await other.read(["api/nobody"]) == {}


async def test_an_older_finding_does_not_hide_a_newer_one(opened: Open) -> None:
    """A check that hung ends after one that began later."""
    board = await opened()
    assert await board.put(FOUND, NOW)
    assert not await board.put(replace(FOUND, at=FOUND.at - 0.001, took_s=None), NOW)
    assert not await board.put(replace(FOUND, took_s=9.0), NOW)
    assert await board.read([FOUND.node]) == {FOUND.node: FOUND}
    newer = replace(FOUND, at=FOUND.at + 0.001)
    assert await board.put(newer, NOW)
    assert await board.read([FOUND.node]) == {FOUND.node: newer}


async def test_a_finding_from_the_future_shuts_nobody_out(opened: Open) -> None:
    board = await opened()
    assert await board.put(replace(FOUND, at=NOW + 3600), NOW)
    assert await board.put(FOUND, NOW)
    assert await board.read([FOUND.node]) == {FOUND.node: FOUND}
    # A clock that is a little ahead is put up with.
    ahead = replace(FOUND, at=NOW + 30)
    assert await board.put(ahead, NOW)
    assert not await board.put(replace(FOUND, at=NOW), NOW)


async def test_of_many_at_once_the_newest_stays(opened: Open) -> None:
    boards = [await opened(), await opened()]
    times = [NOW + (7 * number % 20) / 1000 for number in range(20)]
    await asyncio.gather(
        *(boards[n % 2].put(replace(FOUND, at=at, by=str(n)), NOW + 1) for n, at in enumerate(times))
    )
    assert (await boards[0].read([FOUND.node]))[FOUND.node].at == max(times)


async def test_more_nodes_than_one_batch_has(opened: Open) -> None:
    board = await opened()
    many = [replace(FOUND, node=f"api/{number}") for number in range(130)]
    for finding in many[::10]:
        await board.put(finding, NOW)
    read = await board.read([finding.node for finding in many])
    assert sorted(read) == sorted(finding.node for finding in many[::10])


async def test_a_file_outlives_the_process_and_is_no_friend_of_other_versions(tmp_path: Path) -> None:
    path = tmp_path / "health.sqlite"
    for _ in range(2):
        board = SqliteBoard(path)
        await board.open()
        await board.put(FOUND, NOW)
        assert await board.read([FOUND.node]) == {FOUND.node: FOUND}
        await board.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        db.execute("PRAGMA user_version = 99")
    board = SqliteBoard(path)
    await board.open()
    assert await board.read([FOUND.node]) == {}
    await board.close()


async def test_old_findings_go(tmp_path: Path) -> None:
    for board in (MemoryBoard(), SqliteBoard(tmp_path / "health.sqlite")):
        await board.open()
        await board.put(FOUND, NOW)
        await board.put(replace(FAILED, at=NOW + 90_000), NOW + 90_000)
        assert list(await board.read([FOUND.node, FAILED.node])) == [FAILED.node]
        await board.close()


async def test_rows_of_others_are_passed_over(tmp_path: Path) -> None:
    board = SqliteBoard(tmp_path / "health.sqlite")
    await board.open()
    await board.put(FOUND, NOW)
    with closing(sqlite3.connect(tmp_path / "health.sqlite", isolation_level=None)) as db:
        db.execute("UPDATE finding SET told = '{}'")
    assert await board.read([FOUND.node]) == {}
    await board.close()


async def test_what_is_down_says_so(tmp_path: Path, moto: str, free_port: int) -> None:
    """Each board has one kind of exception, whatever it is made of."""
    (tmp_path / "file").touch()
    with pytest.raises(BoardError, match="file"):
        await SqliteBoard(tmp_path / "file" / "health.sqlite").open()
    (tmp_path / "health.sqlite").write_text("no database, and long enough to be seen as none\n" * 100)
    with pytest.raises(BoardError, match="not a database"):
        await SqliteBoard(tmp_path / "health.sqlite").open()
    for board, says in (
        (dynamo(moto, "no-such-table"), "ResourceNotFoundException"),
        (dynamo(f"http://127.0.0.1:{free_port}", "x", timeout_s=1), "DynamoDB: "),
        (RedisBoard(f"redis://:hidden@127.0.0.1:{free_port}/0"), "Redis: "),
    ):
        await board.open()
        for asked in (board.read([FOUND.node]), board.put(FOUND, NOW)):
            with pytest.raises(BoardError, match=says) as raised:
                await asked
            assert "hidden" not in str(raised.value)
        await board.close()


async def test_items_of_the_table_have_an_end(moto: str, bucket_name: str) -> None:
    await table_in(moto, bucket_name)
    board = dynamo(moto, bucket_name)
    await board.open()
    await board.put(FOUND, NOW)
    await board.close()
    async with session().create_client("dynamodb", **moto_options(moto)) as client:
        key = {"server": {"S": FOUND.node}}
        item = (await client.get_item(TableName=bucket_name, Key=key))["Item"]
    assert item["expires"] == {"N": str(int(FOUND.at + 86_400))}
    assert item["verdict"] == {"S": "up"}
