"""Reads by POST: JSON-RPC calls and GraphQL queries are cached by what they ask, and fetched once for all."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from edgeproxy.core.message import Headers, Request
from edgeproxy.origins.base import whole_body
from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Edges = Callable[[str], Awaitable[Edge]]
Scripts = Callable[[Script], Awaitable[ScriptedOrigin]]

POSTS = "json_rpc: {head: 1h, get: 1h}, graphql: {ttl: 1h}"


def config(url: str, posts: str = POSTS, policy: str = "CachingDisabled", cache: str = "") -> str:
    return f"""
origins:
  node: {{type: http, url: "{url}", connection_attempts: 1}}
cache: {{{cache}}}
cache_policies:
  forced: {{min_ttl: 60s, default_ttl: 60s, max_ttl: 60s}}
  by_user: {{headers: [Authorization]}}
default_behavior:
  target_origin: node
  cache_policy: {policy}
  allowed_methods: [GET, HEAD, POST]
  cached_posts: {{{posts}}}
"""


class Node:
    """A JSON-RPC server that counts what it is asked; results are the number of the call."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.fields: dict[str, str] = {}
        self.answer: Callable[[dict[str, Any]], object] = lambda said: {
            "jsonrpc": "2.0",
            "id": said["id"],
            "result": len(self.bodies),
        }
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, exchange: Exchange) -> None:
        length = exchange.field("content-length")
        body = (
            await exchange.reader.readexactly(int(length)) if length is not None else await chunks(exchange)
        )
        self.bodies.append(body)
        await self.gate.wait()
        answer = self.answer(json.loads(body)) if exchange.method == "POST" else {}
        fields = {"content_type": "application/json", "etag": '"x"', **self.fields}
        await exchange.answer(self.status, json.dumps(answer).encode(), **fields)


async def chunks(exchange: Exchange) -> bytes:
    body = b""
    if exchange.field("transfer-encoding") is None:
        return body
    while size := int(await exchange.reader.readline(), 16):
        body += await exchange.reader.readexactly(size)
        await exchange.reader.readline()
    await exchange.reader.readline()
    return body


@pytest.fixture
def node() -> Node:
    return Node()


async def post(edge: Edge, said: object, **fields: str) -> tuple[aiohttp.ClientResponse, Any]:
    headers = {"Content-Type": "application/json"} | {n.replace("_", "-"): v for n, v in fields.items()}
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    async with edge.viewer.post(edge.url + "/rpc", data=body, headers=headers) as answer:
        got = await answer.read()
        return answer, json.loads(got) if got.startswith((b"{", b"[")) else got


def call(own_id: object, method: str = "head", *params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "method": method, "params": list(params), "id": own_id}


async def test_a_hundred_equal_calls_are_one_and_each_has_its_own_id(
    edge: Edges, scripted: Scripts, node: Node
) -> None:
    gateway = await edge(config((await scripted(node)).url))
    node.gate.clear()
    ids: list[object] = [*range(60), *(f"id-{n}" for n in range(40))]
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        asking = [group.create_task(post(gateway, call(one))) for one in ids]
        while gateway.gateway.listener.active < len(ids):
            await asyncio.sleep(0.005)
        node.gate.set()
    answers = [task.result() for task in asking]
    assert [got for _, got in answers] == [{"id": one, "jsonrpc": "2.0", "result": 1} for one in ids]
    assert len(node.bodies) == 1
    answer, got = await post(gateway, call("later"))
    assert got == {"id": "later", "jsonrpc": "2.0", "result": 1}
    assert answer.headers["X-Cache"] == "Hit from cloudfront"
    assert "ETag" not in answer.headers
    assert len(node.bodies) == 1


