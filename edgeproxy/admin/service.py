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

from edgeproxy.backfill.job import State, Wanted
from edgeproxy.backfill.queue import QueueError
from edgeproxy.core.message import Headers, Request
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

    admin = web.Application(middlewares=[_guard(token)], client_max_size=64 * 1024)
    admin.router.add_get("/healthz", health)
    admin.router.add_get("/readyz", ready)
    admin.router.add_get("/stats", stats)
    admin.router.add_get("/explain", explain)
    admin.router.add_post("/purge", purge)
    admin.router.add_get("/backfill", jobs)
    admin.router.add_post("/backfill/{what:retry|cancel|pause|resume}", change_jobs)
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
