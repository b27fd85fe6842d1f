"""What keeps an eye on the nodes of the pools."""

import random
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from edgeproxy.assembly.origins import plain_keys, pool_of
from edgeproxy.clock import Clock, SystemClock
from edgeproxy.config.health import Health
from edgeproxy.config.origins import Credentials
from edgeproxy.config.renewing import pools_of
from edgeproxy.config.schema import Config
from edgeproxy.health.board import Board, BoardError, MemoryBoard
from edgeproxy.health.canary import Canary, Round
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
        try:
            board = await _opened(board_of(config), stack)
        except BoardError as error:
            tell(f"health: {error}; nodes are checked without others' findings until the next start")
    return _canary(pools, board, clock, by, tell, stack)


@asynccontextmanager
async def canary_alone(
    config: Config, tell: Callable[[str], None], clock: Clock | None = None
) -> AsyncIterator[Canary]:
    """A canary that serves nobody, not started yet: for a process of its own, or a handler that is called
    each minute and says `check_once`.  Raises `BoardError`."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        board = await _opened(board_of(config), stack)
        pools = {
            name: await pool_of(name, section, clock, stack) for name, section in pools_of(config).items()
        }
        lookout = lookout_of(config, pools, clock, tell, stack)
        await lookout.look()
        lookout.start()
        yield _canary(pools, board, clock, f"canary-{secrets.token_hex(8)}", tell, stack)


async def check_once(
    config: Config, tell: Callable[[str], None], *, within_s: float | None = None, clock: Clock | None = None
) -> Round:
    """Check every node of every pool that has checks, put what is found on the board, and give it.

    `tell` hears of a board that fails in the middle of it; what has not ended after `within_s` seconds is
    given up.  Raises `BoardError`.
    """
    clock = clock or SystemClock()
    began = clock.elapsed()
    async with canary_alone(config, tell, clock) as canary:
        left_s = max(0.0, within_s - (clock.elapsed() - began)) if within_s is not None else None
        return await canary.check_once(left_s)


async def _opened(board: Board, stack: AsyncExitStack) -> Board:
    stack.push_async_callback(board.close)
    await board.open()
    return board


def _canary(
    pools: Mapping[str, PoolOrigin],
    board: Board,
    clock: Clock,
    by: str,
    tell: Callable[[str], None],
    stack: AsyncExitStack,
) -> Canary:
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
