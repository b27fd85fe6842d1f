"""Asking a node whether it is well."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from edgeproxy.core.balancing.nodes import Ping
from edgeproxy.core.errors import OriginError
from edgeproxy.core.message import Headers
from edgeproxy.origins.member import Member


@dataclass(frozen=True, slots=True)
class Check:
    """What is asked, and which answer is a good one."""

    path: str = "/"
    method: str = "GET"
    body: bytes | None = None
    content_type: str = "application/json"
    statuses: frozenset[int] = frozenset({200})
    timeout_s: float = 2.0


async def ping(member: Member, check: Check, elapsed: Callable[[], float]) -> Ping:
    """What the node says to `check`. Its state stays as it is; whoever wants that says `pinged`."""
    began = elapsed()
    fields = [("User-Agent", "edgeproxy")]
    if check.body is not None:
        fields += [("Content-Type", check.content_type), ("Content-Length", str(len(check.body)))]
    try:
        async with asyncio.timeout(check.timeout_s):
            reply = await member.exchange(check.method, check.path, Headers(fields), check.body)
            try:
                is_well = reply.head.status in check.statuses
                async for _ in reply.body:
                    pass
            finally:
                reply.close()
    except (OriginError, TimeoutError):
        is_well = False
    now = elapsed()
    return Ping(now, now - began if is_well else None)
