"""The lab's full origin: files from a folder, and a small API; a little slow, as full origins are."""

import asyncio
import hashlib
import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

_FOLDER: web.AppKey[Path] = web.AppKey("folder", Path)
_MAX_AGE_S = 300


def site(folder: Path, latency_s: float = 0.0) -> web.Application:
    """The application that serves `folder`; every answer waits `latency_s` before it begins."""

    async def slow(_: web.Request, response: web.StreamResponse) -> None:
        if latency_s:
            await asyncio.sleep(latency_s)
        response.headers["Server"] = "lab-site"

    app = web.Application(client_max_size=64 * 2**20)
    app[_FOLDER] = folder.resolve()
    app.on_response_prepare.append(slow)
    app.router.add_get("/api/time", _time)
    app.router.add_post("/api/echo", _echo)
    app.router.add_get("/{path:.*}", _file)
    return app


async def _file(request: web.Request) -> web.StreamResponse:
    """A file with a strong ETag; ranges and conditions are aiohttp's work."""
    folder = request.app[_FOLDER]
    wanted = request.match_info["path"] or "index.html"
    place = _place(folder, wanted)
    if place is None:
        return web.Response(status=404, text="the site has no such file\n")
    media_type, _ = mimetypes.guess_type(place.name)
    headers = {
        "Content-Type": media_type or "application/octet-stream",
        "Cache-Control": f"public, max-age={_MAX_AGE_S}",
    }
    return web.FileResponse(place, headers=headers, chunk_size=256 * 1024)


def _place(folder: Path, wanted: str) -> Path | None:
    """The file in `folder`, and not above it."""
    try:
        place = (folder / wanted).resolve()
        return place if place.is_relative_to(folder) and place.is_file() else None
    except (OSError, ValueError):
        return None


async def _time(_: web.Request) -> web.Response:
    return web.json_response({"time": datetime.now(UTC).isoformat()}, headers={"Cache-Control": "no-store"})


async def _echo(request: web.Request) -> web.Response:
    body = await request.read()
    digest = hashlib.sha256(body).hexdigest()
    headers = {"Cache-Control": "no-store", "X-Body-Sha256": digest}
    return web.Response(body=body, content_type=request.content_type, headers=headers)


@asynccontextmanager
async def running_site(
    folder: Path, *, host: str = "127.0.0.1", port: int = 0, latency_s: float = 0.0
) -> AsyncIterator[str]:
    """Serve `folder` until the context ends; gives the base URL.  Raises `OSError` if it cannot listen."""
    runner = web.AppRunner(site(folder, latency_s), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
