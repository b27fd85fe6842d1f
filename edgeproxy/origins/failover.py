"""Two origins as one: the secondary is asked when the primary fails."""

from edgeproxy.core.errors import OriginError
from edgeproxy.core.failover import fails_over
from edgeproxy.core.message import Request
from edgeproxy.origins.base import Origin, Reply


class FailoverOrigin:
    """CloudFront's origin group: every request starts at the primary, whatever happened before.

    CloudFront Developer Guide, "Optimizing high availability with CloudFront origin failover".
    """

    def __init__(self, name: str, primary: Origin, secondary: Origin, failover_on: frozenset[int]) -> None:
        self.name = name
        self._primary = primary
        self._secondary = secondary
        self._failover_on = failover_on

    async def fetch(self, request: Request) -> Reply:
        """Ask the primary, then perhaps the secondary, whose answer or error then counts."""
        try:
            reply = await self._primary.fetch(request)
        except OriginError as error:
            if not self._moves_on(request, error.trail[-1].status):
                raise
            trail = error.trail
        else:
            if reply.is_last_word or not self._moves_on(request, reply.head.status):
                return reply
            reply.close()
            trail = reply.trail
        try:
            reply = await self._secondary.fetch(request)
        except OriginError as error:
            error.trail = trail + error.trail
            raise
        reply.trail = trail + reply.trail
        return reply

    def _moves_on(self, request: Request, status: int) -> bool:
        # A body that was sent once is gone.
        return request.body is None and fails_over(request.method, status, self._failover_on)

    def __repr__(self) -> str:
        return f"FailoverOrigin({self.name!r}, {self._primary!r}, {self._secondary!r})"
