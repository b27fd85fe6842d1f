"""Objects that we have written follow their source, as far as a rule says; others' objects are theirs."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from edgeproxy.cli.main import main
from tests.conftest import Exchange
from tests.stories.conftest import Build, House

ALWAYS = "[{refresh: {every: 1ms}}]"
ON_EVENT = "[{refresh: on-event}]"


class Site:
    """Has one object, with an ETag by which it heeds conditions."""

    def __init__(self, body: bytes = b"old") -> None:
        self.body = body
        self.status = 200
        self.said: list[int] = []

    async def __call__(self, exchange: Exchange) -> None:
        etag = f'"{self.body.decode()}"'
        status = 304 if exchange.field("if-none-match") == etag else self.status
        self.said.append(status)
        await exchange.answer(
            status,
            b"" if status == 304 else self.body,
            etag=etag,
            cache_control="no-store" if self.status != 200 else "max-age=0",
        )


async def body_of(h: House, key: str = "a") -> bytes:
    await h.edge.gateway.app.backfilled()
    async with (await h.s3.get_object(Bucket=h.bucket, Key=key))["Body"] as body:
        return bytes(await body.read())


async def filled(house: Build, site: Site, rules: str = ALWAYS) -> House:
    """A house whose bucket has /a from the site; S3's dates have whole seconds."""
    h = await house(site, rules=rules)
    await h.edge.get("/a")
    await body_of(h)
    return h


async def asked(h: House, what: str, **body: Any) -> Any:
    url = f"http://{h.edge.gateway.admin}/{what}"
    async with aiohttp.ClientSession() as operator, operator.post(url, json=body) as answer:
        return await answer.json()


async def test_a_viewer_who_gets_an_old_object_has_its_source_looked_at(house: Build) -> None:
    site = Site()
    h = await filled(house, site)
    answer, body = await h.edge.get("/a")
    assert (body, answer.headers["X-Edge-Origin"], answer.headers["X-Edge-Backfill"]) == (
        b"old",
        "bucket=200",
        "queued",
    )
    assert await body_of(h) == b"old"
    assert site.said[-1] == 304
    site.body = b"newer"
    await h.edge.get("/a")
    assert await body_of(h) == b"newer"
    assert (await h.edge.get("/a"))[1] == b"newer"
    assert h.edge.counts()["skipped-unchanged"] >= 1
    kept = (await h.s3.head_object(Bucket=h.bucket, Key="a"))["Metadata"]
    assert kept["edgeproxy-source-etag"] == '"newer"'


async def test_it_is_looked_once_in_the_time_of_the_rule(house: Build) -> None:
    site = Site()
    h = await house(site, rules="[{refresh: {every: 1d}}]")
    await h.s3.put_object(
        Bucket=h.bucket, Key="a", Body=b"old", Metadata={"edgeproxy-filled-by": "edgeproxy"}
    )
    assert (await h.edge.get("/a"))[0].headers["X-Edge-Backfill"] == "checked"
    assert site.said == []


async def test_a_source_of_the_rules_own_is_asked(house: Build) -> None:
    asked_for: list[tuple[str, str | None]] = []

    async def site(exchange: Exchange) -> None:
        asked_for.append((exchange.target, exchange.field("if-none-match")))
        same = exchange.field("if-none-match") == '"1"'
        await exchange.answer(
            304 if same else 200, b"" if same else b"old", etag='"1"', cache_control="max-age=0"
        )

    rules = "[{refresh: on-event, sources: [originals]}]"
    h = await house(site, rules=rules, queue="sources: {originals: {origin: site, path: '/originals{path}'}}")
    await h.edge.get("/a")
    assert await body_of(h) == b"old"
    asked_for.clear()
    assert await asked(h, "backfill/refresh", paths=["/a"]) == {"refresh": {"queued": 1}}
    await body_of(h)
    assert asked_for == [("/originals/a", '"1"')]
    assert h.edge.counts()["skipped-unchanged"] == 1
    kept = (await h.s3.head_object(Bucket=h.bucket, Key="a"))["Metadata"]
    assert kept["edgeproxy-source-url"] == f"{h.site.url}/originals/a"


async def test_what_the_source_has_lost_is_kept(house: Build) -> None:
    site = Site()
    h = await filled(house, site)
    site.status, site.body = 404, b"gone"
    await h.edge.get("/a")
    assert await body_of(h) == b"old"
    assert h.edge.counts() == {"queued": 2, "stored": 1, "skipped-source-status": 1}


