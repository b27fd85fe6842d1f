"""What is stored is what the source has, every byte of it: digests, faults of the bucket's, tombstones."""

import asyncio
import base64
import hashlib
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from edgeproxy.backfill import writer
from tests.conftest import Exchange, Script, ScriptedOrigin
from tests.stories.conftest import Build, House

Starts = Callable[[Script], Awaitable[ScriptedOrigin]]
BODY = b"body"


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def of(body: bytes) -> dict[str, dict[str, str]]:
    """Fields that hold a digest of `body`."""
    sha256, md5 = b64(hashlib.sha256(body).digest()), hashlib.md5(body)
    return {
        "md5": {"content_md5": b64(md5.digest())},
        "rfc 9530": {"repr_digest": f"sha-256=:{sha256}:"},
        "sha-512": {"content_digest": f"sha-512=:{b64(hashlib.sha512(body).digest())}:"},
        "rfc 3230": {"digest": f"SHA-256={sha256}"},
        "s3": {"x_amz_checksum_crc32": b64(zlib.crc32(body).to_bytes(4, "big"))},
        "google": {"x_goog_hash": f"md5={b64(md5.digest())}"},
    }


@pytest.mark.parametrize("kind", of(BODY))
@pytest.mark.parametrize(("said", "stored"), [(BODY, {"a": 4}), (b"other", {})], ids=["right", "wrong"])
async def test_bytes_have_to_be_what_a_digest_says(
    house: Build, kind: str, said: bytes, stored: dict[str, int]
) -> None:
    async def told(exchange: Exchange) -> None:
        await exchange.answer(200, BODY, **of(said)[kind])

    h = await house(told)
    assert (await h.edge.get("/a"))[1] == BODY
    assert await h.stored() == stored
    if not stored:
        assert h.edge.counts() == {"queued": 1, "retried": 1, "dead-digest-mismatch": 1}


async def test_an_etag_that_only_looks_like_an_md5_keeps_nothing_out_for_ever(house: Build) -> None:
    async def told(exchange: Exchange) -> None:
        etag = f'"{hashlib.md5(b"encrypted").hexdigest()}"'
        await exchange.answer(200, BODY, etag=etag, x_amz_request_id="1")

    h = await house(told)
    await h.edge.get("/a")
    assert await h.stored() == {"a": 4}
    assert h.edge.counts() == {"queued": 1, "retried": 1, "stored": 1}


async def test_where_it_came_from_is_noted_with_the_object(house: Build) -> None:
    async def told(exchange: Exchange) -> None:
        date = "Tue, 15 Nov 1994 12:45:26 GMT"
        await exchange.answer(200, BODY, etag='"1"', last_modified=date, x_amz_meta_edgeproxy_x="another's")

    h = await house(told)
    await h.edge.get("/a%20b")
    await h.stored()
    assert (await h.s3.head_object(Bucket=h.bucket, Key="a b"))["Metadata"] == {
        "edgeproxy-filled-by": "edgeproxy/0.1.0",
        "edgeproxy-source-etag": '"1"',
        "edgeproxy-source-modified": "Tue, 15 Nov 1994 12:45:26 GMT",
        "edgeproxy-source-url": f"{h.site.url}/a%20b",
    }


@dataclass
class FakeS3:
    """A bucket that has nothing, and answers each PUT with what is next in `said`."""

    said: list[tuple[int, str]]
    put: list[tuple[Exchange, bytes]] = field(default_factory=list)

    async def __call__(self, exchange: Exchange) -> None:
        if exchange.method != "PUT":
            await exchange.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        if exchange.field("expect") is not None:
            await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await exchange.reader.readexactly(int(exchange.field("content-length") or 0))
        self.put.append((exchange, body))
        status, code = self.said.pop(0)
        if status == 0:
            await asyncio.Event().wait()
        xml = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode() if code else b""
        await exchange.answer(status, xml, etag='"1"')


async def against(house: Build, scripted: Starts, *said: tuple[int, str]) -> tuple[House, FakeS3]:
    """A house that has filled /a into a bucket that answers so."""
    fake = FakeS3(list(said))
    endpoint = (await scripted(fake)).url

    async def fine(exchange: Exchange) -> None:
        await exchange.answer(200, BODY)

    patience = "300ms" if HANGS in said else "10s"
    h = await house(fine, bucket_fields=f"endpoint: '{endpoint}'", queue=f"write_timeout: {patience}")
    assert (await h.edge.get("/a"))[1] == BODY
    async with asyncio.timeout(10):
        await h.edge.gateway.app.backfilled()
    return h, fake