async def test_other_parameters_are_another_object(edge: Edges, scripted: Scripts, node: Node) -> None:
    gateway = await edge(config((await scripted(node)).url))
    for params in ((1,), (2,), (1,)):
        await post(gateway, call(7, "get", *params))
    assert len(node.bodies) == 2
    # The one who asked first is passed what it sent, byte for byte.
    assert json.loads(node.bodies[0]) == call(7, "get", 1)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (call(1, "send"), "call-not-listed"),
        ([call(1), call(2)], "call-batch"),
        ({"jsonrpc": "2.0", "method": "head"}, "call-unclear"),
        ({"query": "mutation { a }"}, "not-a-query"),
        (call(1, "get", "x" * 70_000), "call-too-large"),
        (b"[ 1 ]  ", "call-batch"),
    ],
)
async def test_what_is_no_read_is_passed_on_as_it_is(
    edge: Edges, scripted: Scripts, node: Node, said: object, reason: str
) -> None:
    node.answer = lambda said: {"said": said}
    gateway = await edge(config((await scripted(node)).url))
    sent = said if isinstance(said, bytes) else json.dumps(said).encode()
    for _ in range(2):
        _, got = await post(gateway, sent)
        assert got == {"said": json.loads(sent)}
    assert node.bodies == [sent, sent]
    assert [record.reason for record in gateway.records] == [reason, reason]


async def test_a_body_of_unknown_length_is_looked_into_as_far_as_the_bound(
    edge: Edges, scripted: Scripts, node: Node
) -> None:
    gateway = await edge(config((await scripted(node)).url, POSTS + ", max_body: 1KiB"))

    async def sent(data: bytes) -> None:
        async def pieces() -> Any:
            for at in range(0, len(data), 700):
                yield data[at : at + 700]

        headers = {"Content-Type": "application/json"}
        async with gateway.viewer.post(gateway.url + "/rpc", data=pieces(), headers=headers) as answer:
            await answer.read()

    small, large = (json.dumps(call(1, "get", "x" * size)).encode() for size in (800, 5_000))
    for data in (small, small, large, large):
        await sent(data)
    assert node.bodies == [small, large, large]
    assert gateway.records[-1].reason == "call-too-large"


@pytest.mark.parametrize(
    ("answer", "status", "fields", "reason"),
    [
        ({"jsonrpc": "2.0", "id": 1, "error": {"code": 1}}, 200, {}, "answer-error"),
        ({"jsonrpc": "2.0", "id": 1, "result": None}, 200, {}, "answer-error"),
        ({"jsonrpc": "2.0", "id": 99, "result": 1}, 200, {}, "answer-unclear"),
        ({"jsonrpc": "2.0", "id": 1, "result": "x" * 3000}, 200, {}, "too-large"),
        ({"jsonrpc": "2.0", "id": 1, "result": 1}, 201, {}, "status-not-cached"),
        ({"jsonrpc": "2.0", "id": 1, "result": 1}, 500, {}, "status-not-cached"),
        ({"jsonrpc": "2.0", "id": 1, "result": 1}, 200, {"cache_control": "no-store"}, "no-store"),
        ({"jsonrpc": "2.0", "id": 1, "result": 1}, 200, {"set_cookie": "a=b"}, "set-cookie"),
        ({"jsonrpc": "2.0", "id": 1, "result": 1}, 200, {"content_encoding": "gzip"}, "answer-unclear"),
    ],
)
async def test_what_is_not_stored_reaches_the_asker_as_it_came(
    edge: Edges,
    scripted: Scripts,
    node: Node,
    answer: object,
    status: int,
    fields: dict[str, str],
    reason: str,
) -> None:
    node.answer, node.status, node.fields = lambda _: answer, status, fields
    gateway = await edge(config((await scripted(node)).url, POSTS + ", max_answer: 2KiB"))
    for _ in range(2):
        got, body = await post(gateway, call(1))
        assert (got.status, got.headers["Content-Length"]) == (status, str(len(json.dumps(answer))))
        assert body == answer
    assert len(node.bodies) == 2
    assert gateway.records[0].reason == reason


async def test_the_origin_may_keep_it_shorter_and_the_policy_longer(
    edge: Edges, scripted: Scripts, node: Node
) -> None:
    url = (await scripted(node)).url
    node.fields = {"cache_control": "no-store"}
    forced = await edge(config(url, policy="forced"))
    for own_id in (1, 2):
        answer, got = await post(forced, call(own_id))
        assert got["id"] == own_id
    assert len(node.bodies) == 1
    node.fields = {"cache_control": "max-age=5"}
    gateway = await edge(config(url))
    await post(gateway, call(1))
    answer, _ = await post(gateway, call(2))
    assert 0 < int(answer.headers["Cache-Status"].partition("ttl=")[2].partition(";")[0]) <= 5