async def test_somebody_elses_object_is_never_touched(house: Build) -> None:
    site = Site(b"newer")
    h = await house(site, rules=ALWAYS)
    await h.s3.put_object(Bucket=h.bucket, Key="a", Body=b"theirs")
    assert (await h.edge.get("/a"))[0].headers["X-Edge-Backfill"] == "not-ours"
    assert await asked(h, "backfill/refresh", paths=["/a"], group="media") == {"refresh": {"queued": 1}}
    assert await body_of(h) == b"theirs"
    assert h.edge.counts() == {"queued": 1, "skipped-not-ours": 1}
    assert site.said == []


@pytest.mark.parametrize("size", [5, 11 * 2**20], ids=["one piece", "parts"])
async def test_an_upload_in_the_middle_of_a_refresh_stays(house: Build, size: int) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()
    is_slow = False

    async def slow_at_last(exchange: Exchange) -> None:
        if not is_slow:
            await exchange.answer(200, b"old", cache_control="max-age=0")
            return
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"n" * (size - 1))
        begun.set()
        await gate.wait()
        await exchange.send(b"!")

    h = await house(slow_at_last, rules=ON_EVENT)
    await h.edge.get("/a")
    assert await body_of(h) == b"old"
    is_slow = True
    await asked(h, "backfill/refresh", paths=["/a"])
    await begun.wait()
    await h.s3.put_object(Bucket=h.bucket, Key="a", Body=b"theirs")
    gate.set()
    assert await body_of(h) == b"theirs"
    assert h.edge.counts() == {"queued": 2, "stored": 1, "skipped-changed": 1}
    assert (await h.s3.list_multipart_uploads(Bucket=h.bucket)).get("Uploads", []) == []


async def test_a_purge_is_an_event(house: Build) -> None:
    site = Site()
    h = await filled(house, site, ON_EVENT)
    assert (await h.edge.get("/a"))[0].headers["X-Edge-Backfill"] == "checked"
    site.body = b"newer"
    await asked(h, "purge", paths=["/a"])
    assert await body_of(h) == b"newer"
    assert (await h.edge.get("/a"))[1] == b"newer"


async def test_without_the_rule_it_is_none(house: Build) -> None:
    h = await filled(house, Site(), "[{}]")
    await asked(h, "purge", paths=["/a"])
    await body_of(h)
    assert h.edge.counts() == {"queued": 1, "stored": 1}


async def test_operators_refresh_and_bury(house: Build, tmp_path: Path) -> None:
    site = Site()
    h = await filled(house, site, ON_EVENT)
    path = tmp_path / "operator.yaml"
    path.write_text(f"""
origins: {{site: {{type: http, url: "http://127.0.0.1:1"}}}}
default_behavior: {{target_origin: site}}
admin: {{listen: '{h.edge.gateway.admin}'}}
""")

    async def said(*words: str) -> tuple[int, str]:
        answer = await asyncio.to_thread(CliRunner().invoke, main, ["backfill", *words, "-c", str(path)])
        return answer.exit_code, answer.output.strip().partition(f"{h.edge.gateway.admin}")[
            2
        ] or answer.output.strip()

    site.body = b"newer"
    assert await said("refresh", "/a", "--group", "media") == (0, "queued: 1")
    assert await body_of(h) == b"newer"
    await h.s3.delete_object(Bucket=h.bucket, Key="a")
    assert await said("forget", "/a", "--for", "1h") == (0, "tombstones: 1")
    await h.edge.gateway.app.invalidate(["/a"])
    assert (await h.edge.get("/a"))[0].headers["X-Edge-Backfill"] == "tombstone"
    assert await said("forget", "/a", "--for", "0s") == (0, "tombstones: 1")
    await h.edge.gateway.app.invalidate(["/a"])
    await h.edge.gateway.app.backfilled()
    assert (await h.edge.get("/a"))[0].headers["X-Edge-Backfill"] == "queued"
    assert await body_of(h) == b"newer"


@pytest.mark.parametrize(
    ("what", "body", "error"),
    [
        ("refresh", {}, 'body: want {"paths": ["/a.jpg"], "group": "media"}, group may be left out'),
        ("refresh", {"paths": ["a"]}, "path: got 'a', want the path of one object such as /images/a.jpg"),
        ("refresh", {"paths": ["/a*"]}, "path: got '/a*', want the path of one object such as /images/a.jpg"),
        ("tombstones", {"paths": ["/a"], "group": "x"}, 'group: got "x", want one of media'),
        (
            "tombstones",
            {"paths": ["/a"], "for": 1},
            "for: got 1, want a duration with its unit such as 500ms, 30s, 5m, 24h or 365d",
        ),
    ],
)
async def test_a_wrong_wish_is_told(house: Build, what: str, body: dict[str, Any], error: str) -> None:
    h = await house(Site())
    assert await asked(h, f"backfill/{what}", **body) == {"error": error}
