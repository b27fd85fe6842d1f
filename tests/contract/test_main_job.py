"""The main job on every S3 server that is at hand: signed reads, failover, backfill, honest errors."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from edgeproxy.core.paths import key_path
from tests.conftest import Edge, Exchange, Script, ScriptedOrigin
from tests.servers.server import S3Server

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]
MIB = 2**20

KEYS = [
    "plain.txt",
    "a b.txt",
    "a+b.txt",
    "100%.txt",
    "100%25.txt",
    "what?.txt",
    "c#.txt",
    "grün/日本語 😀.txt",
    "tilde~!*'().txt",
    "a&b=c;d:e@f,g$h.txt",
    "folder/./looks.like.dots...txt",
    "//double//slash.txt",
    "back\\slash.txt",
    "/".join(["~" * 200] * 5),
]


async def serves(exchange: Exchange) -> None:
    body = b"site:" + exchange.target.encode()
    await exchange.answer(
        200, body, content_type="text/plain", cache_control="max-age=60", x_amz_meta_from="site"
    )


def text(
    server: S3Server, bucket: str, site: str, *, keys: str = "", region: str = "", more: str = ""
) -> str:
    own = f"{{access_key_id: {server.access_key_id}, secret_access_key: {server.secret_access_key}}}"
    return f"""
server: {{ambiguous_paths: pass}}
origins:
  bucket:
    type: s3
    bucket: {bucket}
    region: {region or server.region}
    endpoint: {server.endpoint}
    credentials: {keys or own}
    connection_attempts: 1
    read_timeout: 2s
    {more}
  site: {{type: http, url: "{site}"}}
