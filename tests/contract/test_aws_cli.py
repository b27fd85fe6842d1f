"""The AWS CLI as people have it, against the admin port."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Edge, Exchange, Script, ScriptedOrigin, edge_of
from tests.servers.server import cache_folder

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
TOKEN = "s3cret-token"


@pytest.fixture
def cli() -> Path:
    found = cache_folder() / "aws" / "bin" / "aws"
    if not found.exists():
        is_required = os.environ.get("EDGEPROXY_REQUIRE_SERVERS") or os.environ.get("CI") == "true"  # noqa: TID251
        (pytest.fail if is_required else pytest.skip)(f"{found} is not there: run scripts/servers")
    return found


async def lasting(exchange: Exchange) -> None:
    await exchange.answer(200, b"body", cache_control="max-age=60")


async def aws(cli: Path, e: Edge, *words: str, secret: str = TOKEN) -> tuple[int, Any, str]:
    """Exit status, what it printed as JSON, and its complaint."""
    environ = {
        "PATH": os.environ["PATH"],  # noqa: TID251
        "HOME": "/nonexistent",
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    process = await asyncio.create_subprocess_exec(
        *(str(cli), "--output", "json", "--endpoint-url", f"http://{e.gateway.admin}", "cloudfront", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
    )
    out, complaint = await process.communicate()
    return process.returncode or 0, json.loads(out or b"null"), complaint.decode()


@pytest.mark.servers
@pytest.mark.parametrize(
    "admin", ["", f"admin: {{listen: '127.0.0.1:0', token: {TOKEN}}}"], ids=["open", "token"]
)
async def test_it_invalidates_waits_and_lists(scripted: Starts, cli: Path, admin: str) -> None:
    origin = await scripted(lasting)
    config = f"""
origins: {{site: {{type: http, url: "{origin.url}"}}}}
default_behavior: {{target_origin: site}}
{admin}
"""
    local = ("--distribution-id", "local")
    async with edge_of(config) as e:
        for target in ("/images/a.jpg", "/other"):
            await e.get(target)
        status, made, _ = await aws(
            cli, e, "create-invalidation", *local, "--paths", "/images/*", "/index.html"
        )
        assert status == 0
        assert made["Invalidation"]["InvalidationBatch"]["Paths"]["Items"] == ["/images/*", "/index.html"]
        assert (await e.get("/images/a.jpg"))[0].headers["X-Cache"] == "Miss from cloudfront"
        assert (await e.get("/other"))[0].headers["X-Cache"] == "Hit from cloudfront"
        mine = (*local, "--id", made["Invalidation"]["Id"])
        assert (await aws(cli, e, "wait", "invalidation-completed", *mine))[0] == 0
        assert (await aws(cli, e, "get-invalidation", *mine))[1]["Invalidation"]["Status"] == "Completed"
        await aws(cli, e, "create-invalidation", *local, "--paths", "/a")
        _, listed, _ = await aws(cli, e, "list-invalidations", *local, "--page-size", "1")
        assert len(listed["InvalidationList"]["Items"]) == 2
        status, _, complaint = await aws(cli, e, "create-invalidation", *local, "--paths", "images/*")
        assert (status > 0, "(InvalidArgument)" in complaint) == (True, True), complaint
        if admin:
            status, _, complaint = await aws(cli, e, "list-invalidations", *local, secret="other")
            assert (status > 0, "(SignatureDoesNotMatch)" in complaint) == (True, True), complaint
