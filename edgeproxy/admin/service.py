"""Plain HTTP for operators and their programs, apart from the viewers' port.

`/healthz` and `/readyz` answer anybody; the rest wants the token where there is one.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from edgeproxy.admin import events, invalidations
from edgeproxy.admin.access import is_local
from edgeproxy.admin.asking import asked_node, asked_objects, asked_paths, asked_request, wanted_jobs
from edgeproxy.admin.operated import NotDoneError, Operated
from edgeproxy.backfill.queue import QueueError
from edgeproxy.origins.pools import Order
from edgeproxy.store.folder import DiskError

_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]
_OPEN = frozenset({"/healthz", "/readyz"})


@dataclass(frozen=True, slots=True)
class Doorkeeping:
    """Who may ask, and what we are called."""

    token: str | None = field(default=None, repr=False)
    events_token: str | None = field(default=None, repr=False)
    """What S3 servers have; None: as everybody else."""
    distribution_id: str = "local"


def service(
    app: Operated,
    inbox: events.Inbox,
    door: Doorkeeping,
    why_not_ready: Callable[[], str | None],
    now: Callable[[], float],
) -> web.Application:
    """The admin application; `why_not_ready` gives None when viewers are served, `now` POSIX seconds."""
    desk = _Desk(app, inbox)

    async def ready(_: web.Request) -> web.Response:
        reason = why_not_ready()
        status = "ready" if reason is None else reason
        return web.json_response({"status": status}, status=200 if reason is None else 503)

    admin = web.Application(middlewares=[_guard(door)], client_max_size=64 * 1024)
    admin.router.add_get("/readyz", ready)
    for path, answer in {
        "/healthz": desk.health,
        "/stats": desk.stats,
        "/explain": desk.explain,
        "/backfill": desk.jobs,
        "/pools": desk.pools,
    }.items():
        admin.router.add_get(path, _told(answer))
    for path, change in {
        "/purge": desk.purge,
        "/backfill/retry": desk.retry_jobs,
        "/backfill/cancel": desk.cancel_jobs,
        "/backfill/{what:pause|resume}": desk.pause_jobs,
        "/backfill/refresh": desk.refresh_objects,
        "/backfill/tombstones": desk.bury_objects,
        f"/pools/{{what:{'|'.join(Order)}}}": desk.order_node,
    }.items():
        admin.router.add_post(path, _done(change))
    admin.router.add_post(events.PATH, events.webhook(inbox, door.events_token))
    invalidations.Invalidations(app, door.distribution_id, door.token, now).add_to(admin.router)
    return admin


def _told(answer: Callable[[web.Request], Awaitable[dict[str, Any]]]) -> _Handler:
    """Answers with what `answer` gives, or why it cannot be had."""

    async def handler(request: web.Request) -> web.Response:
        try:
            return web.json_response(await answer(request))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        except QueueError as error:
            return web.json_response({"error": str(error)}, status=500)

    return handler


def _done(change: Callable[[web.Request, Any], Awaitable[dict[str, Any]]]) -> _Handler:
    """Does what `change` does about a body of JSON, and tells of it, or why it could not be done."""

    async def handler(request: web.Request) -> web.Response:
        # A page on the web can send a form to this port, but not JSON.
        if request.content_type != "application/json":
            return web.json_response({"error": "body: want application/json"}, status=415)
        try:
            return web.json_response(await change(request, await request.json()))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        except QueueError as error:
            return web.json_response({"error": f"not done: {error}"}, status=500)

    return handler


class _Desk:
    """One method for each thing that can be asked for. They raise `ValueError` for what cannot be read."""

    def __init__(self, app: Operated, inbox: events.Inbox) -> None:
        self._app = app
        self._inbox = inbox

    async def health(self, _: web.Request) -> dict[str, Any]:
        return {"status": "ok"}

    async def stats(self, _: web.Request) -> dict[str, Any]:
        return {**await self._app.stats(), "events": self._inbox.counts}

    async def explain(self, request: web.Request) -> dict[str, Any]:
        query = request.query
        asked = asked_request(
            query.get("url", ""), query.get("method", "GET"), query.getall("header", []), query.get("data")
        )
        return {"steps": (await self._app.explain(asked)).steps}

    async def jobs(self, request: web.Request) -> dict[str, Any]:
        is_paused, found = await self._app.jobs(wanted_jobs(request.query))
        return {"paused": is_paused, "jobs": found}

    async def pools(self, _: web.Request) -> dict[str, Any]:
        return {"pools": await self._app.pools()}

    async def purge(self, _: web.Request, body: Any) -> dict[str, Any]:
        try:
            return {"purged": await self._app.invalidate(asked_paths(body))}
        except DiskError as error:
            raise NotDoneError(f"not purged: {error}") from error

    async def retry_jobs(self, request: web.Request, _: Any) -> dict[str, Any]:
        return {"queued": await self._app.retry_jobs(wanted_jobs(request.query))}

    async def cancel_jobs(self, request: web.Request, _: Any) -> dict[str, Any]:
        return {"cancelled": await self._app.cancel_jobs(wanted_jobs(request.query))}

    async def pause_jobs(self, request: web.Request, _: Any) -> dict[str, Any]:
        is_pause = request.match_info["what"] == "pause"
        await self._app.pause_jobs(is_pause)
        return {"paused": is_pause}

    async def refresh_objects(self, _: web.Request, body: Any) -> dict[str, Any]:
        return {"refresh": await self._app.refresh_objects(asked_objects(body, is_burial=False))}

    async def bury_objects(self, _: web.Request, body: Any) -> dict[str, Any]:
        return {"tombstones": await self._app.bury_objects(asked_objects(body, is_burial=True))}

    async def order_node(self, request: web.Request, _: Any) -> dict[str, Any]:
        pool, node = asked_node(request.query, [pool["name"] for pool in await self._app.pools()])
        order = Order(request.match_info["what"])
        return {"node": await self._app.order_node(order, pool, node)}


def _guard(door: Doorkeeping) -> "web.middleware":  # type: ignore[valid-type]
    wanted = f"Bearer {door.token}".encode() if door.token is not None else None

    def is_elsewhere(path: str) -> bool:
        """Whether it is open, or who answers there looks for itself."""
        if path == events.PATH:
            return door.events_token is not None
        return path in _OPEN or path.startswith(invalidations.ROOT)

    @web.middleware
    async def guard(request: web.Request, handler: Callable[[web.Request], object]) -> web.StreamResponse:
        if not is_elsewhere(request.path):
            if wanted is not None:
                given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
                if not hmac.compare_digest(given, wanted):
                    return web.json_response(
                        {"error": "the admin token is missing or wrong"},
                        status=401,
                        headers={"WWW-Authenticate": "Bearer"},
                    )
            elif not is_local(request):
                return web.json_response({"error": "Host is not this machine"}, status=403)
        try:
            return await handler(request)  # type: ignore[misc,no-any-return]
        except NotDoneError as error:
            return web.json_response({"error": str(error)}, status=503)
        except web.RequestPayloadError:
            return web.json_response({"error": "body: is not in its Content-Encoding"}, status=400)

    return guard
