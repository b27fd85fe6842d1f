"""A source that makes pictures, and a gateway that has it make what a scripted bucket lacks."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

PICTURE = b"0123456789"


class Studio:
    """Makes pictures when its gate is open; `told` is what it does instead."""

    def __init__(self, told: Script | None = None) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.told = told

    async def __call__(self, exchange: Exchange) -> None:
        await self.gate.wait()
        if self.told is not None:
            await self.told(exchange)
        else:
            await exchange.answer(200, PICTURE, content_type="image/png")


Build = Callable[..., Awaitable[tuple[Edge, ScriptedOrigin]]]


def config(
    mode: str,
    bucket: str,
    studio: str,
    *,
    policy: str = "min_ttl: 0",
    backfill: str = "",
    patience: str = "20s",
    more: str = "",
) -> str:
    return f"""
origins:
  bucket:
    {{type: s3, bucket: media, endpoint: "{bucket}", credentials: {{access_key_id: a, secret_access_key: s}}}}
  studio: {{type: http, url: "{studio}", connection_attempts: 1, read_timeout: {patience}}}
origin_groups: {{media: {{members: [bucket, studio], failover_on: [403, 404, 503]}}}}
cache_policies: {{plain: {{{policy}}}}}
default_behavior: {{target_origin: media, cache_policy: plain, allowed_methods: [GET, HEAD, OPTIONS]}}
backfill:
  {{rules: [{{mode: {mode}}}], attempts: 2, backoff_base: 1h, backoff_cap: 1h, part_size: 5MiB, {backfill}}}
{more}
"""


def way(answer: aiohttp.ClientResponse) -> tuple[str, str]:
    return answer.headers["X-Edge-Origin"], answer.headers["X-Edge-Backfill"]
