"""Many viewers, purges, faults and early leavers at once: not one wrong byte, and nothing left behind."""

import asyncio
import hashlib
import random
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import brotli  # type: ignore[import-untyped]
import pytest

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]
KIB = 1024


PLAIN: dict[str | None, Callable[[bytes], bytes]] = {
    None: bytes,
    "gzip": lambda body: zlib.decompress(body, wbits=31),
    "br": brotli.decompress,
}


def body_of(key: int, version: int, size: int) -> bytes:
    """Bytes that tell whose they are, in every part of them."""
    line = hashlib.sha256(f"{key}/{version}".encode()).digest()
    return (line * (size // len(line) + 1))[:size]


@pytest.mark.parametrize(
    ("viewers", "requests", "keys", "largest"),
    [
        pytest.param(40, 25, 30, 256 * KIB, id="short"),
        pytest.param(
            200, 60, 500, 20 * KIB * KIB, id="long", marks=[pytest.mark.heavy, pytest.mark.timeout(600)]
        ),
    ],
)
@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
async def test_a_storm(
    scripted: Starts,
    edge: Gateway,
    tmp_path: Path,
    viewers: int,
    requests: int,
    keys: int,
    largest: int,
    on_disk: bool,
) -> None:
    dice = random.Random(7)
    sizes = [KIB if key % 3 else dice.randrange(KIB, largest) for key in range(keys)]
    versions = [0] * keys

    async def moody(exchange: Exchange) -> None:
        """Mostly well; sometimes it cuts, fails, is slow, speaks in chunks, or forbids to store."""
        key = int(exchange.target[1:].partition("?")[0])
        version = versions[key]
        body = body_of(key, version, sizes[key])
        mood = dice.random()
        control = "no-store" if key % 7 == 0 else "max-age=1" if key % 2 else "max-age=60"
        etag = f'"{key}-{version}"'
        fields = f"cache-control: {control}\r\netag: {etag}\r\nx-version: {version}\r\n".encode()
        fields += b"content-type: text/css\r\n"
        if mood < 0.05:
            await exchange.answer(503, b"moody")
        elif mood < 0.10:
            length = b"content-length: %d\r\n\r\n" % len(body)
            await exchange.send(b"HTTP/1.1 200 OK\r\n" + fields + length + body[: len(body) // 2])
            exchange.writer.close()
        elif (exchange.field("if-none-match") or "").removeprefix("W/") == etag:
            await exchange.send(b"HTTP/1.1 304 Not Modified\r\n" + fields + b"\r\n")
        elif mood < 0.4:
            await exchange.send(b"HTTP/1.1 200 OK\r\n" + fields + b"transfer-encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 50_000):
                part = body[start : start + 50_000]
                await exchange.send(b"%x\r\n" % len(part) + part + b"\r\n")
                await asyncio.sleep(0)
            await exchange.send(b"0\r\n\r\n")
        else:
            await asyncio.sleep(dice.random() * 0.005)
            await exchange.send(
                b"HTTP/1.1 200 OK\r\n" + fields + b"content-length: %d\r\n\r\n" % len(body) + body
            )

    origin = await scripted(moody)
    cache = "{memory: 8MiB, max_object: 1MiB}"
    if on_disk:
        # Too small for all of it, so that some always has to go.
        size = max(keys * largest // 16 // KIB, KIB) * KIB
        cache = (
            f"{{memory: 16MiB, max_object: 16KiB, disk: {{folder: '{tmp_path}', size: {size // KIB}KiB}}}}"
        )
    e = await edge(f"""
origins: {{site: {{type: http, url: "{origin.url}", connection_attempts: 1}}}}
cache: {cache}
cache_policies: {{plain: {{min_ttl: 0, default_ttl: 0, gzip: true, brotli: true}}}}
default_behavior: {{target_origin: site, cache_policy: plain, compress: true}}
""")
    wrong: list[str] = []
    whole = cut = 0

    async def view(number: int) -> None:
        nonlocal whole, cut
        own = random.Random(number)
        for _ in range(requests):
            key = min(int(own.expovariate(4 / keys)), keys - 1)
            mood = own.random()
            headers = {"Accept-Encoding": own.choice(["identity", "gzip", "br, gzip"])}
            first, last = sorted(own.sample(range(sizes[key]), 2))
            if mood < 0.1:
                headers["Range"] = f"bytes={first}-{last}"
            try:
                async with e.viewer.get(f"{e.url}/{key}", headers=headers) as answer:
                    if mood > 0.9:
                        await answer.content.readany()
                        answer.close()
                        continue
                    got = await answer.read()
            except aiohttp.ClientError:
                cut += 1
                continue
            if answer.status in (502, 503):
                continue
            coding = answer.headers.get("Content-Encoding")
            if coding is not None and answer.status == 206:
                continue
            if answer.status == 416 and headers["Accept-Encoding"] != "identity":
                assert "Content-Encoding" not in answer.headers, "what is compressed is shorter"
                continue
            got = PLAIN[coding](got)
            wanted = body_of(key, int(answer.headers["X-Version"]), sizes[key])
            wanted = wanted[first : last + 1] if answer.status == 206 else wanted
            if got != wanted:
                wrong.append(f"{answer.status} {key}: {len(got)} bytes, {answer.headers['Cache-Status']}")
            whole += 1

    async def disturb() -> None:
        """New versions, each purged as it comes."""
        while True:
            await asyncio.sleep(0.01)
            key = dice.randrange(keys)
            versions[key] += 1
            await e.gateway.app.invalidate([f"/{key}"])

    disturbing = asyncio.ensure_future(disturb())
    await asyncio.gather(*(view(number) for number in range(viewers)))
    disturbing.cancel()
    state = e.gateway.app.state()["cache"]
    while state["in_flight"]:  # type: ignore[index]
        await asyncio.sleep(0.01)
        state = e.gateway.app.state()["cache"]
    assert wrong == []
    assert whole > viewers * requests / 2
    assert state["used_bytes"] <= state["max_bytes"]  # type: ignore[index]
    await e.gateway.app.invalidate(["/*"])
    assert e.gateway.app.state()["cache"] == {
        "keys": 0,
        "used_bytes": 0,
        "max_bytes": (16 if on_disk else 8) * KIB * KIB,
        "in_flight": 0,
    }
    if on_disk:
        disk = (await e.gateway.app.stats())["disk"]
        assert disk == {"entries": 0, "used_bytes": 0, "max_bytes": size, "faults": 0}
        assert list((tmp_path / "bodies").glob("*/*")) == []
    for key in range(keys):
        try:
            answer, _ = await e.get(f"/{key}")
        except aiohttp.ClientError:
            continue
        if "X-Version" in answer.headers:
            assert int(answer.headers["X-Version"]) == versions[key], "what was purged is never served again"
