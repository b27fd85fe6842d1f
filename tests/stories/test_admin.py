"""The operators' port: open for health, closed for the rest to those who should not see it."""

from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from edgeproxy.config import parse
from edgeproxy.serve import running
from tests.conftest import Edge

Gateway = Callable[[str], Awaitable[Edge]]
TEXT = 'origins: {site: {type: http, url: "http://127.0.0.1:1"}}\ndefault_behavior: {target_origin: site}\n'


async def asked(port: int, path: str, **fields: str) -> tuple[int, object]:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    async with aiohttp.ClientSession() as operator:
        async with operator.get(f"http://127.0.0.1:{port}{path}", headers=headers) as answer:
            return answer.status, await answer.json()


async def test_health_and_readiness_are_open(edge: Gateway) -> None:
    e = await edge(TEXT)
    assert await asked(e.gateway.admin.port, "/healthz") == (200, {"status": "ok"})
    assert await asked(e.gateway.admin.port, "/readyz") == (200, {"status": "ready"})


async def test_the_counters_tell_what_happened(edge: Gateway) -> None:
    e = await edge(TEXT)
    await e.get("/x")
    await e.get("/a%2Fb")
    status, state = await asked(e.gateway.admin.port, "/stats")
    assert isinstance(state, dict)
    assert (status, state["requests"]["by_reason"]) == (200, {"bad-path": 1, "origin-unreachable": 1})
    assert state["requests"]["by_status"] == {"400": 1, "502": 1}
    assert state["requests"]["by_origin"] == {"site=origin-unreachable": 1}


@pytest.mark.parametrize("host", ["evil.test", "evil.test:8081", "127.0.0.1.evil.test"])
async def test_a_page_on_the_web_cannot_reach_it_through_a_browser(edge: Gateway, host: str) -> None:
    e = await edge(TEXT)
    assert await asked(e.gateway.admin.port, "/stats", host=host) == (
        403,
        {"error": "Host is not this machine"},
    )


async def test_a_token_is_asked_for_where_there_is_one() -> None:
    text = TEXT + "server: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0', token: s3cret-token}"
    async with running(parse(text, {})) as process:
        port = process.admin.port
        for fields in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic s3cret-token"}):
            status, told = await asked(port, "/stats", **fields)
            assert (status, told) == (401, {"error": "the admin token is missing or wrong"})
        assert (await asked(port, "/stats", authorization="Bearer s3cret-token"))[0] == 200
        assert (await asked(port, "/healthz"))[0] == 200
        assert "s3cret-token" not in repr(process.app.config)


async def test_explain_answers_over_http(edge: Gateway) -> None:
    e = await edge(TEXT)
    status, told = await asked(e.gateway.admin.port, "/explain?url=/a&method=POST")
    refusal = "403: method POST is not allowed for this path, want one of GET, HEAD (method-not-allowed)"
    assert (status, told) == (200, {"steps": [["request", "POST /a"], ["answer", refusal]]})
    assert await asked(e.gateway.admin.port, "/explain") == (
        400,
        {"error": 'url: is missing, want a URL or a path such as "/images/a.jpg"'},
    )


async def test_explain_tells_of_compression_and_of_an_origin_that_is_left_alone(edge: Gateway) -> None:
    settings = "target_origin: site, compress: true, allowed_methods: [GET, HEAD, OPTIONS]"
    e = await edge(TEXT.replace("target_origin: site", settings))

    async def told(path: str) -> dict[str, str]:
        _, explained = await asked(e.gateway.admin.port, path)
        assert isinstance(explained, dict)
        return dict(explained["steps"])

    options = await told("/explain?url=/a&method=OPTIONS&header=Accept-Encoding:gzip")
    assert options["compression"] == "no (method-not-cached)"
    before = await told("/explain?url=/a")
    assert before["compression"] == "no (coding-not-accepted)"
    assert before["cache"] == "miss: nothing is stored under this key"
    await e.get("/a")
    after = await told("/explain?url=/a")
    assert "; but 502 for " in after["cache"]
    assert after["cache"].endswith(" s more (origin-unreachable)")
    assert after["origins"] == "none now; after that site"
