"""How fast one source may be asked, and whether it is left alone: its caps and its breaker at work."""

from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from edgeproxy.backfill.job import Held
from edgeproxy.clock import Clock
from edgeproxy.core.allowance import Allowance
from edgeproxy.core.errors import OriginError
from edgeproxy.core.reason import Reason
from edgeproxy.core.source_breaker import SourceBreaker
from edgeproxy.core.sourcing import Supplier

Identity: TypeAlias = tuple[str, bytes]

_FORGET_S = 60.0
"""How long a job may be late for the turn that it was given."""
_SAVED_S = 0.1
"""What is saved up of the bytes of idle times."""
_SLOW_TO_LEARN = 8
"""How much of the mean time of a job is what it was before."""
_LEAST_S = 0.01
"""What is thought to be between two jobs at least, so that those who wait do not come too often."""
_STUCK_S = 0.1
"""The same where none has ended for as long."""


class Pace:
    """Of one source. A job that has to wait is given a turn: it waits in the queue, in nobody's way.

    `at_once` is how many jobs may read from it together; `on_change` hears when it is left alone, and when
    it is well again; `random` gives numbers in [0, 1).
    """

    def __init__(
        self,
        supplier: Supplier,
        clock: Clock,
        *,
        at_once: int | None,
        sleep: Callable[[float], Awaitable[None]],
        random: Callable[[], float],
        on_change: Callable[[str], None],
    ) -> None:
        self._name = supplier.name
        self._clock = clock
        self._at_once = at_once
        self._sleep = sleep
        self._random = random
        self._on_change = on_change
        self._breaker = SourceBreaker(supplier.failures, supplier.rest_s)
        self._until = 0.0
        now = clock.elapsed()
        rate, bandwidth = supplier.rate, supplier.bandwidth
        self._requests = Allowance.full(rate, 1.0, now) if rate is not None else None
        self._bytes = Allowance.full(bandwidth, bandwidth * _SAVED_S, now) if bandwidth is not None else None
        self._turns: OrderedDict[Identity, float] = OrderedDict()
        self._reading = 0
        self._mean_s = _LEAST_S
        self._free_at = self._ended_at = now
        self._counts: Counter[str] = Counter()

    def held(self, identity: Identity) -> Held | None:
        """Why a job has to wait, and how long; None if it may ask now."""
        return self._is_down() or self._is_crowded() or self._is_early(identity)

    def holds(self, held: Held) -> Held:
        """A job does wait for that."""
        self._counts["held"] += 1
        return held

    def _is_down(self) -> Held | None:
        now = self._clock.elapsed()
        wait_s = max(self._breaker.wait_s(now), self._until - now)
        if wait_s <= 0:
            return None
        # Not all of them at once when it is well again.
        spread_s = self._breaker.rest_s if self._breaker.is_open else 1.0
        return Held(Reason.SOURCE_DOWN, wait_s + self._random() * spread_s)

    def _is_crowded(self) -> Held | None:
        if self._at_once is None or self._reading < self._at_once:
            return None
        now = self._clock.elapsed()
        still_s = min(_STUCK_S, now - self._ended_at)
        self._free_at = max(now, self._free_at) + max(_LEAST_S, self._mean_s / self._at_once, still_s)
        return Held(Reason.SOURCE_BUSY, self._free_at - now)

    def _is_early(self, identity: Identity) -> Held | None:
        if self._requests is None:
            return None
        now = self._clock.elapsed()
        while self._turns and next(iter(self._turns.values())) < now - _FORGET_S:
            self._turns.popitem(last=False)
        turn = self._turns.get(identity)
        if turn is None:
            wait_s = self._requests.wait_s(1, now)
            if wait_s <= 0:
                return None
            self._requests = self._requests.taken(1, now)
            turn = self._turns[identity] = now + wait_s
        return Held(Reason.SOURCE_BUSY, turn - now) if turn > now else None

    def begin(self, identity: Identity) -> "Asking":
        """A job that is not held begins to ask."""
        turn = self._turns.pop(identity, None)
        if self._requests is not None and turn is None:
            self._requests = self._requests.taken(1, self._clock.elapsed())
        self._counts["asked"] += 1
        self._reading += 1
        is_try = self._breaker.is_open
        self._breaker = self._breaker.asked()
        return Asking(self, self._clock.elapsed(), is_try=is_try)

    def answered(self, status: int, again_in_s: float | None) -> None:
        """It gave `status`, and perhaps said that it wants to be left alone for `again_in_s`."""
        if again_in_s is not None:
            self._until = max(self._until, self._clock.elapsed() + again_in_s)
        if status >= 500:
            self.failed(f"it answered {status}")
            return
        if self._breaker.is_open:
            self._on_change(f"backfill: source {self._name} is well again")
        self._breaker = self._breaker.well()

    def failed(self, message: str) -> None:
        """It gave no answer, or one that says that it is out of order."""
        self._counts["failed"] += 1
        was_open = self._breaker.is_open
        self._breaker = self._breaker.failed(self._clock.elapsed())
        if self._breaker.is_open and not was_open:
            self._counts["opened"] += 1
            self._on_change(
                f"backfill: source {self._name} is left alone for {self._breaker.rest_s:g} s at a time after"
                f" {self._breaker.faults} faults in a row, the last: {message}"
            )

    async def counted(self, size: int) -> None:
        """That many bytes have come; return when more may."""
        self._counts["bytes"] += size
        if self._bytes is None:
            return
        now = self._clock.elapsed()
        self._bytes = self._bytes.taken(size, now)
        wait_s = self._bytes.wait_s(0, now)
        if wait_s > 0:
            await self._sleep(wait_s)

    def ended(self, began: float, *, is_unheard_try: bool) -> None:
        """A job has done with it, which began to ask at `began`."""
        self._reading -= 1
        self._ended_at = self._clock.elapsed()
        took_s = max(0.0, self._ended_at - began)
        self._mean_s += (took_s - self._mean_s) / _SLOW_TO_LEARN
        if is_unheard_try:
            self._breaker = self._breaker.given_up()

    def fields(self) -> dict[str, int]:
        """Plain numbers, for the admin port."""
        names = ("asked", "failed", "held", "opened", "bytes")
        return {
            "is_open": int(self._breaker.is_open),
            "reading": self._reading,
            **{name: self._counts[name] for name in names},
        }

    def __repr__(self) -> str:
        return f"Pace({self._name!r}, {self.fields()})"


class Asking:
    """One job's time at a source, which has to be ended."""

    def __init__(self, pace: Pace, began: float, *, is_try: bool) -> None:
        self._pace = pace
        self._began = began
        self._is_unheard_try = is_try
        self._is_ended = False
        self.is_read = False
        """Whether somebody reads what came of it, and is to end it."""

    def answered(self, status: int, again_in_s: float | None) -> None:
        """See `Pace`."""
        self._is_unheard_try = False
        self._pace.answered(status, again_in_s)

    def failed(self, error: OriginError) -> None:
        """See `Pace`."""
        self._is_unheard_try = False
        self._pace.failed(error.message)

    async def through(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The bytes of `body`, no faster than they may come: what is not read yet holds the source up."""
        try:
            async for chunk in body:
                yield chunk
                await self._pace.counted(len(chunk))
        except OriginError as error:
            self.failed(error)
            raise

    def end(self) -> None:
        """The job has done with it. May be called twice."""
        if not self._is_ended:
            self._is_ended = True
            self._pace.ended(self._began, is_unheard_try=self._is_unheard_try)
