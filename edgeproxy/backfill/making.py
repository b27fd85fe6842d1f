"""A bucket in front of which objects that it lacks are made while the viewer waits."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgeproxy.backfill.job import Job
from edgeproxy.backfill.maker import Made, Maker
from edgeproxy.core.backfilling import Mode, Rule
from edgeproxy.core.errors import OriginError
from edgeproxy.core.failover import Attempt
from edgeproxy.core.forwarding import to_be_shared
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.paths import same_address
from edgeproxy.origins.base import Origin, Reply, no_body

_SOON_S = 1.0
"""How long it is remembered that an object is not there, which may be any moment."""
_READABLE = frozenset({200, 206, 416})
"""What a bucket says of the first byte of an object that it gives away; an empty one has none."""


@dataclass(frozen=True, slots=True)
class Commission:
    """An object is to be made, as `rule` has it."""

    job: Job
    rule: Rule


class MakingOrigin:
    """`primary`, and the way by which what it lacks gets there; it is asked again when that is done.

    `order(request, status)` says whether that is to be done for an answer with this status. What the viewer
    gets is what the bucket then says. It gets the first answer if nothing could be made, and what was made
    if only the bucket is at fault. In the mode `redirect` it is sent to the same address again instead,
    but only if the bucket gives the object away by then, so that no viewer goes in circles.

    Where we did not so much as try, such as while the backfill is paused, the bucket has simply answered:
    an origin group goes on to its secondary.
    """

    def __init__(
        self, primary: Origin, maker: Maker, order: Callable[[Request, int], Commission | None]
    ) -> None:
        self.name = primary.name
        self._primary = primary
        self._maker = maker
        self._order = order

    async def fetch(self, request: Request) -> Reply:
        """Ask the primary; have made what it says it lacks."""
        reply = await self._primary.fetch(request)
        order = self._order(request, reply.head.status)
        if order is None:
            return reply
        trail = reply.trail
        made = await self._maker.make(order.job)
        again, trail = await self._again(request, order.rule, made, trail)
        if again is None and made.by_others:
            # They have failed, or died: then it is ours to make.
            made = await self._maker.make(order.job)
            again, trail = await self._again(request, order.rule, made, trail)
        if again is not None:
            reply.close()
            again.trail, again.filling, again.is_last_word = trail, made.word, True
            return again
        reply.trail, reply.filling, reply.is_last_word = trail, made.word, not made.is_untried
        reply.keep_s = None if made.is_final else _SOON_S
        return reply

    async def _again(
        self, request: Request, rule: Rule, made: Made, trail: tuple[Attempt, ...]
    ) -> tuple[Reply | None, tuple[Attempt, ...]]:
        """The answer now, if there is one; and the way so far."""
        is_back = rule.mode is Mode.REDIRECT
        trail += made.trail
        if made.is_there:
            try:
                reply = await self._primary.fetch(_first_byte(request) if is_back else request)
            except OriginError as error:
                trail += error.trail
            else:
                trail += reply.trail
                if is_back and reply.head.status in _READABLE:
                    reply.close()
                    return _back_to(request.asked or request), trail
                if not is_back and reply.head.status not in rule.on_status:
                    return reply, trail
                reply.close()
        if made.copy is not None and not is_back:
            return made.copy.reply(request.method), trail
        return None, trail

    def __repr__(self) -> str:
        return f"MakingOrigin({self._primary!r}, {self._maker!r})"


def _back_to(asked: Request) -> Reply:
    fields = [
        ("Location", same_address(asked.path, asked.query)),
        ("Cache-Control", "no-store"),
        ("Content-Length", "0"),
    ]
    return Reply(Head(302, Headers(fields)), no_body(), keep_s=0.0)


def _first_byte(request: Request) -> Request:
    """What the viewer will ask for, but for no more than shows that it would get it.

    By GET: a bucket may tell of objects that it does not give away.
    """
    return replace(to_be_shared(request, (("Range", "bytes=0-0"),)), method="GET")
