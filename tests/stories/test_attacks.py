"""What a reviewer broke once: each stays mended."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin, closed
from tests.stories.conftest import Build

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]
BODY = b"0123456789" * 100


def text(url: str, more: str = "") -> str:
    return f"""
origins: {{site: {{type: http, url: "{url}"}}}}
cache_policies: {{plain: {{min_ttl: 0}}}}
default_behavior: {{target_origin: site, cache_policy: plain}}
{more}
"""


@pytest.mark.parametrize("control", ["max-age=0", "max-age=0, stale-while-revalidate=60"])
async def test_a_head_on_something_stale_does_not_empty_it(
    scripted: Starts, edge: Gateway, control: str
) -> None:
    async def changes(exchange: Exchange) -> None:
        await exchange.answer(200, BODY, cache_control=control, etag=f'"{len(origin.asked)}"')

    origin = await scripted(changes)
    e = await edge(text(origin.url))
    await e.get("/a")
    head, _ = await e.get("/a", "HEAD")
    assert head.headers["Content-Length"] == str(len(BODY))
    while e.gateway.app.state()["cache"]["in_flight"]:  # type: ignore[index]
        await asyncio.sleep(0.01)
    assert (await e.get("/a"))[1] == BODY
    assert "HEAD" not in [exchange.method for exchange in origin.asked]


async def test_a_head_with_a_range_does_not_empty_the_object(house: Build) -> None:
    async def in_parts(exchange: Exchange) -> None:
        if exchange.field("range"):
            await exchange.answer(
                206, b"0", content_range=f"bytes 0-0/{len(BODY)}", cache_control="max-age=60"
            )
        else:
            await exchange.answer(200, BODY, cache_control="max-age=60")

    h = await house(in_parts)
    await h.edge.get("/a", "HEAD", range="bytes=0-0")
    assert await h.stored() == {"a": len(BODY)}
    assert (await h.edge.get("/a"))[1] == BODY


async def test_a_get_that_meets_a_head_gets_its_body(scripted: Starts, edge: Gateway) -> None:
    gate = asyncio.Event()

    async def slow_later(exchange: Exchange) -> None:
        if len(origin.asked) > 1:
            await gate.wait()
        await exchange.answer(200, BODY, cache_control="max-age=0", etag=f'"{len(origin.asked)}"')

    origin = await scripted(slow_later)
    e = await edge(text(origin.url))
    await e.get("/a")
    asking = [asyncio.ensure_future(e.get("/a", method)) for method in ("HEAD", "GET")]
    await asyncio.sleep(0.05)
    gate.set()
    (head, nothing), (_, body) = await asyncio.gather(*asking)
    assert (nothing, body, head.headers["Content-Length"]) == (b"", BODY, str(len(BODY)))


@pytest.mark.parametrize("fields", [{"cookie": "session=ALICE"}, {"x_host": "evil"}], ids=["cookie", "field"])
async def test_what_one_viewer_made_the_site_say_does_not_reach_the_bucket(
    house: Build, fields: dict[str, str]
) -> None:
    async def repeats(exchange: Exchange) -> None:
        if exchange.method == "GET":
            await asyncio.sleep(0.05)
        said = f"{exchange.field('cookie')} {exchange.field('x-host')}".encode()
        await exchange.answer(200, said, cache_control="max-age=60")

    h = await house(repeats, request_policy="AllViewerExceptHostHeader")
    await asyncio.gather(h.edge.get("/a", **fields), h.edge.get("/a", "HEAD"))
    await h.stored()
    stored = await h.s3.get_object(Bucket=h.bucket, Key="a")
    async with stored["Body"] as body:
        assert await body.read() == b"None None"


@pytest.mark.parametrize("coding", ["identity", "gzip", "xchunked", "chunked, identity"])
async def test_a_body_in_an_unknown_framing_is_not_taken_for_whole(
    scripted: Starts, edge: Gateway, coding: str
) -> None:
    async def cuts(exchange: Exchange) -> None:
        fields = f"cache-control: max-age=60\r\ntransfer-encoding: {coding}\r\n\r\npartial"
        await exchange.send(b"HTTP/1.1 200 OK\r\n" + fields.encode())
        exchange.writer.close()

    origin = await scripted(cuts)
    e = await edge(text(origin.url))
    for _ in range(2):
        answer, body = await e.get("/a")
        assert "stored" not in answer.headers["Cache-Status"]
        if coding == "identity":
            assert (answer.status, body) == (200, b"partial")
            assert "hit" not in answer.headers["Cache-Status"]
        else:
            # What it is in, we did not ask for and cannot undo.  RFC 9112 §7.4.
            assert answer.status == 502


@pytest.mark.parametrize("value", [b"a\x7fb", b"a\x01b"], ids=["DEL", "SOH"])
async def test_a_control_character_in_an_answer_is_the_origins_fault(
    scripted: Starts, edge: Gateway, value: bytes
) -> None:
    async def odd(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-l: " + value + b"\r\n\r\nok")

    origin = await scripted(odd)
    e = await edge(text(origin.url))
    for _ in range(2):
        answer, _ = await e.get("/a")
        assert (answer.status, answer.headers["Cache-Status"].split("detail=")[1]) == (
            502,
            "origin-bad-reply",
        )


async def test_fields_outside_the_key_do_not_reach_the_origin_of_a_shared_answer(
    scripted: Starts, edge: Gateway
) -> None:
    async def reflects(exchange: Exchange) -> None:
        allowed = exchange.field("origin") or "none"
        await exchange.answer(200, b"ok", access_control_allow_origin=allowed, cache_control="max-age=60")

    origin = await scripted(reflects)
    e = await edge(text(origin.url))
    await e.get("/a", origin="https://evil.test", content_type="odd/type", date="odd")
    assert (await e.get("/a"))[0].headers["Access-Control-Allow-Origin"] == "none"
    assert origin.asked[0].field("content-type") is None


async def test_an_upload_that_stands_still_is_ended(scripted: Starts, edge: Gateway) -> None:
    async def takes(exchange: Exchange) -> None:
        await exchange.reader.readexactly(12)
        await exchange.answer(200, b"ok")

    origin = await scripted(takes)
    e = await edge(f"""
