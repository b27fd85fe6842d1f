"""Any HTTP server as an origin: the full origin, an API."""

from urllib.parse import urlsplit

from edgeproxy.core.errors import OriginError
from edgeproxy.core.failover import Attempt
from edgeproxy.core.message import Headers, Request
from edgeproxy.origins.base import Reply
from edgeproxy.origins.wire import Wire

USER_AGENT = "edgeproxy"


class WebOrigin:
    """Requests go out as they are, with `path` in front and `custom_headers` over the viewer's.

    CloudFront Developer Guide, "Request and response behavior for custom origins".
    """

    def __init__(self, name: str, url: str, wire: Wire, *, path: str = "", custom_headers: Headers) -> None:
        self.name = name
        self._base = f"{url}{path}"
        self._host = urlsplit(url).netloc
        self._wire = wire
        self._custom_headers = custom_headers

    async def fetch(self, request: Request) -> Reply:
        """Ask the server once.  Raises `OriginError`."""
        headers = request.headers
        if "user-agent" not in headers:
            headers = headers.having(("User-Agent", USER_AGENT))
        headers = headers.having(*self._custom_headers, ("Host", request.host or self._host))
        try:
            reply = await self._wire.exchange(
                request.method,
                self._base + request.target,
                headers,
                request.body,
                websocket=request.websocket,
            )
        except OriginError as error:
            error.trail = (Attempt(self.name, error.failover_as, error.reason),)
            raise
        reply.trail = (Attempt(self.name, reply.head.status),)
        return reply

    def __repr__(self) -> str:
        return f"WebOrigin({self.name!r}, {self._base!r})"
