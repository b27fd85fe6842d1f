"""Failover as CloudFront documents it: what moves on to the secondary, and what comes when both fail."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]


def nobody() -> str:
    """An address on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def config(primary: str, secondary: str, failover_on: str, *, patience: str = "10s") -> str:
    """`patience` is short only where somebody hangs: a busy machine is no hanging one."""
    limits = f"read_timeout: {patience}, connection_attempts: 1"
    return f"""
origins:
  one: {{type: http, url: "{primary}", {limits}}}
  two: {{type: http, url: "{secondary}", {limits}}}
origin_groups:
  both: {{members: [one, two], failover_on: {failover_on}}}
default_behavior:
  target_origin: both
  allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]
  origin_request_policy: AllViewerExceptHostHeader
  cache_policy: CachingDisabled
"""


async def fine(exchange: Exchange) -> None:
    await exchange.answer(200, b"two")


async def hangs(exchange: Exchange) -> None:
    await asyncio.sleep(30)


async def garbage(exchange: Exchange) -> None:
    await exchange.send(b"this is not HTTP\r\n\r\n")
    exchange.writer.close()


async def closes(exchange: Exchange) -> None:
    exchange.writer.close()


def says(status: int) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(status, b"one")

    return script


@pytest.mark.parametrize("status", [400, 403, 404, 416, 429, 500, 502, 503, 504])
async def test_a_listed_status_fails_over(scripted: Starts, edge: Gateway, status: int) -> None:
    one, two = await scripted(says(status)), await scripted(fine)
    e = await edge(config(one.url, two.url, f"[{status}]"))
    answer, body = await e.get("/x")
    assert (answer.status, body, answer.headers["X-Edge-Origin"]) == (200, b"two", f"one={status} two=200")


@pytest.mark.parametrize("status", [200, 301, 401, 404, 500])
async def test_any_other_status_is_the_answer(scripted: Starts, edge: Gateway, status: int) -> None:
    one, two = await scripted(says(status)), await scripted(fine)
    e = await edge(config(one.url, two.url, "[403]"))
    answer, body = await e.get("/x")
    assert (answer.status, body, two.lines) == (status, b"one", [])


@pytest.mark.parametrize(
    ("script", "listed", "reason", "own_status"),
    [
        (None, 503, "origin-unreachable", 502),
        (hangs, 504, "origin-timeout", 504),
        (garbage, 502, "origin-bad-reply", 502),
        (closes, 502, "origin-cut", 502),
    ],
    ids=["refuses needs 503", "hangs needs 504", "garbage needs 502", "cuts needs 502"],
)
async def test_a_fault_fails_over_only_if_what_it_counts_as_is_listed(
    scripted: Starts, edge: Gateway, script: Script | None, listed: int, reason: str, own_status: int
) -> None:
    primary = (await scripted(script)).url if script is not None else nobody()
    two = await scripted(fine)
    patience = "300ms" if script is hangs else "10s"
    with_it = await edge(config(primary, two.url, f"[{listed}]", patience=patience))
    answer, body = await with_it.get("/x")
    assert (answer.status, body, answer.headers["X-Edge-Origin"]) == (200, b"two", f"one={reason} two=200")
    others = sorted({403, 404, 500, 502, 503, 504} - {listed})
    without = await edge(config(primary, two.url, str(others), patience=patience))
    answer, body = await without.get("/x")
    assert answer.status == own_status
    assert answer.headers["X-Cache"] == "Error from cloudfront"
    assert answer.headers["Cache-Status"].endswith(f"detail={reason}")
    assert without.records[-1].fault.startswith("one: ")
    assert b"one" not in body, "origins' names and causes are for the log"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_writes_never_fail_over(scripted: Starts, edge: Gateway, method: str) -> None:
    one, two = await scripted(says(503)), await scripted(fine)
    e = await edge(config(one.url, two.url, "[503]"))
    answer, body = await e.get("/x", method)
    assert (answer.status, body, two.lines) == (503, b"one", [])


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_reads_fail_over(scripted: Starts, edge: Gateway, method: str) -> None:
    one, two = await scripted(says(404)), await scripted(fine)
    e = await edge(config(one.url, two.url, "[404]"))
    answer, _ = await e.get("/x", method)
    assert (answer.status, two.lines) == (200, [f"{method} /x"])


@pytest.mark.parametrize(
    ("second", "status"),
    [(says(403), 403), (says(500), 500), (hangs, 504), (None, 502)],
    ids=["403", "500", "hangs", "down"],
)
async def test_when_both_fail_the_viewer_gets_the_secondarys_failure(
    scripted: Starts, edge: Gateway, second: Script | None, status: int
) -> None:
    one = await scripted(says(404))
    two = (await scripted(second)).url if second is not None else nobody()
    e = await edge(config(one.url, two, "[404]", patience="300ms" if second is hangs else "10s"))
    answer, _ = await e.get("/x")
    assert answer.status == status
    assert answer.headers["X-Edge-Origin"].startswith("one=404 two=")


async def test_every_request_starts_at_the_primary(scripted: Starts, edge: Gateway) -> None:
    one, two = await scripted(says(404)), await scripted(fine)
    e = await edge(config(one.url, two.url, "[404]"))
    for _ in range(3):
        await e.get("/x")
    assert (len(one.asked), len(two.asked)) == (3, 3)


async def test_silence_is_tried_again_for_get_but_not_for_post(scripted: Starts, edge: Gateway) -> None:
    one = await scripted(hangs)
    text = config(one.url, nobody(), "[503]", patience="300ms")
    text = text.replace("connection_attempts: 1", "connection_attempts: 2")
    e = await edge(text)
    await e.get("/x")
    assert one.lines == ["GET /x", "GET /x"]
    await e.get("/x", "POST")
    assert one.lines[2:] == ["POST /x"]