async def test_who_is_authorized_has_answers_of_its_own(edge: Edges, scripted: Scripts, node: Node) -> None:
    """RFC 9111 §3.5: shared only where the key knows the field."""
    url = (await scripted(node)).url
    gateway = await edge(config(url))
    for _ in range(2):
        await post(gateway, call(1), authorization="Bearer a")
    assert gateway.records[-1].reason == "authorization"
    assert len(node.bodies) == 2
    gateway = await edge(config(url, policy="by_user"))
    for who in ("a", "b", "a"):
        await post(gateway, call(1), authorization=f"Bearer {who}")
    assert len(node.bodies) == 4


async def test_queries_are_cached_and_mutations_change_nothing_of_them(
    edge: Edges, scripted: Scripts, node: Node
) -> None:
    node.answer = lambda said: {"data": {"said": said["query"], "n": len(node.bodies)}}
    gateway = await edge(config((await scripted(node)).url))
    query = {"query": "query A($x: Int) { a(x: $x) }", "variables": {"x": 1}}
    _, got = await post(gateway, query)
    assert (await post(gateway, {"query": "mutation { b }"}))[1]["data"]["n"] == 2
    again, same = await post(gateway, query)
    assert got == same
    assert again.headers["X-Cache"] == "Hit from cloudfront"
    _, other = await post(gateway, {**query, "variables": {"x": 2}})
    assert other["data"]["n"] == 3


async def test_a_purge_forgets_them(edge: Edges, scripted: Scripts, node: Node) -> None:
    gateway = await edge(config((await scripted(node)).url))
    await post(gateway, call(1))
    assert await gateway.gateway.app.invalidate(["/rpc"]) == 1
    assert (await post(gateway, call(1)))[1]["result"] == 2


async def test_they_outlive_memory_on_disk(edge: Edges, scripted: Scripts, node: Node, tmp_path: Any) -> None:
    disk = f"memory: 16MiB, max_object: 1KiB, disk: {{folder: {tmp_path}, size: 20MiB}}"
    node.answer = lambda said: {"jsonrpc": "2.0", "result": "x" * 100_000, "id": said["id"]}
    gateway = await edge(config((await scripted(node)).url, cache=disk))
    _, first = await post(gateway, call(1, "get"))
    async with asyncio.timeout(5):
        while (await post(gateway, call("mine", "get")))[0].headers["X-Cache"] != "Hit from cloudfront":
            await asyncio.sleep(0.01)
    _, got = await post(gateway, call("mine", "get"))
    assert got == {**first, "id": "mine"}


async def test_an_origin_that_cuts_its_answer_is_an_error_for_all(edge: Edges, scripted: Scripts) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"jsonrpc"')
        exchange.writer.close()

    site = await scripted(script)
    gateway = await edge(config(site.url))
    answer, _ = await post(gateway, call(1))
    assert answer.status == 502
    assert gateway.records[0].reason == "origin-cut"
    # What failed for one call is not remembered: APIs are asked again.
    await post(gateway, call(1))
    assert len(site.asked) == 2


async def test_explain_knows_them(edge: Edges, scripted: Scripts, node: Node) -> None:
    gateway = await edge(config((await scripted(node)).url))

    async def told(said: object) -> dict[str, str]:
        body = whole_body(json.dumps(said).encode())
        fields = Headers([("Content-Type", "application/json")])
        return (
            await gateway.gateway.app.explain(Request("POST", "/rpc", headers=fields, body=body))
        ).fields()

    assert (await told(call(1)))["cache"].startswith("miss")
    await post(gateway, call(2))
    found = await told(call(1))
    assert found["post"] == "head: cached for 1h at most"
    assert found["cache"].startswith("hit in memory")
    assert " body=" in found["cache key"]
    found = await told(call(1, "send"))
    assert found["post"] == "is not cached (call-not-listed)"
    assert "call-not-listed" in found["cache"]
    bare = (await gateway.gateway.app.explain(Request("POST", "/rpc"))).fields()
    assert bare["post"].startswith("has no body here")
