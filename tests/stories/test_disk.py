"""The tier on disk: it outlives the process, serves nothing that is torn, stays within its bytes."""

import asyncio
import gc
import hashlib
import os
import random
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin, closed, edge_of
from tests.stories.process import served

KIB = 1024
MIB = 1024 * KIB
Starts = Callable[[Script], Awaitable[ScriptedOrigin]]


def body_of(target: str) -> bytes:
    """`/<anything>/<size>` has a body of that many bytes, its own."""
    size = int(target.partition("?")[0].rpartition("/")[2])
    return random.Random(target).randbytes(size)


async def site(exchange: Exchange) -> None:
    if exchange.field("if-none-match") == '"one"':
        await exchange.send(b'HTTP/1.1 304 X\r\netag: "one"\r\ncache-control: max-age=600\r\n\r\n')
        return
    age = "0" if exchange.target.startswith("/stale") else "600"
    tag = exchange.target.split("/")[1]
    await exchange.answer(
        200, body_of(exchange.target), etag='"one"', cache_control=f"max-age={age}", cache_tag=tag
    )


def config(url: str, folder: Path, *, disk: str = "", more: str = "") -> str:
    return f"""
origins: {{site: {{type: http, url: "{url}", connection_attempts: 1}}}}
cache_policies: {{plain: {{min_ttl: 0, query: all}}}}
default_behavior: {{target_origin: site, cache_policy: plain}}
cache: {{memory: 32MiB, max_object: 64KiB, disk: {{folder: "{folder / "cache"}", {disk}}}}}
{more}
"""


def bodies(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "cache" / "bodies").glob("*/*"))


async def settled(edge: Edge) -> dict[str, object]:
    """What is on disk, once nothing is on its way there."""
    while edge.gateway.app.state()["cache"]["in_flight"]:  # type: ignore[index]
        await asyncio.sleep(0.01)
    disk = (await edge.gateway.app.stats())["disk"]
    assert isinstance(disk, dict)
    return disk


SMALL, LARGE = f"/a/{10 * KIB}", f"/b/{3 * MIB}"


@pytest.mark.parametrize("target", [SMALL, LARGE])
async def test_what_was_stored_is_there_after_a_restart(
    scripted: Starts, tmp_path: Path, target: str
) -> None:
    origin = await scripted(site)
    text = config(origin.url, tmp_path)
    async with edge_of(text) as edge:
        first, body = await edge.get(target)
        assert first.headers["X-Cache"] == "Miss from cloudfront"
        assert body == body_of(target)
        await settled(edge)
    async with edge_of(text) as edge:
        again, body = await edge.get(target)
        assert (again.status, again.headers["X-Cache"]) == (200, "Hit from cloudfront")
        assert body == body_of(target)
        assert int(again.headers["Age"]) >= 0
        part, body = await edge.get(target, range="bytes=5000-9999")
        assert (part.status, body) == (206, body_of(target)[5000:10000])
        last, body = await edge.get(target, range="bytes=-7")
        assert (last.status, body) == (206, body_of(target)[-7:])
        beyond, _ = await edge.get(target, range="bytes=99999999-")
        assert beyond.status == 416
        head, _ = await edge.get(target, "HEAD")
        assert head.headers["Content-Length"] == str(len(body_of(target)))
        same, _ = await edge.get(target, if_none_match='"one"')
        assert same.status == 304
    assert origin.lines == [f"GET {target}"]


async def test_what_goes_stale_is_validated_after_a_restart_and_fresh_after_the_next(
    scripted: Starts, tmp_path: Path
) -> None:
    origin = await scripted(site)
    text = config(origin.url, tmp_path)
    targets = [f"/stale/{10 * KIB}", f"/stale/{MIB}"]
    for expected in ("Miss", "RefreshHit", "Hit"):
        async with edge_of(text) as edge:
            for target in targets:
                answer, body = await edge.get(target)
                assert answer.headers["X-Cache"] == f"{expected} from cloudfront"
                assert body == body_of(target)
            await settled(edge)
    assert [exchange.field("if-none-match") for exchange in origin.asked] == [None, None, '"one"', '"one"']


