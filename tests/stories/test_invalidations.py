"""CloudFront's API on the admin port, as boto3 and the AWS CLI speak it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

from edgeproxy.store.folder import DiskError
from tests.conftest import Edge, Exchange, Script, ScriptedOrigin, edge_of
from tests.stories.process import served

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
Gateway = Callable[[str], Awaitable[Edge]]
Call = Callable[..., Awaitable[Any]]
BATCH = b"""<InvalidationBatch><Paths><Quantity>1</Quantity><Items><Path>/*</Path></Items></Paths>
<CallerReference>by hand</CallerReference></InvalidationBatch>"""


def text(url: str, admin: str = "") -> str:
    return f"""
origins: {{site: {{type: http, url: "{url}"}}}}
default_behavior: {{target_origin: site}}
{admin}
"""


async def lasting(exchange: Exchange) -> None:
    await exchange.answer(200, b"body", cache_control="max-age=60")


# One for all: it has read megabytes of JSON by then.
_session = Session()


def client(port: int, secret: str = "any") -> Any:
    """As an operator makes it: `--endpoint-url` and some keys."""
    return _session.create_client(
        "cloudfront",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="anybody",
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
    )


@contextlib.asynccontextmanager
async def calling(port: int, secret: str = "any") -> AsyncIterator[Call]:
    """Calls operations of the client, in a thread, as it blocks."""
    with contextlib.closing(client(port, secret)) as made:
        yield lambda name, **parameters: asyncio.to_thread(
            getattr(made, name), **{"DistributionId": "local", **parameters}
        )


def batch(*paths: str, reference: str = "r1") -> dict[str, Any]:
    return {"Paths": {"Quantity": len(paths), "Items": list(paths)}, "CallerReference": reference}


@contextlib.contextmanager
def refused(code: str, status: int) -> Any:
    with pytest.raises(ClientError) as told:
        yield
    answer = told.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert answer["Error"]["Message"]
    assert answer["ResponseMetadata"]["RequestId"]


async def hits(e: Edge, *targets: str) -> list[str]:
    return [target for target in targets if "Hit" in (await e.get(target))[0].headers["X-Cache"]]


async def test_boto3_invalidates_waits_and_looks_back(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(lasting)
    e = await edge(text(origin.url))
    targets = ("/images/a.jpg", "/images/b.jpg", "/é.txt", "/other")
    for target in targets:
        await e.get(target)
    async with calling(e.gateway.admin.port) as call:
        made = await call("create_invalidation", InvalidationBatch=batch("/images/*", "/%C3%A9.txt"))
        assert await hits(e, *targets) == ["/other"]
        invalidation = made["Invalidation"]
        assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
        where = f"/2020-05-31/distribution/local/invalidation/{invalidation['Id']}"
        assert made["Location"] == f"http://{e.gateway.admin}{where}"
        assert invalidation["InvalidationBatch"] == batch("/images/*", "/%C3%A9.txt")
        found = await call("get_invalidation", Id=invalidation["Id"])
        assert found["Invalidation"] == invalidation
        assert invalidation["Status"] == "Completed"


async def test_the_waiter_of_boto3_comes_to_an_end(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(lasting)
    e = await edge(text(origin.url))
    with contextlib.closing(client(e.gateway.admin.port)) as made:
        asked = {"DistributionId": "local", "InvalidationBatch": batch("/*")}
        created = await asyncio.to_thread(made.create_invalidation, **asked)
        waiter = made.get_waiter("invalidation_completed")
        await asyncio.to_thread(waiter.wait, DistributionId="local", Id=created["Invalidation"]["Id"])


async def test_sent_again_it_is_the_same(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(lasting)
    e = await edge(text(origin.url))
    async with calling(e.gateway.admin.port) as call:
        first = await call("create_invalidation", InvalidationBatch=batch("/a", "/b"))
        await e.get("/a")
        again = await call("create_invalidation", InvalidationBatch=batch("/b", "/a"))
        assert again["Invalidation"] == first["Invalidation"]
        assert await hits(e, "/a") == ["/a"], "it is not done twice"
        with refused("InvalidationBatchAlreadyExists", 409):
            await call("create_invalidation", InvalidationBatch=batch("/c"))


async def test_the_list_goes_back_in_pages(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(lasting)
    e = await edge(text(origin.url))
    async with calling(e.gateway.admin.port) as call:
        empty = (await call("list_invalidations"))["InvalidationList"]
        assert (empty["Quantity"], empty["IsTruncated"], empty["MaxItems"]) == (0, False, 100)
        ids = []
        for number in range(5):
            made = await call("create_invalidation", InvalidationBatch=batch("/a", reference=str(number)))
            ids.append(made["Invalidation"]["Id"])
        first = (await call("list_invalidations", MaxItems="2"))["InvalidationList"]
        assert [item["Id"] for item in first["Items"]] == [ids[4], ids[3]]
        assert (first["IsTruncated"], first["NextMarker"]) == (True, ids[3])
        rest = (await call("list_invalidations", Marker=ids[3]))["InvalidationList"]
        assert [item["Id"] for item in rest["Items"]] == [ids[2], ids[1], ids[0]]
        assert rest["IsTruncated"] is False
        with refused("InvalidArgument", 400):
            await call("list_invalidations", Marker="INONE")
        with refused("InvalidArgument", 400):
            await call("list_invalidations", MaxItems="many")


async def test_refusals_are_cloudfronts(scripted: Starts, edge: Gateway) -> None:
    origin = await scripted(lasting)
    e = await edge(text(origin.url))
    async with calling(e.gateway.admin.port) as call:
        with refused("NoSuchDistribution", 404):
            await call("create_invalidation", DistributionId="EOTHER", InvalidationBatch=batch("/a"))
        with refused("NoSuchInvalidation", 404):
            await call("get_invalidation", Id="INONE")
        with refused("InvalidArgument", 400):
            await call("create_invalidation", InvalidationBatch=batch("images/*"))
        with refused("InconsistentQuantities", 400):
            wrong = {**batch("/a"), "Paths": {"Quantity": 2, "Items": ["/a"]}}
            await call("create_invalidation", InvalidationBatch=wrong)
        with refused("TooManyInvalidationsInProgress", 400):
            await call("create_invalidation", InvalidationBatch=batch(*(f"/{n}/*" for n in range(16))))
        with refused("BatchTooLarge", 413):
            await call("create_invalidation", InvalidationBatch=batch(*(f"/{n}" for n in range(3_001))))
        assert (await call("list_invalidations"))["InvalidationList"]["Quantity"] == 0
        with refused("InvalidArgument", 400):
            await call("list_invalidations", Marker="\0")
    with contextlib.closing(client(e.gateway.admin.port)) as made, refused("NoSuchResource", 404):
        await asyncio.to_thread(made.list_distributions)
    status, told = await posted(e.gateway.admin.port, BATCH, content_encoding="gzip")
    assert (status, "<Code>MalformedInput</Code>" in told) == (400, True)


async def test_what_could_not_be_done_is_no_invalidation(
    scripted: Starts, edge: Gateway, monkeypatch: Any
) -> None:
    origin = await scripted(lasting)
    e = await edge(text(origin.url))

    async def full(_: object) -> int:
        raise DiskError("the disk is full")

    async with calling(e.gateway.admin.port) as call:
        with monkeypatch.context() as broken:
            broken.setattr(e.gateway.app, "invalidate", full)
            with refused("ServiceUnavailable", 503):
                await call("create_invalidation", InvalidationBatch=batch("/a"))
        await call("create_invalidation", InvalidationBatch=batch("/b"))
        assert (await call("list_invalidations"))["InvalidationList"]["Quantity"] == 1


async def posted(port: int, body: bytes, **fields: str) -> tuple[int, str]:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    url = f"http://127.0.0.1:{port}/2020-05-31/distribution/local/invalidation"
    async with aiohttp.ClientSession() as operator, operator.post(url, data=body, headers=headers) as answer:
        assert answer.content_type == "text/xml"
        return answer.status, await answer.text()


async def test_without_a_token_this_machine_may_ask_and_pages_may_not(
    scripted: Starts, edge: Gateway
) -> None:
    origin = await scripted(lasting)
    e = await edge(text(origin.url))
    port = e.gateway.admin.port
    assert (await posted(port, BATCH))[0] == 201
    for fields in (
        {"host": "evil.test"},
        {"origin": "http://evil.test"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
    ):
        status, told = await posted(port, BATCH, **fields)
        assert (status, "<Code>AccessDenied</Code>" in told) == (403, True)


async def test_with_a_token_the_secret_of_the_signature_is_the_token(scripted: Starts) -> None:
    origin = await scripted(lasting)
    admin = "admin: {listen: '127.0.0.1:0', token: s3cret-token, distribution_id: EDFDVBD6EXAMPLE}"
    async with edge_of(text(origin.url, admin)) as e:
        port = e.gateway.admin.port
        mine = {"DistributionId": "EDFDVBD6EXAMPLE"}
        async with calling(port, "s3cret-token") as call:
            made = await call("create_invalidation", InvalidationBatch=batch("/*"), **mine)
            found = await call("get_invalidation", Id=made["Invalidation"]["Id"], **mine)
            assert found["Invalidation"]["Status"] == "Completed"
            with refused("NoSuchDistribution", 404):
                await call("list_invalidations")
        async with calling(port, "other-token") as call:
            with refused("SignatureDoesNotMatch", 403):
                await call("create_invalidation", InvalidationBatch=batch("/a"), **mine)
            with refused("SignatureDoesNotMatch", 403):
                await call("list_invalidations")
        status, told = await posted(port, BATCH)
        assert (status, "<Code>MissingAuthenticationToken</Code>" in told) == (403, True)
        assert (await posted(port, BATCH, authorization="Bearer s3cret-token"))[0] == 404, (
            "of another distribution"
        )


async def test_several_workers_all_forget(scripted: Starts, tmp_path: Path) -> None:
    versions = iter(range(1_000))

    async def another_each_time(exchange: Exchange) -> None:
        await exchange.answer(200, b"%d" % next(versions), cache_control="max-age=60")

    async def seen(url: str) -> set[bytes]:
        """What viewers get who come each on a connection of their own."""
        found = set()
        for _ in range(16):
            connector = aiohttp.TCPConnector(force_close=True)
            async with aiohttp.ClientSession(connector=connector) as viewer, viewer.get(url) as answer:
                found.add(await answer.read())
        return found

    origin = await scripted(another_each_time)
    config = text(origin.url, "server: {listen: '127.0.0.1:0', workers: 2}")
    async with served(tmp_path, config) as process, calling(process.admin) as call:
        before = await seen(f"{process.url}/x")
        made = await call("create_invalidation", InvalidationBatch=batch("/x"))
        assert made["Invalidation"]["Status"] == "Completed"
        assert before.isdisjoint(await seen(f"{process.url}/x"))
