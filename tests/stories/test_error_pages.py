"""Custom error pages: another body and status for the viewer, nothing else changes."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]
PAGE = b"<h1>Nothing here</h1>"


def text(url: str, responses: str, more: str = "", *, dead: str = "http://127.0.0.1:1") -> str:
    return f"""
origins:
  site: {{type: http, url: "{url}", connection_attempts: 1}}
  dead: {{type: http, url: "{dead}", connection_attempts: 1}}
custom_error_responses: [{responses}]
behaviors: [{{path_pattern: /dead/*, target_origin: dead}}]
default_behavior: {{target_origin: site, allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]}}
{more}
"""


NOT_FOUND = "{error_code: 404, response_page_path: /errors/404.html, response_code: 404}"
APP = "{error_code: 404, response_page_path: /errors/404.html, response_code: 200}"
GONE = "{error_code: 502, response_page_path: /errors/404.html, response_code: 503}"


async def site(exchange: Exchange) -> None:
    if exchange.target.startswith("/errors/404.html"):
        await exchange.answer(200, PAGE, content_type="text/html", cache_control="max-age=60", etag='"p"')
    elif exchange.target.startswith("/errors/"):
        await exchange.answer(403, b"no such page", content_type="text/plain")
    else:
        await exchange.answer(404, b"plain no", content_type="text/plain")


async def test_a_page_stands_in_for_an_error(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(site)
    e = await edge(text(origin.url, NOT_FOUND))
    for path in ("/x?q=1", "/x?q=1", "/y"):
        answer, body = await e.get(path)
        assert (answer.status, body, answer.headers["Content-Type"]) == (404, PAGE, "text/html")
        assert answer.headers["X-Cache"] == "Error from cloudfront"
        assert answer.headers["Cache-Status"].endswith("detail=error-page")
        assert answer.headers["Cache-Status"].count("edgeproxy") == 1
    assert origin.lines == ["GET /x", "GET /errors/404.html", "GET /y"], "both errors and the page are cached"
    assert [(r.status, r.reason, r.sent_bytes) for r in e.records] == [(404, "error-page", len(PAGE))] * 3
    assert e.records[0].fields()["origins"] == ["site=404"]


async def test_what_is_cached_stays_the_error(scripted: Starts, edge: Gateway) -> None:
    """The page's behaviour is its own, and so is the key: asked for by its path it is a page like any."""
    origin = await scripted(site)
    e = await edge(text(origin.url, APP))
    answer, body = await e.get("/route")
    assert (answer.status, body, answer.headers["X-Cache"]) == (200, PAGE, "Error from cloudfront")
    page, body = await e.get("/errors/404.html")
    assert (page.status, body, page.headers["X-Cache"]) == (200, PAGE, "Hit from cloudfront")
    again, _ = await e.get("/route")
    assert again.headers["Cache-Status"] == "edgeproxy; hit; ttl=9; detail=error-page"
    assert again.headers["Age"] == "0", "the page's"


async def test_the_method_and_the_fields_of_the_viewer(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(site)
    e = await edge(text(origin.url, APP))
    head, body = await e.get("/x", "HEAD")
    assert (head.status, body, head.headers["Content-Length"]) == (200, b"", str(len(PAGE)))
    posted, body = await e.get("/x", "POST")
    assert (posted.status, body) == (200, PAGE)
    part, body = await e.get("/x", range="bytes=1-2")
    assert (part.status, body) == (200, PAGE), "an error has no parts"
    same, body = await e.get("/x", if_none_match='"p"')
    assert (same.status, body) == (304, b"")
    assert origin.lines[:2] == ["HEAD /x", "GET /errors/404.html"]


async def test_conditions_do_not_apply_to_an_error(scripted: Starts, edge: Gateway) -> None:
    """RFC 9110 §13.2.1."""
    origin = await scripted(site)
    e = await edge(text(origin.url, NOT_FOUND))
    answer, body = await e.get("/x", if_none_match='"p"')
    assert (answer.status, body) == (404, PAGE)


async def test_a_page_stands_in_for_an_error_made_here(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(site)
    refused = "{error_code: 403, response_page_path: /errors/404.html, response_code: 403}"
    more = "server: {aliases: [127.0.0.1]}"
    config = text(origin.url, f"{GONE}, {refused}", more).replace(
        "target_origin: dead}", "target_origin: dead}"
    )
    e = await edge(config)
    answer, body = await e.get("/dead/x")
    assert (answer.status, body) == (503, PAGE)
    assert answer.headers["Cache-Status"].endswith("detail=origin-unreachable"), "that says more"
    assert "cannot connect" in e.records[-1].fault
    refusal, body = await e.get("/dead/x", "DELETE")
    assert (refusal.status, body, e.records[-1].reason) == (403, PAGE, "method-not-allowed")
    foreign, body = await e.get("/x", host="other.example.com")
    assert (foreign.status, body.startswith(b"403 ")) == (403, True)


async def test_a_page_that_is_missing_shows_its_own_status(scripted: Starts, edge: Gateway) -> None:
    """CloudFront Developer Guide, "Generate custom error responses"; and no page stands in for a page."""
    origin = await scripted(site)
    lost = "{error_code: 404, response_page_path: /errors/lost.html, response_code: 404}"
    other = "{error_code: 403, response_page_path: /errors/404.html, response_code: 403}"
    e = await edge(text(origin.url, f"{lost}, {other}"))
    answer, body = await e.get("/x")
    assert (answer.status, body) == (403, b"no such page")
    assert e.records[-1].fault == "no /errors/lost.html: its origin answered 403"


async def test_a_page_that_misses_itself(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(site)
    e = await edge(text(origin.url, "{error_code: 404, response_page_path: /gone.html, response_code: 200}"))
    answer, body = await e.get("/gone.html")
    assert (answer.status, body, origin.lines) == (404, b"plain no", ["GET /gone.html"])


async def test_the_error_is_the_answer_where_no_page_is_to_be_had(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(site)
    page = "{error_code: 404, response_page_path: /dead/404.html, response_code: 200}"
    e = await edge(text(origin.url, page))
    answer, body = await e.get("/x")
    assert (answer.status, body) == (404, b"plain no")
    assert e.records[-1].fault.startswith("no /dead/404.html: dead: cannot connect")


async def test_many_errors_at_once_ask_for_the_page_once(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(site)
    e = await edge(text(origin.url, NOT_FOUND))
    answers = await asyncio.gather(*(e.get(f"/{n % 4}") for n in range(20)))
    assert {(answer.status, body) for answer, body in answers} == {(404, PAGE)}
    assert origin.lines.count("GET /errors/404.html") == 1
    assert len(origin.asked) == 5


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_error_of_an_uncached_behaviour_gets_its_page_too(
    scripted: Starts, edge: Gateway, method: str
) -> None:
    origin = await scripted(site)
    more = text(origin.url, NOT_FOUND).replace(
        "target_origin: site,", "target_origin: site, cache_policy: CachingDisabled,"
    )
    e = await edge(more)
    for _ in range(2):
        answer, body = await e.get("/x", method)
        assert (answer.status, answer.headers["Content-Length"]) == (404, str(len(PAGE)))
        assert body == (PAGE if method == "GET" else b"")
    connections = {id(exchange.writer) for exchange in origin.asked}
    assert (len(origin.asked), len(connections)) == (4, 1), "none is given up for the error's body"


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_the_length_of_a_body_does_not_go_along_without_it(
    scripted: Starts, edge: Gateway, method: str
) -> None:
    """Else the origin would take the next request on the connection for the body."""

    async def reads(exchange: Exchange) -> None:
        await exchange.reader.readexactly(int(exchange.field("content-length") or 0))
        await site(exchange)

    origin = await scripted(reads)
    forbidden = "{error_code: 403, response_page_path: /errors/404.html, response_code: 403}"
    more = text(origin.url, f"{NOT_FOUND}, {forbidden}").replace(
        "target_origin: site,", "target_origin: site, origin_request_policy: AllViewer,"
    )
    e = await edge(more)
    async with e.viewer.request(method, e.url + "/x", data=b"GET /other HTTP/1.1\r\n\r\n") as answer:
        assert (answer.status, await answer.read()) == (404 if method == "POST" else 403, PAGE)
    assert [x.field("content-length") for x in origin.asked if x.method == "GET"] == [None]
