"""Origins that cut, lie, hang or mumble: nothing half is stored, and a viewer can always tell."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin, closed

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]


@pytest.fixture
def front(scripted: Starts, edge: Gateway) -> Callable[..., Awaitable[tuple[Edge, ScriptedOrigin]]]:
    """A gateway with a cache over one scripted origin."""

    async def build(script: Script, *, patience: str = "10s") -> tuple[Edge, ScriptedOrigin]:
        origin = await scripted(script)
        limits = f"read_timeout: {patience}, connection_attempts: 1"
        gateway = await edge(f"""
origins: {{site: {{type: http, url: "{origin.url}", {limits}}}}}
cache_policies: {{plain: {{min_ttl: 0, gzip: true}}}}
cache: {{memory: 4MiB, max_object: 1MiB}}
default_behavior: {{target_origin: site, cache_policy: plain, allowed_methods: [GET, HEAD, OPTIONS]}}
""")
        return gateway, origin

    return build


Front = Callable[..., Awaitable[tuple[Edge, ScriptedOrigin]]]
HEAD = b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n"


def speaks(data: bytes, *, then_close: bool = True) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.send(data)
        if then_close:
            exchange.writer.close()

    return script


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"content-length: 100\r\n\r\nonly this",
        HEAD + b"transfer-encoding: chunked\r\n\r\n9\r\nonly this\r\n",
    ],
    ids=["length", "chunks"],
)
async def test_a_cut_body_reaches_the_viewer_as_cut_and_is_not_stored(front: Front, data: bytes) -> None:
    e, origin = await front(speaks(data))
    for _ in range(2):
        with pytest.raises(aiohttp.ClientPayloadError):
            await e.get("/cut")
    assert len(origin.asked) == 2, "nothing was stored"
    assert e.records[-1].is_cut
    assert e.records[-1].reason == "origin-cut"
    assert e.gateway.app.state()["cache"]["used_bytes"] == 0  # type: ignore[index]


async def test_a_chunk_that_is_none_ends_the_answer_there(front: Front) -> None:
    async def mumbles(exchange: Exchange) -> None:
        await exchange.send(HEAD + b"transfer-encoding: chunked\r\n\r\n9\r\nonly this\r\n")
        await asyncio.sleep(0.05)  # the head has to be on its way before the origin goes wrong
        await exchange.send(b"zz\r\n")

    e, _ = await front(mumbles)
    with pytest.raises(aiohttp.ClientPayloadError):
        await e.get("/chunk")
    assert e.records[-1].reason == "origin-cut"


async def test_a_body_that_stops_in_the_middle_is_cut_off(front: Front) -> None:
    async def stalls(exchange: Exchange) -> None:
        await exchange.send(HEAD + b"content-length: 100\r\n\r\nonly this")
        await asyncio.sleep(30)

    e, _ = await front(stalls, patience="300ms")
    with pytest.raises(aiohttp.ClientPayloadError):
        await e.get("/stall")
    assert e.records[-1].reason == "origin-timeout"


async def test_a_body_without_an_end_of_its_own_is_served_and_not_stored(front: Front) -> None:
    e, origin = await front(speaks(HEAD + b"\r\nuntil I close"))
    for _ in range(2):
        answer, body = await e.get("/old")
        assert (answer.status, body) == (200, b"until I close")
        assert answer.headers["Cache-Status"].endswith("detail=length-unknown")
    assert len(origin.asked) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 40_000 + b"\r\ncontent-length: 0\r\n\r\n",
        HEAD + b"".join(b"x-%d: %b\r\n" % (n, b"y" * 7_000) for n in range(5)) + b"content-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
    ids=[
        "another protocol",
        "no status",
        "two lengths",
        "length and chunks",
        "a field of 40 kB",
        "a head of 35 kB",
        "another protocol unasked",
    ],
)
async def test_what_is_not_http_is_a_502_with_a_name(front: Front, data: bytes) -> None:
    e, _ = await front(speaks(data))
    answer, _ = await e.get("/odd")
    assert (answer.status, answer.headers["Cache-Status"].split("detail=")[1]) == (502, "origin-bad-reply")


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\ncache-control: no-store\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"


@pytest.mark.parametrize(
    "interim",
    [CONTINUE, HINTS, HINTS + HINTS, CONTINUE + HINTS, PROCESSING * 20],
    ids=["100", "103", "103 twice", "100 and 103", "102 again and again"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_interim_answers_are_passed_over(front: Front, interim: bytes, method: str) -> None:
    """RFC 9110 §15.2: a client must be able to read them. Their fields are none of the answer's."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(interim + HEAD + b"content-length: 2\r\n\r\n")
        if exchange.method != "HEAD":
            await exchange.send(b"ok")

    e, origin = await front(script)
    for _ in range(2):
        answer, body = await e.get("/hints", method)
        assert (answer.status, body) == (200, b"" if method == "HEAD" else b"ok")
        assert ("Link" in answer.headers, answer.headers["Cache-Control"]) == (False, "max-age=60")
    assert len(origin.asked) == (1 if method == "GET" else 2)
    assert len({id(exchange.writer) for exchange in origin.asked}) == 1, "the connection is used again"


