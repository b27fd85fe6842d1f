"""A node of a pool: where it is, the connections to it, and what is known of it."""

import asyncio
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from edgeproxy.core.balancing.breaker import Outcome
from edgeproxy.core.balancing.findings import Finding, known
from edgeproxy.core.balancing.nodes import (
    Duty,
    Node,
    NodeState,
    Ping,
    Rules,
    begun,
    ended,
    finished,
    pinged,
    sent,
)
from edgeproxy.core.balancing.quantiles import Durations, noted
from edgeproxy.core.message import Headers
from edgeproxy.origins.base import Reply
from edgeproxy.origins.connections import Patience
from edgeproxy.origins.wire import Wire

_APART_KEEPALIVE_S = 75.0
"""Longer than most wait between two checks, so that these do not measure how long connecting takes."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A node, and how it is reached."""

    node: Node
    url: str
    """Scheme, host and port."""
    path: str = ""
    """In front of every request path."""
    headers: Headers = field(default=Headers(), repr=False)
    """Over the viewer's; they may hold secrets."""
    patience: Patience = Patience(attempts=1)
    tls_verify: bool = True
    address: str | None = None
    """Where it is, for one of the addresses of a name; None: where the name leads."""
    each_address: bool = False
    """Whether each address of its name is a node."""

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def host(self) -> str:
        """The `Host` that it gets where the viewer's is not forwarded."""
        return urlsplit(self.url).netloc

    @property
    def hostname(self) -> str:
        """The name or address in its URL."""
        return urlsplit(self.url).hostname or ""


class Member:
    """A node at work. Its state changes here alone, and tells the time by the monotonic clock.

    Who asks it says `sent`, and tells the `Call` how it went. Who checks it says `pinged`, who has
    it checked by others `heard`; the operator, through the pool, `put_on`.
    """

    def __init__(self, endpoint: Endpoint, rules: Rules, elapsed: Callable[[], float]) -> None:
        self.endpoint = endpoint
        self.state = NodeState(endpoint.node)
        self.durations = Durations()
        """Until the heads of its answers."""
        self.failures = 0
        self.requests = 0
        self.last_failure = ""
        """In words."""
        self._rules = rules
        self._elapsed = elapsed
        self._uses = 0
        self._unused = asyncio.Event()
        self._unused.set()
        self._wire = self._new_wire(endpoint.patience)
        self._apart = self._new_wire(
            replace(endpoint.patience, max_connections=1, keepalive_s=_APART_KEEPALIVE_S)
        )

    def _new_wire(self, patience: Patience) -> Wire:
        at = self.endpoint
        return Wire(at.name, patience, tls_verify=at.tls_verify, address=at.address)

    @property
    def name(self) -> str:
        """The node's name."""
        return self.endpoint.name

    def close(self) -> None:
        """Close every connection."""
        self._wire.close()
        self._apart.close()

    async def retire(self) -> None:
        """Close every connection once nobody uses one; nobody may begin to from now on."""
        await self._unused.wait()
        self.close()

    def used(self, by: int) -> None:
        """So many more, or fewer, have a connection in use."""
        self._uses += by
        if self._uses:
            self._unused.clear()
        else:
            self._unused.set()

    async def exchange(
        self,
        method: str,
        target: str,
        headers: Headers,
        body: AsyncIterable[bytes] | bytes | None,
        host: str = "",
        *,
        apart: bool = False,
        websocket: bool = False,
        is_idempotent: bool = False,
    ) -> Reply:
        """Send a request for `target` (path and query) and give the reply with its body unread.

        `apart`: not over the connections that are there for requests. `is_idempotent`: see `Wire.exchange`.
        Who counts this as a request of a viewer's says `sent` before.  Raises `OriginError`.
        """
        at = self.endpoint
        fields = headers.having(*at.headers, ("Host", host or at.host))
        url = f"{at.url}{at.path}{target}"
        wire = self._apart if apart else self._wire
        return await wire.exchange(
            method, url, fields, body, websocket=websocket, is_idempotent=is_idempotent
        )

    def sent(self) -> "Call":
        """A request goes to the node now."""
        now = self._elapsed()
        self.state = sent(self.state, now)
        self.requests += 1
        self.used(+1)
        return Call(self, now, self._elapsed, self._rules)

    def pinged(self, ping: Ping) -> None:
        """A check of the node ended; `ping.at` is of the monotonic clock."""
        self.state = pinged(self.state, ping, self._rules)

    def heard(self, finding: Finding | None, ahead_s: float) -> None:
        """What others found of it, where nobody here checks it; see `findings.known`."""
        self.state = known(self.state, finding, ahead_s)

    def put_on(self, duty: Duty) -> None:
        """What the operator lets it do from now on."""
        self.state = replace(self.state, duty=duty)

    def is_reached_as(self, endpoint: Endpoint) -> bool:
        """Whether this is the same server, and it is talked to in the same way."""
        return replace(self.endpoint, node=endpoint.node) == endpoint

    def renewed(self, endpoint: Endpoint, rules: Rules) -> None:
        """It is judged by other rules or has another weight, and is reached as before."""
        self.endpoint = endpoint
        self.state = replace(self.state, node=endpoint.node)
        self._rules = rules

    def __repr__(self) -> str:
        return f"Member({self.name!r}, {self.endpoint.url!r})"


class Call:
    """One request at one node, which has to be told how it ended, and that it is over.

    What is told after that counts no more.
    """

    def __init__(self, member: Member, sent_at: float, elapsed: Callable[[], float], rules: Rules) -> None:
        self._member = member
        self._sent_at = sent_at
        self._elapsed = elapsed
        self._rules = rules
        self._has_begun = False
        self._has_ended = False
        self._is_over = False

    @property
    def took_s(self) -> float:
        """Seconds up to now."""
        return self._elapsed() - self._sent_at

    def answered(self) -> None:
        """The head of a good answer came."""
        member, now = self._member, self._elapsed()
        member.state = begun(member.state, self._sent_at, now, self._rules)
        member.durations = noted(member.durations, now - self._sent_at, now)
        self._has_begun = True

    def ended(self, outcome: Outcome, why: str = "") -> None:
        """It is over; `why` it failed, in words."""
        if self._has_ended:
            return
        self._has_ended = True
        member, now = self._member, self._elapsed()
        over = finished if self._has_begun else ended
        member.state = over(member.state, self._sent_at, outcome, now, self._rules)
        if outcome is Outcome.FAILED:
            member.failures += 1
            member.last_failure = why

    def over(self) -> None:
        """Nothing comes over its connection any more. Where nobody said how it ended, nobody waited for that.

        May be called twice.
        """
        self.ended(Outcome.ABANDONED)
        if not self._is_over:
            self._is_over = True
            self._member.used(-1)
