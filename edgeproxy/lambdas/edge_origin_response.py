"""At CloudFront, after the bucket has answered: what it has not is made, stored, and answered with 200.

Reproduces the published generator: on 403 or 404 of the bucket a business API makes the object. CloudFront
takes 1 MB from a function: what is larger is stored, and the viewer sent back for it (`too_large:
redirect`, for behaviours with a minimum TTL of 0), or gets the bucket's answer (`too_large: original`).
Whatever goes wrong, the viewer gets what the bucket said.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from edgeproxy.backfill.copying import OF_THE_BUCKET
from edgeproxy.backfill.job import Failed, Skipped, Stored
from edgeproxy.core.message import Headers
from edgeproxy.core.paths import same_address
from edgeproxy.core.reason import Reason
from edgeproxy.lambdas import settings
from edgeproxy.lambdas.bucket import filled, key_of
from edgeproxy.lambdas.edge_event import (
    MAX_ANSWER_BYTES,
    EdgeAnswerTooLargeError,
    EdgeEvent,
    Stage,
    edge_event,
    generated,
)
from edgeproxy.lambdas.process import Context, handler_of, log, working_s
from edgeproxy.lambdas.reading import Event, EventError
from edgeproxy.origins.base import Reply

_MISSING = frozenset({403, 404})
_MAKING = frozenset({"GET", "HEAD"})
_MARGIN_S = 1.0
_AFTER_THE_SOURCE = OF_THE_BUCKET | {Reason.ORIGIN_TIMEOUT}
"""Why what is whole may not be in the bucket: it has been verified by then."""


async def main(event: Any, context: Context) -> Any:
    """The bucket's answer, untouched, or one with the object."""
    got = edge_event(event)
    if got.stage is not Stage.ORIGIN_RESPONSE or got.response is None:
        raise EventError(f"Records[0].cf.config.eventType: got {got.stage}, want origin-response")
    if got.response.status not in _MISSING or got.request.method not in _MAKING:
        return got.raw_response
    try:
        return await _made(got, context)
    except Exception as error:
        log(f"not made: {got.request.path}: {type(error).__name__}: {error}")
        return got.raw_response


async def _made(got: EdgeEvent, context: Context) -> Event | None:
    key = key_of(got.request.path)
    if isinstance(key, Reason):
        log(f"not made: {got.request.path}: {key}")
        return got.raw_response
    seen = _Seen(MAX_ANSWER_BYTES[got.stage])
    api = settings.url("generator_url", "external_endpoint")
    left_s = working_s(context, _MARGIN_S)
    outcome = await filled(got.request, key, api, timeout_s=left_s, watch=seen.watch)
    match outcome:
        case Stored() if seen.is_whole:
            log(f"made: {got.request.path}: {outcome.size} bytes")
        case Skipped(reason=Reason.EXISTS) if seen.is_whole:
            log(f"made: {got.request.path}: elsewhere too, and stored from there")
        case Stored() | Skipped(reason=Reason.EXISTS):
            # Somebody else has just made it, or it is far too large to be held.
            return _elsewhere(got)
        case Failed() if seen.is_whole and outcome.reason in _AFTER_THE_SOURCE:
            # It is whole and verified: the viewer shall not pay for the bucket.
            log(f"made, not stored: {got.request.path}: {outcome.message}")
        case _:
            more = f": {outcome.message}" if isinstance(outcome, Failed) else ""
            log(f"not made: {got.request.path}: {outcome.reason}{more}")
            return got.raw_response
    body = b"" if got.request.method == "HEAD" else bytes(seen.body)
    try:
        return generated(got, 200, seen.headers, body)
    except EdgeAnswerTooLargeError as error:
        log(f"{got.request.path}: {error}")
        return got.raw_response if isinstance(outcome, Failed) else _elsewhere(got)


def _elsewhere(got: EdgeEvent) -> Event | None:
    """The object is in the bucket now: the viewer may come for it."""
    if settings.choice("too_large", "original", "redirect") == "original":
        return got.raw_response
    place = same_address(got.request.path, got.request.query)
    return generated(got, 302, Headers([("Location", place), ("Cache-Control", "no-store")]), b"")


class _Seen:
    """What goes by on its way into the bucket, as long as there is little of it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.body = bytearray()
        self.headers = Headers()
        self.is_whole = False

    def watch(self, reply: Reply) -> Reply:
        self.headers = reply.head.headers.end_to_end()
        return replace(reply, body=self._passing(reply.body))

    async def _passing(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        fits = True
        async for chunk in body:
            fits = fits and len(self.body) + len(chunk) <= self._max_bytes
            if fits:
                self.body += chunk
            yield chunk
        self.is_whole = fits


handler = handler_of(main)
