"""What SQS is still to hear of the messages that were received: that they are deleted, hidden or buried."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from edgeproxy.backfill.dead_letters import buried
from edgeproxy.backfill.job import Job
from edgeproxy.backfill.message import message_text
from edgeproxy.backfill.post import Batches, Delivery, Fate, Post

_PATIENCE_S = 5.0
"""How long at the end to wait for what is not done yet."""
_TRIES = 4
"""How often a message is deleted or buried, if that fails; then it comes again."""


class Clerk:
    """Does what it is told to a moment later, ten at a time, while the work goes on.

    `url` gives the queue's URL and raises `PostError`; `is_redriven()` says whether SQS itself buries what
    was received too often; `rest_s(failures)` is how long to wait after so many; `on_fault` hears of each.
    """

    def __init__(
        self,
        post: Post,
        url: Callable[[], Awaitable[str]],
        dead_letter_url: str | None,
        *,
        is_redriven: Callable[[], bool],
        rest_s: Callable[[int], float],
        on_fault: Callable[[str], None],
    ) -> None:
        self._post = post
        self._url = url
        self._dead_letter_url = dead_letter_url
        self._is_redriven = is_redriven
        self._rest_s = rest_s
        self._note = on_fault
        self._deletes: Batches[str] = Batches(self._delete_batch)
        self._hides: Batches[tuple[str, int]] = Batches(self._hide_batch)
        self._chores: set[asyncio.Task[None]] = set()
        self._is_ending = asyncio.Event()

    def delete(self, receipt: str) -> None:
        """There is nothing more to do for this message. If that fails it comes again, and is found done."""
        self._chore(self._deleted(receipt))

    def hide(self, receipt: str, hidden_s: int) -> "asyncio.Task[None]":
        """Nobody gets it for so long. If that fails it comes again when its lease has run out."""
        return self._chore(self._hidden(receipt, hidden_s))

    async def hidden(self, receipt: str, hidden_s: int) -> Fate:
        """The same, for whoever waits to hear what has become of it."""
        return await self._hides.do((receipt, hidden_s))

    def bury(self, what: Delivery | Job) -> None:
        """Put where what cannot be done goes: nothing circles for ever. A job has no message."""
        self._chore(self._buried(what))

    async def written(self) -> None:
        """Wait a while for what is not done yet."""
        if self._chores:
            await asyncio.wait(self._chores, timeout=_PATIENCE_S)

    def hurry(self) -> None:
        """From now on wait for nothing that fails."""
        self._is_ending.set()

    async def close(self) -> None:
        """Wait a while for what is not done yet, and give up the rest."""
        await self.written()
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        await asyncio.gather(self._deletes.idle(), self._hides.idle())

    def _chore(self, doing: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        chore = asyncio.get_running_loop().create_task(doing)
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)
        return chore

    async def _deleted(self, receipt: str) -> None:
        for failures in range(1, _TRIES + 1):
            fate = await self._deletes.do(receipt)
            if not fate.code or fate.is_final:
                return
            self._note(fate.code)
            if failures < _TRIES:
                await self._rest(failures)

    async def _hidden(self, receipt: str, hidden_s: int) -> None:
        fate = await self.hidden(receipt, hidden_s)
        if fate.code and not fate.is_final:
            self._note(fate.code)

    async def _buried(self, what: Delivery | Job) -> None:
        if self._dead_letter_url is not None:
            text = message_text(what) if isinstance(what, Job) else what.text
            failures = 0
            while why := await buried(self._post, self._dead_letter_url, text):
                self._note(f"{self._dead_letter_url}: {why}")
                failures += 1
                if failures == _TRIES:
                    return
                await self._rest(failures)
        if isinstance(what, Job):
            return
        if self._dead_letter_url is None and self._is_redriven():
            # SQS moves it to the dead-letter queue once it was received as often as that takes.
            await self._hidden(what.receipt, 0)
        else:
            await self._deleted(what.receipt)

    async def _rest(self, failures: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._rest_s(failures)):
                await self._is_ending.wait()

    async def _delete_batch(self, receipts: list[str]) -> list[Fate]:
        return await self._post.delete(await self._url(), receipts)

    async def _hide_batch(self, receipts: list[tuple[str, int]]) -> list[Fate]:
        return await self._post.hide(await self._url(), receipts)

    def __repr__(self) -> str:
        return f"Clerk({len(self._chores)} to be done)"
