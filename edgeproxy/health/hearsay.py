"""What others have found, for those who check no nodes themselves: functions, which live for a moment."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from math import inf

from edgeproxy.clock import Clock
from edgeproxy.core.balancing.findings import Finding, is_fresh, max_age_s
from edgeproxy.health.board import Board, BoardError, key_of
from edgeproxy.origins.pool import PoolOrigin

_PATIENCE_S = 1.5
"""How long a board may take: a viewer waits for it."""


class Hearsay:
    """Tells the nodes of pools what a board has of them."""

    def __init__(
        self,
        pools: Sequence[PoolOrigin],
        board: Board,
        clock: Clock,
        every_s: float,
        tell: Callable[[str], None],
    ) -> None:
        """`every_s`: how old what is known may be; `tell` hears of a board that does not work."""
        self._pools = [pool for pool in pools if pool.conduct.is_checked]
        self._board = board
        self._clock = clock
        self._every_s = every_s
        self._tell = tell
        self._asked_at = -inf
        self._found: Mapping[str, Finding] = {}

    async def refresh(self) -> None:
        """Ask the board, unless that was a moment ago. One that fails leaves what it told before, as long as
        that may be trusted; then all nodes are."""
        now = self._clock.now()
        # By the date: a process that sleeps between two calls may have slept the other clock away.
        if not self._pools or 0 <= now - self._asked_at < self._every_s:
            return
        self._asked_at = now
        keys = [key_of(pool.name, member.name) for pool in self._pools for member in pool.members]
        try:
            async with asyncio.timeout(_PATIENCE_S):
                self._found = await self._board.read(keys)
        except (BoardError, TimeoutError) as error:
            self._tell(f"health: {str(error) or f'no answer in {_PATIENCE_S:g} s'}; nodes stay as they were")
        self._told()

    def _told(self) -> None:
        now = self._clock.now()
        ahead_s = self._clock.elapsed() - now
        for pool in self._pools:
            conduct = pool.conduct
            oldest_s = max_age_s(conduct.check_every_s, conduct.check.timeout_s)
            for member in pool.members:
                finding = self._found.get(key_of(pool.name, member.name))
                is_trusted = finding is not None and is_fresh(finding, now, oldest_s)
                member.heard(finding if is_trusted else None, ahead_s)
