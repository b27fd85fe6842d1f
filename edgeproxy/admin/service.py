"""Plain HTTP for operators and their programs, apart from the viewers' port.

`/healthz` and `/readyz` answer anybody; the rest wants the token where there is one.
"""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from multidict import MultiMapping

from edgeproxy.admin import events, invalidations
from edgeproxy.admin.access import is_local
from edgeproxy.admin.operated import NotDoneError, Operated
from edgeproxy.backfill.filler import Asked
from edgeproxy.backfill.job import State, Wanted
from edgeproxy.backfill.queue import QueueError
from edgeproxy.config.units import Duration
from edgeproxy.core.errors import RequestError
from edgeproxy.core.message import Headers, Request
from edgeproxy.core.paths import normalise
from edgeproxy.origins.base import whole_body
from edgeproxy.origins.pools import Order
from edgeproxy.store.folder import DiskError

_OPEN = frozenset({"/healthz", "/readyz"})


@dataclass(frozen=True, slots=True)
class Doorkeeping:
    """Who may ask, and what we are called."""

    token: str | None = None
    events_token: str | None = None
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

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.Response:
        reason = why_not_ready()
        status = "ready" if reason is None else reason
        return web.json_response({"status": status}, status=200 if reason is None else 503)

    async def stats(_: web.Request) -> web.Response:
        return web.json_response({**await app.stats(), "events": inbox.counts})

    async def explain(request: web.Request) -> web.Response:
        try:
            asked = asked_request(
                request.query.get("url", ""),
                request.query.get("method", "GET"),
                request.query.getall("header", []),
                request.query.get("data"),
            )
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"steps": (await app.explain(asked)).steps})

    async def purge(request: web.Request) -> web.Response:
        # A page on the web can send a form to this port, but not JSON.
        if request.content_type != "application/json":
            return web.json_response({"error": "body: want application/json"}, status=415)
        try:
            paths = _paths(await request.json())
            return web.json_response({"purged": await app.invalidate(paths)})
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        except DiskError as error:
            raise NotDoneError(f"not purged: {error}") from error

    async def jobs(request: web.Request) -> web.Response:
        try:
            is_paused, found = await app.jobs(wanted_jobs(request.query))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        except (QueueError, NotDoneError) as error:
            return web.json_response({"error": str(error)}, status=500)
        return web.json_response({"paused": is_paused, "jobs": found})

    async def change_jobs(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.json_response({"error": "body: want application/json"}, status=415)
        try:
            await request.json()
            match request.match_info["what"]:
                case "retry":
                    return web.json_response({"queued": await app.retry_jobs(wanted_jobs(request.query))})
                case "cancel":
                    return web.json_response({"cancelled": await app.cancel_jobs(wanted_jobs(request.query))})
                case what:
                    await app.pause_jobs(what == "pause")
                    return web.json_response({"paused": what == "pause"})
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        except (QueueError, NotDoneError) as error:
            return web.json_response({"error": f"not done: {error}"}, status=500)

    async def pools(_: web.Request) -> web.Response:
        return web.json_response({"pools": await app.pools()})

    async def order_node(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.json_response({"error": "body: want application/json"}, status=415)
        try:
            await request.json()
            pool, node = asked_node(request.query, [pool["name"] for pool in await app.pools()])
            order = Order(request.match_info["what"])
            return web.json_response({"node": await app.order_node(order, pool, node)})
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)

    async def change_objects(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.json_response({"error": "body: want application/json"}, status=415)
        try:
            is_burial = request.match_info["what"] == "tombstones"
            objects = asked_objects(await request.json(), is_burial=is_burial)
            if is_burial:
                return web.json_response({"tombstones": await app.bury_objects(objects)})
            return web.json_response({"refresh": await app.refresh_objects(objects)})
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        except (QueueError, NotDoneError) as error:
            return web.json_response({"error": f"not done: {error}"}, status=500)

    admin = web.Application(middlewares=[_guard(door)], client_max_size=64 * 1024)
    admin.router.add_get("/healthz", health)
    admin.router.add_get("/readyz", ready)
    admin.router.add_get("/stats", stats)
    admin.router.add_get("/explain", explain)
    admin.router.add_post("/purge", purge)
    admin.router.add_get("/backfill", jobs)
    admin.router.add_post("/backfill/{what:retry|cancel|pause|resume}", change_jobs)
    admin.router.add_post("/backfill/{what:refresh|tombstones}", change_objects)
    admin.router.add_get("/pools", pools)
    admin.router.add_post(f"/pools/{{what:{'|'.join(Order)}}}", order_node)
    admin.router.add_post(events.PATH, events.webhook(inbox, door.events_token))
    invalidations.Invalidations(app, door.distribution_id, door.token, now).add_to(admin.router)
    return admin


def asked_node(query: MultiMapping[str], pools: list[str]) -> tuple[str, str]:
    """The pool and the node of `?pool=api&node=a`; the pool may be left out where there is one alone.

    Raises `ValueError` with one line for the user.
    """
    unknown = set(query) - {"pool", "node"}
    if unknown:
        raise ValueError(f"{min(unknown)}: is no parameter, want node and pool")
    if not query.get("node"):
        raise ValueError("node: is missing, want the name of a node")
    pool = query.get("pool") or (pools[0] if len(pools) == 1 else "")
    if not pool:
        raise ValueError(f"pool: is missing, want one of {', '.join(pools) or 'none: there are no pools'}")
    return pool, query["node"]


def asked_request(url: str, method: str, headers: list[str], data: str | None = None) -> Request:
    """The request of `explain`: a URL, or a path alone, fields as "Name: value", and perhaps a body.

    A body is taken for JSON where no field says what it is.

    Raises `ValueError` with one line for the user.
    """
    if not url:
        raise ValueError('url: is missing, want a URL or a path such as "/images/a.jpg"')
    host, target = "localhost", url
    if not url.startswith("/"):
        scheme, separator, rest = url.partition("://")
        if scheme not in ("http", "https") or not separator or not rest:
            raise ValueError(f'url: got "{url}", want a URL or a path such as "/images/a.jpg"')
        host, slash, path = rest.partition("/")
        target = slash + path or "/"
    pairs = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise ValueError(f'header: got "{header}", want "Name: value"')
        pairs.append((name.strip(), value.strip()))
    path, _, query = target.partition("#")[0].partition("?")
    if data is None:
        return Request(method.upper(), path, query, Headers(pairs), host=host)
    if not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", "application/json"))
    body = whole_body(data.encode())
    return Request(method.upper(), path, query, Headers(pairs), host=host, body=body)


def wanted_jobs(query: MultiMapping[str]) -> Wanted:
    """The jobs that are meant by `?state=dead&state=failed&group=media&prefix=images/&number=7&limit=100`.

    Raises `ValueError` with one line for the user.
    """
    unknown = set(query) - {"state", "group", "prefix", "number", "limit"}
    if unknown:
        raise ValueError(f"{min(unknown)}: is no filter, want state, group, prefix, number or limit")
    words = query.getall("state", [])
    for word in words:
        if word not in list(State):
            raise ValueError(f'state: got "{word}", want one of {", ".join(State)}')
    numbers = {}
    for name in ("number", "limit"):
        if name in query:
            if not re.fullmatch("[0-9]{1,18}", query[name]):
                raise ValueError(f'{name}: got "{query[name]}", want a number')
            numbers[name] = int(query[name])
    return Wanted(
        frozenset(map(State, words)) or frozenset(State),
        query.get("group"),
        query.get("prefix", "").encode("utf-8", "surrogateescape"),
        numbers.get("number"),
        numbers.get("limit", 100),
    )


def _paths(body: object) -> list[str]:
    """The paths of a purge: {"paths": ["/a.jpg", ...]}.  Raises `ValueError`."""
    paths = body.get("paths") if isinstance(body, dict) else None
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
        raise ValueError('body: want {"paths": ["/a.jpg", "/images/*", "#tag"]}')
    return paths


def asked_objects(body: object, *, is_burial: bool) -> Asked:
    """The objects of {"paths": ["/a.jpg"], "group": "media", "for": "1d"}; `for` only where they are buried.

    Raises `ValueError` with one line for the user.
    """
    told = dict(body) if isinstance(body, dict) else {}
    paths, group, lasting = told.pop("paths", None), told.pop("group", None), told.pop("for", "1d")
    if not isinstance(paths, list) or not paths or told or (lasting != "1d" and not is_burial):
        more = ', "for": "1d"' if is_burial else ""
        raise ValueError(f'body: want {{"paths": ["/a.jpg"], "group": "media"{more}}}, group may be left out')
    if group is not None and not isinstance(group, str):
        raise ValueError("group: is no text, want the name of an origin group")
    try:
        for_s = Duration().read(lasting)
    except ValueError as error:
        raise ValueError(f"for: got {lasting!r}, want {error}") from None
    return Asked(tuple(_object_path(path) for path in paths), group, for_s)


def _object_path(path: object) -> str:
    if not isinstance(path, str) or not path.startswith("/") or "?" in path or "*" in path:
        raise ValueError(f"path: got {path!r}, want the path of one object such as /images/a.jpg")
    try:
        return normalise(path, allow_ambiguous=True)
    except RequestError as error:
        raise ValueError(f"path: got {path!r}, but {error.message}") from None


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
