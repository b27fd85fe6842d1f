"""Behind an API Gateway, a function URL or a load balancer: the request goes to the fittest node of a pool.

The gateway's own code without its cache: what a behaviour lets in, what it forwards, which node is asked and
which next, what the viewer is told. Reproduces the published balancer, whose answers `annotate: true` has.
"""

import asyncio
import hmac
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from math import inf
from secrets import token_hex
from typing import Any

from edgeproxy.assembly.health import board_of, lookout_of
from edgeproxy.assembly.origins import pool_of
from edgeproxy.clock import SystemClock
from edgeproxy.config.renewing import pools_of
from edgeproxy.config.schema import Config
from edgeproxy.core.behavior import Behavior
from edgeproxy.core.decision import Fetch, Forward
from edgeproxy.core.errors import EdgeError, RequestError, timed_out
from edgeproxy.core.message import Request
from edgeproxy.core.reason import Reason
from edgeproxy.gateway.answers import Answer, from_error, from_reply, in_dress
from edgeproxy.gateway.visit import Front, Visit, admitted
from edgeproxy.health.board import BoardError, MemoryBoard
from edgeproxy.health.hearsay import Hearsay
from edgeproxy.health.names import Lookout
from edgeproxy.ids import Ids
from edgeproxy.lambdas import settings
from edgeproxy.lambdas.http_event import MAX_ANSWER_BYTES, AnswerTooLargeError, Asked, answer, asked
from edgeproxy.lambdas.pools import configured, has_shared_board
from edgeproxy.lambdas.process import Context, handler_of, log, opened, remaining_s
from edgeproxy.log import text_line
from edgeproxy.origins.base import Reply, whole_body
from edgeproxy.origins.pool import PoolOrigin
from edgeproxy.record import Record

SECRET_FIELD = "x-edge-secret"  # noqa: S105 - its name
"""Where CloudFront, or whoever else alone may call, says the setting `caller_secret`."""
_HEARD_S = 5.0
"""How old what the board says may be."""
_MARGIN_S = 0.5
_NOT_CACHED = Fetch(Forward.BYPASS, Reason.CACHING_DISABLED)


@dataclass
class Balancer:
    """What is kept from call to call."""

    config: Config
    front: Front
    behaviors: tuple[Behavior, ...]
    pools: Mapping[str, PoolOrigin]
    """By what a behaviour may name: of a group, the pool that is in it."""
    hearsay: Hearsay
    lookout: Lookout
    ids: Ids = field(default_factory=Ids)
    looked_at: float = -inf
    """When names were looked up, POSIX."""

    async def refresh(self, now: float) -> None:
        """What is known of the nodes is of a moment ago."""
        if not 0 <= now - self.looked_at < self.config.health.resolve_interval:
            self.looked_at = now
            await self.lookout.look()
        await self.hearsay.refresh()


_clock = SystemClock()
_kept: tuple[Mapping[str, str], Balancer] | None = None


async def _balancer() -> Balancer:
    global _kept
    given = settings.given()
    if _kept is None or _kept[0] is not given:
        _kept = (given, await _made())
    return _kept[1]


async def _made() -> Balancer:
    config = configured()
    sections = pools_of(config)
    async with AsyncExitStack() as stack:
        pools = {name: await pool_of(name, section, _clock, stack) for name, section in sections.items()}
        board = board_of(config) if has_shared_board(config) else MemoryBoard()
        if not has_shared_board(config) and any(pool.conduct.is_checked for pool in pools.values()):
            log(f"health.board: got {config.health.board}: nodes are known by their requests alone")
        stack.push_async_callback(board.close)
        try:
            await board.open()
        except BoardError as error:
            log(f"health: {error}; nodes are known by their requests alone")
            board = MemoryBoard()
        hearsay = Hearsay(list(pools.values()), board, _clock, _HEARD_S, log)
        lookout = lookout_of(config, pools, _clock, log, stack)
        opened.push_async_callback(stack.pop_all().aclose)
    targets = dict(pools)
    for name, group in config.origin_groups.items():
        for member in reversed(group.members):
            if member in pools:
                targets[name] = pools[member]
    return Balancer(config, _front(config), config.behavior_values(), targets, hearsay, lookout)


def _front(config: Config) -> Front:
    """Aliases, error pages and proxies are those of whoever stands in front of the function."""
    instance = f"{token_hex(16)}.edgeproxy"
    return Front(
        via=f"1.1 {instance} (edgeproxy)",
        loop_id=instance,
        default_root_object=config.server.default_root_object,
        allow_ambiguous_paths=config.server.ambiguous_paths == "pass",
        debug_headers=config.server.debug_headers,
    )


