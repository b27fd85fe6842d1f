"""The backfill behind the viewer's back: patient with faults, strict with bytes, never in the way."""

import asyncio

from tests.conftest import Exchange
from tests.stories.conftest import Build


async def test_a_full_queue_refuses_and_the_viewer_does_not_notice(house: Build) -> None:
    gate = asyncio.Event()

    async def slow_to_gets(exchange: Exchange) -> None:
        if exchange.method == "GET":
            await gate.wait()
        await exchange.answer(200, b"body")

    h = await house(slow_to_gets, queue="queue_size: 2, concurrency: 1")
    said = [(await h.edge.get(f"/{n}", "HEAD"))[0].headers["X-Edge-Backfill"] for n in range(4)]
    assert said == ["queued", "queued", "queue-full", "queue-full"]
    gate.set()
    assert await h.stored() == {"0": 4, "1": 4}
    assert h.edge.counts() == {"queued": 2, "refused-queue-full": 2, "stored": 2}


async def test_one_job_a_key_at_a_time(house: Build) -> None:
    gate = asyncio.Event()

    async def slow_to_gets(exchange: Exchange) -> None:
        if exchange.method == "GET":
            await gate.wait()
        await exchange.answer(200, b"body")

    h = await house(slow_to_gets)
    said = [(await h.edge.get("/a", "HEAD"))[0].headers["X-Edge-Backfill"] for _ in range(3)]
    assert said == ["queued", "queued-already", "queued-already"]
    gate.set()
    assert await h.stored() == {"a": 4}
    assert h.site.lines.count("GET /a") == 1


async def test_a_source_that_recovers_is_tried_again(house: Build) -> None:
    async def cut_once(exchange: Exchange) -> None:
        if exchange.method == "GET" and sum(e.method == "GET" for e in h.site.asked) == 1:
            await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
            exchange.writer.close()
        else:
            await exchange.answer(200, b"0123456789")

    h = await house(cut_once)
    await h.edge.get("/a", "HEAD")
    assert await h.stored() == {"a": 10}
    assert h.edge.counts() == {"queued": 1, "retried": 1, "stored": 1}


async def test_an_object_that_is_gone_at_the_source_is_not_tried_again(house: Build) -> None:
    async def gone(exchange: Exchange) -> None:
        await exchange.answer(200 if exchange.method == "HEAD" else 404, b"")

    h = await house(gone)
    await h.edge.get("/a", "HEAD")
    assert await h.stored() == {}
    assert h.edge.counts() == {"queued": 1, "skipped-source-status": 1}


async def test_a_primary_that_is_down_lacks_nothing(house: Build) -> None:
    async def fine(exchange: Exchange) -> None:
        await exchange.answer(200, b"body")

    h = await house(
        fine, failover_on="[404, 503]", bucket_fields="endpoint: 'http://127.0.0.1:1', connection_attempts: 1"
    )
    answer, _ = await h.edge.get("/a")
    assert answer.headers["X-Edge-Origin"] == "bucket=origin-unreachable site=200"
    assert answer.headers["X-Edge-Backfill"] == "primary-status"


async def test_rules_say_what_is_copied(house: Build) -> None:
    async def fine(exchange: Exchange) -> None:
        await exchange.answer(200, b"a body of 20 bytes..")

    off, small = "{path_pattern: /off/*, enabled: false}", "{path_pattern: /small/*, max_object: 10B}"
    rules = f"[{off}, {small}, {{path_pattern: '*.jpg'}}]"
    h = await house(fine, rules=rules)
    said = {}
    for path in ("/off/a.jpg", "/small/a.jpg", "/a.txt", "/a.jpg"):
        said[path] = (await h.edge.get(path))[0].headers["X-Edge-Backfill"]
    assert said == {
        "/off/a.jpg": "no-backfill",
        "/small/a.jpg": "too-large",
        "/a.txt": "no-rule",
        "/a.jpg": "queued",
    }
    assert await h.stored() == {"a.jpg": 20}


async def test_an_origin_path_is_part_of_the_key(house: Build) -> None:
    async def fine(exchange: Exchange) -> None:
        await exchange.answer(200, b"body")

    h = await house(fine, bucket_fields="origin_path: /production")
    await h.edge.get("/a.jpg")
    assert await h.stored() == {"production/a.jpg": 4}
    assert h.site.lines == ["GET /a.jpg"]
