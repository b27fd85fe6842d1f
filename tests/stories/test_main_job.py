"""The main job: cache, bucket, site, and the bucket filled behind the viewer's back."""

import asyncio
import hashlib

import pytest

from tests.conftest import Exchange
from tests.stories.conftest import Build

IMAGE = b"\x89PNG" + bytes(range(256)) * 40


async def serves_image(exchange: Exchange) -> None:
    await exchange.answer(200, IMAGE, content_type="image/png", cache_control="max-age=60", etag='"v1"')


async def test_a_miss_is_served_by_the_site_and_fills_cache_and_bucket(house: Build) -> None:
    h = await house(serves_image)
    first, body = await h.edge.get("/a.png")
    assert (first.status, body) == (200, IMAGE)
    assert first.headers["X-Cache"] == "Miss from cloudfront"
    assert first.headers["X-Edge-Origin"] == "bucket=404 site=200"
    assert first.headers["X-Edge-Backfill"] == "queued"
    assert "Age" not in first.headers
    assert await h.stored() == {"a.png": len(IMAGE)}
    second, body = await h.edge.get("/a.png")
    assert (second.status, body) == (200, IMAGE)
    assert second.headers["X-Cache"] == "Hit from cloudfront"
    assert second.headers["Cache-Status"].startswith("edgeproxy; hit; ttl=")
    assert second.headers["Age"] == "0"
    assert first.headers["X-Amz-Cf-Id"] != second.headers["X-Amz-Cf-Id"]
    assert len(first.headers["X-Amz-Cf-Id"]) == 56
    assert h.site.lines == ["GET /a.png"], "one GET served the viewer, the cache and the bucket"


async def test_what_the_bucket_has_is_served_from_it(house: Build) -> None:
    h = await house(serves_image)
    await h.s3.put_object(Bucket=h.bucket, Key="b.txt", Body=b"from the bucket", ContentType="text/plain")
    answer, body = await h.edge.get("/b.txt")
    assert (answer.status, body, answer.headers["X-Edge-Origin"]) == (200, b"from the bucket", "bucket=200")
    assert answer.headers["X-Edge-Backfill"] == "not-failed-over"
    assert h.site.lines == []


async def test_twenty_viewers_at_once_cost_the_site_one_get(house: Build) -> None:
    h = await house(serves_image)
    answers = await asyncio.gather(*(h.edge.get("/a.png") for _ in range(20)))
    assert {(answer.status, body) for answer, body in answers} == {(200, IMAGE)}
    assert sorted(answer.headers["X-Cache"] for answer, _ in answers) == [
        *["Hit from cloudfront"] * 19,
        "Miss from cloudfront",
    ]
    assert h.site.lines == ["GET /a.png"]
    assert await h.stored() == {"a.png": len(IMAGE)}


@pytest.mark.parametrize(
    ("method", "fields"), [("HEAD", {}), ("GET", {"range": "bytes=0-9"})], ids=["HEAD", "Range"]
)
async def test_head_and_range_lead_to_a_whole_object_in_the_bucket(
    house: Build, method: str, fields: dict[str, str]
) -> None:
    h = await house(serves_image)
    answer, _ = await h.edge.get("/a.png", method, **fields)
    assert answer.headers["X-Edge-Backfill"] == "queued"
    assert await h.stored() == {"a.png": len(IMAGE)}


async def test_a_viewer_who_leaves_stops_neither_cache_nor_backfill(house: Build) -> None:
    gate = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\ncache-control: max-age=60\r\n\r\n0123456789"
        )
        await gate.wait()
        await exchange.send(b"abcdefghij")

    h = await house(slow)
    async with h.edge.viewer.get(h.edge.url + "/slow.bin") as answer:
        assert await answer.content.readexactly(10) == b"0123456789"
        answer.close()
    gate.set()
    assert await h.stored() == {"slow.bin": 20}
    again, body = await h.edge.get("/slow.bin")
    assert (again.headers["X-Cache"], body) == ("Hit from cloudfront", b"0123456789abcdefghij")
    assert h.site.lines == ["GET /slow.bin"]


