"""The same scenarios through the gateway and through the functions: the same answers, the same bucket."""

import asyncio
import base64
import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from yarl import URL

from edgeproxy.lambdas import process
from edgeproxy.lambdas.balance import handler as balance
from edgeproxy.lambdas.canary import handler as canary
from edgeproxy.lambdas.edge_origin_request import handler as edge_origin_request
from edgeproxy.lambdas.edge_origin_response import handler as edge_origin_response
from edgeproxy.lambdas.invalidate_on_put import handler as invalidate_on_put
from edgeproxy.lambdas.mirror_url import handler as mirror_url
from edgeproxy.lambdas.queue_consumer import handler as queue_consumer
from tests.conftest import Edge

from .conftest import Answer, Aws, Context, Source
from .test_balance import TICK, Api, api, body
from .test_functions import batch, put, url
from .test_functions import edge as edge_of

__all__ = ["api"]

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


# A pool: through the gateway, and through the function.

BALANCED = """
server: {{default_root_object: index.json}}
origins:
  api:
    type: pool
    algorithm: {algorithm}
    annotate: {annotate}
    upstream_headers: false
    nodes: [{nodes}]
    checks: {{path: /ping, interval: 60s}}
response_headers_policies:
  open:
    cors_config:
      {{access_control_allow_origins: ["https://a.example"], access_control_allow_methods: [GET, POST]}}
    custom_headers_config: [{{header: X-Served, value: "yes"}}]
    remove_headers_config: [Server]
default_behavior:
  target_origin: api
  cache_policy: CachingDisabled
  origin_request_policy: AllViewerExceptHostHeader
  response_headers_policy: open
  allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]
behaviors:
  - {{path_pattern: /read/*, target_origin: api, cache_policy: CachingDisabled, disallowed_status: 405}}
"""
JSON = {"Content-Type": "application/json", "ETag": '"v1"'}
REPLIES = {
    "/object": Answer(b'{"a": 1.10, "b": [true]}', headers=JSON),
    "/list": Answer(b"[1]", headers=JSON),
    "/not-json": Answer(b"<p>\xe9", headers={"Content-Type": "text/html; charset=iso-8859-1"}),
    "/claims-json": Answer(b"{no", headers=JSON),
    "/png": Answer(b"\x89PNG\x00", headers={"Content-Type": "image/png"}),
    "/gzip": Answer(b"\x1f\x8b", headers={**JSON, "Content-Encoding": "gzip"}),
    "/error": Answer(b'{"error":1}', 500, JSON),
    "/missing": Answer(b"no", 404),
    "/elsewhere": Answer(b"", 302, {"Location": "/other"}),
    "/busy": Answer(b"", 503, {"Retry-After": "7"}),
    "/cut": Answer(b"half", length=8),
    "/index.json": Answer(b'{"index":1}', headers=JSON),
}
ASKED: list[tuple[str, str, bytes, dict[str, str]]] = [
    *(("GET", target, b"", {}) for target in REPLIES if target != "/cut"),
    ("GET", "/", b"", {}),
    ("GET", "/object?b=2&a=1&a=%20", b"", {"cookie": "s=1", "accept-language": "de"}),
    ("HEAD", "/object", b"", {}),
    ("GET", "/object", b"", {"range": "bytes=0-1", "if-none-match": '"v1"'}),
    ("POST", "/object", b'{"method":"x"}', {"content-type": "application/json"}),
    ("POST", "/object", b"\x00\xff", {"content-type": "application/octet-stream"}),
    ("PUT", "/list", b"new", {"authorization": "Bearer t"}),
    ("OPTIONS", "/object", b"", {"origin": "https://a.example", "access-control-request-method": "POST"}),
    ("GET", "/object", b"", {"origin": "https://a.example", "x-forwarded-for": "1.2.3.4", "via": "1.1 me"}),
    ("GET", "/missing", b"", {"origin": "https://b.example"}),
    ("POST", "/read/object", b"x", {}),
    ("GET", "/a/../b", b"", {}),
    ("GET", "/a%2Fb", b"", {}),
]
CHANGING = {"x-amz-cf-id", "via", "date", "server-timing", "content-length", "connection", "keep-alive"}
CHANGING |= {"x-edge-backfill"}  # which the function does not do
CHANGING |= {"server"}  # which a policy removes, and whoever speaks HTTP adds
# What aiohttp's client says to the gateway, and nobody to the function.
_ITS_OWN = {"host", "user-agent", "accept", "accept-encoding", "via", "cdn-loop", "connection"}


