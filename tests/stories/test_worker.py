"""`edgeproxy worker`: processes that only work at jobs, beside gateways that leave them to it."""

import signal
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from edgeproxy.cli.main import main
from edgeproxy.config import parse
from edgeproxy.filling import filling
from edgeproxy.serve import administered
from tests.conftest import Exchange
from tests.stories.conftest import Build, House
from tests.stories.process import working

BODY = b"0123456789"


async def site(exchange: Exchange) -> None:
    await exchange.answer(200, BODY)


def config_of(at: House, state: str) -> str:
    return f"""
{state}
admin: {{listen: '127.0.0.1:0'}}
origins:
  bucket: {{type: s3, bucket: {at.bucket}, endpoint: '{at.s3.meta.endpoint_url}',
    credentials: {{access_key_id: test, secret_access_key: test-secret}}}}
  site: {{type: http, url: "{at.site.url}"}}
origin_groups: {{media: {{members: [bucket, site], failover_on: [404]}}}}
default_behavior: {{target_origin: media}}
"""


async def test_a_gateway_leaves_the_work_to_a_process_beside_it(house: Build, tmp_path: Path) -> None:
    state = f"state: {{folder: '{tmp_path}/state'}}"
    at = await house(site, queue="concurrency: 0", more=state)
    for name in "abc":
        answer, body = await at.edge.get(f"/{name}")
        assert (body, answer.headers["X-Edge-Backfill"]) == (BODY, "queued")
    config = config_of(at, state) + "backfill: {rules: [{}], concurrency: 0}"
    options = ("--concurrency", "2", "--admin", "127.0.0.1:0")
    async with working(tmp_path, config, *options) as process:
        assert await at.stored() == dict.fromkeys("abc", len(BODY))
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        said = (await process.stderr.read()).decode().splitlines()
        assert said[-1] == "drained: nothing was left undone"
        assert await process.wait() == 0
    assert at.edge.counts() == {"queued": 3}


async def test_it_has_a_port_for_operators(house: Build, tmp_path: Path) -> None:
    state = f"state: {{folder: '{tmp_path}/state'}}"
    at = await house(site, queue="concurrency: 0", more=state)
    await at.edge.get("/a")
    config = parse(config_of(at, state) + "backfill: {rules: [{}]}", {})
    async with filling(config) as process, administered(config, process, lambda: None, print) as admin:
        await at.stored()
        async with aiohttp.ClientSession(f"http://{admin}") as operator:
            for path, status in (("/healthz", 200), ("/readyz", 200), ("/explain?url=/a", 503)):
                async with operator.get(path) as answer:
                    assert answer.status == status
            async with operator.get("/stats") as answer:
                told = await answer.json()
            assert (told["backfill"], told["jobs"]["stored"]) == ({"at_work": 0, "stored": 1}, 1)
            assert told["sources"]["site"]["asked"] == 1
            async with operator.post("/backfill/tombstones", json={"paths": ["/b"], "for": "1h"}) as answer:
                assert await answer.json() == {"tombstones": 1}
            async with operator.post("/backfill/refresh", json={"paths": ["/b", "/c"]}) as answer:
                assert await answer.json() == {"refresh": {"tombstone": 1, "queued": 1}}
            async with operator.post("/backfill/pause", json={}) as answer:
                assert await answer.json() == {"paused": True}
            async with operator.get("/backfill") as answer:
                told = await answer.json()
            assert (told["paused"], [job["key"] for job in told["jobs"]]) == (True, ["c", "a"])


ORIGINS = """
origins: {site: {type: http, url: 'http://127.0.0.1:1'}}
default_behavior: {target_origin: site}
"""
STATE = "state: {folder: /x}\n"
IDLE = STATE + "backfill: {concurrency: 0}"
NO_BUCKET = STATE + "backfill: {rules: [{enabled: false}]}"


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ("", "backfill.queue: got memory, in which no other process puts jobs, want sqlite or sqs"),
        (IDLE, "backfill.concurrency: got 0, want 1 or more, or --concurrency"),
        (STATE, "backfill.rules: there are none, want those of the gateways, without which no job is done"),
        (NO_BUCKET, "origins: no bucket is anybody's target or primary, want one that can be filled"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line(settings: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(ORIGINS + settings)
    answer = CliRunner().invoke(main, ["worker", "-c", str(path)])
    assert (answer.output, answer.exit_code) == (f"{path}: {wanted}\n", 2)


def test_an_address_that_is_none_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(ORIGINS)
    answer = CliRunner().invoke(main, ["worker", "-c", str(path), "--admin", "8082"])
    assert answer.output.startswith('--admin: got "8082", want ')
    assert answer.exit_code == 2
