"""What keeps an eye on the nodes of the pools."""

import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from edgeproxy.assembly.origins import plain_keys
from edgeproxy.clock import Clock
from edgeproxy.config.health import Health
from edgeproxy.config.origins import Credentials
from edgeproxy.config.schema import Config
from edgeproxy.health.board import Board, BoardError, MemoryBoard
from edgeproxy.health.canary import Canary
from edgeproxy.health.dynamodb import DynamoBoard
from edgeproxy.health.names import Lookout, system_addresses
from edgeproxy.health.redis import RedisBoard
from edgeproxy.health.sqlite import SqliteBoard
from edgeproxy.origins.pool import PoolOrigin


async def canary_of(
    config: Config,
    pools: Mapping[str, PoolOrigin],
    clock: Clock,
    by: str,
    tell: Callable[[str], None],
    stack: AsyncExitStack,
) -> Canary:
    """A canary over `pools`, not started yet, closed with `stack`.

    Without a board each process checks for itself, which is no reason not to serve: `tell` hears of it.
    """
    board: Board = MemoryBoard()
    if any(pool.conduct.is_checked for pool in pools.values()):
        board = board_of(config)
        stack.push_async_callback(board.close)
        try:
            await board.open()
        except BoardError as error:
            tell(f"health: {error}; nodes are checked without others' findings until the next start")
            board = MemoryBoard()
    canary = Canary(list(pools.values()), board, clock, random.random, by, tell)
    stack.push_async_callback(canary.close)
    return canary


def board_of(config: Config) -> Board:
    """The board of `config`, not open yet."""
    section, folder = config.health, config.state.folder
    match section.board:
        case "sqlite" if folder is not None:
            return SqliteBoard(folder / "health.sqlite")
        case "redis" if section.redis_url is not None:
            return RedisBoard(section.redis_url.get_secret_value())
        case "dynamodb":
            return _dynamo(section)
    return MemoryBoard()


def _dynamo(section: Health) -> DynamoBoard:
    given = section.credentials
    keys = plain_keys(given) if isinstance(given, Credentials) else None
    return DynamoBoard(section.table, region=section.region, endpoint=section.endpoint, keys=keys)


def lookout_of(
    config: Config,
    pools: Mapping[str, PoolOrigin],
    clock: Clock,
    tell: Callable[[str], None],
    stack: AsyncExitStack,
) -> Lookout:
    """A lookout over `pools` that has not looked yet, closed with `stack`."""
    every_s = config.health.resolve_interval
    lookout = Lookout(list(pools.values()), every_s, system_addresses, clock.elapsed, tell)
    stack.push_async_callback(lookout.close)
    return lookout
