"""`mode: generate`: what the bucket lacks is made while the viewer waits, once, and is the answer."""

import asyncio

import pytest

from tests.conftest import Exchange, Script
from tests.stories.bucket import Bucket
from tests.stories.studio import PICTURE, Build, Studio, way


@pytest.mark.parametrize("lacks", [403, 404])
async def test_it_is_made_stored_and_the_answer_is_the_buckets(
    build: Build, bucket: Bucket, lacks: int
) -> None:
    bucket.lacks = lacks
    edge, _ = await build()
    answer, body = await edge.get("/a.png")
    assert (answer.status, body, answer.headers["ETag"]) == (200, PICTURE, '"e"')
    assert way(answer) == (f"bucket={lacks} studio=200 bucket=200", "stored")
    assert bucket.objects == {"a.png": PICTURE}
    assert edge.counts() == {"stored": 1, "taken": 1}
    again, _ = await edge.get("/a.png")
    assert again.headers["X-Cache"] == "Hit from cloudfront"


@pytest.mark.parametrize("policy", ["min_ttl: 0", "min_ttl: 0, default_ttl: 0, max_ttl: 0", "min_ttl: 1h"])
async def test_a_hundred_viewers_and_one_object_is_made_once(
    build: Build, bucket: Bucket, studio: Studio, policy: str
) -> None:
    edge, maker = await build(policy=policy)
    studio.gate.clear()
    asking = [asyncio.ensure_future(edge.get("/a.png")) for _ in range(100)]
    while not maker.asked:
        await asyncio.sleep(0.01)
    studio.gate.set()
    answers = await asyncio.gather(*asking)
    assert {(answer.status, body) for answer, body in answers} == {(200, PICTURE)}
    assert maker.lines == ["GET /a.png"]
    assert bucket.count("PUT a.png") == 1


@pytest.mark.parametrize(
    ("method", "fields", "status", "body"),
    [
        ("HEAD", {}, 200, b""),
        ("GET", {"range": "bytes=2-4"}, 206, b"234"),
        ("GET", {"range": "bytes=90-"}, 416, b""),
        ("GET", {"if_none_match": '"other"'}, 200, PICTURE),
    ],
)
async def test_whatever_is_asked_first_the_whole_is_made(
    build: Build, bucket: Bucket, method: str, fields: dict[str, str], status: int, body: bytes
) -> None:
    edge, maker = await build()
    answer, got = await edge.get("/a.png", method, **fields)
    assert (answer.status, got) == (status, body)
    assert maker.lines == ["GET /a.png"]
    assert maker.asked[0].field("range") is None
    assert bucket.objects == {"a.png": PICTURE}


async def test_a_viewer_that_leaves_does_not_stop_it(build: Build, bucket: Bucket, studio: Studio) -> None:
    edge, maker = await build(policy="min_ttl: 0, default_ttl: 0, max_ttl: 0")
    studio.gate.clear()
    leaving = asyncio.ensure_future(edge.get("/a.png"))
    while not maker.asked:
        await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.wait([leaving])
    studio.gate.set()
    await edge.gateway.app.backfilled()
    assert bucket.objects == {"a.png": PICTURE}
    assert (await edge.get("/a.png"))[1] == PICTURE
    assert len(maker.asked) == 1


async def error(exchange: Exchange) -> None:
    await exchange.answer(500, b"no")


async def missing(exchange: Exchange) -> None:
    await exchange.answer(404, b"no")


async def cut(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
    exchange.writer.close()


async def mistaken(exchange: Exchange) -> None:
    await exchange.answer(200, PICTURE, content_md5="AAAAAAAAAAAAAAAAAAAAAA==")


async def silent(exchange: Exchange) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("told", "trail", "word"),
    [
        (error, "bucket=404", "source-status"),
        (missing, "bucket=404", "source-status"),
        (cut, "bucket=404 studio=200", "origin-cut"),
        (mistaken, "bucket=404 studio=200", "digest-mismatch"),
        (silent, "bucket=404", "origin-timeout"),
    ],
    ids=["500", "404", "cut", "digest", "silent"],
)
async def test_what_cannot_be_made_is_what_the_bucket_said_of_it(
    build: Build, bucket: Bucket, studio: Studio, told: Script, trail: str, word: str
) -> None:
    studio.told = told
    edge, maker = await build()
    answer, body = await edge.get("/a.png")
    assert (answer.status, body) == (404, b"<Error><Code>NoSuchKey</Code></Error>")
    assert way(answer) == (trail, word)
    assert bucket.objects == {}
    assert len(maker.asked) == 1


async def test_a_source_that_fails_is_not_asked_for_every_viewer(
    build: Build, bucket: Bucket, studio: Studio
) -> None:
    studio.told = error
    edge, maker = await build(policy="min_ttl: 0, default_ttl: 0, max_ttl: 0")
    await edge.get("/a.png")
    answer, _ = await edge.get("/a.png")
    assert (answer.status, *way(answer)) == (404, "bucket=404", "retry-later")
    assert len(maker.asked) == 1


