"""`mode: redirect`: what the bucket lacks is stored, and the viewer is sent to the same address again."""

import asyncio

import aiohttp
import pytest
from yarl import URL

from tests.conftest import Exchange
from tests.stories.bucket import Bucket
from tests.stories.studio import PICTURE, Build, Studio, way

OFF = "min_ttl: 0, default_ttl: 0, max_ttl: 0"
POLICIES = pytest.mark.parametrize("policy", ["min_ttl: 0", OFF, "min_ttl: 1h"])


@POLICIES
@pytest.mark.parametrize("lacks", [403, 404])
async def test_a_client_that_follows_gets_it_from_the_bucket(
    build: Build, bucket: Bucket, policy: str, lacks: int
) -> None:
    bucket.lacks = lacks
    edge, maker = await build("redirect", policy=policy)
    async with aiohttp.ClientSession() as client, client.get(f"{edge.url}/a%20b.png?v=1") as answer:
        assert (answer.status, await answer.read()) == (200, PICTURE)
        (redirect,) = answer.history
    assert redirect.status == 302
    assert redirect.headers["Location"] == "/a%20b.png?v=1"
    assert redirect.headers["Cache-Control"] == "no-store"
    assert way(redirect) == (f"bucket={lacks} studio=200 bucket=206", "stored")
    assert answer.headers["X-Edge-Origin"] == "bucket=200"
    assert maker.lines == ["GET /a%20b.png"]
    assert bucket.objects == {"a%20b.png": PICTURE}


@POLICIES
async def test_a_hundred_viewers_and_one_object_is_fetched_once(
    build: Build, bucket: Bucket, studio: Studio, policy: str
) -> None:
    edge, maker = await build("redirect", policy=policy)
    studio.gate.clear()
    asking = [asyncio.ensure_future(edge.get("/a.png")) for _ in range(100)]
    while not maker.asked:
        await asyncio.sleep(0.01)
    studio.gate.set()
    answers = await asyncio.gather(*asking)
    assert {answer.status for answer, _ in answers} <= {200, 302}
    assert {body for answer, body in answers if answer.status == 200} <= {PICTURE}
    assert maker.lines == ["GET /a.png"]
    assert bucket.count("PUT a.png") == 1


@pytest.mark.parametrize(("method", "range_"), [("HEAD", None), ("GET", "bytes=2-4"), ("GET", "bytes=90-")])
async def test_whoever_asks_for_less_is_sent_back_too(
    build: Build, bucket: Bucket, method: str, range_: str | None
) -> None:
    edge, _ = await build("redirect")
    fields = {"range": range_} if range_ is not None else {}
    answer, body = await edge.get("/a.png", method, **fields)
    assert (answer.status, body, answer.headers["Location"]) == (302, b"", "/a.png")
    assert bucket.objects == {"a.png": PICTURE}


async def test_an_empty_object_is_one(build: Build, bucket: Bucket, studio: Studio) -> None:
    async def empty(exchange: Exchange) -> None:
        await exchange.answer(200, b"")

    studio.told = empty
    edge, _ = await build("redirect", policy=OFF)
    assert (await edge.get("/a"))[0].status == 302
    assert (await edge.get("/a"))[0].status == 200


async def test_no_path_leads_to_another_host(build: Build, bucket: Bucket) -> None:
    edge, _ = await build("redirect", policy=OFF)
    answer, _ = await edge.get("//evil.example/x?a=//b")
    assert answer.headers["Location"] == "/.//evil.example/x?a=//b"
    url = URL(f"{edge.url}//evil.example/x?a=//b", encoded=True)
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        assert (answer.status, answer.url) == (200, url)


@pytest.mark.parametrize("refuses", ["PUT", "GET", "GET PUT"])
@POLICIES
async def test_nobody_goes_in_circles(build: Build, bucket: Bucket, policy: str, refuses: str) -> None:
    bucket.refuses = frozenset(refuses.split())
    edge, _ = await build("redirect", policy=policy)
    for _ in range(3):
        answer, _ = await edge.get("/a.png")
        assert answer.status == (403 if "GET" in refuses else 404)


@POLICIES
async def test_what_is_stored_but_not_to_be_seen_yet_leads_nobody_back(
    build: Build, bucket: Bucket, studio: Studio, policy: str
) -> None:
    """A bucket whose reads lag behind its writes."""
    edge, _ = await build("redirect", policy=policy)
    bucket.is_behind = True
    answer, _ = await edge.get("/a.png")
    assert (answer.status, *way(answer)) == (404, "bucket=404 studio=200 bucket=404", "stored")
    bucket.is_behind = False
    async with asyncio.timeout(5):
        while (await edge.get("/a.png"))[0].status != 200:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("status", [404, 500, 403, 302])
async def test_what_the_source_has_not_is_what_the_bucket_said_of_it(
    build: Build, studio: Studio, status: int
) -> None:
    async def told(exchange: Exchange) -> None:
        await exchange.answer(status, b"no", location="/elsewhere")

    studio.told = told
    edge, _ = await build("redirect", policy="min_ttl: 1h")
    answer, body = await edge.get("/a.png")
    assert (answer.status, body) == (404, b"<Error><Code>NoSuchKey</Code></Error>")
    assert "Location" not in answer.headers
    assert way(answer) == (f"bucket=404 studio={status}", "source-status")


async def test_an_error_page_stands_where_there_is_nothing_to_be_stored(
    build: Build, bucket: Bucket, studio: Studio
) -> None:
    async def missing(exchange: Exchange) -> None:
        await exchange.answer(404, b"no")

    studio.told = missing
    bucket.objects["sorry.html"] = b"sorry"
    page = "[{error_code: 404, response_page_path: /sorry.html, response_code: 200}]"
    edge, _ = await build("redirect", more=f"custom_error_responses: {page}")
    answer, body = await edge.get("/a.png")
    assert (answer.status, body) == (200, b"sorry")
    del bucket.objects["sorry.html"]
    edge, _ = await build("redirect", more=f"custom_error_responses: {page}")
    answer, _ = await edge.get("/a.png")
    assert answer.status == 404, "there is nobody to make the page either"
