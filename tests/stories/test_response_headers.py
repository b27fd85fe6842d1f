"""Response headers policies: for the viewer, behind the cache."""

from collections.abc import Awaitable, Callable

import pytest

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]
ORIGIN = "https://www.example.com"


def text(url: str, policy: str, more: str = "") -> str:
    return f"""
origins: {{site: {{type: http, url: "{url}", connection_attempts: 1}}}}
default_behavior:
  target_origin: site
  response_headers_policy: {policy}
  allowed_methods: [GET, HEAD, OPTIONS]
{more}
"""


async def site(exchange: Exchange) -> None:
    if exchange.target == "/bad":
        await exchange.send(b"mumble\r\n\r\n")
        exchange.writer.close()
    else:
        fields = {"x_powered_by": "php", "x_frame_options": "DENY", "etag": '"1"', "server": "apache"}
        await exchange.answer(404 if exchange.target == "/missing" else 200, b"hello", **fields)


async def test_it_is_the_same_from_the_origin_and_from_the_cache(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(site)
    e = await edge(text(origin.url, "CORS-and-SecurityHeadersPolicy"))
    for x_cache in ("Miss", "Hit"):
        answer, _ = await e.get("/x", origin=ORIGIN)
        assert answer.headers["X-Cache"] == f"{x_cache} from cloudfront"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert answer.headers["X-Frame-Options"] == "DENY", "the origin's, which the managed policy leaves"
    plain, _ = await e.get("/x")
    assert "Access-Control-Allow-Origin" not in plain.headers
    assert len(origin.asked) == 1


@pytest.mark.parametrize(("path", "status"), [("/missing", 404), ("/bad", 502)])
async def test_errors_are_dressed_too(scripted: Starts, edge: Gateway, path: str, status: int) -> None:
    origin = await scripted(site)
    e = await edge(text(origin.url, "Managed-SimpleCORS"))
    for _ in range(2):
        answer, _ = await e.get(path, origin=ORIGIN)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, "*")


async def test_a_policy_of_ones_own(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(site)
    mine = """
response_headers_policies:
  mine:
    cors_config:
      access_control_allow_origins: ["https://*.example.com"]
      access_control_allow_methods: [ALL]
    security_headers_config:
      frame_options: {frame_option: SAMEORIGIN}
      strict_transport_security: {access_control_max_age_sec: 60, include_subdomains: true, preload: true}
      xss_protection: {protection: true, report_uri: /xss}
      content_type_options: {}
      referrer_policy: {referrer_policy: origin}
      content_security_policy: {content_security_policy: "default-src 'self'"}
    custom_headers_config: [{header: X-Ours, value: "1"}, {header: Cache-Control, value: max-age=5}]
    remove_headers_config: [X-Powered-By, Server, ETag]
    server_timing_headers_config: {enabled: true, sampling_rate: 100}
"""
    e = await edge(text(origin.url, "mine", mine))
    preflight, _ = await e.get("/x", "OPTIONS", origin=ORIGIN, access_control_request_method="PUT")
    assert preflight.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE"
    answer, _ = await e.get("/x", origin=ORIGIN)
    expected = {
        "Access-Control-Allow-Origin": ORIGIN,
        "Vary": "Origin",
        "X-Frame-Options": "SAMEORIGIN",
        "Strict-Transport-Security": "max-age=60; includeSubDomains; preload",
        "X-XSS-Protection": "1; report=/xss",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "origin",
        "Content-Security-Policy": "default-src 'self'",
        "X-Ours": "1",
        "Cache-Control": "max-age=5",
        "Server": "edgeproxy",
    }
    assert {name: answer.headers[name] for name in expected} == expected
    assert not {"X-Powered-By", "ETag"} & set(answer.headers)
    assert "cdn-cache-miss" in answer.headers["Server-Timing"]
    same, _ = await e.get("/x", if_none_match='"1"')
    assert (same.status, same.headers["X-Ours"]) == (304, "1"), "what is stored has its tag"
    assert same.headers["Server-Timing"].startswith("cdn-cache-hit,")
    assert "Access-Control-Allow-Origin" not in same.headers