async def test_bytes_reach_those_who_wait_as_they_come(house: Build) -> None:
    gate = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\ncache-control: max-age=60\r\n\r\n0123456789"
        )
        await gate.wait()
        await exchange.send(b"abcdefghij")

    h = await house(slow)
    async with h.edge.viewer.get(h.edge.url + "/s") as one, h.edge.viewer.get(h.edge.url + "/s") as two:
        assert await one.content.readexactly(10) == b"0123456789"
        assert await two.content.readexactly(10) == b"0123456789"
        gate.set()
        assert await one.content.read() == await two.content.read() == b"abcdefghij"
    assert h.site.lines == ["GET /s"]


async def test_metadata_lands_with_the_object(house: Build) -> None:
    async def described(exchange: Exchange) -> None:
        await exchange.answer(
            200,
            b"body",
            content_type="text/css; charset=utf-8",
            cache_control="max-age=31",
            content_disposition='attachment; filename="a.css"',
            content_encoding="gzip",
            content_language="de",
            expires="Fri, 01 Jan 2100 00:00:00 GMT",
            x_amz_meta_author="me",
        )

    h = await house(described)
    await h.edge.get("/a.css")
    assert await h.stored() == {"a.css": 4}
    head = await h.s3.head_object(Bucket=h.bucket, Key="a.css")
    kept = (
        "ContentType",
        "CacheControl",
        "ContentDisposition",
        "ContentEncoding",
        "ContentLanguage",
        "Metadata",
    )
    assert {name: head[name] for name in kept} == {
        "ContentType": "text/css; charset=utf-8",
        "CacheControl": "max-age=31",
        "ContentDisposition": 'attachment; filename="a.css"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "Metadata": {
            "author": "me",
            "edgeproxy-filled-by": "edgeproxy/0.1.0",
            "edgeproxy-source-url": f"{h.site.url}/a.css",
        },
    }
    assert head["ExpiresString"] == "Fri, 01 Jan 2100 00:00:00 GMT"


async def test_a_large_object_goes_up_in_parts_and_comes_down_whole(house: Build) -> None:
    big = hashlib.shake_256(b"big").digest(12 * 2**20 + 1)

    async def large(exchange: Exchange) -> None:
        await exchange.answer(200, big, cache_control="max-age=60")

    h = await house(large, more="cache: {memory: 8MiB, max_object: 4MiB}")
    answer, body = await h.edge.get("/big.bin")
    assert body == big
    assert "detail=too-large" in answer.headers["Cache-Status"]
    assert await h.stored() == {"big.bin": len(big)}
    answer, body = await h.edge.get("/big.bin")
    assert (answer.headers["X-Edge-Origin"], body == big) == ("bucket=200", True)


