"""The bucket that a function fills, and the source that it fills it from."""

import asyncio
import random
from collections.abc import Callable
from typing import TypeAlias

from edgeproxy import __version__
from edgeproxy.backfill.copying import copied
from edgeproxy.backfill.job import Failed, Outcome, Skipped
from edgeproxy.backfill.message import MAX_OBJECT_BYTES
from edgeproxy.backfill.uploads import Uploads
from edgeproxy.backfill.writer import BucketWriter, Manner
from edgeproxy.clock import SystemClock
from edgeproxy.core.backfilling import is_key
from edgeproxy.core.errors import EdgeError, RequestError, WriteError, timed_out
from edgeproxy.core.key import Pick, Selection
from edgeproxy.core.message import Request
from edgeproxy.core.paths import normalise, object_key
from edgeproxy.core.provenance import notes
from edgeproxy.core.reason import Reason
from edgeproxy.core.sourcing import Supplier, Template, request_of
from edgeproxy.lambdas import settings
from edgeproxy.lambdas.process import opened
from edgeproxy.lambdas.web import fetched
from edgeproxy.origins.base import Reply

_PART_BYTES = 8 * 2**20
_WRITE_S = 30.0

Watch: TypeAlias = Callable[[Reply], Reply]

_writers: dict[tuple[str, str | None], BucketWriter] = {}


async def writer() -> BucketWriter:
    """The writer of the bucket that `s3_bucket` names; made once."""
    name = settings.text("s3_bucket", "S3_BUCKET", wanted="the name of a bucket")
    endpoint = settings.text("endpoint_url_s3", default="") or None
    if (name, endpoint) not in _writers:
        made = BucketWriter(
            name,
            region=settings.text("s3_region", "AWS_REGION", default="us-east-1"),
            endpoint=endpoint,
            addressing_style="path" if endpoint else "virtual",
            keys=None,
            is_anonymous=False,
            part_bytes=_PART_BYTES,
            parts_at_once=2,
            timeout_s=_WRITE_S,
            connections=10,
            # What a function that is cut off leaves of an upload is for the bucket's lifecycle rule.
            uploads=Uploads(None),
            now=SystemClock().now,
            random=random.random,
        )
        await made.open()
        opened.push_async_callback(made.close)
        _writers[name, endpoint] = made
    return _writers[name, endpoint]


def key_of(path: str) -> bytes | Reason:
    """The key of the object that `path` names, below the setting `s3_prefix`; or why there can be none."""
    try:
        key = object_key(path, settings.folder("s3_prefix"))
    except UnicodeEncodeError:
        return Reason.BAD_KEY
    return key if is_key(key) else Reason.BAD_KEY


def source() -> Supplier:
    """How the full origin, or whatever makes objects, is asked; see `backfill.sources` of the gateway."""
    try:
        path = Template(settings.text("source_path", default="{path}"))
    except ValueError as error:
        raise settings.SettingError(
            f"source_path: got {settings.text('source_path')!r}, want {error}"
        ) from None
    return Supplier(
        "source",
        "",
        path,
        strip_prefix=settings.text("strip_prefix", default=""),
        query=_selection("pass_query"),
        passed=_selection("pass_headers", lower=True),
    )


def _selection(name: str, *, lower: bool = False) -> Selection:
    """`none`, `all`, or names with commas between."""
    said = settings.text(name, default="none")
    if said in ("none", "all"):
        return Selection(Pick.ALL if said == "all" else Pick.NONE)
    names = (part.strip() for part in said.split(","))
    return Selection(Pick.ONLY, frozenset(part.lower() if lower else part for part in names if part))


async def filled(
    asked: Request,
    key: bytes,
    endpoint: str,
    *,
    timeout_s: float,
    max_bytes: int = MAX_OBJECT_BYTES,
    watch: Watch = lambda reply: reply,
) -> Outcome:
    """Copy what `source` has at `endpoint` for a viewer's request, unless there is something under `key`.

    It takes `timeout_s` at most, whoever is slow. Raises nothing of ours but `SettingError`.
    """
    if not is_key(key):
        return Skipped(Reason.BAD_KEY)
    try:
        # An escaped slash or a dot segment may be another object's path at the source, or lead out of the
        # endpoint's own path.
        path = normalise(asked.path)
    except RequestError as error:
        return Skipped(error.reason)
    sent = request_of(source(), path, key, asked.query, asked.headers.pairs)
    if isinstance(sent, Reason):
        return Skipped(sent)
    url = endpoint + sent.target
    most = min(max_bytes, int(settings.number("max_object_bytes", MAX_OBJECT_BYTES)))
    try:
        async with asyncio.timeout(timeout_s):
            bucket = await writer()
            if await bucket.look(key) is not None:
                return Skipped(Reason.EXISTS)
            async with fetched("GET", url, sent.headers, timeout_s=timeout_s) as reply:
                noted = notes(reply.head, url, f"edgeproxy/{__version__}")
                return await copied(watch(reply), key, bucket, Manner(most, noted))
    except TimeoutError:
        late = timed_out("source and bucket", "the copy", round(timeout_s, 1))
        return Failed(late.reason, late.message)
    except RequestError as error:
        return Skipped(error.reason)
    except WriteError as error:
        return Failed(error.reason, error.message, error.is_final)
    except EdgeError as error:
        return Failed(error.reason, error.message)
