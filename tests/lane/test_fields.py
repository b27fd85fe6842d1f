"""With the lane and without it viewers get the same, whatever fields they send and whatever is heeded."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Exchange
from tests.lane.twins import Twins, head, twins

ECHOED = ("Accept-Language", "Cookie", "Origin", "Referer", "X-Forwarded-For", "Accept-Encoding", "Host")


async def telling(exchange: Exchange) -> None:
    """An origin whose answer tells what it was asked; the path has the names that it says it varies on."""
    said = " ".join(f"{name}={exchange.field(name)}" for name in ECHOED if name != "Host")
    host = exchange.field("Host") or ""
    fields = {"etag": f'"{hash(said) % 1000}"', "last_modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    vary = exchange.target.partition("?")[0].strip("/").replace("/", ", ")
    if vary:
        fields["vary"] = vary
    told = f"{said} {'own' if host.startswith('127.') else host} " + ". " * 1_000
    await exchange.answer(
        200, told.encode(), cache_control="max-age=100", content_type="text/plain", **fields
    )


ALL = "origin_request_policies: {all: {headers: all, cookies: all, query: all}}"
CORS = """
response_headers_policies:
  cors:
    cors_config: {access_control_allow_origins: ["https://one.example", "*.two.example"]}
    remove_headers_config: [Server, ETag]
"""
HOUSES: dict[str, dict[str, Any]] = {
    "plain": {},
    "cors": {"more": CORS, "behavior": "response_headers_policy: cors"},
    "all": {"more": ALL, "behavior": "origin_request_policy: all"},
    "coded": {
        "policy": "gzip: true, brotli: true",
        "behavior": "compress: true",
    },
    "keyed": {
        "policy": "headers: [Origin, Host, Referer], cookies: {whitelist: [a]}, query: {whitelist: [x]}"
    },
    "heeding": {"policy": "honor_request_directives: true"},
    "trusting": {"trusted": "[192.0.2.0/24]"},
    "trusting others": {"trusted": "[198.51.100.0/24]"},
}
FIELDS = """
Accept: */*
accept: text/html
Accept-Language: de
accept-language: fr
ACCEPT-LANGUAGE: it
Accept-Encoding: gzip
Accept-Encoding: br, gzip;q=0
accept-encoding: identity
Cookie: a=1
Cookie: a=2; b=1
cookie: b=3
Cookie:
Origin: https://one.example
Origin: http://x.two.example
origin: https://three.example
Referer: http://a/
referer: http://b/
User-Agent: a
user-agent: b
X-Forwarded-For: 203.0.113.1
x-forwarded-for: 203.0.113.2
X-Forwarded-Proto: https
Forwarded: for=a
X-Forwarded-Host: other.example
Via: 1.1 a
CDN-Loop: a
Range: bytes=0-9
range: bytes=-5
Range: bytes=9000-
Range: lines=1-2
If-Range: "0"
If-None-Match: *
if-none-match: "1"
If-Match: *
If-Match: "none"
If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT
If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT
Cache-Control: no-cache
cache-control: max-age=0
Cache-Control: only-if-cached
Cache-Control: no-store
Cache-Control: min-fresh=1000
Pragma: no-cache
Pragma: server-timing
Authorization: Basic YTpi
Max-Forwards: 0
X-Own: 1
Prefer: a
DNT: 1
Connection: keep-alive
connection: close
Connection: close, keep-alive
Connection: keep-alive, Accept-Language
Connection: Cookie
Connection:
Keep-Alive: timeout=9
Access-Control-Request-Method: PUT
Host: other.example
X-Edge-Request-Id: a
TE: trailers
Content-Type: text/plain
Content-Encoding: gzip
X-Request-ID: a
Sec-Fetch-Site: none
""".strip().splitlines()
ODD = ["User-Agent: é", "x-own:\t2 ", "Connection: Keep-Alive "]
TARGETS = [
    "/",
    "/?x=1",
    "/Accept-Language",
    "/Cookie",
    "/Origin/Referer",
    "/X-Forwarded-For",
    "/Accept-Encoding",
    "/Host",
    "/Via/CDN-Loop",
]


@pytest.fixture(scope="module", params=HOUSES)
def house(request: pytest.FixtureRequest) -> Iterator[tuple[asyncio.Runner, Twins]]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        stack = AsyncExitStack()
        both = runner.run(
            stack.enter_async_context(twins(telling, **{"behavior": "", **HOUSES[request.param]}))
        )
        yield runner, both
        runner.run(stack.aclose())


@given(
    st.sampled_from(TARGETS),
    st.lists(st.lists(st.sampled_from([*FIELDS, *ODD]), max_size=4), min_size=1, max_size=4),
    st.sampled_from(["GET", "GET", "GET", "HEAD", "OPTIONS"]),
)
@settings(max_examples=20)
def test_heads_of_any_fields(
    house: tuple[asyncio.Runner, Twins], target: str, lists: list[list[str]], method: str
) -> None:
    """Each has come before when it is asked the third time, and what differs comes in between."""
    runner, both = house
    for _ in range(4):
        for fields in lists:
            runner.run(both.same(head(target, *fields, method=method)))
