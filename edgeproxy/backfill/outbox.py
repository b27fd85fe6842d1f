"""Jobs on their way to SQS: those that come while others are being sent go together."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from edgeproxy.backfill.job import Job
from edgeproxy.backfill.message import message_text
from edgeproxy.backfill.post import AT_ONCE, Letter, Post, PostError
from edgeproxy.clock import Clock
from edgeproxy.core.reason import Reason

_SURE_S = 300.0
"""How long it is believed that a job that was sent is still live: that of FIFO queues of SQS."""
_BATCHES = 4
"""Requests that send at the same time."""
_BATCH_BYTES = 240_000
"""Below the 256 KiB that a request may have in all."""


class Outbox:
    """Bounded by `capacity`, both in what is to be sent and in what is remembered of it.

    `url` gives the queue's, or raises `PostError`; `rest_s` how long to wait after so many failures.
    `on_fault` hears why something could not be sent, `on_refused` of each job that SQS does not want.
    """

    def __init__(
        self,
        post: Post,
        url: Callable[[], Awaitable[str]],
        clock: Clock,
        *,
        capacity: int,
        rest_s: Callable[[int], float],
        on_fault: Callable[[str], None],
        on_refused: Callable[[Reason], None],
    ) -> None:
        self._post = post
        self._url = url
        self._clock = clock
        self._capacity = capacity
        self._rest_s = rest_s
        self._on_fault = on_fault
        self._on_refused = on_refused
        self._pending: dict[tuple[str, bytes], Letter] = {}
        self._recent: OrderedDict[tuple[str, bytes], float] = OrderedDict()
        self._offered = asyncio.Event()
        self._closing = asyncio.Event()
        self._written = asyncio.Event()
        self._written.set()
        self._sending: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to send."""
        self._sending = asyncio.get_running_loop().create_task(self._send_all())

    def put(self, job: Job, salt: str = "", delay_s: int = 0) -> None:
        """Send `job`, soon, for nobody to get it before `delay_s`.

        With `salt` it is another one to a FIFO queue, though it was sent before.
        """
        name = hashlib.sha256(job.group.encode() + b"\0" + job.key)
        group = name.hexdigest()
        name.update(salt.encode())
        self._pending[job.identity] = Letter(message_text(job), group, name.hexdigest(), delay_s)
        self._written.clear()
        self._offered.set()

    def knows(self, identity: tuple[str, bytes]) -> bool:
        """Whether such a job is to be sent, or was not long ago."""
        since = self._recent.get(identity)
        return identity in self._pending or (since is not None and self._clock.elapsed() - since < _SURE_S)

    def forget(self, identity: tuple[str, bytes]) -> None:
        """The job that was sent is done."""
        self._recent.pop(identity, None)

    @property
    def is_full(self) -> bool:
        """Whether no more can be put in."""
        return len(self._pending) >= self._capacity

    async def written(self) -> int:
        """Return when everything was sent, or cannot be now; gives how many are left."""
        await self._written.wait()
        return len(self._pending)

    async def close(self) -> None:
        """Send what is left, if that can be done at once."""
        self._closing.set()
        self._offered.set()
        if self._sending is not None:
            await self._sending

    async def _send_all(self) -> None:
        """Send what is put in, until this is closed."""
        failures = 0
        while True:
            await self._offered.wait()
            self._offered.clear()
            is_last = self._closing.is_set()
            while self._pending:
                if await self._send():
                    failures = 0
                    continue
                failures += 1
                if is_last:
                    break
                await self._rest(self._rest_s(failures))
                is_last = self._closing.is_set()
            self._written.set()
            if self._closing.is_set():
                return

    async def _send(self) -> bool:
        """Send some of what waits; False if that cannot be done now."""
        batches = _batches(self._pending)
        try:
            url = await self._url()
            answers = await asyncio.gather(
                *(self._post.send(url, list(batch.values())) for batch in batches), return_exceptions=True
            )
        except PostError as error:
            self._on_fault(str(error))
            return False
        is_well = True
        for batch, fates in zip(batches, answers, strict=True):
            if not isinstance(fates, list):
                self._on_fault(str(fates))
                is_well = False
                continue
            for identity, fate in zip(batch, fates, strict=True):
                if fate.code:
                    self._on_fault(fate.code)
                if fate.code and not fate.is_final:
                    is_well = False
                    continue
                del self._pending[identity]
                if fate.is_final:
                    self._on_refused(Reason.QUEUE_REFUSED)
                else:
                    self._remember(identity)
        return is_well

    async def _rest(self, rest_s: float) -> None:
        # Whoever waits for what cannot be sent waits for ever: it is where it stays for now.
        self._written.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await self._closing.wait()

    def _remember(self, identity: tuple[str, bytes]) -> None:
        """That this job was sent, so that a key that is asked for all the time makes one message."""
        self._recent[identity] = self._clock.elapsed()
        self._recent.move_to_end(identity)
        while len(self._recent) > self._capacity:
            self._recent.popitem(last=False)

    def __len__(self) -> int:
        return len(self._pending)

    def __repr__(self) -> str:
        return f"Outbox({len(self._pending)} of {self._capacity})"


def _batches(pending: Mapping[tuple[str, bytes], Letter]) -> list[dict[tuple[str, bytes], Letter]]:
    """The first of `pending`, as they go into requests that are sent together."""
    batches: list[dict[tuple[str, bytes], Letter]] = [{}]
    size = 0
    for identity, letter in pending.items():
        if len(batches[-1]) == AT_ONCE or (batches[-1] and size + len(letter.text) > _BATCH_BYTES):
            if len(batches) == _BATCHES:
                break
            batches.append({})
            size = 0
        batches[-1][identity] = letter
        size += len(letter.text)
    return batches
