"""Where the bucket is filled from: sources in order, asked in their own way and at their own pace."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from edgeproxy.backfill.job import State, Wanted
from tests.conftest import Exchange, Script, ScriptedOrigin
from tests.stories.conftest import Build, House

Scripted = Callable[[Script], Awaitable[ScriptedOrigin]]


async def served(exchange: Exchange) -> None:
    await exchange.answer(200, b"from the site")


def origin(name: str, at: ScriptedOrigin, more: str = "") -> str:
    return f"{name}: {{type: http, url: '{at.url}', connection_attempts: 1, {more}}}"


def sources(**given: str) -> str:
    return f"sources: {{{', '.join(f'{name}: {{{text}}}' for name, text in given.items())}}}"


async def entries(h: House) -> dict[bytes, tuple[str, str | None, int]]:
    """State, reason and attempts of each job."""
    found = await h.edge.gateway.app._worker.queue.entries(Wanted())
    return {e.job.key: (e.state.value, e.reason and e.reason.value, e.job.attempt) for e in found}


async def until(h: House, **wanted: int) -> None:
    """Return when the worker has counted that much."""
    async with asyncio.timeout(10):
        while any(h.edge.counts().get(name.replace("_", "-"), 0) < n for name, n in wanted.items()):
            await asyncio.sleep(0.005)


def pace(h: House, source: str) -> dict[str, int]:
    told = h.edge.gateway.app.state()["sources"]
    assert isinstance(told, dict)
    return dict(told[source])


async def test_a_source_is_asked_in_its_own_way(house: Build) -> None:
    h = await house(
        served,
        rules="[{path_pattern: /img/*, sources: [images]}]",
        queue=sources(
            images="origin: site, path: '/originals{rest}?kind=full', strip_prefix: /img, query: [token],"
            " pass_headers: [Accept-Language], set_headers: {X-Token: hush}"
        ),
    )
    answer, body = await h.edge.get(
        "/img/a%20b.jpg?token=t&width=5",
        Accept_Language="de",
        Authorization="secret",
        Cookie="who=me",
        X_Token="mine",
    )
    assert (answer.headers["X-Edge-Backfill"], body) == ("queued", b"from the site")
    assert await h.stored() == {"img/a b.jpg": 13}
    assert h.site.lines == ["GET /img/a%20b.jpg", "GET /originals/a%20b.jpg?kind=full&token=t"]
    asked = h.site.asked[1]
    names = ("accept-language", "x-token", "accept-encoding", "authorization", "cookie")
    assert [asked.field(name) for name in names] == ["de", "hush", "identity", None, None]


@pytest.mark.parametrize(("path", "asked"), [("{rest}", 1), ("/x{path}", 2)], ids=["the same", "another"])
async def test_one_fetch_is_enough_where_the_source_is_what_the_viewer_got(
    house: Build, path: str, asked: int
) -> None:
    h = await house(
        served, rules="[{sources: [images]}]", queue=sources(images=f"origin: site, path: '{path}'")
    )
    await h.edge.get("/a")
    assert await h.stored() == {"a": 13}
    assert len(h.site.lines) == asked


async def test_the_next_source_is_asked_when_one_has_it_not(house: Build, scripted: Scripted) -> None:
    async def without(exchange: Exchange) -> None:
        fault = int(exchange.target.removeprefix("/"))
        if fault:
            await exchange.answer(fault)
        else:
            exchange.writer.close()

    async def having(exchange: Exchange) -> None:
        await exchange.answer(200, b"from the archive")

    first, second = await scripted(without), await scripted(having)
    h = await house(
        served,
        origins=f"{origin('first', first)}\n  {origin('second', second)}",
        rules="[{sources: [new, old]}]",
        queue=sources(new="origin: first", old="origin: second"),
    )
    faults = [403, 404, 410, 400, 500, 429, 0, 301]
    for fault in faults:
        await h.edge.get(f"/{fault}")
    assert await h.stored() == {str(fault): 16 for fault in faults}
    assert sorted(set(first.lines)) == sorted(second.lines) == sorted(f"GET /{fault}" for fault in faults)


async def test_a_job_ends_when_no_source_can_have_the_object(house: Build, scripted: Scripted) -> None:
    first = await scripted(lambda exchange: exchange.answer(int(exchange.target[1:4])))
    second = await scripted(lambda exchange: exchange.answer(int(exchange.target[5:8])))
    h = await house(
        served,
        origins=f"{origin('first', first)}\n  {origin('second', second)}",
        rules="[{sources: [new, old]}]",
        queue=sources(new="origin: first", old="origin: second"),
    )
    for path in ("/404-410", "/404-403", "/503-404", "/403-503"):
        await h.edge.get(path)
    assert await h.stored() == {}
    assert await entries(h) == {
        b"404-410": ("skipped", "source-status", 1),
        b"404-403": ("failed", "source-status", 1),
        b"503-404": ("dead", "source-status", 2),
        b"403-503": ("dead", "source-status", 2),
    }


async def test_an_object_that_the_full_origin_lacks_may_be_elsewhere(
    house: Build, scripted: Scripted
) -> None:
    archive = await scripted(served)
    h = await house(
        lambda exchange: exchange.answer(404),
        origins=origin("archive", archive),
        rules="[{sources: [old]}]",
        queue=sources(old="origin: archive"),
    )
    answer, _ = await h.edge.get("/a")
    assert answer.status == 404
    assert await h.stored() == {"a": 13}


class TestRedirects:
    """A source that sends us elsewhere."""

    async def build(self, house: Build, own: ScriptedOrigin, settings: str) -> House:
        return await house(
            served,
            origins=origin("mirror", own, "origin_path: /site, custom_headers: {X-Custom: hush}"),
            rules="[{sources: [images]}]",
            queue=sources(images=f"origin: mirror, set_headers: {{X-Token: hush}}, {settings}"),
        )

    async def test_they_are_followed_on_the_origins_own_host(self, house: Build, scripted: Scripted) -> None:
        async def moved(exchange: Exchange) -> None:
            where = {"/site/a": "/b?c", "/b?c": f"{own.url}/d"}.get(exchange.target)
            if where:
                await exchange.answer(302, b"moved", location=where)
            else:
                await exchange.answer(200, b"here it is")

        own = await scripted(moved)
        h = await self.build(house, own, "follow_redirects: 2")
        await h.edge.get("/a")
        assert await h.stored() == {"a": 10}
        assert own.lines == ["GET /site/a", "GET /b?c", "GET /d"]
        assert {(e.field("x-token"), e.field("x-custom")) for e in own.asked} == {("hush", "hush")}

    async def test_they_are_followed_so_far_and_no_further(self, house: Build, scripted: Scripted) -> None:
        own = await scripted(lambda exchange: exchange.answer(301, location="/again"))
        h = await self.build(house, own, "follow_redirects: 3")
        await h.edge.get("/a")
        assert await h.stored() == {}
        assert len(own.lines) == 4
        assert h.edge.counts() == {"queued": 1, "failed-redirect-refused": 1}

    async def test_without_leave_they_are_not_followed(self, house: Build, scripted: Scripted) -> None:
        own = await scripted(lambda exchange: exchange.answer(301, location="/b"))
        h = await self.build(house, own, "")
        await h.edge.get("/a")
        assert await h.stored() == {}
        assert own.lines == ["GET /site/a"]
        assert h.edge.counts() == {"queued": 1, "failed-source-status": 1}

    @pytest.mark.parametrize("is_listed", [True, False], ids=["listed", "a stranger"])
    async def test_another_host_has_to_be_listed_and_learns_no_secret(
        self, house: Build, scripted: Scripted, is_listed: bool
    ) -> None:
        other = await scripted(lambda exchange: exchange.answer(200, b"from the other"))
        own = await scripted(lambda exchange: exchange.answer(307, location=f"{other.url}/o"))
        hosts = f"redirect_hosts: ['{other.url.removeprefix('http://')}']" if is_listed else ""
        h = await self.build(house, own, f"follow_redirects: 1, {hosts}")
        await h.edge.get("/a")
        assert await h.stored() == ({"a": 14} if is_listed else {})
        assert other.lines == (["GET /o"] if is_listed else [])
        assert {(e.field("x-token"), e.field("x-custom")) for e in other.asked} <= {(None, None)}


async def test_jobs_of_a_slow_source_wait_in_nobodys_way(house: Build) -> None:
    """At a request in a thousand seconds, two of three have to wait; one of another source has not."""
    h = await house(
        served,
        rules="[{path_pattern: /slow/*, sources: [slow]}, {}]",
        queue="concurrency: 1, " + sources(slow="origin: site, path: '/x{path}', rate: 0.001"),
    )
    for path in ("/slow/a", "/slow/b", "/slow/c", "/fast"):
        await h.edge.get(path)
    await until(h, stored=2, held_source_busy=2)
    waiting = ("queued", "source-busy", 0)
    assert await entries(h) == {
        b"slow/a": ("stored", None, 1),
        b"slow/b": waiting,
        b"slow/c": waiting,
        b"fast": ("stored", None, 1),
    }
    assert (pace(h, "slow")["asked"], pace(h, "slow")["held"]) == (1, 2)


async def test_a_slow_source_is_read_no_faster_and_leaves_room_for_others(
    house: Build, scripted: Scripted
) -> None:
    size, sent = 64 * 2**20, 0

    async def large(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n".encode())
        while sent < size:
            await exchange.send(b"x" * 2**16)
            sent += 2**16

    archive = await scripted(large)
    h = await house(
        served,
        origins=origin("archive", archive),
        rules="[{path_pattern: /slow/*, sources: [slow]}, {}]",
        queue=f"concurrency: 2, {sources(slow='origin: archive, bandwidth: 1KiB')}",
    )
    for path in ("/slow/a", "/slow/b", "/fast/c", "/fast/d"):
        await h.edge.get(path)
    await until(h, stored=2, held_source_busy=1)
    async with asyncio.timeout(10):
        while not pace(h, "slow")["bytes"]:
            await asyncio.sleep(0.005)
    assert pace(h, "slow")["reading"] == 1
    assert pace(h, "slow")["bytes"] < 2**20
    assert sent < size, "what is not read holds the source up"
    assert len(archive.lines) == 1


async def test_a_source_that_is_down_is_left_alone_then_tried_then_asked_again(
    house: Build, scripted: Scripted
) -> None:
    status = 500
    archive = await scripted(lambda exchange: exchange.answer(status, b"whole"))
    h = await house(
        served,
        origins=origin("archive", archive),
        rules="[{sources: [old]}]",
        queue=f"concurrency: 1, {sources(old='origin: archive, breaker: {failures: 2, rest: 50ms}')}",
    )
    told: list[str] = []
    h.edge.gateway.app.observers.on_fault.append(told.append)
    await h.edge.get("/a")
    await until(h, retried=1, dead_source_status=1)
    for path in ("/b", "/c", "/d"):
        await h.edge.get(path)
    await until(h, held_source_down=3)
    assert pace(h, "old")["is_open"] == 1
    status = 200
    assert await h.stored() == {"b": 5, "c": 5, "d": 5}
    assert pace(h, "old")["is_open"] == 0
    assert told == [
        "backfill: source old is left alone for 0.05 s at a time after 2 faults in a row, the last:"
        " it answered 500",
        "backfill: source old is well again",
    ]


async def test_while_it_is_left_alone_nobody_asks_it_and_nothing_is_lost(
    house: Build, scripted: Scripted
) -> None:
    archive = await scripted(lambda exchange: exchange.answer(500))
    h = await house(
        served,
        origins=origin("archive", archive),
        rules="[{path_pattern: /old/*, sources: [old]}, {}]",
        queue=f"concurrency: 1, {sources(old='origin: archive, breaker: {failures: 1, rest: 1h}')}",
    )
    for path in ("/old/a", "/old/b", "/new"):
        await h.edge.get(path)
    await until(h, retried=1, stored=1)
    await until(h, held_source_down=2)
    assert archive.lines == ["GET /old/a"]
    assert await entries(h) == {
        b"old/a": ("queued", "source-down", 1),
        b"old/b": ("queued", "source-down", 0),
        b"new": ("stored", None, 1),
    }


async def test_what_a_viewer_got_fills_the_bucket_though_its_source_is_left_alone(house: Build) -> None:
    async def half_down(exchange: Exchange) -> None:
        is_fine = exchange.method == "HEAD" or exchange.target == "/fine"
        await exchange.answer(200 if is_fine else 500, b"whole")

    h = await house(
        half_down,
        rules="[{sources: [same]}]",
        queue=f"concurrency: 1, {sources(same='origin: site, breaker: {failures: 1, rest: 1h}')}",
    )
    await h.edge.get("/down", "HEAD")
    await until(h, retried=1)
    await h.edge.get("/fine")
    await until(h, stored=1)
    assert h.site.lines == ["HEAD /down", "GET /down", "GET /fine"]
    assert pace(h, "same")["is_open"] == 1


async def test_a_source_says_itself_when_it_wants_to_be_asked_again(house: Build, scripted: Scripted) -> None:
    archive = await scripted(lambda exchange: exchange.answer(429, retry_after="1000"))
    h = await house(
        served,
        origins=origin("archive", archive),
        rules="[{sources: [old]}]",
        queue=f"concurrency: 1, {sources(old='origin: archive')}",
    )
    await h.edge.get("/a")
    await h.edge.get("/b")
    await until(h, retried=1, held_source_down=1)
    assert archive.lines == ["GET /a"]
    assert await entries(h) == {
        b"a": ("queued", "source-status", 1),
        b"b": ("queued", "source-down", 0),
    }


async def chunked(exchange: Exchange, kind: str, body: bytes) -> None:
    fields = f"content-type: {kind}\r\ntransfer-encoding: chunked"
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    await exchange.send(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode() + chunk)


@pytest.mark.parametrize("has_length", [True, False], ids=["length", "no length"])
async def test_what_the_source_gives_has_to_be_what_the_rule_wants(
    house: Build, scripted: Scripted, has_length: bool
) -> None:
    async def typed(exchange: Exchange) -> None:
        kind = "text/html; charset=utf-8" if exchange.target.endswith("html") else "Image/PNG"
        if has_length:
            await exchange.answer(200, b"12345", content_type=kind)
        else:
            await chunked(exchange, kind, b"12345")

    wanted = {
        "/image/a.png": ("content_types: [image/*]", "stored", None),
        "/image/a.html": ("content_types: [image/*]", "skipped", "type-not-copied"),
        "/least5/a": ("min_object: 5B", "stored", None),
        "/least6/a": ("min_object: 6B", "skipped", "too-small"),
        "/most5/a": ("max_object: 5B", "stored", None),
        "/most4/a": ("max_object: 4B", "skipped", "too-large"),
    }
    rules = {path.split("/")[1]: rule for path, (rule, _, _) in wanted.items()}
    listed = (f"{{path_pattern: /{name}/*, sources: [old], {rule}}}" for name, rule in rules.items())
    archive = await scripted(typed)
    h = await house(
        served,
        origins=origin("archive", archive),
        rules=f"[{', '.join(listed)}]",
        queue=sources(old="origin: archive"),
    )
    for path in wanted:
        await h.edge.get(path)
    await h.stored()
    assert await entries(h) == {
        path[1:].encode(): (state, reason, 1) for path, (_, state, reason) in wanted.items()
    }


async def test_a_rule_is_for_some_methods_and_types_of_what_viewers_get(house: Build) -> None:
    async def typed(exchange: Exchange) -> None:
        await exchange.answer(200, b"x", content_type="text/html")

    h = await house(
        typed,
        rules="[{path_pattern: /get/*, methods: [GET]}, {content_types: [image/*]}]",
    )
    said = [
        (await h.edge.get(path, method))[0].headers["X-Edge-Backfill"]
        for path, method in (("/get/a", "HEAD"), ("/get/b", "GET"), ("/c", "GET"))
    ]
    assert said == ["method-not-cached", "queued", "type-not-copied"]
    assert await h.stored() == {"get/b": 1}


async def test_a_state_is_told_of_every_source(house: Build) -> None:
    h = await house(
        served, rules="[{path_pattern: /a/*, sources: [named]}, {}]", queue=sources(named="origin: site")
    )
    assert h.edge.gateway.app.state()["sources"] == {
        "named": dict.fromkeys(("is_open", "reading", "asked", "failed", "held", "opened", "bytes"), 0)
    }
    await h.edge.get("/b", "HEAD")
    await h.stored()
    assert (pace(h, "site")["asked"], pace(h, "site")["bytes"]) == (1, 13)
    counts = await h.edge.gateway.app._worker.queue.counts()
    assert counts[State.STORED] == 1
