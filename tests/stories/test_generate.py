"""`mode: generate`: what the bucket lacks is made while the viewer waits, once, and is the answer."""

import asyncio
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from edgeproxy.core.message import Request
from tests.conftest import Edge, Exchange, Script, ScriptedOrigin
from tests.stories.bucket import Bucket
from tests.stories.process import served
from tests.stories.studio import PICTURE, Build, Studio, config, way

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
OFF = "min_ttl: 0, default_ttl: 0, max_ttl: 0"


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


@pytest.mark.parametrize("policy", ["min_ttl: 0", OFF, "min_ttl: 1h"])
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
    edge, maker = await build(policy=OFF)
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
        (error, "bucket=404 studio=500", "source-status"),
        (missing, "bucket=404 studio=404", "source-status"),
        (cut, "bucket=404 studio=200", "origin-cut"),
        (mistaken, "bucket=404 studio=200", "digest-mismatch"),
        (silent, "bucket=404 studio=origin-timeout", "origin-timeout"),
    ],
    ids=["500", "404", "cut", "digest", "silent"],
)
async def test_what_cannot_be_made_is_what_the_bucket_said_of_it(
    build: Build, bucket: Bucket, studio: Studio, told: Script, trail: str, word: str
) -> None:
    studio.told = told
    edge, maker = await build(patience="300ms" if told is silent else "20s")
    answer, body = await edge.get("/a.png")
    assert (answer.status, body) == (404, b"<Error><Code>NoSuchKey</Code></Error>")
    assert way(answer) == (trail, word)
    assert bucket.objects == {}
    assert len(maker.asked) == 1


async def test_a_source_that_fails_is_not_asked_for_every_viewer(
    build: Build, bucket: Bucket, studio: Studio
) -> None:
    studio.told = error
    edge, maker = await build(policy=OFF)
    await edge.get("/a.png")
    answer, _ = await edge.get("/a.png")
    assert (answer.status, *way(answer)) == (404, "bucket=404", "retry-later")
    assert len(maker.asked) == 1
    told = (await edge.gateway.app.explain(Request("GET", "/a.png"))).fields()["backfill"]
    assert told == (
        'yes, studio -> bucket:a.png, if bucket answers 403 or 404 (rule "*", generate);'
        " job 1 is queued (source-status): studio answered 500"
    )


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
    edge, maker = await build(backfill="make_timeout: 50ms, make_concurrency: 1")
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
    edge, maker = await build(policy=OFF)
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
    edge, maker = await build(policy=OFF)
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


@pytest.mark.parametrize("mode", ["generate", "redirect"])
async def test_while_the_backfill_is_paused_nothing_is_made_and_the_group_serves(
    build: Build, bucket: Bucket, mode: str
) -> None:
    edge, maker = await build(mode, policy=OFF)
    await edge.gateway.app.pause_jobs(True)
    answer, body = await edge.get("/a.png")
    assert (answer.status, body) == (200, PICTURE)
    assert way(answer) == ("bucket=404 studio=200", "queued-already")
    assert bucket.objects == {}
    await edge.gateway.app.pause_jobs(False)
    await edge.gateway.app.backfilled()
    assert bucket.objects == {"a.png": PICTURE}
    assert maker.lines == ["GET /a.png"] * 2


async def test_a_file_of_jobs_that_is_out_of_order_keeps_nobody_from_the_secondary(
    build: Build, bucket: Bucket, tmp_path: Path
) -> None:
    edge, _ = await build(more=f"state: {{folder: '{tmp_path}'}}")
    db = sqlite3.connect(tmp_path / "backfill.sqlite")
    db.execute("ALTER TABLE job RENAME TO gone")
    db.close()
    answer, body = await edge.get("/a.png")
    assert (answer.status, body, way(answer)[0]) == (200, PICTURE, "bucket=404 studio=200")


async def test_viewers_that_ask_and_leave_do_not_pile_up_what_is_to_be_made(
    build: Build, bucket: Bucket, studio: Studio
) -> None:
    edge, maker = await build(backfill="queue_size: 2, make_concurrency: 1", policy=OFF)
    studio.gate.clear()
    for n in range(2):
        leaving = asyncio.ensure_future(edge.get(f"/{n}.png"))
        while bucket.count(f"GET {n}.png") == 0:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.wait([leaving])
    asking = asyncio.ensure_future(edge.get("/2.png"))
    while "GET /2.png" not in maker.lines:
        await asyncio.sleep(0.01)
    assert sorted(maker.lines) == ["GET /0.png", "GET /2.png"], "who finds no room is served all the same"
    studio.gate.set()
    answer, body = await asking
    assert (answer.status, body, way(answer)[0]) == (200, PICTURE, "bucket=404 studio=200")
    await edge.gateway.app.backfilled()


