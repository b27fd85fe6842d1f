"""A function URL as the second origin: fetches the object, stores it, and sends the viewer back for it.

Reproduces the published mirror: `external_endpoint` + path is fetched and stored in `s3_bucket`, and the
viewer gets 302 to `service_endpoint` + path (without that setting: to the path, where he is) with
`Cache-Control: no-store`. Anything else is 404 with a text in JSON. The minimum TTL of the cache behaviour
has to be 0, or CloudFront serves the 302 again.
"""

import json
from dataclasses import replace
from typing import Any

from edgeproxy.backfill.copying import OF_THE_BUCKET
from edgeproxy.backfill.job import Failed, Outcome, Skipped, Stored
from edgeproxy.core.errors import RequestError
from edgeproxy.core.message import Headers
from edgeproxy.core.paths import normalise, same_address
from edgeproxy.core.reason import Reason
from edgeproxy.lambdas import settings
from edgeproxy.lambdas.bucket import filled, key_of
from edgeproxy.lambdas.http_event import Shape, answer, asked
from edgeproxy.lambdas.process import Context, handler_of, log, working_s
from edgeproxy.lambdas.reading import EventError

_ALLOWED = frozenset({"GET", "HEAD"})
_MARGIN_S = 1.0
_NO_STORE = ("Cache-Control", "no-store")
_JSON = ("Content-Type", "application/json")


async def main(event: Any, context: Context) -> Any:
    """302 to where the object is now; 404, 405, 400, and 502 where it may work another time."""
    got = asked(event)
    if got.shape is Shape.MAPPED:
        raise EventError("event: got that of a mapping template, which has no room for a 302; want a proxy's")
    try:
        # Also "//host" is a path: the address is put together, never resolved against another.
        path = normalise(got.request.path)
    except RequestError as error:
        return answer(got, error.status, Headers([_JSON, _NO_STORE]), json.dumps(error.message).encode())
    if got.request.method not in _ALLOWED:
        return answer(got, 405, Headers([("Allow", "GET, HEAD"), _JSON, _NO_STORE]), b'"want GET or HEAD"')
    key = key_of(path)
    if isinstance(key, Reason):
        outcome: Outcome = Skipped(key)
    else:
        origin = settings.url("external_endpoint", "endpoint")
        asked_for = replace(got.request, path=path)
        outcome = await filled(asked_for, key, origin, timeout_s=working_s(context, _MARGIN_S))
    if isinstance(outcome, Stored) or outcome == Skipped(Reason.EXISTS):
        service = settings.url("service_endpoint", default="")
        here = same_address(path, got.request.query)
        # Behind a host "//" begins no other.
        place = service + here.removeprefix("/.") if service and path.startswith("//") else service + here
        log(f"stored: {path}")
        return answer(got, 302, Headers([("Location", place), _NO_STORE]))
    log(
        f"not stored: {path}: {outcome.reason}{f': {outcome.message}' if isinstance(outcome, Failed) else ''}"
    )
    is_gone = isinstance(outcome, Skipped) or (outcome.is_final and outcome.reason not in OF_THE_BUCKET)
    return answer(got, 404 if is_gone else 502, Headers([_JSON, _NO_STORE]), f'"{outcome.reason}"'.encode())


handler = handler_of(main)