async def test_an_object_that_came_meanwhile_is_not_overwritten(house: Build) -> None:
    gate = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n")
        await gate.wait()
        await exchange.send(b"old")

    h = await house(slow)
    asking = asyncio.ensure_future(h.edge.get("/a"))
    while not h.edge.counts().get("queued"):
        await asyncio.sleep(0)
    await h.s3.put_object(Bucket=h.bucket, Key="a", Body=b"newer")
    gate.set()
    assert (await asking)[1] == b"old"
    assert await h.stored() == {"a": 5}
    assert h.edge.counts() == {"queued": 1, "skipped-exists": 1}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"cache_control": "no-store"}, "no-store"),
        ({"cache_control": "private, max-age=9"}, "private"),
        ({"set_cookie": "a=b"}, "set-cookie"),
        ({"vary": "User-Agent"}, "varies"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_what_is_not_for_everybody_is_not_copied(
    house: Build, fields: dict[str, str], reason: str
) -> None:
    async def personal(exchange: Exchange) -> None:
        await exchange.answer(200, b"mine", **fields)

    h = await house(personal)
    answer, body = await h.edge.get("/me")
    assert (answer.status, body, answer.headers["X-Edge-Backfill"]) == (200, b"mine", reason)
    assert await h.stored() == {}


async def test_a_query_in_the_key_names_more_than_a_path(house: Build) -> None:
    h = await house(serves_image, policy="query: all")
    answer, _ = await h.edge.get("/a.png?w=100")
    assert answer.headers["X-Edge-Backfill"] == "query-in-key"
    assert h.site.lines == ["GET /a.png?w=100"]
    assert await h.stored() == {}


async def test_nobody_has_it(house: Build) -> None:
    async def missing(exchange: Exchange) -> None:
        await exchange.answer(404, b"no such thing")

    h = await house(missing)
    answer, body = await h.edge.get("/nothing")
    assert (answer.status, body) == (404, b"no such thing")
    assert answer.headers["X-Cache"] == "Error from cloudfront"
    assert answer.headers["X-Edge-Backfill"] == "source-status"
    assert await h.stored() == {}


async def test_a_stale_answer_is_validated_and_refreshed(house: Build) -> None:
    async def validating(exchange: Exchange) -> None:
        if exchange.field("if-none-match") == '"v1"':
            await exchange.send(b'HTTP/1.1 304 Not Modified\r\netag: "v1"\r\nx-note: second\r\n\r\n')
        else:
            await exchange.answer(200, b"body", etag='"v1"', cache_control="no-cache", x_note="first")

    h = await house(validating, more="", policy="")
    first, _ = await h.edge.get("/v")
    await h.stored()
    await h.s3.delete_object(Bucket=h.bucket, Key="v")
    second, body = await h.edge.get("/v")
    assert (first.headers["X-Cache"], second.headers["X-Cache"]) == (
        "Miss from cloudfront",
        "RefreshHit from cloudfront",
    )
    assert (second.status, body, second.headers["X-Note"]) == (200, b"body", "second")
    assert (
        second.headers["Cache-Status"]
        == "edgeproxy; fwd=stale; fwd-status=304; stored; ttl=0; detail=no-cache"
    )


async def test_hits_answer_conditions_and_ranges(house: Build) -> None:
    h = await house(serves_image)
    await h.edge.get("/a.png")
    unchanged, body = await h.edge.get("/a.png", if_none_match='"v1"')
    assert (unchanged.status, body) == (304, b"")
    part, body = await h.edge.get("/a.png", range="bytes=2-5")
    assert (part.status, body, part.headers["Content-Range"]) == (206, IMAGE[2:6], f"bytes 2-5/{len(IMAGE)}")
    beyond, body = await h.edge.get("/a.png", range="bytes=999999-")
    assert (beyond.status, body, beyond.headers["Content-Range"]) == (416, b"", f"bytes */{len(IMAGE)}")
    head, body = await h.edge.get("/a.png", "HEAD")
    assert (head.status, body, head.headers["Content-Length"]) == (200, b"", str(len(IMAGE)))
    assert h.site.lines == ["GET /a.png"]


async def test_options_are_cached_where_the_behaviour_says_so(house: Build) -> None:
    async def preflight(exchange: Exchange) -> None:
        await exchange.answer(204, access_control_allow_origin="*", cache_control="max-age=60")

    h = await house(preflight, cached="[GET, HEAD, OPTIONS]")
    assert [(await h.edge.get("/a", "OPTIONS"))[0].headers["X-Cache"] for _ in range(2)] == [
        "Miss from cloudfront",
        "Hit from cloudfront",
    ]


async def test_a_part_comes_at_once_and_the_whole_is_fetched_behind_it(house: Build) -> None:
    async def in_parts(exchange: Exchange) -> None:
        if exchange.field("range") == "bytes=2-5":
            told = f"bytes 2-5/{len(IMAGE)}"
            await exchange.answer(206, IMAGE[2:6], content_range=told, cache_control="max-age=60")
        else:
            await serves_image(exchange)

    h = await house(in_parts)
    part, body = await h.edge.get("/a.png", range="bytes=2-5")
    assert (part.status, body, part.headers["X-Cache"]) == (206, IMAGE[2:6], "Miss from cloudfront")
    assert await h.stored() == {"a.png": len(IMAGE)}
    again, body = await h.edge.get("/a.png", range="bytes=6-9")
    assert (again.status, body, again.headers["X-Cache"]) == (206, IMAGE[6:10], "Hit from cloudfront")
    assert len(h.site.asked) == 2, "the part, and one whole for cache and bucket"
