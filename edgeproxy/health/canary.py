"""Pings every node of every pool, again and again, and shares what it finds.

Who has the same board need not ask twice: a check that passed somewhere else within the interval is as good
as one's own. That a node failed everybody finds out for themselves, or one machine that is cut off from the
world would take all nodes away from all others.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from edgeproxy.clock import Clock
from edgeproxy.core.balancing.findings import Finding, added, is_fresh, max_age_s
from edgeproxy.core.balancing.health import Verdict
from edgeproxy.core.balancing.nodes import Duty, Ping
from edgeproxy.core.balancing.ranking import Random
from edgeproxy.health.board import Board, BoardError, key_of
from edgeproxy.origins.member import Member
from edgeproxy.origins.pool import PoolOrigin
from edgeproxy.store.faults import Faults

JITTER = 0.1
"""A check comes up to such a part of the interval earlier or later: many that began together drift apart."""
_LOOK_S = 1.0
"""How long it takes at most until nodes that are new, or not cordoned any more, are seen."""
_REST_S = 10.0
"""How long a board that failed is left alone."""
_PATIENCE_S = 1.5
"""How long a board may take: checks wait for it."""


@dataclass(slots=True)
class _Watch:
    """What is planned for a node, and the last that is known of it."""

    pool: PoolOrigin
    member: Member
    due: float
    """By the monotonic clock."""
    finding: Finding | None = None
    is_running: bool = False

    @property
    def key(self) -> str:
        return key_of(self.pool.name, self.member.name)


@dataclass(slots=True)
class Counts:
    """What the canary has done."""

    pings: int = 0
    heard: int = 0
    """Checks that others made in our place."""
    board_faults: int = 0


@dataclass(frozen=True, slots=True)
class Round:
    """One check of every node."""

    found: Mapping[str, Finding]
    """By pool and node."""
    late: tuple[str, ...] = ()
    """Those whose check had not ended when the time was up; nothing was put on the board for them."""
    is_shared: bool = True
    """Whether the board has all that was found."""


class Canary:
    """Owns one task, between `start` and `close`."""

    def __init__(
        self,
        pools: Sequence[PoolOrigin],
        board: Board,
        clock: Clock,
        random: Random,
        by: str,
        tell: Callable[[str], None],
    ) -> None:
        """`by` is what others call this process; `tell` hears of nodes that went down or came up, and of a
        board that does not work; `random` gives numbers in [0, 1)."""
        self.counts = Counts()
        self._pools = pools
        self._board = board
        self._clock = clock
        self._random = random
        self._by = by
        self._tell = tell
        self._faults = Faults(tell, clock.elapsed)
        self._board_rests_until = -inf
        self._watches: dict[Member, _Watch] = {}
        self._checks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with a check of every node."""
        self._loop = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop; checks that are under way are given up."""
        tasks = [*self._checks, *([self._loop] if self._loop is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            rest_s = self.tick()
            await asyncio.sleep(min(rest_s, _LOOK_S))

    def tick(self) -> float:
        """Begin what is due; gives the seconds until more is."""
        now = self._clock.elapsed()
        watches = self._watched(now)
        due = [watch for watch in watches if watch.due <= now]
        for watch in due:
            # One that comes late does not make all that follow come late.
            step_s = self._step_s(watch)
            watch.due = watch.due + step_s if watch.due + step_s > now else now + step_s
        begun = [watch for watch in due if not watch.is_running]
        if begun:
            for watch in begun:
                watch.is_running = True
            check = asyncio.get_running_loop().create_task(self._check(begun))
            self._checks.add(check)
            check.add_done_callback(self._checks.discard)
        return max(0.0, min((watch.due for watch in watches), default=now + _LOOK_S) - now)

    async def settled(self) -> None:
        """Return when no check is under way."""
        while self._checks:
            await asyncio.gather(*self._checks)

    async def check_once(self, within_s: float | None = None) -> Round:
        """Check every node now, whoever else has. What has not ended after `within_s` seconds is given up.

        Each node's finding is on the board as soon as it is there, whatever becomes of the others.
        """
        watches = self._watched(self._clock.elapsed())
        faults = self.counts.board_faults
        ending = asyncio.get_running_loop().time() + within_s if within_s is not None else None
        shared = await self._read([watch.key for watch in watches])
        late: list[str] = []

        async def check(watch: _Watch) -> None:
            try:
                async with asyncio.timeout_at(ending):
                    await self._ping(watch, shared.get(watch.key), insists=True)
            except TimeoutError:
                late.append(watch.key)

        await asyncio.gather(*map(check, watches))
        found = {watch.key: watch.finding for watch in watches if watch.finding is not None}
        return Round(
            {key: finding for key, finding in found.items() if key not in late},
            tuple(late),
            self.counts.board_faults == faults,
        )

    def _watched(self, now: float) -> list[_Watch]:
        """Those that may be pinged; one that is new is due at once, and so is one that was cordoned."""
        members = {member: pool for pool in self._pools if pool.conduct.is_checked for member in pool.members}
        self._watches = {
            member: self._watches.get(member) or _Watch(pool, member, due=now)
            for member, pool in members.items()
        }
        return [watch for watch in self._watches.values() if watch.member.state.duty is not Duty.CORDONED]

    def _step_s(self, watch: _Watch) -> float:
        return watch.pool.conduct.check_every_s * (1 - JITTER + 2 * JITTER * self._random())

    async def _check(self, watches: Sequence[_Watch]) -> None:
        try:
            shared = await self._read([watch.key for watch in watches])
        except BaseException:
            # Whatever a board may raise: they are checked again when that is due.
            for watch in watches:
                watch.is_running = False
            raise

        async def check(watch: _Watch) -> None:
            try:
                if not self._heard(watch, shared.get(watch.key)):
                    await self._ping(watch, shared.get(watch.key))
            finally:
                watch.is_running = False

        await asyncio.gather(*map(check, watches))

    def _heard(self, watch: _Watch, shared: Finding | None) -> bool:
        """Whether somebody else's check will do; it counts as ours then."""
        now, elapsed = self._clock.now(), self._clock.elapsed()
        if shared is None or shared.took_s is None or not self._is_trusted(watch, shared):
            return False
        if watch.finding is not None and shared.at <= watch.finding.at:
            return False
        age_s = max(now - shared.at, 0.0)
        due = elapsed - age_s + self._step_s(watch)
        if due <= elapsed:
            return False
        watch.finding = shared
        watch.due = due
        self.counts.heard += 1
        self._note(watch, Ping(elapsed - age_s + shared.took_s, shared.took_s, shared.head))
        return True

    async def _ping(self, watch: _Watch, shared: Finding | None, *, insists: bool = False) -> None:
        """`insists`: there will be no other check soon, and so a board is asked that failed a moment ago."""
        began_at = self._clock.now()
        before = watch.member.state.health.verdict
        try:
            ping = await watch.pool.ping(watch.member.name)
        except KeyError:
            # It has left the pool while we asked the board.
            return
        self.counts.pings += 1
        self._told(watch, before, ping)
        known = [one for one in (watch.finding, shared) if one is not None and self._is_trusted(watch, one)]
        newest = max(known, key=lambda one: one.at, default=None)
        thresholds = watch.pool.conduct.rules.checks
        watch.finding = added(newest, watch.key, ping, began_at, self._by, thresholds)
        await self._put(watch.finding, insists=insists)

    def _note(self, watch: _Watch, ping: Ping) -> None:
        before = watch.member.state.health.verdict
        watch.member.pinged(ping)
        self._told(watch, before, ping)

    def _told(self, watch: _Watch, before: Verdict, ping: Ping) -> None:
        """Tell of a verdict that is another now; that a new node is well is no news."""
        now = watch.member.state.health.verdict
        if now is not before and not (before is Verdict.NEW and now is Verdict.UP):
            why = f": {ping.why}" if ping.why else ""
            self._tell(f"{watch.pool.name}: node {watch.member.name} is {now}{why}")

    def _is_trusted(self, watch: _Watch, finding: Finding) -> bool:
        conduct = watch.pool.conduct
        return is_fresh(finding, self._clock.now(), max_age_s(conduct.check_every_s, conduct.check.timeout_s))

    # The board. Without it every process checks for itself.

    async def _read(self, keys: Sequence[str]) -> Mapping[str, Finding]:
        if not self._board_is_asked:
            return {}
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._board.read(keys)
        except (BoardError, TimeoutError) as error:
            self._board_failed(error)
            return {}

    async def _put(self, finding: Finding, *, insists: bool) -> None:
        if not (insists or self._board_is_asked):
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._board.put(finding, self._clock.now())
        except (BoardError, TimeoutError) as error:
            self._board_failed(error)

    @property
    def _board_is_asked(self) -> bool:
        return self._clock.elapsed() >= self._board_rests_until

    def _board_failed(self, error: Exception) -> None:
        self._board_rests_until = self._clock.elapsed() + _REST_S
        self.counts.board_faults += 1
        said = str(error) or f"no answer in {_PATIENCE_S:g} s"
        self._faults.note(f"health: {said}; nodes are checked without others' findings")
