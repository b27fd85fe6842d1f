"""Plain HTTP for operators and their programs, apart from the viewers' port.

`/healthz` and `/readyz` answer anybody; the rest wants the token where there is one. Without a
token the port is on loopback, and a Host that is not this machine's is refused: otherwise a web page
could reach it through the browser of whoever runs edgeproxy (DNS rebinding).
"""

import hmac
import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Protocol

from aiohttp import web
from multidict import MultiMapping
from yarl import URL

from edgeproxy.backfill.filler import Asked
from edgeproxy.backfill.job import State, Wanted
from edgeproxy.backfill.queue import QueueError
from edgeproxy.config.units import Duration
from edgeproxy.core.errors import RequestError
from edgeproxy.core.message import Headers, Request
from edgeproxy.core.paths import normalise
from edgeproxy.explain import Explanation
from edgeproxy.store.folder import DiskError

_OPEN = frozenset({"/healthz", "/readyz"})


class NotDoneError(Exception):
    """What was asked for could not be done; the message says why."""


class Operated(Protocol):
    """What can be asked of a running gateway."""

    async def stats(self) -> dict[str, object]:
        """Counters and sizes."""
        ...

    async def explain(self, request: Request) -> Explanation:
        """What would happen to a request."""
        ...

    async def invalidate(self, paths: list[str]) -> int:
        """Purge; gives how many keys were stored.

        Raises `ValueError` for a path that is none, `DiskError` and `NotDoneError`.
        """
        ...

    async def jobs(self, wanted: Wanted) -> tuple[bool, list[dict[str, object]]]:
        """Whether the backfill is paused, and these jobs of it as plain values, the newest first.

        Raises `QueueError` and `NotDoneError`, as the next three do.
        """
        ...

    async def retry_jobs(self, wanted: Wanted) -> int:
        """Queue these jobs again; gives how many."""
        ...

    async def cancel_jobs(self, wanted: Wanted) -> int:
        """Let these jobs be done no more; gives how many."""
        ...

    async def refresh_objects(self, asked: Asked) -> dict[str, int]:
        """Look at the sources of these objects; gives how many jobs are "queued", or not for which reason.

        Raises `ValueError` for a group that is none, and as `bury_objects` what the others raise.
        """
        ...

    async def bury_objects(self, asked: Asked) -> int:
        """Do not fill these objects for a while; gives how many tombstones there are."""
        ...

    async def pause_jobs(self, is_paused: bool) -> None:
        """Begin no more jobs, or go on."""
        ...


def service(app: Operated, token: str | None, why_not_ready: Callable[[], str | None]) -> web.Application:
    """The admin application; `why_not_ready` gives None when viewers are served."""

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.Response:
        reason = why_not_ready()
        status = "ready" if reason is None else reason
        return web.json_response({"status": status}, status=200 if reason is None else 503)

    async def stats(_: web.Request) -> web.Response:
        return web.json_response(await app.stats())

    async def explain(request: web.Request) -> web.Response:
        try:
            asked = asked_request(
                request.query.get("url", ""),
                request.query.get("method", "GET"),
                request.query.getall("header", []),
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

    admin = web.Application(middlewares=[_guard(token)], client_max_size=64 * 1024)
    admin.router.add_get("/healthz", health)
    admin.router.add_get("/readyz", ready)
    admin.router.add_get("/stats", stats)
    admin.router.add_get("/explain", explain)
    admin.router.add_post("/purge", purge)
    admin.router.add_get("/backfill", jobs)
    admin.router.add_post("/backfill/{what:retry|cancel|pause|resume}", change_jobs)
    admin.router.add_post("/backfill/{what:refresh|tombstones}", change_objects)
    return admin


def asked_request(url: str, method: str, headers: list[str]) -> Request:
    """The request of `explain`: a URL, or a path alone, and fields as "Name: value".

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
    return Request(method.upper(), path, query, Headers(pairs), host=host)


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


def _guard(token: str | None) -> "web.middleware":  # type: ignore[valid-type]
    wanted = f"Bearer {token}".encode() if token is not None else None

    @web.middleware
    async def guard(request: web.Request, handler: Callable[[web.Request], object]) -> web.StreamResponse:
        if request.path not in _OPEN:
            if wanted is not None:
                given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
                if not hmac.compare_digest(given, wanted):
                    return web.json_response(
                        {"error": "the admin token is missing or wrong"},
                        status=401,
                        headers={"WWW-Authenticate": "Bearer"},
                    )
            elif not _is_local(request.host):
                return web.json_response({"error": "Host is not this machine"}, status=403)
        try:
            return await handler(request)  # type: ignore[misc,no-any-return]
        except NotDoneError as error:
            return web.json_response({"error": str(error)}, status=503)

    return guard


def _is_local(host: str) -> bool:
    try:
        name = URL.build(scheme="http", authority=host).host or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