HANGS = (0, "")


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ([(200, "")], {"stored": 1}),
        # S3 User Guide, "Conditional writes": 412 there is one, 409 a write or delete is under way
        ([(412, "PreconditionFailed")], {"skipped-exists": 1}),
        ([(409, "ConditionalRequestConflict"), (200, "")], {"retried": 1, "stored": 1}),
        ([(503, "SlowDown")] * 2 + [(200, "")], {"retried": 1, "stored": 1}),
        ([(500, "InternalError")] * 4, {"retried": 1, "dead-write-failed": 1}),
        ([HANGS, (200, "")], {"retried": 1, "stored": 1}),
        ([HANGS, HANGS], {"retried": 1, "dead-write-failed": 1}),
        ([(301, "PermanentRedirect")], {"failed-s3-region": 1}),
        ([(403, "SignatureDoesNotMatch")], {"failed-s3-credentials": 1}),
        ([(404, "NoSuchBucket")], {"failed-s3-no-bucket": 1}),
    ],
    ids=str,
)
async def test_what_the_bucket_says_decides(
    house: Build, scripted: Starts, said: list[tuple[int, str]], counts: dict[str, int]
) -> None:
    h, fake = await against(house, scripted, *said)
    assert h.edge.counts() == {"queued": 1, **counts}
    assert fake.said == []
    for exchange, body in fake.put:
        assert (body, exchange.field("if-none-match")) == (BODY, "*")
        # The server can tell that what it got is what we had.
        assert exchange.field("x-amz-content-sha256") == hashlib.sha256(BODY).hexdigest()


async def test_a_bucket_that_does_not_answer_costs_the_source_nothing(house: Build, scripted: Starts) -> None:
    async def silent(exchange: Exchange) -> None:
        if exchange.method == "HEAD":
            await asyncio.Event().wait()
        await exchange.answer(404, b"")

    async def fine(exchange: Exchange) -> None:
        await exchange.answer(200, BODY, cache_control="no-cache")

    endpoint = (await scripted(silent)).url
    h = await house(fine, bucket_fields=f"endpoint: '{endpoint}'", queue="write_timeout: 100ms")
    await h.edge.get("/a")
    async with asyncio.timeout(10):
        await h.edge.gateway.app.backfilled()
    assert h.edge.counts() == {"queued": 1, "retried": 1, "dead-write-failed": 1}
    assert h.site.lines == ["GET /a"]


async def test_what_has_more_parts_than_an_object_may_is_given_up_before_the_end(
    house: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 User Guide, "Multipart upload limits": its length is not known before."""
    monkeypatch.setattr(writer, "_MAX_PARTS", 2)

    async def told(exchange: Exchange) -> None:
        if exchange.method == "HEAD":
            await exchange.answer(200)
            return
        await exchange.send(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n")
        mib = b"%x\r\n%b\r\n" % (2**20, bytes(2**20))
        for _ in range(10 if exchange.target == "/fits" else 12):
            await exchange.send(mib)
        await exchange.send(b"0\r\n\r\n")

    h = await house(told)
    await h.edge.get("/a", "HEAD")
    await h.edge.get("/fits", "HEAD")
    assert await h.stored() == {"fits": 10 * 2**20}
    assert h.edge.counts() == {"queued": 2, "skipped-too-large": 1, "stored": 1}
    uploads = await h.s3.list_multipart_uploads(Bucket=h.bucket)
    assert "Uploads" not in uploads


WRITES = """
behaviors: [{path_pattern: "/*", target_origin: media, cache_policy: plain,
  allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]}]
"""


async def test_what_was_deleted_through_the_gateway_stays_deleted(house: Build) -> None:
    async def fine(exchange: Exchange) -> None:
        await exchange.answer(200, BODY)

    h = await house(fine, more=WRITES)
    assert (await h.edge.get("/a"))[0].headers["X-Edge-Backfill"] == "queued"
    assert await h.stored() == {"a": 4}
    assert (await h.edge.get("/a", "DELETE"))[0].status == 204
    answer, body = await h.edge.get("/a")
    assert (body, answer.headers["X-Edge-Backfill"]) == (BODY, "tombstone")
    assert await h.stored() == {}


async def test_what_is_deleted_while_it_is_copied_is_not_stored(house: Build) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        if exchange.method == "GET":
            begun.set()
            await gate.wait()
        await exchange.answer(200, BODY)

    h = await house(slow, more=WRITES)
    await h.edge.get("/a", "HEAD")
    await begun.wait()
    await h.edge.get("/a", "DELETE")
    gate.set()
    assert await h.stored() == {}
    assert h.edge.counts() == {"queued": 1, "skipped-tombstone": 1}


async def test_what_was_deleted_is_not_made_again_either(house: Build) -> None:
    async def fine(exchange: Exchange) -> None:
        await exchange.answer(200, BODY)

    h = await house(fine, more=WRITES, rules="[{mode: generate}]")
    assert (await h.edge.get("/a"))[0].headers["X-Edge-Backfill"] == "stored"
    assert (await h.edge.get("/a", "DELETE"))[0].status == 204
    answer, body = await h.edge.get("/a")
    assert (answer.status, body, answer.headers["X-Edge-Backfill"]) == (200, BODY, "tombstone")
    assert await h.stored() == {}