origin_groups: {{media: {{members: [bucket, site], failover_on: [403, 404]}}}}
default_behavior: {{target_origin: media}}
backfill: {{rules: [{{}}], part_size: 5MiB, backoff_base: 10ms, attempts: 2}}
"""


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:12])
async def test_every_key_is_exact_on_its_way_out_and_back(
    server: S3Server, s3: Any, bucket: str, scripted: Starts, edge: Gateway, key: str
) -> None:
    if ("//" in key or "/./" in key) and not server.has_odd_keys:
        pytest.skip(f"{server.name} has no such keys")
    site = await scripted(serves)
    path = key_path(key.encode())
    first = await edge(text(server, bucket, site.url))
    answer, body = await first.get(path)
    assert (answer.status, answer.headers["X-Edge-Origin"]) == (200, "bucket=404 site=200")
    await first.gateway.app.backfilled()
    listed = await s3.list_objects_v2(Bucket=bucket)
    assert [item["Key"] for item in listed.get("Contents", [])] == [key]
    second = await edge(text(server, bucket, site.url))
    answer, again = await second.get(path)
    assert (answer.status, answer.headers["X-Edge-Origin"], again) == (200, "bucket=200", body)
    assert answer.headers["X-Amz-Meta-From"] == "site"
    part, body = await second.get(path, range="bytes=0-3")
    assert (part.status, body) == (206, b"site")
    assert len(site.asked) == 1


async def test_a_key_with_double_slashes_where_there_are_none_is_served_by_the_site(
    server: S3Server, bucket: str, scripted: Starts, edge: Gateway
) -> None:
    if server.has_odd_keys:
        pytest.skip(f"{server.name} has keys with //")
    site = await scripted(serves)
    e = await edge(text(server, bucket, site.url))
    answer, _ = await e.get("/a//b")
    assert (answer.status, answer.headers["X-Edge-Origin"]) == (200, "bucket=404 site=200")


async def test_large_objects_go_up_in_parts_and_come_back(
    server: S3Server, s3: Any, bucket: str, scripted: Starts, edge: Gateway
) -> None:
    big = hashlib.shake_256(b"x").digest(11 * MIB + 7)

    async def large(exchange: Exchange) -> None:
        await exchange.answer(200, big, content_type="video/mp4")

    site = await scripted(large)
    e = await edge(text(server, bucket, site.url) + "\ncache: {memory: 4MiB, max_object: 1MiB}")
    assert (await e.get("/big.mp4"))[1] == big
    await e.gateway.app.backfilled()
    head = await s3.head_object(Bucket=bucket, Key="big.mp4")
    assert (head["ContentLength"], head["ContentType"]) == (len(big), "video/mp4")
    assert head["ETag"].endswith('-3"'), "three parts"
    answer, body = await e.get("/big.mp4")
    assert (answer.headers["X-Edge-Origin"], body == big) == ("bucket=200", True)


async def test_a_truncated_source_leaves_nothing_behind(
    server: S3Server, s3: Any, bucket: str, scripted: Starts, edge: Gateway
) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (12 * MIB))
        if exchange.method == "GET":
            await exchange.send(b"x" * 7 * MIB)
            exchange.writer.close()

    site = await scripted(cut)
    e = await edge(text(server, bucket, site.url))
    head, _ = await e.get("/cut.bin", "HEAD")
    assert head.headers["X-Edge-Origin"].startswith("bucket=404 site=")
    await e.gateway.app.backfilled()
    assert (await s3.list_objects_v2(Bucket=bucket)).get("Contents", []) == []
    assert (await s3.list_multipart_uploads(Bucket=bucket)).get("Uploads", []) == []
    assert e.counts() == {"queued": 1, "retried": 1, "dead-origin-cut": 1}


@pytest.mark.parametrize("size", [3, 12 * MIB], ids=["one piece", "parts"])
async def test_a_newer_object_is_never_overwritten(
    server: S3Server, s3: Any, bucket: str, scripted: Starts, edge: Gateway, size: int
) -> None:
    gate = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"o" * (size - 1))
        await gate.wait()
        await exchange.send(b"!")

    site = await scripted(slow)
    e = await edge(text(server, bucket, site.url))
    asking = asyncio.ensure_future(e.get("/a"))
    while e.gateway.app.state()["backfill"]["at_work"] == 0:  # type: ignore[index]
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # past the look whether the key is free
    await s3.put_object(Bucket=bucket, Key="a", Body=b"newer")
    gate.set()
    await asking
    await e.gateway.app.backfilled()
    stored = await s3.get_object(Bucket=bucket, Key="a")
    async with stored["Body"] as body:
        assert await body.read() == b"newer"
    assert (await s3.list_multipart_uploads(Bucket=bucket)).get("Uploads", []) == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("keys", "name", "reason"),
    [
        ("{{access_key_id: {own}, secret_access_key: not-the-secret}}", None, "s3-credentials"),
        (
            "{{access_key_id: NOBODYSKEY1234567890, secret_access_key: not-the-secret}}",
            None,
            "s3-credentials",
        ),
        ("", "there-is-no-such-bucket", "s3-no-bucket"),
    ],
    ids=["wrong secret", "unknown key", "no bucket"],
)
async def test_a_refusal_is_never_taken_for_a_missing_object(
    server: S3Server,
    bucket: str,
    scripted: Starts,
    edge: Gateway,
    method: str,
    keys: str,
    name: str | None,
    reason: str,
) -> None:
    if keys and not server.checks_signatures:
        pytest.skip(f"{server.name} takes any keys")
    site = await scripted(serves)
    e = await edge(text(server, name or bucket, site.url, keys=keys.format(own=server.access_key_id)))
    answer, _ = await e.get("/a.txt", method)
    assert (answer.status, answer.headers["Cache-Status"].split("detail=")[1]) == (502, reason)
    assert (answer.headers["X-Edge-Origin"], site.asked) == (f"bucket={reason}", [])
    assert "not-the-secret" not in repr(e.records)


async def test_a_bucket_that_is_open_to_all_is_read_unsigned(
    server: S3Server, s3: Any, bucket: str, scripted: Starts, edge: Gateway
) -> None:
    allow = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
    }
    await s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    )
    await s3.put_object(Bucket=bucket, Key="open.txt", Body=b"for all")
    site = await scripted(serves)
    e = await edge(text(server, bucket, site.url, keys="anonymous"))
    answer, body = await e.get("/open.txt")
    assert (answer.status, body, answer.headers["X-Edge-Origin"]) == (200, b"for all", "bucket=200")
    # Whoever may not list the bucket hears 403 of what is not there on AWS and Ceph.
    answer, body = await e.get("/missing.txt")
    assert (answer.status, body) == (200, b"site:/missing.txt")
    missing = 403 if server.says_403_of_missing else 404
    assert answer.headers["X-Edge-Origin"] == f"bucket={missing} site=200"


async def test_the_bucket_is_never_listed(
    server: S3Server, s3: Any, bucket: str, scripted: Starts, edge: Gateway
) -> None:
    await s3.put_object(Bucket=bucket, Key="secret-name.txt", Body=b"x")
    site = await scripted(serves)
    policy = (
        "default_behavior: {target_origin: media, cache_policy: all}\ncache_policies: {all: {query: all}}"
    )
    e = await edge(text(server, bucket, site.url).replace("default_behavior: {target_origin: media}", policy))
    for target in ("/", "/?list-type=2", "/?acl"):
        answer, body = await e.get(target)
        assert (answer.headers["X-Edge-Origin"], b"secret-name" in body) == ("bucket=404 site=200", False)


async def test_virtual_host_style(
    server: S3Server, s3: Any, bucket: str, scripted: Starts, edge: Gateway
) -> None:
    if server.name != "radosgw":
        pytest.skip("only radosgw is set up with a domain here")
    await s3.put_object(Bucket=bucket, Key="v h.txt", Body=b"virtual")
    site = await scripted(serves)
    told = text(server, bucket, site.url, more="addressing_style: virtual").replace(
        "//127.0.0.1", "//localhost", 1
    )
    e = await edge(told)
    answer, body = await e.get("/v%20h.txt")
    assert (answer.headers.get("X-Edge-Origin"), body) == ("bucket=200", b"virtual")


async def test_a_server_that_hangs_is_a_504(
    server: S3Server, bucket: str, scripted: Starts, edge: Gateway
) -> None:
    if not server.pids:
        pytest.skip(f"{server.name} runs in this process")
    site = await scripted(serves)
    e = await edge(text(server, bucket, site.url))
    with server.paused():
        answer, _ = await e.get("/a.txt")
    assert (answer.status, answer.headers["Cache-Status"].split("detail=")[1]) == (504, "origin-timeout")
    again, _ = await e.get("/a.txt")
    assert (again.status, again.headers["X-Cache"]) == (504, "Error from cloudfront")
    await e.gateway.app.invalidate(["/a.txt"])
    answer, _ = await e.get("/a.txt")
    assert answer.status == 200


async def test_the_server_honours_if_none_match(server: S3Server, s3: Any, bucket: str) -> None:
    """What "never overwritten" rests on; where this fails, the look before the write is all there is."""
    await s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    with pytest.raises(ClientError) as refused:
        await s3.put_object(Bucket=bucket, Key="a", Body=b"2", IfNoneMatch="*")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
