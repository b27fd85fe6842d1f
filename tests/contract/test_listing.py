"""What is in a bucket, on every S3 server that is at hand: odd keys, pages, rights."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from edgeproxy.assembly.origins import origins_of
from edgeproxy.bulk.comparing import Comparison
from edgeproxy.clock import SystemClock
from edgeproxy.config import parse
from edgeproxy.origins.listing import NotListedError, Page, page_of
from edgeproxy.origins.s3 import S3Origin
from tests.contract.test_main_job import KEYS
from tests.servers.server import S3Server


async def origin(server: S3Server, bucket: str, stack: AsyncExitStack, keys: str = "") -> S3Origin:
    own = f"{{access_key_id: {server.access_key_id}, secret_access_key: {server.secret_access_key}}}"
    fields = f"bucket: {bucket}, endpoint: '{server.endpoint}', region: {server.region}"
    text = f"""
origins: {{bucket: {{type: s3, {fields}, credentials: {keys or own}}}}}
default_behavior: {{target_origin: bucket}}
"""
    found = (await origins_of(parse(text, {}), SystemClock(), stack)).single["bucket"]
    assert isinstance(found, S3Origin)
    return found


async def test_odd_keys_are_listed_in_order_from_anywhere(server: S3Server, s3: Any, bucket: str) -> None:
    keys = [key for key in KEYS if server.has_odd_keys or ("//" not in key and "/./" not in key)]
    for key in keys:
        await s3.put_object(Bucket=bucket, Key=key, Body=b"x" * len(key))
    wanted = sorted((key.encode(), len(key)) for key in keys)
    async with AsyncExitStack() as stack:
        listed = await origin(server, bucket, stack)
        assert await page_of(listed, b"") == Page(tuple(wanted), is_last=True)
        assert (await page_of(listed, b"a")).objects == tuple(o for o in wanted if o[0].startswith(b"a"))
        for number, (key, _) in enumerate(wanted):
            assert (await page_of(listed, b"", key)).objects == tuple(wanted[number + 1 :])

        async def lists(after: bytes) -> Page:
            return await page_of(listed, b"", after)

        comparison = Comparison(lists)
        asked = sorted([key for key, _ in wanted] + [key + b"0" for key, _ in wanted] + [b" ", b"~~"])
        assert [key for key in asked if await comparison.has(key)] == [key for key, _ in wanted]


async def test_who_may_not_list_is_told_so(
    server: S3Server, s3: Any, bucket: str, restricted_s3: Any
) -> None:
    if not server.checks_signatures:
        pytest.skip(f"{server.name} lets everybody list")
    keys = "anonymous"
    if server.restricted_access_key_id is not None:
        keys = (
            f"{{access_key_id: '{server.restricted_access_key_id}',"
            f" secret_access_key: '{server.restricted_secret_access_key}',"
            f" session_token: '{server.restricted_session_token}'}}"
        )
    async with AsyncExitStack() as stack:
        with pytest.raises(NotListedError):
            await page_of(await origin(server, bucket, stack, keys), b"")
