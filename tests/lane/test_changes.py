"""What changes takes effect at once: age, purge, eviction, drain, limits, and viewers that do not read."""

import asyncio
import re
import socket
from sys import getrefcount

import pytest

from edgeproxy.server.listener import Limits
from edgeproxy.server.protocol import _unacknowledged
from tests.conftest import Exchange
from tests.lane.twins import BODY, Side, Twins, head, plain, site, twins

BIG = head("/big")


def field(said: bytes, name: str) -> str:
    match = re.search(rb"\r\n" + name.encode() + rb": ([^\r]*)", said)
    return match[1].decode() if match is not None else ""


async def asked(side: Side, one: bytes = head()) -> str:
    """`X-Cache` of the answer."""
    said, _ = await side.ask(one)
    return field(said, "X-Cache").split(" ")[0]


async def test_age_and_ttl_are_those_of_the_moment_until_it_is_stale() -> None:
    """RFC 9111 §4.2.3, §5.1; RFC 9211 §2.6."""
    async with twins() as both:
        await both.know(head())
        born = both.clock.moment
        for after in (0.0, 0.5, 0.9999, 1.0, 1.5, 42.0, 42.0001, 98.99, 99.0, 99.999, 41.0, -5.0):
            both.clock.moment = born + after
            said = await both.same(head())
            rest = await both.off.ask(head())
            for name in ("Age", "Cache-Status"):
                assert field(said, name) == field(rest[0], name), after
            assert "hit" in field(said, "Cache-Status")
        for side in both.sides:
            assert [record.reason for record in side.records[3:]] == [None] * len(side.records[3:])
        both.clock.moment = born + 100.0
        assert not both.on.knows(head())
        said = await both.same(head())
        assert field(said, "X-Cache") == "Miss from cloudfront"
        assert field(said, "Age") == ""


async def test_what_is_purged_is_gone_at_once() -> None:
    async with twins() as both:
        await both.know(head(), head("/b"))
        for paths in (["/a"], ["/*"], ["/a", "/b"]):
            assert await asked(both.on) == "Hit"
            await both.on.app.invalidate(paths)
            assert not both.on.knows(head())
            assert await asked(both.on) == "Miss"
            await both.on.know(head(), head("/b"))
            assert both.on.knows(head())


async def test_another_answer_to_the_same_key_takes_the_place_of_the_known_one() -> None:
    bodies = iter([b"old", b"new"])

    async def changing(exchange: Exchange) -> None:
        await exchange.answer(200, next(bodies), cache_control="max-age=10")

    async with twins(changing) as both:
        await both.on.know(head())
        assert both.on.knows(head())
        both.clock.moment += 11
        assert (await both.on.ask(head()))[0].endswith(b"new")
        assert (await both.on.ask(head()))[0].endswith(b"new")
        await both.on.know(head())
        assert both.on.knows(head())


async def test_the_lane_keeps_nothing_that_was_evicted() -> None:
    async with twins() as both:
        await both.on.know(BIG, head())
        assert both.on.knows(BIG)
        memory = both.on.app._cache.memory
        (body,) = [slot.entries[0].body for slot in memory._slots.every() if slot.key.path == "/big"]
        assert memory.reserve(memory.max_bytes)
        memory.release(memory.max_bytes)
        assert len(memory) == 0
        # `body`, and the argument of the call.
        assert getrefcount(body) == 2
        assert not both.on.knows(BIG)
        assert await asked(both.on, BIG) == "Miss"


async def test_the_cache_sees_what_the_lane_answers() -> None:
    """Else what is asked for most would be thought the least wanted."""
    async with twins() as both:
        await both.on.know(head())
        memory = both.on.app._cache.memory
        (key,) = memory._slots
        slot = memory._slots.peek(key)
        assert slot is not None
        slot.asked = 0
        await both.on.ask(head(), head())
        assert slot.asked == 2


