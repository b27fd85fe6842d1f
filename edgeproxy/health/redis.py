"""The board in Redis, which many machines share. No exception of redis-py's leaves this file.

Needs the extra `edgeproxy[redis]`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from edgeproxy.core.balancing.findings import MAX_SKEW_S, UNREADABLE, Finding, finding_of, text_of
from edgeproxy.health.board import KEEP_S, BoardError

_PREFIX = "edgeproxy:health:"
# Redis runs a script alone: what is compared is what is overwritten.
_PUT = """
local at = tonumber(redis.call('HGET', KEYS[1], 'at'))
if at and at >= tonumber(ARGV[1]) and at <= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'at', ARGV[1], 'told', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""


class RedisBoard:
    """See `Board`. One hash for each node, `edgeproxy:health:POOL/NODE`."""

    def __init__(self, url: str, timeout_s: float = 1.0) -> None:
        """`url` such as `redis://:password@host:6379/0`; it may hold a secret."""
        self._url = url
        self._timeout_s = timeout_s
        self._client: Any = None
        self._put: Any = None
        self._faults: tuple[type[Exception], ...] = ()

    async def open(self) -> None:
        """See `Board`. Nothing is sent yet."""
        try:
            from redis.asyncio import Redis
            from redis.exceptions import RedisError
        except ImportError as error:
            raise BoardError("redis-py is not installed: install edgeproxy[redis]") from error
        self._faults = (RedisError, OSError)
        self._client = Redis.from_url(
            self._url,
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            max_connections=16,
        )
        self._put = self._client.register_script(_PUT)

    async def close(self) -> None:
        """See `Board`."""
        if self._client is not None:
            await self._client.aclose()

    async def read(self, nodes: Sequence[str]) -> Mapping[str, Finding]:
        """See `Board`."""
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for node in nodes:
                    pipeline.hget(_PREFIX + node, "told")
                told = await pipeline.execute()
        except self._faults as error:
            raise BoardError(_said(error)) from error
        found: dict[str, Finding] = {}
        for text in told:
            try:
                finding = finding_of(text)
            except UNREADABLE:
                continue
            found[finding.node] = finding
        return found

    async def put(self, finding: Finding, now: float) -> bool:
        """See `Board`."""
        keys = [_PREFIX + finding.node]
        arguments = [repr(finding.at), text_of(finding), repr(now + MAX_SKEW_S), int(KEEP_S)]
        try:
            return bool(await self._put(keys=keys, args=arguments))
        except self._faults as error:
            raise BoardError(_said(error)) from error


def _said(error: Exception) -> str:
    return f"Redis: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no answer'}"