async def test_an_error_of_a_moment_ago_does_not_hide_what_was_made_since(
    build: Build, bucket: Bucket, studio: Studio
) -> None:
    studio.told = error
    edge, _ = await build(policy="min_ttl: 1h")
    answer, _ = await edge.get("/a.png")
    assert answer.status == 404
    bucket.objects["a.png"] = PICTURE
    async with asyncio.timeout(5):  # far below the ten seconds for which errors are remembered
        while (await edge.get("/a.png"))[0].status != 200:
            await asyncio.sleep(0.05)


async def test_a_viewer_does_not_wait_for_ever(build: Build, bucket: Bucket, studio: Studio) -> None:
    edge, _ = await build(backfill="make_timeout: 50ms")
    studio.gate.clear()
    answer, _ = await edge.get("/a.png")
    assert (answer.status, *way(answer)) == (404, "bucket=404", "make-timeout")
    studio.gate.set()
    await edge.gateway.app.backfilled()
    assert bucket.objects == {"a.png": PICTURE}


async def test_when_all_hands_are_busy_the_rest_is_queued(
    build: Build, bucket: Bucket, studio: Studio
) -> None:
    edge, maker = await build(backfill="make_timeout: 50ms, concurrency: 1")
    studio.gate.clear()
    answers = await asyncio.gather(*(edge.get(f"/{n}.png") for n in range(3)))
    assert {way(answer)[1] for answer, _ in answers} == {"make-timeout"}
    studio.gate.set()
    await edge.gateway.app.backfilled()
    assert sorted(bucket.objects) == ["0.png", "1.png", "2.png"]
    assert len(maker.asked) == 3


async def test_a_bucket_that_takes_nothing_does_not_keep_it_from_those_who_wait(
    build: Build, bucket: Bucket, studio: Studio
) -> None:
    bucket.refuses = frozenset({"PUT"})
    edge, maker = await build(policy="min_ttl: 0, default_ttl: 0, max_ttl: 0")
    studio.gate.clear()
    asking = [asyncio.ensure_future(edge.get("/a.png", method)) for method in ("GET", "GET", "HEAD")]
    while not maker.asked:
        await asyncio.sleep(0.01)
    studio.gate.set()
    answers = await asyncio.gather(*asking)
    assert [(answer.status, body) for answer, body in answers] == [(200, PICTURE)] * 2 + [(200, b"")]
    assert {answer.headers["Content-Length"] for answer, _ in answers} == {"10"}
    assert {way(answer) for answer, _ in answers} == {("bucket=404 studio=200", "write-failed")}
    assert len(maker.asked) == 1


async def test_what_is_too_large_to_be_held_is_not_served_unstored(
    build: Build, bucket: Bucket, studio: Studio
) -> None:
    async def large(exchange: Exchange) -> None:
        await exchange.answer(200, bytes(6 * 2**20))

    studio.told = large
    bucket.refuses = frozenset({"POST", "PUT"})
    edge, _ = await build()
    answer, _ = await edge.get("/a.png")
    assert (answer.status, way(answer)[1]) == (404, "write-failed")


async def test_a_bucket_that_gives_nothing_away_still_serves_what_was_just_made(
    build: Build, bucket: Bucket
) -> None:
    bucket.refuses = frozenset({"GET"})
    edge, maker = await build(policy="min_ttl: 0, default_ttl: 0, max_ttl: 0")
    answer, body = await edge.get("/a.png")
    assert (answer.status, body, *way(answer)) == (200, PICTURE, "bucket=403 studio=200 bucket=403", "stored")
    answer, _ = await edge.get("/a.png")
    assert (answer.status, *way(answer)) == (403, "bucket=403 bucket=403", "exists")
    assert len(maker.asked) == 1


async def test_a_bucket_that_is_down_lacks_nothing(build: Build, bucket: Bucket) -> None:
    bucket.lacks = 503
    edge, _ = await build()
    answer, _ = await edge.get("/a.png")
    assert way(answer) == ("bucket=503 studio=200", "primary-status")
    assert bucket.objects == {}


async def test_while_the_backfill_is_paused_nothing_is_made(build: Build, bucket: Bucket) -> None:
    edge, maker = await build(policy="min_ttl: 0, default_ttl: 0, max_ttl: 0")
    await edge.gateway.app.pause_jobs(True)
    answer, _ = await edge.get("/a.png")
    assert (answer.status, *way(answer)) == (404, "bucket=404", "paused")
    assert maker.asked == []
    await edge.gateway.app.pause_jobs(False)
    assert (await edge.get("/a.png"))[0].status == 200