async def main(event: Any, context: Context) -> Any:
    """A node's answer, or 4xx and 5xx as the gateway has them."""
    got = asked(event)
    balancer = await _balancer()
    # Connections that were closed while the process slept are seen to be, before one is used.
    await asyncio.sleep(0)
    request = _request(got)
    now, elapsed = _clock.now(), _clock.elapsed()
    record = Record(balancer.ids.new(), request.method, request.target, request.viewer, now, elapsed)
    ended, body = await _answered(balancer, got, request, record, remaining_s(context) - _MARGIN_S)
    try:
        return answer(got, ended.head.status, ended.head.headers, body)
    except AnswerTooLargeError as error:
        ended = from_error(record, _too_large(error), balancer.front)
        body = _bytes_of(ended)
        return answer(got, ended.head.status, ended.head.headers, body)
    finally:
        record.duration_s = _clock.elapsed() - elapsed
        record.sent_bytes = len(body)
        if record.fault:
            log(text_line(record))


async def _answered(
    balancer: Balancer, got: Asked, request: Request, record: Record, within_s: float
) -> tuple[Answer, bytes]:
    visit = None
    try:
        _check(got)
        visit = admitted(request, balancer.behaviors, balancer.front, record)
        pool = balancer.pools.get(visit.behavior.target)
        if pool is None:
            raise RequestError(Reason.NO_POOL, "there is no pool behind this path", status=404)
        await balancer.refresh(record.started_at)
        try:
            async with asyncio.timeout(max(within_s, 0.0)):
                reply, body = await _whole(pool, visit, MAX_ANSWER_BYTES[got.shape])
        except TimeoutError:
            raise timed_out(pool.name, "the request", round(within_s, 1)) from None
        fetch = visit.bypass or _NOT_CACHED
        ended = from_reply(visit, reply, fetch, fetch.reason)
    except EdgeError as error:
        ended = from_error(record, error, balancer.front)
        body = _bytes_of(ended)
    except Exception as error:  # the caller gets a 500, the log the cause
        fault = EdgeError(Reason.INTERNAL, f"{type(error).__name__}: {error}", status=500)
        ended = from_error(record, fault, balancer.front)
        body = _bytes_of(ended)
    if visit is not None and (policy := visit.behavior.response_headers) is not None:
        ended = in_dress(visit, ended, policy, (_clock.elapsed() - record.started) * 1000)
    return ended, body


def _check(got: Asked) -> None:
    secret = settings.text("caller_secret", default="")
    said = got.request.headers.get(SECRET_FIELD) or ""
    if secret and not hmac.compare_digest(said.encode(), secret.encode()):
        raise RequestError(Reason.BAD_CALLER, "this address is not for viewers", status=403)


async def _whole(pool: PoolOrigin, visit: Visit, limit: int) -> tuple[Reply, bytes]:
    """The reply, and its body, which has to be there before anything of it can be returned."""
    reply = await pool.fetch(visit.sent)
    body = bytearray()
    try:
        async for chunk in reply.body:
            body += chunk
            if len(body) > limit:
                raise _too_large(AnswerTooLargeError(len(body), limit))
    finally:
        reply.close()
    return reply, bytes(body)


def _too_large(error: AnswerTooLargeError) -> EdgeError:
    return EdgeError(Reason.TOO_LARGE, str(error), status=502)


def _bytes_of(ended: Answer) -> bytes:
    assert isinstance(ended.body, bytes)
    return ended.body


def _request(got: Asked) -> Request:
    """The request with its body, of the length that it has, and of the viewer who asks."""
    request = got.request
    viewer = _viewer(request)
    headers = request.headers.without({"content-length", SECRET_FIELD})
    if not got.body:
        return replace(request, headers=headers, viewer=viewer)
    # What a mapping template has made of a body is not as long as it was.
    headers = headers.having(("Content-Length", str(len(got.body))))
    return replace(request, headers=headers, viewer=viewer, body=whole_body(got.body))


def _viewer(request: Request) -> str:
    """Who asks, as the front end saw it; with `trusted_hops` as proxies before it did, each the one before.

    Front ends put the address that they see at the end of `X-Forwarded-For`; a REST API and a mapping
    template tell it beside that.
    """
    listed = [part.strip() for part in (request.headers.get("x-forwarded-for") or "").split(",")]
    listed = [part for part in listed if part]
    if request.viewer and listed[-1:] != [request.viewer]:
        listed.append(request.viewer)
    hops = int(settings.number("trusted_hops", 0))
    return listed[max(0, len(listed) - 1 - hops)] if listed else ""


handler = handler_of(main)