async def test_variants_lie_side_by_side(scripted: Starts, tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        language = exchange.field("accept-language") or "-"
        await exchange.answer(
            200, language.encode() * 50_000, vary="accept-language", cache_control="max-age=9"
        )

    origin = await scripted(script)
    policy = "\norigin_request_policies: {all: {headers: all}}"
    text = config(origin.url, tmp_path).replace(
        "cache_policy: plain", "cache_policy: plain, origin_request_policy: all"
    )
    for expected in ("Miss", "Hit"):
        async with edge_of(text + policy) as edge:
            for language in ("en", "de", "fr"):
                await settled(edge)
                answer, body = await edge.get("/greeting", accept_language=language)
                assert (answer.headers["X-Cache"], body) == (
                    f"{expected} from cloudfront",
                    language.encode() * 50_000,
                )
            await settled(edge)


async def test_a_large_object_is_read_from_disk_by_those_who_are_slow_or_late(
    scripted: Starts, tmp_path: Path
) -> None:
    """The fetch waits for nobody, and memory holds no more than its window."""
    size = 24 * MIB
    body = random.Random(1).randbytes(size)
    gate = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 200 X\r\ncache-control: max-age=600\r\ncontent-length: %d\r\n\r\n" % size
        )
        await exchange.send(body[: size - 1000])
        await gate.wait()
        await exchange.send(body[size - 1000 :])

    origin = await scripted(script)
    async with edge_of(config(origin.url, tmp_path)) as edge:
        async with edge.viewer.get(edge.url + "/large") as slow:
            start = await slow.content.readexactly(1000)
            while edge.gateway.app._cache.disk is None or not bodies(tmp_path):
                await asyncio.sleep(0.01)
            async with edge.viewer.get(edge.url + "/large") as late:
                got = await late.content.readexactly(size - 1000)
                assert edge.gateway.app._cache.memory.used_bytes < 2 * MIB
                gate.set()
                assert got + await late.content.read() == body
                assert late.headers["X-Cache"] == "Hit from cloudfront"
            assert hashlib.sha256(start + await slow.content.read()).digest() == hashlib.sha256(body).digest()
        await settled(edge)
        assert edge.gateway.app._cache.memory.used_bytes == 0
    assert len(origin.asked) == 1


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_outgrows_memory_goes_to_disk(
    scripted: Starts, tmp_path: Path, chunked: bool
) -> None:
    body = random.Random(2).randbytes(6 * MIB)

    async def script(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 200 X\r\ncache-control: max-age=600\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for start in range(0, len(body), 30_000):
            piece = body[start : start + 30_000]
            await exchange.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        await exchange.send(b"0\r\n\r\n" if chunked else b"")
        if not chunked:
            exchange.writer.close()

    origin = await scripted(script)
    async with edge_of(config(origin.url, tmp_path)) as edge:
        if not chunked:
            with pytest.raises(aiohttp.ClientPayloadError):
                await edge.get("/x")
            assert (await settled(edge))["entries"] == 0
            assert bodies(tmp_path) == []
            return
        assert (await edge.get("/x"))[1] == body
        await settled(edge)
        again, got = await edge.get("/x")
        assert (again.headers["X-Cache"], got) == ("Hit from cloudfront", body)


def cut(data: bytes) -> bytes:
    return data[:-100]


def emptied(data: bytes) -> bytes:
    return b""


def zeroed(data: bytes) -> bytes:
    """What a machine that lost its power may leave: the length is right."""
    return bytes(len(data))


def flipped(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def longer(data: bytes) -> bytes:
    return data + b"x"


def of_another(data: bytes) -> bytes:
    return os.urandom(len(data))


@pytest.mark.parametrize("damage", [cut, emptied, zeroed, flipped, longer, of_another])
@pytest.mark.parametrize("target", [SMALL, LARGE])
async def test_a_torn_file_is_never_served(
    scripted: Starts, tmp_path: Path, target: str, damage: Callable[[bytes], bytes]
) -> None:
    origin = await scripted(site)
    text = config(origin.url, tmp_path)
    async with edge_of(text) as edge:
        await edge.get(target)
        await settled(edge)
    (file,) = bodies(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    async with edge_of(text) as edge:
        if damage is flipped and target == LARGE:
            # The head is out by the time that the block is read: the answer is cut, no byte of it wrong.
            with pytest.raises(aiohttp.ClientPayloadError):
                await edge.get(target)
            assert edge.records[-1].reason == "disk-damaged"
            await asyncio.to_thread(edge.gateway.app._cache.disk._threads._changes.submit(int).result)  # type: ignore[union-attr]
        answer, body = await edge.get(target)
        assert (answer.headers["X-Cache"], body) == ("Miss from cloudfront", body_of(target))
        await settled(edge)
        assert (await edge.get(target))[0].headers["X-Cache"] == "Hit from cloudfront"
    assert len(origin.asked) == 2


async def test_a_file_that_is_gone_is_a_miss(scripted: Starts, tmp_path: Path) -> None:
    origin = await scripted(site)
    async with edge_of(config(origin.url, tmp_path)) as edge:
        await edge.get(LARGE)
        await settled(edge)
        for file in bodies(tmp_path):
            file.unlink()
        answer, body = await edge.get(LARGE)
        assert (answer.headers["X-Cache"], body) == ("Miss from cloudfront", body_of(LARGE))


async def test_a_damaged_catalogue_is_an_empty_cache(scripted: Starts, tmp_path: Path) -> None:
    origin = await scripted(site)
    text = config(origin.url, tmp_path)
    async with edge_of(text) as edge:
        await edge.get(SMALL)
        await settled(edge)
    (tmp_path / "cache" / "catalog.sqlite").write_bytes(b"SQLite format 3\0" + os.urandom(8000))
    async with edge_of(text) as edge:
        assert bodies(tmp_path) == []
        assert (await edge.get(SMALL))[0].headers["X-Cache"] == "Miss from cloudfront"


async def test_it_stays_within_its_bytes_and_keeps_what_is_used(scripted: Starts, tmp_path: Path) -> None:
    origin = await scripted(site)
    text = config(origin.url, tmp_path, disk="size: 8MiB")
    async with edge_of(text) as edge:
        disk = edge.gateway.app._cache.disk
        assert disk is not None
        for number in range(60):
            await edge.get(f"/{number}/{300_000}")
            state = await settled(edge)
            assert int(str(state["used_bytes"])) <= 8 * MIB
            on_disk = sum(file.stat().st_blocks * 512 for file in bodies(tmp_path))
            assert on_disk <= 8 * MIB
            assert (await edge.get(f"/0/{300_000}"))[0].headers["X-Cache"] == "Hit from cloudfront"
            await disk._threads.change(disk._touching())
        assert (await edge.get(f"/1/{300_000}"))[0].headers["X-Cache"] == "Miss from cloudfront"
        too_large, _ = await edge.get(f"/x/{5 * MIB}")
        assert "too-large" in too_large.headers["Cache-Status"]
    async with edge_of(config(origin.url, tmp_path, disk="size: 2MiB")) as edge:
        assert int(str((await settled(edge))["used_bytes"])) <= 2 * MIB


@pytest.mark.parametrize("what", ["/b/*", f"/b/{3 * MIB}", "#b", "/*"])
async def test_a_purge_reaches_what_only_the_disk_has(scripted: Starts, tmp_path: Path, what: str) -> None:
    origin = await scripted(site)
    text = config(origin.url, tmp_path)
    async with edge_of(text) as edge:
        for target in (LARGE, LARGE + "?q=1", SMALL):
            await edge.get(target)
        await settled(edge)
    async with edge_of(text) as edge:
        count = {"/*": 3, LARGE: 1}.get(what, 2)
        assert await edge.gateway.app.invalidate([what]) == count
        assert len(bodies(tmp_path)) == 3 - count
        assert (await edge.get(LARGE))[0].headers["X-Cache"] == "Miss from cloudfront"


async def test_a_purge_reaches_what_is_on_its_way_to_disk(scripted: Starts, tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        body = body_of(exchange.target)
        await exchange.send(
            b"HTTP/1.1 200 X\r\ncache-control: max-age=600\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        await exchange.send(body[:-1])
        await gate.wait()
        await exchange.send(body[-1:])

    origin = await scripted(script)
    async with edge_of(config(origin.url, tmp_path)) as edge:
        async with edge.viewer.get(edge.url + LARGE) as old:
            await old.content.readexactly(100_000)
            await edge.gateway.app.invalidate([LARGE])
            gate.set()
            assert len(await old.content.read()) == 3 * MIB - 100_000
        assert (await settled(edge))["entries"] == 0
        assert bodies(tmp_path) == []
        assert (await edge.get(LARGE))[0].headers["X-Cache"] == "Miss from cloudfront"


async def test_a_disk_that_is_full_costs_viewers_nothing(scripted: Starts, tmp_path: Path) -> None:
    """No file may be larger than 2 MiB here, which to a program looks as a full disk does: a write fails."""
    origin = await scripted(site)
    text = config(origin.url, tmp_path) + "\nlog: {access: false}"
    async with served(tmp_path, text, before="ulimit -f 4096") as edge, aiohttp.ClientSession() as viewer:
        for _ in range(2):
            async with viewer.get(edge.url + LARGE) as answer:
                assert await answer.read() == body_of(LARGE)
                assert answer.headers["X-Cache"] == "Miss from cloudfront"
        for expected in ("Miss", "Hit"):
            async with viewer.get(edge.url + SMALL) as answer:
                assert await answer.read() == body_of(SMALL)
                assert answer.headers["X-Cache"] == f"{expected} from cloudfront"
        async with viewer.get(f"http://127.0.0.1:{edge.admin}/stats") as answer:
            disk = (await answer.json())["disk"]
        assert disk["faults"] == 2
        edge.process.send_signal(signal.SIGTERM)
        status, said = await edge.ended()
    assert status == 0
    assert said[0] == "disk cache: File too large (1 faults so far)"
    assert [file.stat().st_size for file in bodies(tmp_path)] == [10 * KIB + 24]


async def test_a_kill_in_the_middle_of_a_body_leaves_nothing(scripted: Starts, tmp_path: Path) -> None:
    hold = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        if hold.is_set():
            await site(exchange)
            return
        body = body_of(exchange.target)
        await exchange.send(
            b"HTTP/1.1 200 X\r\ncache-control: max-age=600\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        await exchange.send(body[: 2 * MIB])
        await asyncio.sleep(60)

    origin = await scripted(script)
    text = config(origin.url, tmp_path)
    async with served(tmp_path, text) as edge, aiohttp.ClientSession() as viewer:
        async with viewer.get(edge.url + LARGE) as answer:
            await answer.content.readexactly(2 * MIB)
            edge.process.send_signal(signal.SIGKILL)
            await edge.process.wait()
    assert len(bodies(tmp_path)) == 1
    hold.set()
    async with edge_of(text) as edge_again:
        assert bodies(tmp_path) == []
        assert (await settled(edge_again))["used_bytes"] == 0
        answer, body = await edge_again.get(LARGE)
        assert (answer.headers["X-Cache"], body) == ("Miss from cloudfront", body_of(LARGE))


async def test_killed_at_any_moment_it_never_serves_a_wrong_byte(scripted: Starts, tmp_path: Path) -> None:
    origin = await scripted(site)
    text = config(origin.url, tmp_path, disk="size: 16MiB") + "\nlog: {access: false}"
    chance = random.Random(7)
    targets = [f"/{n}/{size}" for n, size in enumerate((100, 5_000, 70_000, 65_536, 200_000, 1_500_000) * 4)]
    hits = 0
    for _ in range(5):
        async with served(tmp_path, text) as edge, aiohttp.ClientSession() as viewer:

            async def views(seed: int, url: str, viewer: aiohttp.ClientSession) -> None:
                nonlocal hits
                own = random.Random(seed)
                while True:
                    target = own.choice(targets)
                    try:
                        async with viewer.get(url + target) as answer:
                            body = await answer.read()
                    except aiohttp.ClientError:
                        return
                    assert body == body_of(target)
                    hits += answer.headers["X-Cache"].startswith("Hit")

            views_of_all = [
                asyncio.ensure_future(views(chance.getrandbits(32), edge.url, viewer)) for _ in range(8)
            ]
            await asyncio.sleep(chance.uniform(0.1, 0.5))
            edge.process.send_signal(signal.SIGKILL)
            await asyncio.gather(*views_of_all)
    with sqlite3.connect(tmp_path / "cache" / "catalog.sqlite") as catalog:
        (entries, total), rows = (
            catalog.execute("SELECT entries, bytes FROM total").fetchone(),
            catalog.execute("SELECT count(*), sum(bytes) FROM entry").fetchone(),
        )
    assert (entries, total) == rows
    assert hits > 0


async def test_who_looks_on_disk_while_others_fetch_does_not_fetch_again(
    scripted: Starts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = await scripted(site)
    gate = asyncio.Event()
    late: list[object] = []
    async with edge_of(config(origin.url, tmp_path)) as edge:
        disk = edge.gateway.app._cache.disk
        assert disk is not None
        find = disk.find

        async def slow(*asked: object) -> object:
            found = await find(*asked)  # type: ignore[arg-type]
            if not late:
                late.append(found)
                await gate.wait()
            return found

        monkeypatch.setattr(disk, "find", slow)
        first = asyncio.ensure_future(edge.get(SMALL))
        while not late:
            await asyncio.sleep(0.01)
        await edge.get(SMALL)
        await settled(edge)
        gate.set()
        answer, body = await first
        assert (answer.headers["X-Cache"], body) == ("Hit from cloudfront", body_of(SMALL))
    assert len(origin.asked) == 1


async def test_a_viewer_who_leaves_leaves_no_file_open(scripted: Starts, tmp_path: Path) -> None:
    """Also before garbage is collected: files that are open are few."""
    origin = await scripted(site)
    target = f"/b/{8 * MIB}"
    async with edge_of(config(origin.url, tmp_path)) as edge:
        await edge.get(target)
        await settled(edge)
        gc.disable()
        try:
            for number in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, limit=1024)
                writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                await reader.readexactly(1000)
                await closed(writer)
                while len(edge.records) < number + 2:
                    await asyncio.sleep(0.01)
            opened = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]  # noqa: ASYNC240 - not a disk
            assert [path for path in opened if path.startswith(str(tmp_path / "cache" / "bodies"))] == []
        finally:
            gc.enable()


async def test_two_gateways_do_not_share_a_folder(scripted: Starts, tmp_path: Path) -> None:
    origin = await scripted(site)
    text = config(origin.url, tmp_path)
    async with edge_of(text):
        with pytest.raises(
            AssertionError, match=r"cache\.disk\.folder: .*: another edgeproxy uses this folder"
        ):
            async with served(tmp_path, text):
                pass


async def test_the_bucket_is_filled_from_disk(house, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """One GET of the full origin, though the object is too large for memory."""
    h = await house(site, more=f"cache: {{memory: 32MiB, max_object: 64KiB, disk: {{folder: '{tmp_path}'}}}}")
    _, body = await h.edge.get(LARGE)
    assert body == body_of(LARGE)
    assert await h.stored() == {LARGE[1:]: 3 * MIB}
    assert h.site.lines == [f"GET {LARGE}"]