async def test_an_interim_answer_comes_by_itself(front: Front) -> None:
    """The final one may take its time: the viewer gets nothing before it."""
    gate = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(HINTS)
        await gate.wait()
        await exchange.answer(200, b"ok", cache_control="max-age=60")

    e, origin = await front(script)
    waiting = [asyncio.ensure_future(e.get("/hints")) for _ in range(3)]
    while not origin.asked:
        await asyncio.sleep(0.01)
    gate.set()
    assert {(answer.status, body) for answer, body in await asyncio.gather(*waiting)} == {(200, b"ok")}
    assert len(origin.asked) == 1


async def test_an_interim_answer_without_a_final_one_is_a_fault(front: Front) -> None:
    e, _ = await front(speaks(HINTS))
    answer, _ = await e.get("/hints")
    assert (answer.status, answer.headers["Cache-Status"].split("detail=")[1]) == (502, "origin-cut")


async def test_a_kept_connection_that_the_origin_closed_costs_no_answer(front: Front) -> None:
    async def one_each(exchange: Exchange) -> None:
        await exchange.answer(200, b"ok", cache_control="no-store")
        exchange.writer.close()

    e, _ = await front(one_each)
    for _ in range(20):
        answer, body = await e.get("/again")
        assert (answer.status, body) == (200, b"ok")


async def test_connection_fields_go_no_further(front: Front) -> None:
    e, origin = await front(
        speaks(
            HEAD
            + b"connection: x-private\r\nx-private: 1\r\nkeep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nok"
        )
    )
    answer, _ = await e.get(
        "/hop", connection="x-mine", x_mine="1", te="trailers", proxy_authorization="Basic x"
    )
    assert not {"X-Private", "Keep-Alive"} & set(answer.headers)
    seen = origin.asked[0].head.lower()
    for name in (b"x-mine", b"te:", b"proxy-authorization", b"keep-alive:"):
        assert name not in seen


async def test_fields_that_are_not_ascii_come_through_in_utf_8(front: Front) -> None:
    fields = b"x-utf: gr\xc3\xbcn\r\nx-latin: gr\xfcn\r\ncontent-length: 2\r\n\r\nok"
    e, origin = await front(speaks(HEAD + fields))
    for _ in range(2):
        raw = await e.raw(b"GET /u HTTP/1.1\r\nhost: a\r\npragma: gr\xfcn\r\nconnection: close\r\n\r\n")
        assert b"x-utf: gr\xc3\xbcn\r\nx-latin: gr\xc3\xbcn\r\n" in raw
        assert raw.endswith(b"\r\n\r\nok")
    assert b"gr\xc3\xbcn" in origin.asked[0].head


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_has_none(front: Front, status: int) -> None:
    e, _ = await front(speaks(f"HTTP/1.1 {status} X\r\n\r\n".encode(), then_close=False))
    answer, body = await e.get("/none")
    assert (answer.status, body) == (status, b"")


async def test_coded_answers_are_passed_as_they_are_and_kept_apart(front: Front) -> None:
    async def coded(exchange: Exchange) -> None:
        coding = exchange.field("accept-encoding")
        if coding == "gzip":
            await exchange.answer(
                200, b"<gzip>", content_encoding="gzip", vary="Accept-Encoding", cache_control="max-age=9"
            )
        else:
            await exchange.answer(200, b"plain", vary="Accept-Encoding", cache_control="max-age=9")

    e, origin = await front(coded)
    assert [
        (await e.get("/c", accept_encoding=coding))[1] for coding in ("gzip, br", "gzip;q=1", "br", "")
    ] == [
        b"<gzip>",
        b"<gzip>",
        b"plain",
        b"plain",
    ]
    assert len(origin.asked) == 2


async def test_a_body_that_outgrows_the_cache_goes_on_to_all_who_read_it(front: Front) -> None:
    gate = asyncio.Event()
    part = b"x" * 2**16

    async def endless(exchange: Exchange) -> None:
        await exchange.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        await gate.wait()
        for _ in range(64):
            await exchange.send(b"10000\r\n" + part + b"\r\n")
        await exchange.send(b"0\r\n\r\n")

    e, origin = await front(endless)
    async with e.viewer.get(e.url + "/big") as one, e.viewer.get(e.url + "/big") as two:
        gate.set()
        first, second = await asyncio.gather(one.read(), two.read())
    assert len(first) == len(second) == 64 * 2**16
    assert len(origin.asked) == 1
    assert e.gateway.app.state()["cache"] == {
        "keys": 0,
        "used_bytes": 0,
        "max_bytes": 4 * 2**20,
        "in_flight": 0,
    }


async def test_a_request_that_comes_back_is_a_loop(edge: Gateway, scripted: Starts) -> None:
    port = 0

    async def sends_back(exchange: Exchange) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(exchange.head.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        await exchange.send(await reader.read())
        await closed(writer)
        exchange.writer.close()

    origin = await scripted(sends_back)
    e = await edge(
        f'origins: {{site: {{type: http, url: "{origin.url}"}}}}\ndefault_behavior: {{target_origin: site}}'
    )
    port = e.port
    answer, body = await e.get("/loop")
    assert answer.status == 508
    assert b"has come through here before" in body
    assert len(origin.asked) == 1
