"""The same scenarios through the gateway and through the functions: the same answers, the same bucket."""

import asyncio
import base64
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from edgeproxy.lambdas import process
from edgeproxy.lambdas.edge_origin_request import handler as edge_origin_request
from edgeproxy.lambdas.edge_origin_response import handler as edge_origin_response
from edgeproxy.lambdas.invalidate_on_put import handler as invalidate_on_put
from edgeproxy.lambdas.mirror_url import handler as mirror_url
from edgeproxy.lambdas.queue_consumer import handler as queue_consumer
from tests.conftest import Edge

from .conftest import Answer, Aws, Context, Source
from .test_functions import batch, put, url
from .test_functions import edge as edge_of

Starts = Callable[[str], Awaitable[Any]]

PNG = Answer(
    b"\x89PNG",
    headers={
        "Content-Type": "image/png",
        "Cache-Control": "max-age=60",
        "Content-Disposition": "inline",
        "ETag": '"v1"',
        "Last-Modified": "Sat, 21 Nov 2026 08:00:00 GMT",
        "x-amz-meta-by": "studio",
    },
)
SCENARIOS = {
    "whole": PNG,
    "empty": Answer(b"", headers={"Content-Type": "text/plain"}),
    "without a type": Answer(b"x"),
    "missing": Answer(b"no", 404),
    "gone": Answer(b"no", 410),
    "refused": Answer(b"no", 401),
    "out of order": Answer(b"", 500),
    "private": Answer(b"x", headers={"Cache-Control": "private"}),
    "a cookie": Answer(b"x", headers={"Set-Cookie": "a=1"}),
    "varies": Answer(b"x", headers={"Vary": "Cookie"}),
    "right digest": Answer(b"abc", headers={"Content-MD5": "kAFQmDzST7DWlj99KOF/cg=="}),
    "wrong digest": Answer(b"abd", headers={"Content-MD5": "kAFQmDzST7DWlj99KOF/cg=="}),
    "elsewhere": Answer(b"", 302, headers={"Location": "/other"}),
}
STORED = [f"a/{name}" for name in ("empty", "right digest", "whole", "without a type")]


@dataclass
class Kept:
    """An object as it lies in a bucket."""

    body: bytes
    fields: dict[str, Any]


def kept(aws: Aws, bucket: str) -> dict[str, Kept]:
    s3 = aws.client("s3")
    found: dict[str, Kept] = {}
    for item in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        got = s3.get_object(Bucket=bucket, Key=item["Key"])
        names = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "Metadata", "ETag")
        found[item["Key"]] = Kept(got["Body"].read(), {name: got.get(name) for name in names})
    return found


@dataclass
class Both:
    """A gateway with a bucket of its own, over the same source as the functions with theirs."""

    edge: Edge
    aws: Aws
    bucket: str

    async def same(self) -> dict[str, Kept]:
        """What lies in the two buckets, which is the same."""
        await self.edge.gateway.app.backfilled()
        ours = await asyncio.to_thread(kept, self.aws, self.bucket)
        theirs = await asyncio.to_thread(kept, self.aws, self.aws.bucket)
        assert ours == theirs
        return ours


@pytest.fixture
def both(
    aws: Aws, source: Source, told: Callable[..., None], edge: Starts
) -> Callable[[str], Awaitable[Both]]:
    async def both(mode: str) -> Both:
        bucket = f"g-{uuid.uuid4().hex}"
        await asyncio.to_thread(aws.client("s3").create_bucket, Bucket=bucket)
        source.answers |= {f"/a/{quote(name)}": answer for name, answer in SCENARIOS.items()}
        told(external_endpoint=source.url, service_endpoint="https://cdn.example.com")
        gateway = await edge(f"""
origins:
  bucket:
    {{type: s3, bucket: {bucket}, endpoint: "{aws.endpoint}",
     credentials: {{access_key_id: a, secret_access_key: b}}}}
  site: {{type: http, url: "{source.url}", connection_attempts: 1}}
origin_groups: {{media: {{members: [bucket, site], failover_on: [403, 404]}}}}
default_behavior: {{target_origin: media, cache_policy: CachingOptimized}}
backfill: {{rules: [{{mode: {mode}}}], attempts: 1}}
""")
        return Both(gateway, aws, bucket)

    return both


