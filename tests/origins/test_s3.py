"""A bucket as an origin: what of its answers reaches viewers."""

from typing import Any, cast

import pytest

from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.origins.base import Reply, no_body
from edgeproxy.origins.credentials import FixedKeys
from edgeproxy.origins.s3 import Bucket, S3Origin, Signed
from edgeproxy.origins.wire import Wire

NOTE = ("x-amz-meta-edgeproxy-source-url", "http://site/a")


class OneAnswer:
    async def exchange(self, *_: Any) -> Reply:
        return Reply(Head(200, Headers([("ETag", '"1"'), NOTE, ("x-amz-meta-a", "b")])), no_body())


@pytest.mark.parametrize("shows_notes", [False, True])
async def test_notes_of_the_backfill_are_not_for_viewers(shows_notes: bool) -> None:
    bucket = Bucket.at("assets", region="us-east-1", endpoint=None, style="auto")
    wire = cast(Wire, OneAnswer())
    origin = S3Origin(
        "bucket",
        Signed(bucket, wire, FixedKeys(None), lambda: 0.0),
        custom_headers=Headers(),
        shows_notes=shows_notes,
    )
    reply = await origin.fetch(Request("GET", "/a"))
    shown = [("ETag", '"1"'), *([NOTE] if shows_notes else []), ("x-amz-meta-a", "b")]
    assert list(reply.head.headers) == shown
    assert list(reply.notes) == [NOTE]
