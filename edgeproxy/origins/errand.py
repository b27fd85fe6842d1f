"""One request on its way through a pool: asked here, asked there, until there is an answer to give."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from edgeproxy.core.balancing.breaker import Outcome
from edgeproxy.core.balancing.fitness import NobodyFit
from edgeproxy.core.balancing.retrying import may_retry
from edgeproxy.core.errors import EdgeError, OriginError, timed_out
from edgeproxy.core.failover import Attempt
from edgeproxy.core.message import Request
from edgeproxy.core.reason import Reason
from edgeproxy.origins.base import Reply
from edgeproxy.origins.conduct import Conduct
from edgeproxy.origins.connection import StaleError
from edgeproxy.origins.held import Held
from edgeproxy.origins.member import Call, Member

_BODILESS = frozenset({204, 304})


class Chooser(Protocol):
    """What an errand asks of its pool."""

    name: str
    conduct: Conduct

    async def choice(self, client: str, tried: frozenset[str]) -> Member | NobodyFit:
        """Who is asked next."""
        ...

    def judged(self, member: Member, status: int) -> Outcome:
        """Whether an answer speaks for the node."""
        ...

    def nobody(self, why: NobodyFit) -> OriginError:
        """The error of a request for which there is no node."""
        ...

    def may_spend(self) -> Reason | None:
        """Take one more request from the budget of retries; a Reason if there is none left."""
        ...

    def may_hedge(self) -> Reason | None:
        """The same, of the budget of hedges."""
        ...

    def hedge_after_s(self) -> float | None:
        """Seconds after which a second node is asked beside the first; None: not at all."""
        ...


class Errand:
    """Tries, tries again where that is safe, and asks two where the first is slow."""

    def __init__(self, pool: Chooser, request: Request, body: Held | None, *, is_idempotent: bool) -> None:
        self._pool = pool
        self._request = request
        self._body = body
        self._is_idempotent = is_idempotent
        self._tried: frozenset[str] = frozenset()
        self._trail: list[Attempt] = []
        self._limit: asyncio.Timeout | None = None

    async def run(self) -> Reply:
        """The reply of the first node that gives a good one, or else of the last.  Raises `OriginError`."""
        try:
            async with asyncio.timeout(self._pool.conduct.total_s) as self._limit:
                reply = await self._asked()
        except TimeoutError:
            error = timed_out(self._pool.name, "the request", self._pool.conduct.total_s or 0.0)
            error.trail = tuple(self._trail)
            raise error from None
        except OriginError as error:
            error.trail = tuple(self._trail) or error.trail
            raise
        reply.trail = tuple(self._trail)
        return reply

    async def _asked(self) -> Reply:
        choice = await self._choice()
        if isinstance(choice, NobodyFit):
            raise self._pool.nobody(choice)
        while True:
            try:
                reply = await self._from(choice)
            except OriginError as error:
                why = self._why_not_again(was_sent=was_sent(error))
                following = why or await self._next()
                if not isinstance(following, Member):
                    error.message += f"; no other node was asked ({following})"
                    raise
            else:
                if reply.head.status not in self._pool.conduct.retry_on:
                    return reply
                following = self._why_not_again(was_sent=True) or await self._next()
                if not isinstance(following, Member):
                    return reply
                reply.close()
            choice = following

    async def _choice(self) -> Member | NobodyFit:
        return await self._pool.choice(self._request.viewer, self._tried)

    async def _next(self) -> Member | Reason:
        """Who is asked after a failure. The budget is asked last, so that a "no" costs nothing."""
        choice = await self._choice()
        if isinstance(choice, NobodyFit):
            return choice.reason
        return self._pool.may_spend() or choice

    def _why_not_again(self, *, was_sent: bool) -> Reason | None:
        reason = may_retry(
            attempts=len(self._tried),
            max_attempts=self._pool.conduct.attempts,
            was_sent=was_sent,
            idempotent=self._is_idempotent,
        )
        if reason is None and self._body is not None and self._body.is_spent:
            return Reason.BODY_SPENT
        return reason

    async def _from(self, member: Member) -> Reply:
        """The reply of `member`, or of another that is asked beside it and is faster."""
        after_s = self._pool.hedge_after_s()
        if after_s is None or not self._may_double():
            return await self._at(member, self._sent_to(member))
        tasks = {self._begun(member)}
        won: Reply | None = None
        lost: OriginError | None = None
        try:
            done, _ = await asyncio.wait(tasks, timeout=after_s)
            if not done:
                second = await self._choice()
                if isinstance(second, Member) and self._pool.may_hedge() is None:
                    tasks.add(self._begun(second))
            while tasks:
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    try:
                        reply = task.result()
                    except OriginError as error:
                        lost = error
                        continue
                    if won is not None:
                        won.close()
                    won = reply
                if won is not None and won.head.status not in self._pool.conduct.retry_on:
                    break
        except BaseException:
            if won is not None:
                won.close()
            raise
        finally:
            await _given_up(tasks)
        if won is not None:
            return self._last(won)
        assert lost is not None
        raise lost

    def _may_double(self) -> bool:
        if self._request.websocket:
            return False
        is_whole = self._body is None or self._body.whole is not None
        return self._is_idempotent and is_whole and len(self._tried) + 1 < self._pool.conduct.attempts

    def _last(self, reply: Reply) -> Reply:
        """The trail ends with whoever gave the answer."""
        (attempt,) = reply.trail
        self._trail.remove(attempt)
        self._trail.append(attempt)
        return reply

    def _sent_to(self, member: Member) -> Call:
        """Tells the node's state at once, so that of many who choose at the same time one is the probe."""
        self._tried |= {member.name}
        return member.sent()

    def _begun(self, member: Member) -> "asyncio.Task[Reply]":
        call = self._sent_to(member)
        task = asyncio.get_running_loop().create_task(self._at(member, call))
        # It may be cancelled before it has run at all.
        task.add_done_callback(lambda ended: call.over() if ended.cancelled() else None)
        return task

    async def _at(self, member: Member, call: Call) -> Reply:
        """What one node says. Tells the node's state, and the trail."""
        pool, request = self._pool, self._request
        body = self._body.content() if self._body is not None else None
        try:
            reply = await member.exchange(
                request.method,
                request.target,
                request.headers,
                body,
                request.host,
                websocket=request.websocket,
                is_idempotent=self._is_idempotent,
            )
        except OriginError as error:
            if not isinstance(error, StaleError):
                # Servers close what they kept when they like: that is no fault of theirs.  RFC 9112 §9.3.1.
                call.ended(Outcome.FAILED, error.message)
            self._note(member, error.failover_as, error.reason)
            call.over()
            raise
        except asyncio.CancelledError:
            if self._limit is not None and self._limit.expired():
                call.ended(Outcome.FAILED, "had no answer when the time was up")
                self._note(member, 504, Reason.ORIGIN_TIMEOUT)
            else:
                self._note(member, 504, Reason.NODE_OUTRUN)
            call.over()
            raise
        except BaseException:
            # The viewer's fault: the body that it was sending broke off.
            call.over()
            raise
        status = reply.head.status
        outcome = pool.judged(member, status)
        took_s = call.took_s
        if outcome is Outcome.OK:
            call.answered()
        else:
            call.ended(outcome, f"{member.name}: answered {status}")
        reply.trail = (self._note(member, status, took_s=took_s),)
        deadline = self._limit.when() if self._limit is not None else None
        return followed(reply, member.name, call, request.method, deadline, pool.conduct.total_s or 0.0)

    def _note(
        self, member: Member, status: int, reason: Reason | None = None, *, took_s: float | None = None
    ) -> Attempt:
        attempt = Attempt(self._pool.name, status, reason, member.name, took_s, self._pool.conduct.tells)
        self._trail.append(attempt)
        return attempt


