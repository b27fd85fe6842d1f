"""The main road of the stories: a bucket in moto, a scripted site, a gateway with a group of the two."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiobotocore.config import AioConfig

from edgeproxy.aws import session
from edgeproxy.backfill import writer
from tests.conftest import Edge, Script, ScriptedOrigin
from tests.stories import studio as studios
from tests.stories.bucket import Bucket
from tests.stories.studio import Studio


@dataclass
class House:
    """All of it, running."""

    edge: Edge
    site: ScriptedOrigin
    s3: Any
    bucket: str

    async def stored(self) -> dict[str, int]:
        """Keys and sizes in the bucket, once the backfill has nothing more to do."""
        await self.edge.gateway.app.backfilled()
        listed = await self.s3.list_objects_v2(Bucket=self.bucket)
        return {item["Key"]: item["Size"] for item in listed.get("Contents", [])}


Build = Callable[..., Awaitable[House]]


@pytest.fixture(autouse=True)
def asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that is out of order is asked once more at once."""
    monkeypatch.setattr(writer, "_AGAIN_S", 0.01)


@pytest.fixture
async def s3(moto: str) -> AsyncIterator[Any]:
    options = {
        "endpoint_url": moto,
        "region_name": "us-east-1",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test-secret",
        "config": AioConfig(s3={"addressing_style": "path"}),
    }
    async with session().create_client("s3", **options) as client:
        yield client


@pytest.fixture
async def house(
    moto: str,
    s3: Any,
    bucket_name: str,
    scripted: Callable[[Script], Awaitable[ScriptedOrigin]],
    edge: Callable[[str], Awaitable[Edge]],
) -> Build:
    """Builds a house around what the site does; `more` is YAML that goes at the end."""

    async def build(
        script: Script,
        *,
        failover_on: str = "[403, 404]",
        policy: str = "",
        bucket_fields: str = "",
        rules: str = "[{}]",
        queue: str = "",
        cached: str = "[GET, HEAD]",
        request_policy: str = "null",
        origins: str = "",
        more: str = "",
    ) -> House:
        await s3.create_bucket(Bucket=bucket_name)
        site = await scripted(script)
        gateway = await edge(f"""
origins:
  bucket:
    {{type: s3, bucket: {bucket_name}, credentials: {{access_key_id: test, secret_access_key: test-secret}},
    {bucket_fields if "endpoint" in bucket_fields else f"endpoint: '{moto}', {bucket_fields}"}}}
  site: {{type: http, url: "{site.url}", connection_attempts: 1}}
  {origins}
origin_groups:
  media: {{members: [bucket, site], failover_on: {failover_on}}}
cache_policies:
  plain: {{min_ttl: 0, {policy}}}
default_behavior:
  target_origin: media
  cache_policy: plain
  origin_request_policy: {request_policy}
  allowed_methods: [GET, HEAD, OPTIONS]
  cached_methods: {cached}
backfill: {{rules: {rules}, backoff_base: 10ms, attempts: 2, part_size: 5MiB, {queue}}}
{more}
""")
        return House(gateway, site, s3, bucket_name)

    return build


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
async def build(
    scripted: Callable[[Script], Awaitable[ScriptedOrigin]],
    edge: Callable[[str], Awaitable[Edge]],
    bucket: Bucket,
    studio: Studio,
) -> studios.Build:
    """Builds a gateway over `bucket` and `studio`; gives it and the studio's server."""

    async def built(mode: str = "generate", **how: str) -> tuple[Edge, ScriptedOrigin]:
        s3, maker = await scripted(bucket), await scripted(studio)
        return await edge(studios.config(mode, s3.url, maker.url, **how)), maker

    return built
