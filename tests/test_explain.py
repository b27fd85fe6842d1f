"""A dry run in words: each answer of the rules has its sentence, and nothing happens by asking."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from edgeproxy.app import App, opened
from edgeproxy.config import parse
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.storing import Stored
from edgeproxy.explain import Explanation
from edgeproxy.store.memory import Entry

NOW = 1_000_000.0
TEXT = """
origins:
  bucket:
    {type: s3, bucket: assets, endpoint: "http://127.0.0.1:1", origin_path: /web,
    credentials: {access_key_id: test, secret_access_key: test-secret}}
  site: {type: http, url: "http://127.0.0.1:1"}
  twin: {type: http, url: "http://127.0.0.1:1"}
origin_groups:
  media: {members: [bucket, site], failover_on: [403, 404, 503, 504]}
  sites: {members: [site, twin], failover_on: [503]}
cache_policies:
  plain: {min_ttl: 0, default_ttl: 60s, max_ttl: 1h}
behaviors:
  - {path_pattern: /bare/*, target_origin: bucket, cache_policy: plain}
  - {path_pattern: /api/*, target_origin: site, cache_policy: CachingDisabled}
  - {path_pattern: /both/*, target_origin: sites, cache_policy: plain}
default_behavior:
  {target_origin: media, cache_policy: plain, allowed_methods: [GET, HEAD, OPTIONS, PUT, POST, PATCH, DELETE]}
backfill:
  sources: {maker: {origin: twin}, store: {origin: site}}
  rules:
    - {path_pattern: /never/*, enabled: false}
    - {path_pattern: /images/*, on_status: [404]}
    - {path_pattern: /two/*, sources: [maker, store], methods: [GET]}
    - {path_pattern: /bare/made/*, sources: [maker], mode: generate}
    - {path_pattern: /bare/*, sources: [maker]}
"""


@dataclass(frozen=True)
class Still:
    """A clock that stands."""

    def now(self) -> float:
        return NOW

    def elapsed(self) -> float:
        return 0.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened_app() -> AsyncIterator[App]:
    async with opened(parse(TEXT, {}), clock=Still()) as app:
        yield app


@pytest.fixture
async def app(opened_app: App) -> App:
    await opened_app.invalidate(["/*"])
    return opened_app


def get(path: str, method: str = "GET", *fields: tuple[str, str]) -> Request:
    return Request(method, path, headers=Headers(fields), host="cdn.test")


def keep(app: App, path: str, age_s: float, *fields: tuple[str, str]) -> None:
    stored = Stored(Head(200, Headers(fields)), 60, 0, NOW - age_s)
    app._cache.memory.store(CacheKey("GET", path), Entry(stored, b"body"))


async def told(app: App, request: Request) -> dict[str, str]:
    return (await app.explain(request)).fields()


ALL = "bucket, then site on 403, 404, 503 or no connection, 504 or a timeout"


async def test_the_subjects_come_in_the_order_in_which_a_request_meets_them(app: App) -> None:
    explanation = await app.explain(get("/images/a.jpg"))
    assert [subject for subject, _ in explanation.steps] == [
        "request",
        "behavior",
        "cache key",
        "cache",
        "origins",
        "backfill",
    ]
    assert str(explanation).splitlines()[2] == "cache key  GET /images/a.jpg"
    assert json.loads(json.dumps(explanation.fields()))["request"] == "GET /images/a.jpg"


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/a", '"*" -> media, cache policy plain (min / default / max TTL 0s / 1m / 1h)'),
        ("/api/a", '"/api/*" -> site, cache policy CachingDisabled (caching is off)'),
    ],
)
async def test_the_behavior_says_its_pattern_its_target_and_its_times(
    app: App, path: str, sentence: str
) -> None:
    assert (await told(app, get(path)))["behavior"] == sentence


@pytest.mark.parametrize(
    ("age_s", "fields", "cache", "origins"),
    [
        (10, {}, "hit in memory: 10 s old, fresh for 50 s more", f"none now; after that {ALL}"),
        (70, {}, "stale (stale): to be fetched anew", ALL),
        (70, {"ETag": '"1"'}, "stale (stale): to be validated by a conditional request", ALL),
        (
            70,
            {"Cache-Control": "max-age=60, stale-while-revalidate=30"},
            "hit in memory, stale by 10 s (stale-while-revalidate)",
            f"behind the viewer's back: {ALL}",
        ),
    ],
    ids=["fresh", "stale", "with a tag", "refreshed behind the back"],
)
async def test_the_cache_says_what_it_has(
    app: App, age_s: float, fields: dict[str, str], cache: str, origins: str
) -> None:
    keep(app, "/a", age_s, *fields.items())
    asked = await told(app, get("/a"))
    assert (asked["cache"], asked["origins"]) == (cache, origins)


async def test_a_miss_says_whether_other_variants_are_there(app: App) -> None:
    assert (await told(app, get("/a")))["cache"] == "miss: nothing is stored under this key"
    fields = Headers([("Vary", "x-kind")])
    other = Stored(Head(200, fields), 60, 0, NOW, vary=("x-kind",), variant=("a",))
    app._cache.memory.store(CacheKey("GET", "/a"), Entry(other, b""))
    assert (await told(app, get("/a")))["cache"] == "miss: only other variants are stored under this key"


@pytest.mark.parametrize(
    ("request_", "cache", "origins"),
    [
        (
            get("/api/a"),
            "not asked (caching-disabled): edgeproxy; fwd=bypass; detail=caching-disabled",
            "site",
        ),
        (
            get("/a", "POST"),
            "not asked (method-not-cached): edgeproxy; fwd=method; detail=method-not-cached",
            "bucket alone: POST does not fail over",
        ),
        (get("/both/a"), "miss: nothing is stored under this key", "site, then twin on 503 or no connection"),
    ],
    ids=["caching is off", "a write", "no bucket"],
)
async def test_the_origins_are_told_in_the_order_in_which_they_are_asked(
    app: App, request_: Request, cache: str, origins: str
) -> None:
    asked = await told(app, request_)
    assert (asked["cache"], asked["origins"]) == (cache, origins)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (
            get("/images/a.jpg"),
            'yes, site -> bucket:web/images/a.jpg, if bucket answers 404 (rule "/images/*", queue)',
        ),
        (get("/a"), "no: no rule covers this path (no-rule)"),
        (
            get("/two/a"),
            'yes, maker, then store -> bucket:web/two/a, if bucket answers 403 or 404 (rule "/two/*", queue)',
        ),
        (get("/two/a", "HEAD"), 'no: rule "/two/*" is for GET (method-not-cached)'),
        (
            get("/bare/made/a"),
            "yes, maker -> bucket:web/bare/made/a, if bucket answers 403 or 404"
            ' (rule "/bare/made/*", generate)',
        ),
        (get("/bare/a"), "no: bucket is no origin group (not-failed-over)"),
        (get("/never/a"), 'no: rule "/never/*" is not enabled (no-backfill)'),
        (get("/api/a"), "no: site is no origin group (not-failed-over)"),
        (get("/both/a"), "no: site is not a bucket (primary-not-s3)"),
        (get("/images/a", "POST"), "no: only GET and HEAD lead to a backfill (method-not-cached)"),
        (
            get("/images/" + "a" * 1_100),
            "no: this request does not name one object for everybody (bad-key)",
        ),
    ],
    ids=[
        "yes",
        "no rule",
        "two sources",
        "method",
        "no group needed",
        "group needed",
        "rule not enabled",
        "no group",
        "no bucket",
        "a write",
        "no key",
    ],
)
async def test_the_backfill_says_yes_or_why_not(app: App, request_: Request, sentence: str) -> None:
    assert (await told(app, request_))["backfill"] == sentence


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (get("/a%2Fb"), "400: the path holds an escaped slash (bad-path)"),
        (
            get("/api/a", "POST"),
            "403: method POST is not allowed for this path, want one of GET, HEAD (method-not-allowed)",
        ),
    ],
    ids=["bad path", "method not allowed"],
)
async def test_a_refusal_is_all_there_is_to_say(app: App, request_: Request, answer: str) -> None:
    target = f"{request_.method} {request_.target}"
    assert await app.explain(request_) == Explanation((("request", target), ("answer", answer)))


async def test_nothing_happens_by_asking(app: App) -> None:
    keep(app, "/a", 70)
    before = app.state()
    for path in ("/a", "/images/b", "/api/c", "/a%2Fb"):
        await app.explain(get(path))
    assert app.state() == before
