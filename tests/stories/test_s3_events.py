"""An S3 server tells of a change, and the next viewer gets the new object."""

import asyncio
import base64
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edgeproxy.aws import session
from edgeproxy.store.folder import DiskError
from tests.conftest import Edge, Exchange, Script, ScriptedOrigin, edge_of
from tests.stories.conftest import Build
from tests.stories.process import served

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]


def event(
    key: str, bucket: str = "assets", name: str = "ObjectCreated:Put", who: str = "them"
) -> dict[str, Any]:
    s3 = {"bucket": {"name": bucket}, "object": {"key": key}}
    return {"eventName": name, "eventSource": "aws:s3", "userIdentity": {"principalId": who}, "s3": s3}


def text(url: str, *, origin: str = "", more: str = "") -> str:
    """A bucket that is a scripted origin."""
    return f"""
origins: {{bucket: {{type: s3, bucket: assets, endpoint: "{url}", credentials: anonymous, {origin}}}}}
cache_policies: {{plain: {{query: all}}}}
default_behavior: {{target_origin: bucket, cache_policy: plain}}
{more}
"""


async def lasting(exchange: Exchange) -> None:
    await exchange.answer(200, b"body", cache_control="max-age=60")


async def told(port: int, body: object, query: str = "", **fields: str) -> tuple[int, Any]:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
    url = f"http://127.0.0.1:{port}/events/s3{query}"
    async with aiohttp.ClientSession() as server, server.post(url, data=data, headers=headers) as answer:
        return answer.status, await answer.json()


async def hits(e: Edge, *targets: str) -> list[str]:
    return [target for target in targets if "Hit" in (await e.get(target))[0].headers["X-Cache"]]


async def test_an_upload_is_seen_by_the_next_viewer(house: Build) -> None:
    async def has_not(exchange: Exchange) -> None:
        await exchange.answer(404)

    h = await house(has_not)
    port = h.edge.gateway.admin.port
    assert (await h.edge.get("/a.txt"))[0].status == 404
    await h.s3.put_object(Bucket=h.bucket, Key="a.txt", Body=b"one", CacheControl="max-age=60")
    assert (await h.edge.get("/a.txt"))[0].status == 404, "the error is remembered"
    assert await told(port, {"Records": [event("a.txt", h.bucket)]}) == (
        200,
        {"events": {"purged": 1}, "purged": 1},
    )
    assert (await h.edge.get("/a.txt"))[1] == b"one"
    await h.s3.put_object(Bucket=h.bucket, Key="a.txt", Body=b"two", CacheControl="max-age=60")
    assert (await h.edge.get("/a.txt"))[1] == b"one"
    await told(port, {"Records": [event("a.txt", h.bucket)]})
    assert (await h.edge.get("/a.txt"))[1] == b"two"
    await h.s3.delete_object(Bucket=h.bucket, Key="a.txt")
    await told(port, {"Records": [event("a.txt", h.bucket, "ObjectRemoved:Delete")]})
    assert (await h.edge.get("/a.txt"))[0].status == 404