async def test_a_drain_ends_it_at_once() -> None:
    async with twins() as both:
        await both.know(head())
        pipes = [side.connect() for side in both.sides]
        for side, pipe in zip(both.sides, pipes, strict=True):
            await side.rest(pipe)
            pipe.feed(head())
            await side.rest(pipe)
        drains = [asyncio.ensure_future(side.listener.drain(1.0)) for side in both.sides]
        await asyncio.sleep(0)
        assert not both.on.knows(head())
        for side, pipe in zip(both.sides, pipes, strict=True):
            pipe.feed(head())
            await side.rest(pipe)
        assert await asyncio.gather(*drains) == [0, 0]
        assert plain(pipes[0].sent) == plain(pipes[1].sent)
        assert [pipe.is_lost for pipe in pipes] == [True, True]


@pytest.mark.parametrize(
    ("chunks", "is_clear"),
    [
        ([head("/private")], True),
        ([head()[:7], head()[7:]], True),
        ([*(b"%c" % byte for byte in head())], True),
        ([head("/private"), head()[:7], head()[7:-1], head()[-1:]], True),
        ([head() + head()], False),
        ([head() + head()[:7], head()[7:]], False),
        ([head()[:7], head()[7:] + b"G", head()[1:]], False),
        ([head("/a", "Content-Length: 0")], False),
        ([b"\r\n" + head()], False),
    ],
)
async def test_the_lane_goes_on_only_where_a_new_head_is_sure_to_begin(
    chunks: list[bytes], is_clear: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with twins() as both:
        await both.know(head())
        pipe = both.on.connect()
        for chunk in chunks:
            pipe.feed(chunk)
            await both.on.rest(pipe)
        pipe.sent = b""
        handled = len(both.on.records)
        monkeypatch.setattr(both.on.app.gateway, "handle", None)
        pipe.feed(head())
        if is_clear:
            assert pipe.sent.startswith(b"HTTP/1.1 200 OK")
            assert len(both.on.records) == handled + 1
        else:
            assert pipe.sent == b""


async def test_a_connection_too_many_is_refused_though_what_it_asks_is_known() -> None:
    async with twins(limits=Limits(max_connections=1)) as both:
        await both.know(head())
        for side in both.sides:
            pipe = side.connect()
            assert side.listener._viewers is not None
            side.listener._viewers.refused_connections = 0
            await side.rest(pipe)
            assert await side.ask(head()) == (b"", True)
            pipe.feed(head())
            await side.rest(pipe)
            assert pipe.sent.startswith(b"HTTP/1.1 200")
            assert side.listener._viewers.refused_connections == 1


async def test_what_the_lane_answers_counts_as_the_first_head_and_as_not_idle() -> None:
    async with twins() as both:
        await both.know(head())
        for side in both.sides:
            silent, quick = side.connect(), side.connect()
            await side.rest(silent)
            await side.rest(quick)
            before = quick.protocol._next_keepalive_close_time
            quick.feed(head())
            await side.rest(quick)
            assert quick.protocol._next_keepalive_close_time >= before
            for pipe in (silent, quick):
                # As when the time for the first head is over.
                pipe.protocol._expire()
            assert [silent.is_lost, quick.is_lost] == [True, False]
            quick.protocol._next_keepalive_close_time = 0.0
            quick.protocol._process_keepalive()
            assert quick.is_lost


async def test_two_thousand_heads_leave_the_map_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async with twins() as both:
        await both.on.know(head())
        express = both.on.listener._express
        assert express is not None
        monkeypatch.setattr(express.lane._book, "_max_heads", 100)
        for number in range(1_000):
            for _ in range(2):
                said, _ = await both.on.ask(
                    head("/a", f"X-Odd: {number}"), head("/a", f"User-Agent: {number}")
                )
                assert said.count(b"HTTP/1.1 200") == 2
        assert len(express.lane._book) == 100
        assert len(both.on.records) == 3 + 4_000


@pytest.mark.parametrize("taken", [0, 300_000])
async def test_a_viewer_that_takes_all_in_the_end_is_not_cut(taken: int) -> None:
    async with twins() as both:
        await both.know(BIG)
        pipe = both.on.connect()
        await both.on.rest(pipe)
        both.on.records.clear()
        pipe.room = taken
        pipe.feed(BIG)
        assert both.on.records == []
        assert both.on.listener._under_way == 1
        # Another request meanwhile is aiohttp's, and comes behind.
        pipe.feed(head())
        await asyncio.sleep(0)
        pipe.take(10_000_000)
        await both.on.rest(pipe)
        assert both.on.listener._under_way == 0
        assert [(r.target, r.sent_bytes, r.is_cut) for r in both.on.records] == [
            ("/big", 600 * 1024, False),
            ("/a", len(BODY), False),
        ]
        assert plain(pipe.sent) == plain((await both.off.ask(BIG, head()))[0])


async def test_a_viewer_that_leaves_in_the_middle_is_told_of() -> None:
    async with twins() as both:
        await both.know(BIG)
        for side in both.sides:
            pipe = side.connect()
            await side.rest(pipe)
            side.records.clear()
            pipe.room = 100_000
            pipe.feed(BIG)
            await side.rest(pipe)
            pipe.abort()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            (record,) = side.records
            assert record.is_cut
            assert record.reason == "viewer-left"
            assert record.sent_bytes < 600 * 1024
            assert side.listener._under_way == 0


@pytest.mark.parametrize("size", [50_000, 200_000, 600 * 1024])
@pytest.mark.parametrize("is_closing", [False, True])
async def test_a_viewer_that_stands_still_is_cut_off(size: int, is_closing: bool) -> None:
    """With the lane and without, while the answer is written and when the connection is to close."""

    async def sized(exchange: Exchange) -> None:
        await exchange.answer(200, bytes(size), cache_control="max-age=100")

    async with twins(sized, limits=Limits(idle_timeout_s=1_000.0)) as both:
        await both.know(head())
        for side in both.sides:
            pipe = side.connect()
            await side.rest(pipe)
            side.records.clear()
            pipe.room = 10_000
            pipe.feed(head())
            await side.rest(pipe)
            if is_closing:
                pipe.protocol.force_close()
            look = pipe.protocol.look
            look(0.0, 10.0)
            pipe.take(1_000)
            look(9.0, 10.0)
            look(18.0, 10.0)
            assert not pipe.is_lost
            look(19.0, 10.0)
            assert pipe.is_lost
            for _ in range(5):
                await asyncio.sleep(0)
            assert side.listener.connections == 0
            assert side.listener._under_way == 0
            (record,) = side.records
            # A smaller one was told of as soon as it was written.
            assert record.is_cut is (size > 256 * 1024)
            if side is both.on and record.is_cut:
                assert 10_000 <= record.sent_bytes <= 11_000


async def test_a_viewer_that_takes_all_and_asks_again_is_not_cut_off() -> None:
    """Though as much waits for it at each look."""
    async with twins(limits=Limits(idle_timeout_s=1_000.0)) as both:
        await both.know(BIG)
        for side in both.sides:
            pipe = side.connect()
            await side.rest(pipe)
            pipe.room = 100_000
            for moment in range(0, 100, 5):
                pipe.feed(BIG)
                await side.rest(pipe)
                pipe.protocol.look(float(moment), 10.0)
                assert pipe.waits
                pipe.take(10_000_000)
                await side.rest(pipe)
                pipe.room = 100_000
            assert not pipe.is_lost


async def test_a_viewer_to_whom_the_kernel_still_gets_some_is_not_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes more from us only when much of what it has is gone: for a slow viewer that is long."""
    monkeypatch.setattr("edgeproxy.server.protocol._unacknowledged", lambda _: next(rest))
    async with twins(limits=Limits(idle_timeout_s=1_000.0)) as both:
        await both.know(BIG)
        for side in both.sides:
            rest = iter([900, 800, 700, 600, 600, 600])
            pipe = side.connect()
            await side.rest(pipe)
            pipe.room = 100_000
            pipe.feed(BIG)
            await side.rest(pipe)
            lost = []
            for moment in (0.0, 10.0, 20.0, 30.0, 39.0, 40.0):
                pipe.protocol.look(moment, 10.0)
                lost.append(pipe.is_lost)
            assert lost == [False] * 5 + [True]


def test_what_the_kernel_has_of_a_connection() -> None:
    one, other = socket.socketpair()

    class Wire(asyncio.Transport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return {"socket": one}[name]

    with one, other:
        assert _unacknowledged(Wire()) == 0
        one.send(bytes(5_000))
        assert _unacknowledged(Wire()) >= 5_000
        other.recv(5_000)
        assert _unacknowledged(Wire()) == 0
    assert _unacknowledged(Wire()) == 0


async def test_a_body_whose_end_nobody_takes_is_told_of_as_cut() -> None:
    """It is not whole because there was no more of it to write."""
    size = 200_000

    async def private(exchange: Exchange) -> None:
        await exchange.answer(200, bytes(size), cache_control="no-store")

    async with twins(private) as both:
        pipe = both.off.connect()
        await both.off.rest(pipe)
        pipe.room = 100
        pipe.feed(head())
        for taken in (50_000, 50_000, 50_000, 0):
            async with asyncio.timeout(10):
                while not pipe.waits:
                    await asyncio.sleep(0)
            pipe.take(taken)
        await both.off.rest(pipe)
        assert both.off.records == []
        for moment in (0.0, 10.0):
            pipe.protocol.look(moment, 10.0)
        assert pipe.is_lost
        for _ in range(20):
            await asyncio.sleep(0)
        (record,) = both.off.records
        assert record.is_cut
        assert record.reason == "viewer-left"
        assert record.sent_bytes < size


async def test_connections_are_looked_at_as_long_as_there_are_any() -> None:
    async with twins(limits=Limits(idle_timeout_s=0.02)) as both:
        await both.know(BIG)
        for side in both.sides:
            pipe = side.connect()
            await side.rest(pipe)
            pipe.room = 100_000
            pipe.feed(BIG)
            async with asyncio.timeout(10):
                while not pipe.is_lost:
                    await asyncio.sleep(0.005)
            await side.rest(pipe)
            viewers = side.listener._viewers
            assert viewers is not None
            async with asyncio.timeout(10):
                while viewers._watch is not None:
                    await asyncio.sleep(0.005)


async def knows_after(both: Twins, one: bytes) -> bool:
    """Whether the lane has learned `one`, after the same was said on both sides."""
    for _ in range(4):
        await both.same(one)
    return both.on.knows(one)


@pytest.mark.parametrize(
    "one",
    [
        head("/private"),
        head("/a", "Range: bytes=0-1,4-5"),
        head("/a", "Range: bytes=99999-"),
        head("/gone"),
        head("/a", method="OPTIONS"),
        head("/a?" + "x" * 8_000),
    ],
)
async def test_what_is_no_plain_hit_is_not_learned(one: bytes) -> None:
    async def some_gone(exchange: Exchange) -> None:
        await (
            exchange.answer(404, b"", cache_control="max-age=9")
            if "gone" in exchange.target
            else site(exchange)
        )

    async with twins(some_gone) as both:
        assert await knows_after(both, head())
        assert not await knows_after(both, one)


TIMED = (
    "response_headers_policies: {timed: {server_timing_headers_config: {enabled: true, sampling_rate: 50}}}"
)


async def test_an_answer_that_tells_the_time_it_took_is_not_learned() -> None:
    async with twins(more=TIMED, behavior="response_headers_policy: timed") as both:
        await both.on.know(head())
        assert not both.on.knows(head())


@pytest.mark.parametrize(
    ("policy", "fields", "is_known"),
    [
        ("honor_request_directives: true", ["Cache-Control: max-age=0"], False),
        ("honor_request_directives: true", ["Pragma: no-cache"], False),
        ("honor_request_directives: true", [], True),
        ("honor_request_directives: false", ["Cache-Control: no-cache"], True),
    ],
)
async def test_what_a_viewer_asks_of_the_cache_is_heeded(
    policy: str, fields: list[str], is_known: bool
) -> None:
    async with twins(policy=policy) as both:
        await both.know(head())
        assert await knows_after(both, head("/a", *fields)) is is_known


VARIED = "origin_request_policies: {varied: {headers: {whitelist: [Accept-Language]}, cookies: all}}"


@pytest.mark.parametrize("name", ["Accept-Language", "Cookie", "User-Agent", "X-Forwarded-For"])
async def test_an_answer_that_varies_is_known_for_what_it_varies_on(name: str) -> None:
    """RFC 9111 §4.1. `User-Agent` is not forwarded, `X-Forwarded-For` made of the viewer's address."""

    async def varying(exchange: Exchange) -> None:
        said = exchange.field(name) or "none"
        await exchange.answer(200, said.encode(), cache_control="max-age=100", vary=name)

    async with twins(varying, VARIED, behavior="origin_request_policy: varied") as both:
        answers = {}
        for value in ("a=1", "b=2", "a=1"):
            one = head("/a", f"{name}: {value}")
            assert await knows_after(both, one) is (name != "X-Forwarded-For")
            answers[value] = (await both.on.ask(one))[0].rpartition(b"\r\n\r\n")[2]
        own = {"User-Agent": [b"edgeproxy"] * 2, "X-Forwarded-For": [b"192.0.2.7"] * 2}
        assert list(answers.values()) == own.get(name, [b"a=1", b"b=2"])


@pytest.mark.parametrize(
    ("policy", "name", "values"),
    [
        ("headers: [Accept-Language]", "Accept-Language", ["de", "fr"]),
        ("cookies: all", "Cookie", ["a=1", "b=2"]),
        ("gzip: true", "Accept-Encoding", ["gzip", "identity"]),
        ("headers: [X-Forwarded-Proto]", "X-Forwarded-Proto", ["http", "https"]),
    ],
)
async def test_what_the_key_holds_is_not_passed_over(policy: str, name: str, values: list[str]) -> None:
    async def telling(exchange: Exchange) -> None:
        await exchange.answer(200, (exchange.field(name) or "none").encode(), cache_control="max-age=100")

    async with twins(telling, policy=policy, behavior="", trusted="[192.0.2.0/24]") as both:
        for value in values:
            await knows_after(both, head("/a", f"{name}: {value}"))
        for value in values:
            assert (await both.same(head("/a", f"{name}: {value}"))).endswith(value.encode())


@pytest.mark.parametrize(
    ("trusted", "is_known"), [("[]", True), ("[192.0.2.0/24]", False), ("[10.0.0.0/8]", False)]
)
async def test_who_is_believed_is_not_judged_by_the_head(trusted: str, is_known: bool) -> None:
    async with twins(trusted=trusted) as both:
        assert await knows_after(both, head())
        assert await knows_after(both, head("/a", "X-Forwarded-For: 198.51.100.1")) is is_known


async def test_heads_that_differ_in_nothing_that_counts_are_known_at_once() -> None:
    async with twins() as both:
        await both.on.know(head("/a", "User-Agent: first", "Accept: */*", "Cookie: a=1"))
        for fields in (["user-agent: second"], [], ["Accept: text/html", "X-Forwarded-For: 198.51.100.1"]):
            assert both.on.knows(head("/a", *fields))
        for fields in (["Range: bytes=0-1"], ["X-Own: 1"], ["User-Agent: a", "User-Agent: b"]):
            assert not both.on.knows(head("/a", *fields))


async def test_a_name_that_stands_twice_however_written_is_left_to_aiohttp() -> None:
    """It takes two cookies, and refuses two of `User-Agent`."""
    spellings = ("User-Agent: a", "user-agent: b", "USER-AGENT: c", "uSER-aGENT: d")
    async with twins() as both:
        for fields in ([], *([one] for one in spellings), ["Accept: x", "user-agent: b"], ["cookie: a=1"]):
            assert await knows_after(both, head("/a", *fields))
        for one in spellings:
            for other in spellings:
                said = await both.same(head("/a", one, other))
                assert b" 400 " in said.partition(b"\r\n")[0]
                await both.same(head("/a", one, "X: 1", other))
                await both.same(head("/a", "Accept: x", one, other))


async def test_an_answer_is_never_kept_by_the_head_of_the_request_behind() -> None:
    async def telling(exchange: Exchange) -> None:
        control = "no-store" if exchange.target == "/private" else "max-age=100"
        await exchange.answer(200, exchange.target.encode(), cache_control=control)

    async with twins(telling) as both:
        for _ in range(5):
            for order in (("/a", "/b"), ("/b", "/a", "/c"), ("/a", "/private")):
                said = await both.same(*map(head, order), rests=False)
                assert [part.split(b"HTTP/1.1")[0].decode() for part in said.split(b"\r\n\r\n")[1:]] == [
                    *order
                ]
        for target in ("/a", "/b", "/c", "/private"):
            assert (await both.same(head(target))).endswith(target.encode())


async def test_more_than_aiohttp_takes_in_at_once() -> None:
    async with twins() as both:
        await both.know(head())
        said = await both.same(*[head()] * 300, head()[:9], head()[9:], head(), rests=False)
        assert said.count(b"HTTP/1.1 200 OK") == 302