def was_sent(error: OriginError) -> bool:
    """Whether the node may have seen some of the request. TLS fails before any of it is sent."""
    return not error.was_asked_nothing and error.reason is not Reason.ORIGIN_TLS


async def _given_up(tasks: "set[asyncio.Task[Reply]]") -> None:
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Reply):
            ended.close()
        elif isinstance(ended, Exception) and not isinstance(ended, EdgeError):
            raise ended


def followed(
    reply: Reply, node: str, call: Call, method: str, deadline: float | None, total_s: float
) -> Reply:
    """`reply`, whose body's end is told to `call`; it has to come before `deadline`, of the loop's time."""

    def ended(outcome: Outcome, why: str = "") -> None:
        call.ended(outcome, why)
        call.over()

    def close() -> None:
        call.over()
        reply_close()

    async def body() -> AsyncIterator[bytes]:
        chunks = aiter(reply_body)
        try:
            while True:
                try:
                    if deadline is None:
                        chunk = await anext(chunks)
                    else:
                        async with asyncio.timeout_at(deadline):
                            chunk = await anext(chunks)
                except StopAsyncIteration:
                    break
                yield chunk
        except TimeoutError:
            error = timed_out(node, "the rest of the body", total_s)
            ended(Outcome.FAILED, error.message)
            reply_close()
            raise error from None
        except OriginError as error:
            ended(Outcome.FAILED, error.message)
            raise
        ended(Outcome.OK)

    reply_body, reply_close = reply.body, reply.close
    if method == "HEAD" or reply.head.status in _BODILESS or reply.head.length == 0:
        ended(Outcome.OK)
        return reply
    reply.body, reply.close = body(), close
    return reply