async def test_every_spelling_of_the_path_goes(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(lasting)
    e = await edge(text(origin.url))
    same = [
        "/img/a%20(1)+.jpg",
        "/img/a%20%281%29%2B.jpg",
        "/img/a%20(1)%2b.jpg",
        "/img/a%20(1)+.jpg?versionId=1",
    ]
    others = ["/img/a%20(1).jpg", "/img/a+(1)+.jpg", "/img/"]
    for target in (*same, *others):
        await e.get(target)
    _, answer = await told(e.gateway.admin.port, {"Records": [event("img/a+%281%29%2B.jpg")]})
    assert answer["purged"] == 4
    assert await hits(e, *others, *same) == others


async def test_a_fetch_under_way_is_neither_stored_nor_joined(scripted: Starts, edge: Gateway) -> None:
    gate = asyncio.Event()

    async def old_then_new(exchange: Exchange) -> None:
        is_first = len(origin.asked) == 1
        if is_first:
            await gate.wait()
        await exchange.answer(200, b"old" if is_first else b"new", cache_control="max-age=60")

    origin = await scripted(old_then_new)
    e = await edge(text(origin.url))
    asked_before = asyncio.ensure_future(e.get("/a(1)"))
    while not origin.asked:
        await asyncio.sleep(0.01)
    await told(e.gateway.admin.port, {"Records": [event("a%281%29")]})
    assert (await e.get("/a(1)"))[1] == b"new"
    gate.set()
    assert (await asked_before)[1] == b"old"
    answer, body = await e.get("/a(1)")
    assert (body, answer.headers["X-Cache"]) == (b"new", "Hit from cloudfront")


async def test_the_root_is_its_object(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(lasting)
    e = await edge(text(origin.url, more="server: {default_root_object: index.html}"))
    await e.get("/")
    await told(e.gateway.admin.port, {"Records": [event("index.html")]})
    assert await hits(e, "/") == []


async def test_the_origin_path_is_taken_off_the_key(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(lasting)
    e = await edge(text(origin.url, origin="origin_path: /site"))
    for target in ("/a", "/site/a"):
        await e.get(target)
    events = [event("a"), event("site/a"), event("site/a", bucket="others")]
    _, answer = await told(e.gateway.admin.port, {"Records": events})
    assert answer == {"events": {"outside-origin-path": 1, "purged": 1, "other-bucket": 1}, "purged": 1}
    assert await hits(e, "/a", "/site/a") == ["/site/a"]


async def test_what_the_backfill_wrote_may_be_ignored(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(lasting)
    e = await edge(text(origin.url, more="events: {ignore_principals: [filler]}"))
    port = e.gateway.admin.port
    await e.get("/a")
    _, answer = await told(port, {"Records": [event("a", who="filler")]})
    assert answer == {"events": {"ignored-principal": 1}, "purged": 0}
    assert await hits(e, "/a") == ["/a"]
    await told(port, {"Records": [event("a", who="filler", name="ObjectRemoved:Delete")]})
    assert await hits(e, "/a") == []
    async with aiohttp.ClientSession() as operator, operator.get(f"http://127.0.0.1:{port}/stats") as stats:
        assert (await stats.json())["events"] == {"ignored-principal": 1, "purged": 1}


async def test_what_is_no_event_is_told(scripted: Starts, edge: Gateway, monkeypatch: Any) -> None:
    origin = await scripted(lasting)
    e = await edge(text(origin.url))
    port = e.gateway.admin.port
    assert await told(port, {"Service": "Amazon S3", "Event": "s3:TestEvent"}) == (
        200,
        {"events": {}, "purged": 0},
    )
    assert await told(port, b"{") == (400, {"error": "body: got b'{', want JSON"})
    wanted = "Records[0].s3.object.key: got nothing, want a text"
    broken = event("a")
    broken["s3"]["object"] = {}
    assert await told(port, {"Records": [broken]}) == (400, {"error": wanted})
    unpacked = {"error": "body: is not in its Content-Encoding"}
    assert await told(port, b"{}", content_encoding="gzip") == (400, unpacked)
    assert await told(port, b" " * 2**20 + b" ") == (413, {"error": "body: want at most 1048576 bytes"})

    async def full(_: object) -> int:
        raise DiskError("the disk is full")

    monkeypatch.setattr(e.gateway.app, "changed", full)
    assert await told(port, {"Records": [event("a")]}) == (503, {"error": "not purged: the disk is full"})


async def test_pages_have_no_say(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(lasting)
    e = await edge(text(origin.url))
    for fields in ({"origin": "http://evil.test"}, {"sec_fetch_site": "cross-site"}, {"host": "evil.test"}):
        assert (await told(e.gateway.admin.port, {"Records": []}, **fields))[0] == 403


TOKENS = [
    "Bearer of-the-events",
    "bearer of-the-events",
    "of-the-events",
    f"Basic {base64.b64encode(b'minio:of-the-events').decode()}",
]
WRONG = [
    "",
    "Bearer other",
    "Bearer",
    "Basic !",
    "Basic é",
    f"Basic {base64.b64encode(b'of-the-events').decode()}",
    "é",
]


async def test_the_server_has_a_token_of_its_own(scripted: Starts) -> None:
    origin = await scripted(lasting)
    more = "admin: {listen: '127.0.0.1:0', token: of-the-operators}\nevents: {token: of-the-events}"
    async with edge_of(text(origin.url, more=more)) as e:
        port = e.gateway.admin.port
        for given in TOKENS:
            assert (await told(port, {"Records": []}, authorization=given, host="gateway:8081"))[0] == 200, (
                given
            )
        for given in (*WRONG, "Bearer of-the-operators"):
            status, answer = await told(port, {"Records": []}, authorization=given)
            assert (status, answer) == (401, {"error": "the token of the events is missing or wrong"}), given
        assert (await told(port, {"Records": []}, query="?token=of-the-events"))[0] == 200
        assert (await told(port, {"Records": []}, query="?token=other"))[0] == 401
        async with aiohttp.ClientSession() as server:
            headers = {"Authorization": "Bearer of-the-events"}
            async with server.get(f"http://127.0.0.1:{port}/stats", headers=headers) as answer:
                assert answer.status == 401, "it opens nothing else"


@pytest.mark.parametrize(
    ("given", "status"), [("Bearer of-the-operators", 200), ("Bearer other", 401), ("", 401)]
)
async def test_without_one_it_needs_the_operators_token(scripted: Starts, given: str, status: int) -> None:
    origin = await scripted(lasting)
    more = "admin: {listen: '127.0.0.1:0', token: of-the-operators}"
    async with edge_of(text(origin.url, more=more)) as e:
        assert (await told(e.gateway.admin.port, {"Records": []}, authorization=given))[0] == status


async def test_events_come_through_a_queue(scripted: Starts, moto: str, bucket_name: str) -> None:
    origin = await scripted(lasting)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test-secret"}
    async with session().create_client("sqs", "us-east-1", endpoint_url=moto, **keys) as sqs:
        url = (await sqs.create_queue(QueueName=bucket_name))["QueueUrl"]
        credentials = "{access_key_id: test, secret_access_key: test-secret}"
        more = f"events: {{sqs: {{url: '{url}', credentials: {credentials}}}}}"
        async with edge_of(text(origin.url, more=more)) as e:
            await e.get("/a")
            await sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"Records": [event("a")]}))
            async with asyncio.timeout(10):
                while await hits(e, "/a"):
                    await asyncio.sleep(0.01)
        await sqs.delete_queue(QueueUrl=url)


async def test_all_workers_and_the_disk_forget(scripted: Starts, tmp_path: Path) -> None:
    origin = await scripted(lasting)
    more = f"""
server: {{listen: '127.0.0.1:0', workers: 2}}
cache: {{disk: {{folder: "{tmp_path / "cache"}", size: 100MiB}}}}
"""
    async with served(tmp_path, text(origin.url, more=more)) as process:

        async def viewed(target: str) -> None:
            connector = aiohttp.TCPConnector(force_close=True)
            async with aiohttp.ClientSession(connector=connector) as viewer:
                async with viewer.get(process.url + target) as answer:
                    assert await answer.read() == b"body"

        for _ in range(16):
            await viewed("/a(1)")
        asked = len(origin.asked)
        status, answer = await told(process.admin, {"Records": [event("a%281%29")]})
        assert (status, answer["events"]) == (200, {"purged": 1})
        await viewed("/a(1)")
        assert len(origin.asked) == asked + 1


@pytest.mark.parametrize(
    ("name", "word"),
    [("ObjectRemoved:Delete", "tombstone"), ("LifecycleExpiration:Delete", "queued")],
    ids=["by somebody", "by age"],
)
async def test_what_somebody_took_away_is_not_filled_again_soon(house: Build, name: str, word: str) -> None:
    h = await house(lasting)
    port = h.edge.gateway.admin.port
    first, _ = await h.edge.get("/a.txt")
    assert first.headers["X-Edge-Backfill"] == "queued"
    await h.edge.gateway.app.backfilled()
    await h.s3.delete_object(Bucket=h.bucket, Key="a.txt")
    await told(port, {"Records": [event("a.txt", h.bucket, name)]})
    answer, body = await h.edge.get("/a.txt")
    assert (body, answer.headers["X-Edge-Backfill"]) == (b"body", word)
