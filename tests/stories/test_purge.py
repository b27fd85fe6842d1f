"""A purge: what was stored, and what is on its way, is never served again."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]


def text(url: str) -> str:
    return f"""
origins: {{site: {{type: http, url: "{url}"}}}}
cache_policies: {{plain: {{min_ttl: 0, query: all, gzip: true}}}}
default_behavior:
  target_origin: site
  cache_policy: plain
  allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]
"""


async def counts(exchange: Exchange) -> None:
    await exchange.answer(200, b"body", cache_control="max-age=60", cache_tag="news, front")


async def purge(e: Edge, *paths: str) -> tuple[int, object]:
    async with aiohttp.ClientSession() as operator:
        url = f"http://127.0.0.1:{e.gateway.admin.port}/purge"
        async with operator.post(url, json={"paths": list(paths)}) as answer:
            return answer.status, await answer.json()


@pytest.mark.parametrize(
    ("paths", "purged", "left"),
    [
        (["/a"], 2, ["/a?q=1", "/b/1", "/b/2"]),
        (["/a*"], 3, ["/b/1", "/b/2"]),
        (["/b/*", "/a?q=1"], 3, ["/a"]),
        (["/*"], 5, []),
        (["#NEWS"], 5, []),
        (["#other", "/none"], 0, ["/a", "/a?q=1", "/b/1", "/b/2"]),
    ],
    ids=["path with its variants", "prefix", "two at once", "everything", "tag", "nothing"],
)
async def test_what_is_covered_goes_and_the_rest_stays(
    scripted: Starts, edge: Gateway, paths: list[str], purged: int, left: list[str]
) -> None:
    origin = await scripted(counts)
    e = await edge(text(origin.url))
    await e.get("/a", accept_encoding="gzip")
    targets = ["/a", "/a?q=1", "/b/1", "/b/2"]
    for target in targets:
        await e.get(target)
    assert await purge(e, *paths) == (200, {"purged": purged})
    still = [target for target in targets if "Hit" in (await e.get(target))[0].headers["X-Cache"]]
    assert still == left


@pytest.mark.parametrize("path", ["/x", "/*", "#news"])
async def test_a_fetch_under_way_is_neither_stored_nor_joined(
    scripted: Starts, edge: Gateway, path: str
) -> None:
    gate = asyncio.Event()

    async def old_then_new(exchange: Exchange) -> None:
        if len(origin.asked) == 1:
            fields = b"content-length: 6\r\ncache-control: max-age=60\r\ncache-tag: news\r\n"
            await exchange.send(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\nold")
            await gate.wait()
            await exchange.send(b"old")
        else:
            await exchange.answer(200, b"new", cache_control="max-age=60")

    origin = await scripted(old_then_new)
    e = await edge(text(origin.url))
    async with e.viewer.get(e.url + "/x") as asked_before:
        assert await asked_before.content.readexactly(3) == b"old"
        await purge(e, path)
        _, body = await e.get("/x")
        assert body == b"new"
        gate.set()
        assert await asked_before.content.read() == b"old", "who asked before gets what was then"
    answer, body = await e.get("/x")
    assert (body, answer.headers["X-Cache"]) == (b"new", "Hit from cloudfront")


async def test_an_older_answer_is_not_stored_over_a_newer_one(scripted: Starts, edge: Gateway) -> None:
    gate = asyncio.Event()

    async def first_is_slow(exchange: Exchange) -> None:
        number = len(origin.asked)
        if number == 1:
            await gate.wait()
        await exchange.answer(200, b"%d" % number, cache_control="max-age=60")

    origin = await scripted(first_is_slow)
    e = await edge(text(origin.url))
    asked_before = asyncio.ensure_future(e.get("/x"))
    while not origin.asked:
        await asyncio.sleep(0.01)
    await purge(e, "#any")
    assert (await e.get("/x"))[1] == b"2"
    gate.set()
    assert (await asked_before)[1] == b"1"
    answer, body = await e.get("/x")
    assert (body, answer.headers["X-Cache"]) == (b"2", "Hit from cloudfront")


async def test_a_write_that_succeeds_makes_the_path_invalid(scripted: Starts, edge: Gateway) -> None:
    async def writable(exchange: Exchange) -> None:
        status = 500 if exchange.target == "/fails" and exchange.method == "POST" else 200
        await exchange.answer(status, b"body", cache_control="max-age=60", location="/list")

    origin = await scripted(writable)
    e = await edge(text(origin.url))
    for target in ("/item", "/list", "/fails"):
        await e.get(target)
    await e.get("/item", "POST")
    await e.get("/fails", "POST")
    said = {target: (await e.get(target))[0].headers["X-Cache"] for target in ("/item", "/list", "/fails")}
    assert said == {
        "/item": "Miss from cloudfront",
        "/list": "Miss from cloudfront",
        "/fails": "Hit from cloudfront",
    }


async def test_a_form_from_a_page_on_the_web_purges_nothing(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(counts)
    e = await edge(text(origin.url))
    async with aiohttp.ClientSession() as browser:
        url = f"http://127.0.0.1:{e.gateway.admin.port}/purge"
        async with browser.post(
            url, data='{"paths": ["/*"]}', headers={"Content-Type": "text/plain"}
        ) as answer:
            assert (answer.status, await answer.json()) == (415, {"error": "body: want application/json"})


async def test_bad_purges_are_told(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(counts)
    e = await edge(text(origin.url))
    wanted = 'path: got "a", want a path such as /a.jpg or /images/*, or a tag such as #news'
    assert await purge(e, "/x", "a") == (400, {"error": wanted})
    assert await purge(e) == (400, {"error": 'body: want {"paths": ["/a.jpg", "/images/*", "#tag"]}'})


async def test_the_command_line_purges(scripted: Starts, edge: Gateway, tmp_path) -> None:  # type: ignore[no-untyped-def]
    origin = await scripted(counts)
    e = await edge(text(origin.url))
    await e.get("/a")
    config = tmp_path / "config.yaml"
    config.write_text(text(origin.url) + f"\nadmin: {{listen: '{e.gateway.admin}'}}")
    command = (sys.executable, "-m", "edgeproxy", "purge", "-c", str(config), "/a", "/b*")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"purged: 1 stored\n")
