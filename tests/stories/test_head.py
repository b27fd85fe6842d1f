"""What HEAD does to what is stored: served from it, or, where it goes to the origin, a word about it."""

from collections.abc import Awaitable, Callable

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]


def text(url: str, cached: str = "[GET, HEAD]") -> str:
    return f"""
origins: {{site: {{type: http, url: "{url}", connection_attempts: 1}}}}
cache_policies: {{plain: {{min_ttl: 0, default_ttl: 0}}}}
default_behavior: {{target_origin: site, cache_policy: plain, cached_methods: {cached}}}
"""


async def test_head_on_what_is_stored_never_reaches_the_origin_as_head(
    scripted: Starts, edge: Gateway
) -> None:
    """RFC 9111 §4.3.5 has nothing to say here: a HEAD on something stale validates it by a GET."""

    async def script(exchange: Exchange) -> None:
        if exchange.field("if-none-match") is not None:
            await exchange.answer(304)
        else:
            lifetime = 60 if exchange.target == "/fresh" else 0
            await exchange.answer(200, b"body", cache_control=f"max-age={lifetime}", etag='"1"')

    origin = await scripted(script)
    e = await edge(text(origin.url))
    for path in ("/fresh", "/stale"):
        await e.get(path)
        head, body = await e.get(path, "HEAD")
        assert (head.headers["Content-Length"], body) == ("4", b"")
    assert origin.lines == ["GET /fresh", "GET /stale", "GET /stale"]


async def test_where_head_is_not_cached_its_answer_is_a_word_about_what_is(
    scripted: Starts, edge: Gateway
) -> None:
    """RFC 9111 §4.3.5."""

    async def script(exchange: Exchange) -> None:
        said = {"etag": '"2"' if exchange.target == "/new" and exchange.method == "HEAD" else '"1"'}
        lifetime = 3600 if exchange.method == "HEAD" else 60
        await exchange.answer(200, b"body", cache_control=f"max-age={lifetime}", **said)

    origin = await scripted(script)
    e = await edge(text(origin.url, "[GET]"))
    for path in ("/same", "/new"):
        await e.get(path)
        await e.get(path, "HEAD")
    same, _ = await e.get("/same")
    assert same.headers["Cache-Status"].startswith("edgeproxy; hit; ttl=35")
    assert same.headers["Cache-Control"] == "max-age=3600"
    new, _ = await e.get("/new")
    assert new.headers["Cache-Status"].startswith("edgeproxy; fwd=stale")
    assert origin.lines == ["GET /same", "HEAD /same", "GET /new", "HEAD /new", "GET /new"]