def event_of(method: str, target: str, content: bytes, fields: dict[str, str]) -> dict[str, Any]:
    path, _, query = target.partition("?")
    event = url(path, method, query)
    cookie = fields.get("cookie")
    event["headers"] = {name: value for name, value in fields.items() if name != "cookie"}
    # Whoever asks the gateway here is on this machine.
    event["requestContext"]["http"]["sourceIp"] = "127.0.0.1"
    event |= {"cookies": [cookie]} if cookie else {}
    return event | {"body": base64.b64encode(content).decode(), "isBase64Encoded": True}


async def through_the_gateway(
    edge: Edge, method: str, target: str, content: bytes, fields: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    where = URL(edge.url + target, encoded=True)
    # What aiohttp's client would add is left out.
    skipped = ["Accept", "Accept-Encoding", "User-Agent", "Content-Type"]
    async with edge.viewer.request(
        method, where, data=content or None, headers=fields, allow_redirects=False, skip_auto_headers=skipped
    ) as answer:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, headers, await answer.read()


async def through_the_function(*asked: Any) -> tuple[int, dict[str, str], bytes]:
    got = await asyncio.to_thread(balance, event_of(*asked), Context())
    headers = {name.lower(): value for name, value in got["headers"].items()}
    return got["statusCode"], headers, body(got)


def lasting(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in CHANGING}


@pytest.mark.parametrize("annotate", ["true", "false"])
async def test_a_pool_answers_the_same(api: Api, edge: Starts, annotate: str) -> None:
    for node in api.nodes.values():
        node.answers = REPLIES
    # In a row, so that both go to the same nodes in the same order.
    nodes = ", ".join(f'{{url: "{node.url}", name: {name}}}' for name, node in api.nodes.items())
    text = BALANCED.format(algorithm="round-robin", annotate=annotate, nodes=nodes)
    gateway = await edge(text)
    api.told(config=text.replace("server: {", "server: {debug_headers: true, "))
    for asked in ASKED:
        seen = []
        for through in (through_the_gateway(gateway, *asked), through_the_function(*asked)):
            for node in api.nodes.values():
                node.asked, node.bodies, node.fields = [], [], []
            status, headers, content = await through
            told = [
                (name, node.asked, node.bodies, [_end_to_end(fields) for fields in node.fields])
                for name, node in api.nodes.items()
            ]
            seen.append((status, lasting(headers), _without_id(content), told))
        assert seen[0] == seen[1], asked


def _end_to_end(fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name not in _ITS_OWN}


def _without_id(content: bytes) -> bytes:
    return re.sub(rb"request id \S+", b"request id", content)


async def test_no_node_is_left_for_either(api: Api, edge: Starts) -> None:
    api.configure(shares=True)
    nodes = ", ".join(f'{{url: "{node.url}", name: {name}}}' for name, node in api.nodes.items())
    for node in api.nodes.values():
        node.status = 500
    text = BALANCED.format(algorithm="p2c-ewma", annotate="false", nodes=nodes)
    gateway = await edge(text)
    while any(node["health"] != "down" for node in (await gateway.gateway.app.pools())[0]["nodes"]):
        await asyncio.sleep(0.01)
    api.told(config=text.replace("server: {", "server: {debug_headers: true, "))
    await asyncio.to_thread(canary, TICK, Context())
    asked = ("GET", "/object", b"", {"origin": "https://a.example"})
    one, other = await through_the_gateway(gateway, *asked), await through_the_function(*asked)
    assert (one[0], lasting(one[1])) == (other[0], lasting(other[1]))
    assert (one[0], one[1]["retry-after"]) == (503, "60")
    assert _without_id(one[2]) == _without_id(other[2])
