"""Bodies in a coding: the same bytes, whole or not at all, and never long at a time."""

import zlib
from collections.abc import AsyncIterator

import brotli  # type: ignore[import-untyped]
import pytest

from edgeproxy.core.compression import Coding
from edgeproxy.core.errors import OriginError
from edgeproxy.core.message import Head, Headers
from edgeproxy.gateway.coding import in_coding
from edgeproxy.origins.base import Reply

TEXT = b"".join(b"line %d of a text that repeats itself\n" % n for n in range(30_000))


async def chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def reply(body: bytes, *, length: int | None = None, chunk: int = 100_000) -> Reply:
    fields = Headers([("Content-Length", str(len(body) if length is None else length))])
    return Reply(Head(200, fields), chunks(body, chunk))


def plain(body: bytes, coding: Coding) -> bytes:
    return zlib.decompress(body, wbits=31) if coding is Coding.GZIP else bytes(brotli.decompress(body))


@pytest.mark.parametrize("coding", Coding)
@pytest.mark.parametrize("chunk", [1_000, 100_000, 10_000_000])
async def test_the_body_comes_out_the_same(coding: Coding, chunk: int) -> None:
    made = in_coding(reply(TEXT, chunk=chunk), coding)
    body = b"".join([piece async for piece in made.body])
    assert plain(body, coding) == TEXT
    assert len(body) < len(TEXT) / 4
    assert made.head.headers.pairs == (("Vary", "Accept-Encoding"), ("Content-Encoding", coding))


@pytest.mark.parametrize("coding", Coding)
@pytest.mark.parametrize("length", [len(TEXT) - 1, len(TEXT) + 1])
async def test_a_body_of_another_length_never_ends_well(coding: Coding, length: int) -> None:
    made = in_coding(reply(TEXT, length=length), coding)
    with pytest.raises(OriginError, match="not as long as"):
        [piece async for piece in made.body]
