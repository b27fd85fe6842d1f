"""The webhook that S3 servers tell of changes: what has changed is purged before the answer."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from edgeproxy.admin.access import TooLargeError, body_of, is_given, is_of_a_page, is_same
from edgeproxy.admin.operated import NotDoneError, Operated
from edgeproxy.backfill.queue import QueueError
from edgeproxy.core.s3_events import ObjectEvent, object_events
from edgeproxy.gateway.changes import Applied
from edgeproxy.store.folder import DiskError

PATH = "/events/s3"
_MAX_BODY = 2**20


class Inbox:
    """Takes events, wherever they come from; `counts` has what became of them."""

    def __init__(self, app: Operated) -> None:
        self._app = app
        self.counts = Counter[str]()

    async def apply(self, events: Sequence[ObjectEvent]) -> Applied:
        """All that `events` made invalid is purged.  Raises `NotDoneError`."""
        try:
            applied = await self._app.changed(events)
        except (DiskError, QueueError) as error:
            raise NotDoneError(f"not purged: {error}") from error
        self.counts.update(applied.events)
        return applied


def webhook(inbox: Inbox, token: str | None) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Takes notifications of all servers that `core/s3_events` knows. `token` is theirs, if they have one.

    Answers 200 when all is purged, so that a server that tries again does so until it is; 400 for what no
    other try would mend.
    """

    async def answer(request: web.Request) -> web.Response:
        # Ceph has no way to send a token but in the address.
        is_in_address = token is not None and is_same(request.query.get("token", ""), token)
        if token is not None and not is_in_address and not is_given(token, request):
            said = "the token of the events is missing or wrong"
            return web.json_response({"error": said}, status=401, headers={"WWW-Authenticate": "Bearer"})
        if is_of_a_page(request):
            return web.json_response({"error": "pages have no say here"}, status=403)
        try:
            events = object_events(await body_of(request, _MAX_BODY))
        except TooLargeError:
            return web.json_response({"error": f"body: want at most {_MAX_BODY} bytes"}, status=413)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        applied = await inbox.apply(events)
        return web.json_response({"events": applied.events, "purged": applied.keys})

    return answer