server: {{idle_timeout: 200ms}}
origins: {{site: {{type: http, url: "{origin.url}"}}}}
default_behavior: {{target_origin: site, cache_policy: CachingDisabled, allowed_methods: [GET, HEAD, POST]}}
""")
    reader, writer = await asyncio.open_connection("127.0.0.1", e.port)
    writer.write(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nhi")
    said = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"detail=body-timeout" in said
    await closed(writer)


async def test_bytes_that_slow_viewers_hold_are_counted(scripted: Starts, edge: Gateway) -> None:
    async def large(exchange: Exchange) -> None:
        # More than the buffers of a connection take in.
        await exchange.answer(200, b"x" * 16 * 2**20, cache_control="max-age=60")

    origin = await scripted(large)
    e = await edge(text(origin.url, "cache: {memory: 64MiB, max_object: 32MiB}"))
    slow = []
    for number in range(8):
        reader, writer = await asyncio.open_connection("127.0.0.1", e.port, limit=1024)
        writer.write(f"GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        slow.append((reader, writer))
        await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(0.3)
    held = e.gateway.app.state()["cache"]["used_bytes"]  # type: ignore[index]
    for _, writer in slow:
        writer.transport.abort()
    assert 48 * 2**20 <= held <= 64 * 2**20, "what is held is counted, and within the bound"
    while e.gateway.listener.active:
        await asyncio.sleep(0.01)
    await e.gateway.app.invalidate(["/*"])
    assert e.gateway.app.state()["cache"]["used_bytes"] == 0  # type: ignore[index]


async def test_a_304_about_another_representation_is_asked_again(scripted: Starts, edge: Gateway) -> None:
    async def confused(exchange: Exchange) -> None:
        if exchange.field("if-none-match"):
            await exchange.answer(304, etag='"new"', cache_control="max-age=60")
        else:
            await exchange.answer(200, b"%d" % len(origin.asked), etag='"old"', cache_control="max-age=0")

    origin = await scripted(confused)
    e = await edge(text(origin.url))
    assert [(await e.get("/a"))[1] for _ in range(2)] == [b"1", b"3"]
