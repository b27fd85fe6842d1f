"""Asking a node whether it is well."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from edgeproxy.core.balancing.nodes import Ping
from edgeproxy.core.checking import Bad, Good, Wanted, answered
from edgeproxy.core.errors import OriginError
from edgeproxy.core.message import Headers
from edgeproxy.origins.base import Reply
from edgeproxy.origins.member import Member

MAX_ANSWER = 2**20
"""Bytes of an answer that are read."""


@dataclass(frozen=True, slots=True)
class Check:
    """What is asked, and which answer is a good one."""

    path: str = "/"
    method: str = "GET"
    body: bytes | None = None
    content_type: str = "application/json"
    wanted: Wanted = Wanted()
    timeout_s: float = 2.0


async def ping(member: Member, check: Check, elapsed: Callable[[], float], *, apart: bool = False) -> Ping:
    """What the node says to `check`. Its state stays as it is; whoever wants that says `pinged`.

    `apart` from requests: over a connection of its own, so that a node whose connections are all busy is not
    taken for dead.
    """
    began = elapsed()
    member.used(+1)
    try:
        async with asyncio.timeout(check.timeout_s):
            reply = await _asked(member, check, apart)
            try:
                body = await _read(reply.body)
            finally:
                reply.close()
        if body is None and check.wanted.looks_inside:
            found: Bad | Good = Bad(f"its answer is larger than {MAX_ANSWER} bytes")
        else:
            found = answered(reply.head.status, body or b"", check.wanted)
    except TimeoutError:
        found = Bad(f"no answer in {check.timeout_s:g} s")
    except OriginError as error:
        found = Bad(error.message)
    finally:
        member.used(-1)
    now = elapsed()
    if isinstance(found, Bad):
        return Ping(now, None, why=found.why)
    return Ping(now, now - began, found.head)


async def _asked(member: Member, check: Check, apart: bool) -> Reply:
    fields = [("User-Agent", "edgeproxy")]
    if check.body is not None:
        fields += [("Content-Type", check.content_type), ("Content-Length", str(len(check.body)))]
    # A connection that was kept open may be closed by the node just now: that is no fault.
    return await member.exchange(
        check.method, check.path, Headers(fields), check.body, apart=apart, is_idempotent=True
    )


async def _read(body: AsyncIterator[bytes]) -> bytes | None:
    """All of it; None if it is too large."""
    read = bytearray()
    async for chunk in body:
        read += chunk
        if len(read) > MAX_ANSWER:
            return None
    return bytes(read)