async def test_a_queue_fills_the_bucket(both: Starts, source: Source, aws: Aws) -> None:
    b = await both("queue")
    for path, what in source.answers.items():
        answer, body = await b.edge.get(path)
        assert (answer.status, body) == (what.status, what.body), "the viewer has what the full origin says"
        event = edge_of("origin-request", path, "custom")
        # The process remembers what it has sent.
        event["Records"][0]["cf"]["request"]["querystring"] = uuid.uuid4().hex
        passed_on = await asyncio.to_thread(edge_origin_request, event, Context())
        assert passed_on == event["Records"][0]["cf"]["request"], "it goes on to the full origin, untouched"
    messages: list[str] = []
    while len(messages) < len(source.answers):
        messages += await asyncio.to_thread(aws.messages)
    await asyncio.to_thread(queue_consumer, batch(*messages), Context())
    assert sorted(await b.same()) == STORED


async def test_what_is_missing_is_made(both: Starts, source: Source) -> None:
    b = await both("generate")
    for path, what in source.answers.items():
        event = edge_of("origin-response", path, "s3", status="404")
        made = await asyncio.to_thread(edge_origin_response, event, Context())
        answer, body = await b.edge.get(path)
        assert str(answer.status) == made["status"], path
        if answer.status == 200:
            assert body == base64.b64decode(made["body"]) == what.body, path
            for name in ("Cache-Control", "Content-Disposition", "x-amz-meta-by"):
                lines = made["headers"].get(name.lower(), [{"value": None}])
                assert answer.headers.get(name) == lines[0]["value"], path
        else:
            assert answer.status == 404, path
            assert made is event["Records"][0]["cf"]["response"], "the bucket's answer stays"
    assert sorted(await b.same()) == STORED


async def test_who_misses_is_sent_back(both: Starts, source: Source) -> None:
    b = await both("redirect")
    for path, what in source.answers.items():
        mirrored = await asyncio.to_thread(mirror_url, url(path, query="v=2"), Context())
        answer, _ = await b.edge.get(f"{path}?v=2")
        if answer.status == 302:
            assert answer.headers["Cache-Control"] == mirrored["headers"]["Cache-Control"] == "no-store"
            assert f"https://cdn.example.com{answer.headers['Location']}" == mirrored["headers"]["Location"]
        else:
            # The published mirror says 404 whatever the cause; ours tells what may be tried again.
            is_passing = what.status >= 500 or path == "/a/wrong%20digest"
            assert (answer.status, mirrored["statusCode"]) == (404, 502 if is_passing else 404), path
            assert "Location" not in mirrored["headers"]
    assert sorted(await b.same()) == STORED


@pytest.mark.parametrize("key", ["a/pic one.png", "ü+%.png"])
async def test_an_upload_is_forgotten(
    both: Starts, source: Source, aws: Aws, told: Callable[..., None], key: str
) -> None:
    b = await both("queue")
    await asyncio.to_thread(aws.client("s3").put_object, Bucket=b.bucket, Key=key, Body=b"one")
    path = f"/{quote(key, safe='/+')}"
    assert (await b.edge.get(path))[1] == b"one"
    event = put(quote_plus(key))
    event["Records"][0]["s3"]["bucket"]["name"] = b.bucket
    paths: list[str] = []

    class Told:
        async def create_invalidation(self, **asked: Any) -> Any:
            paths.extend(asked["InvalidationBatch"]["Paths"]["Items"])
            return {"Invalidation": {"Id": "I1"}}

    told(distribution_id="E1")
    process._clients["cloudfront", "us-east-1", aws.endpoint] = Told()
    try:
        await asyncio.to_thread(invalidate_on_put, event, Context())
    finally:
        del process._clients["cloudfront", "us-east-1", aws.endpoint]
    # What the function tells CloudFront makes the gateway forget the very object.
    await asyncio.to_thread(aws.client("s3").put_object, Bucket=b.bucket, Key=key, Body=b"two")
    assert (await b.edge.get(path))[1] == b"one"
    await b.edge.gateway.app.invalidate(paths)
    assert (await b.edge.get(path))[1] == b"two"