async def test_a_bucket_alone_with_a_source_of_its_own(
    scripted: Starts, edge: Callable[[str], Awaitable[Edge]], bucket: Bucket, studio: Studio
) -> None:
    s3, maker = await scripted(bucket), await scripted(studio)
    e = await edge(f"""
origins:
  bucket:
    {{type: s3, bucket: media, endpoint: "{s3.url}", credentials: {{access_key_id: a, secret_access_key: s}}}}
  studio: {{type: http, url: "{maker.url}", origin_path: /api}}
default_behavior: {{target_origin: bucket}}
backfill:
  sources:
    renderer: {{origin: studio, path: "/render{{rest}}?of={{key}}", strip_prefix: /img, query: [w],
      pass_headers: [X-Style], set_headers: {{X-Key: secret}}}}
  rules: [{{path_pattern: /img/*, mode: generate, sources: [renderer]}}]
""")
    answer, body = await e.get("/img/a%20b.png?w=3&other=1", x_style="flat", x_other="1")
    assert (answer.status, body) == (200, PICTURE)
    assert way(answer) == ("bucket=404 studio=200 bucket=200", "stored")
    (asked,) = maker.asked
    assert asked.target == "/api/render/a%20b.png?of=img/a%20b.png&w=3"
    fields = ("x-style", "x-key", "x-other", "range")
    assert [asked.field(name) for name in fields] == ["flat", "secret", None, None]
    assert bucket.objects == {"img/a%20b.png": PICTURE}
    answer, _ = await e.get("/elsewhere")
    assert (answer.status, *way(answer)) == (404, "bucket=404", "not-failed-over")
    answer, _ = await e.get("/img/")
    assert (answer.status, *way(answer)) == (404, "bucket=404", "bad-key")
    # Very many jobs may wait, each with what its sources get.
    answer, _ = await e.get("/img/c", x_style="x" * 20_000)
    assert (answer.status, answer.headers["X-Edge-Origin"]) == (404, "bucket=404")
    assert len(maker.asked) == 1


async def test_a_source_that_may_be_asked_seldom_is_waited_for(
    scripted: Starts, edge: Callable[[str], Awaitable[Edge]], bucket: Bucket, studio: Studio
) -> None:
    s3, maker = await scripted(bucket), await scripted(studio)
    rules = "rules: [{mode: generate, sources: [renderer]}]"
    text = config("queue", s3.url, maker.url, policy=OFF).replace(
        "rules: [{mode: queue}]", f"sources: {{renderer: {{origin: studio, rate: 20}}}}, {rules}"
    )
    e = await edge(text)
    answers = await asyncio.gather(*(e.get(f"/{n}.png") for n in range(6)))
    assert {answer.status for answer, _ in answers} == {200}
    assert len(maker.asked) == 6


async def test_several_gateways_on_one_queue_make_one_object(
    scripted: Starts, edge: Callable[[str], Awaitable[Edge]], bucket: Bucket, studio: Studio, tmp_path: Path
) -> None:
    s3, maker = await scripted(bucket), await scripted(studio)
    text = config("generate", s3.url, maker.url, more=f"state: {{folder: '{tmp_path}'}}")
    edges = [await edge(text) for _ in range(3)]
    studio.gate.clear()
    asking = [asyncio.ensure_future(e.get("/a.png")) for e in edges for _ in range(10)]
    while not maker.asked or bucket.count("GET a.png") < 3:
        await asyncio.sleep(0.01)
    studio.gate.set()
    answers = await asyncio.gather(*asking)
    assert {(answer.status, body) for answer, body in answers} == {(200, PICTURE)}
    assert maker.lines == ["GET /a.png"]
    assert bucket.count("PUT a.png") == 1


async def test_killed_while_it_is_made_it_is_made_after_the_next_start(
    scripted: Starts, bucket: Bucket, studio: Studio, tmp_path: Path
) -> None:
    s3, maker = await scripted(bucket), await scripted(studio)
    more = f"state: {{folder: '{tmp_path}/state'}}"
    text = config("generate", s3.url, maker.url, backfill="lease: 600ms", more=more)
    studio.gate.clear()
    async with served(tmp_path, text) as process, aiohttp.ClientSession() as viewer:
        asking = asyncio.ensure_future(viewer.get(f"{process.url}/a.png"))
        while not maker.asked:
            await asyncio.sleep(0.01)
        process.process.send_signal(signal.SIGKILL)
        await process.process.wait()
        await asyncio.wait([asking])
        assert asking.exception() is not None
    studio.gate.set()
    async with served(tmp_path, text):
        while "a.png" not in bucket.objects:
            await asyncio.sleep(0.02)
    assert bucket.objects == {"a.png": PICTURE}
    assert maker.lines == ["GET /a.png"] * 2


async def test_killed_while_another_waits_for_it_the_other_makes_it(
    scripted: Starts,
    edge: Callable[[str], Awaitable[Edge]],
    bucket: Bucket,
    studio: Studio,
    tmp_path: Path,
) -> None:
    s3, maker = await scripted(bucket), await scripted(studio)
    more = f"state: {{folder: '{tmp_path}/state'}}"
    text = config("generate", s3.url, maker.url, backfill="lease: 600ms", more=more)
    studio.gate.clear()
    async with served(tmp_path, f"{text}\nserver: {{listen: '127.0.0.1:0'}}") as process:
        async with aiohttp.ClientSession() as viewer:
            first = asyncio.ensure_future(viewer.get(f"{process.url}/a.png"))
            while not maker.asked:
                await asyncio.sleep(0.01)
            other = await edge(text)
            second = asyncio.ensure_future(other.get("/a.png"))
            while bucket.count("GET a.png") < 2:
                await asyncio.sleep(0.01)
            process.process.send_signal(signal.SIGKILL)
            studio.gate.set()
            answer, body = await second
            await asyncio.wait([first])
            assert first.exception() is not None
    assert (answer.status, body) == (200, PICTURE)
    assert bucket.count("PUT a.png") == 1
