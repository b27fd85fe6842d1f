"""Several equal servers as one origin.

What is known of a node is with its `Member`. Requests tell it by `sent` and the `Call` they get for that; who
checks nodes looks at `members` each time anew, asks `pinging.ping` and says `Member.pinged`; who finds that
there are other nodes now says `PoolOrigin.replace`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from edgeproxy import __version__
from edgeproxy.core.balancing.breaker import Outcome
from edgeproxy.core.balancing.budget import HEDGES, Budget, Hedging, earned, hedge_after_s, spent
from edgeproxy.core.balancing.budget import opened as opened_budget
from edgeproxy.core.balancing.fitness import Fit, NobodyFit, candidates
from edgeproxy.core.balancing.judging import judged
from edgeproxy.core.balancing.nodes import Duty, Ping, Rules
from edgeproxy.core.balancing.quantiles import Durations, noted
from edgeproxy.core.balancing.ranking import NO_TURNS, Algorithm, Asked, Order, Random, ranked
from edgeproxy.core.balancing.retrying import is_idempotent
from edgeproxy.core.errors import UnavailableError
from edgeproxy.core.failover import Attempt
from edgeproxy.core.jsonrpc import methods_in
from edgeproxy.core.message import Request
from edgeproxy.core.reason import Reason
from edgeproxy.origins.addresses import Addresses, spread, wanted_names
from edgeproxy.origins.annotating import for_the_whole, with_members
from edgeproxy.origins.base import Reply
from edgeproxy.origins.conduct import Conduct
from edgeproxy.origins.errand import Errand
from edgeproxy.origins.held import Held, Room, held
from edgeproxy.origins.member import Endpoint, Member
from edgeproxy.origins.pinging import ping

USER_AGENT = "edgeproxy"


class PoolOrigin:
    """An origin of several nodes: asks the fittest, another one where that is safe, two where it helps.

    RFC 9110 §9.2.2 for what is safe to repeat.
    """

    def __init__(
        self,
        name: str,
        conduct: Conduct,
        elapsed: Callable[[], float],
        random: Random,
    ) -> None:
        """`elapsed` is the monotonic clock, `random` gives numbers in [0, 1)."""
        self.name = name
        self.conduct = conduct
        self._elapsed = elapsed
        self._random = random
        self._given: tuple[Endpoint, ...] = ()
        self._addresses: Addresses = MappingProxyType({})
        self._changing = asyncio.Lock()
        self._members: Mapping[str, Member] = MappingProxyType({})
        self._duties: dict[str, Duty] = {}
        self._turns = NO_TURNS
        self._durations = Durations()
        now = elapsed()
        self._retries = opened_budget(now, conduct.retry_budget)
        self._hedges = opened_budget(now, HEDGES)
        self._room = Room(conduct.held_together)
        self._retiring: dict[asyncio.Task[None], Member] = {}
        self._pings: dict[Member, asyncio.Task[Ping]] = {}

    # The nodes.

    @property
    def members(self) -> tuple[Member, ...]:
        """The nodes as they are now, in the order in which they were given."""
        return tuple(self._members.values())

    def now(self) -> float:
        """The monotonic clock's time, by which the nodes' states tell theirs."""
        return self._elapsed()

    async def replace(self, endpoints: Sequence[Endpoint], conduct: Conduct | None = None) -> None:
        """From now on these are the nodes, and that the conduct. Names have to differ.

        What is known of a node stays, if it is reached as before. Requests that are under way end where
        they are.
        """
        if conduct is not None:
            self.conduct = conduct
        self._given = tuple(endpoints)
        await self._change()

    @property
    def names(self) -> list[str]:
        """The names whose addresses are nodes."""
        return wanted_names(self._given)

    async def found_at(self, addresses: Addresses) -> None:
        """These are the addresses of `names` now; those of which there is nothing stay as they were."""
        known = {**self._addresses, **addresses}
        addresses = {name: known[name] for name in self.names if name in known}
        if addresses != self._addresses:
            self._addresses = addresses
            await self._change()

    async def _change(self) -> None:
        async with self._changing:
            await self._change_to(spread(self._given, self._addresses), self.conduct.rules)

    async def _change_to(self, endpoints: Sequence[Endpoint], rules: Rules) -> None:
        members: dict[str, Member] = {}
        for endpoint in endpoints:
            member = self._members.get(endpoint.name)
            if member is not None and member.is_reached_as(endpoint):
                member.renewed(endpoint, rules)
            else:
                member = Member(endpoint, rules, self._elapsed)
                member.put_on(self._duties.get(endpoint.name, Duty.READY))
            members[endpoint.name] = member
        leaving = [member for member in self.members if members.get(member.name) is not member]
        self._members = MappingProxyType(members)
        for member in leaving:
            task = asyncio.get_running_loop().create_task(member.retire())
            self._retiring[task] = member
            task.add_done_callback(self._retiring.pop)

    async def close(self) -> None:
        """Close every connection."""
        retired = list(self._retiring.values())
        tasks = [*self._retiring, *self._pings.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for member in (*self.members, *retired):
            member.close()

    def put_on(self, node: str, duty: Duty) -> None:
        """What the operator lets the node called `node` do.  Raises `KeyError`."""
        self._members[node].put_on(duty)
        self._duties[node] = duty

    def put_back_on(self, duties: Mapping[str, Duty]) -> None:
        """What the operator has let nodes do before, also those that are yet to come."""
        self._duties |= duties
        for member in self.members:
            member.put_on(self._duties.get(member.name, Duty.READY))

    async def ping(self, node: str) -> Ping:
        """Ask the node called `node` whether it is well, and take note of it.  Raises `KeyError`.

        A node is not asked twice at a time: who comes while it is, gets the same answer.
        """
        member = self._members[node]
        running = self._pings.get(member)
        if running is None:
            running = self._pings[member] = asyncio.get_running_loop().create_task(self._pinged(member))
            running.add_done_callback(lambda _: self._pings.pop(member))
        return await asyncio.shield(running)

    async def _pinged(self, member: Member) -> Ping:
        found = await ping(member, self.conduct.check, self._elapsed, apart=True)
        member.pinged(found)
        return found

    # Requests.

    async def fetch(self, request: Request) -> Reply:
        """Ask until there is an answer to give.  Raises `OriginError`."""
        conduct = self.conduct
        self._retries = earned(self._retries, self._elapsed(), conduct.retry_budget)
        self._hedges = earned(self._hedges, self._elapsed(), HEDGES)
        body = await held(request.body, conduct.max_held, self._room) if request.body is not None else None
        try:
            sent = _named(for_the_whole(request) if conduct.annotates else request)
            errand = Errand(self, sent, body, is_idempotent=self._is_idempotent(request.method, body))
            reply = await errand.run()
        finally:
            if body is not None:
                body.release()
        took_s = reply.trail[-1].took_s
        if took_s is not None:
            self._durations = noted(self._durations, took_s, self._elapsed())
        if not conduct.annotates:
            return reply
        members = {"__server__": reply.trail[-1].node, "__version__": __version__}
        return await with_members(reply, sent, members, conduct.max_held, self._room)

    def _is_idempotent(self, method: str, body: Held | None) -> bool:
        listed = self.conduct.idempotent_calls
        calls = methods_in(body.whole) if listed and method == "POST" and body and body.whole else ()
        return is_idempotent(method, calls, listed)

    # What an errand asks.

    async def choice(self, client: str, tried: frozenset[str] = frozenset()) -> Member | NobodyFit:
        """Who is asked next for `client`, by its address; `tried` are those that the request was at."""
        fit = self.candidates(tried)
        if isinstance(fit, NobodyFit):
            return fit
        if self.conduct.algorithm is Algorithm.RACE:
            return await self._raced(fit, tried)
        found = ranked(self.conduct.algorithm, fit.states, self._asked(client), self._turns)
        self._turns = found.turns
        return self._members[found.order[0].name]

    def candidates(self, tried: frozenset[str] = frozenset()) -> Fit | NobodyFit:
        """Who may be asked now."""
        states = [member.state for member in self.members]
        return candidates(states, self._elapsed(), self.conduct.rules.max_lag, tried)

    def order(self, fit: Fit, client: str) -> Order:
        """In which order they would be asked for `client`; it is nobody's turn for that."""
        return ranked(self.conduct.algorithm, fit.states, self._asked(client), self._turns).order

    def _asked(self, client: str) -> Asked:
        conduct = self.conduct
        return Asked(
            self._elapsed(),
            self._random,
            client,
            max_ping_age_s=3 * conduct.check_every_s,
            decay_s=conduct.rules.decay_s,
        )

    async def _raced(self, fit: Fit, tried: frozenset[str]) -> Member | NobodyFit:
        """Who answers a ping first. The others' pings are given up; no verdict follows from any."""
        racers = self.order(fit, "")
        if len(racers) == 1:
            return self._members[racers[0].name]
        loop = asyncio.get_running_loop()
        pings = {
            loop.create_task(ping(member, self.conduct.check, self._elapsed)): member
            for member in (self._members[node.name] for node in racers)
        }
        running, has_winner = set(pings), False
        try:
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                good = [(task.result().at, pings[task]) for task in done if task.result().took_s is not None]
                has_winner = has_winner or bool(good)
                for _, member in sorted(good, key=lambda one: one[0]):
                    if self._is_still_fit(member, tried):
                        return member
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if has_winner:
            # Whoever did well has left the pool meanwhile, or was on probation and has got its one request.
            return await self.choice("", tried)
        return NobodyFit(tuple((node.name, Reason.NODE_DOWN) for node in racers))

    def _is_still_fit(self, member: Member, tried: frozenset[str]) -> bool:
        fit = self.candidates(tried)
        return (
            self._members.get(member.name) is member and isinstance(fit, Fit) and member.state in fit.states
        )

    def judged(self, member: Member, status: int) -> Outcome:
        """Whether an answer with this status speaks for the node."""
        states = [other.state for other in self.members]
        return judged(member.name, status, states, self.conduct.failures, self.conduct.max_ejected)

    def nobody(self, why: NobodyFit) -> UnavailableError:
        """The error of a request for which there is no node."""
        now = self._elapsed()
        waits_s = [self.conduct.check_every_s]
        waits_s += [m.state.breaker.until - now for m in self.members if m.state.breaker.until is not None]
        message = f"{self.name}: no node may be asked ({why})"
        error = UnavailableError(why.reason, message, retry_after_s=max(min(waits_s), 1.0))
        error.trail = (Attempt(self.name, 503, why.reason),)
        return error

    def may_spend(self) -> Reason | None:
        """Take a retry from the budget, if there is one left."""
        left = spent(self._retries, self._elapsed(), self.conduct.retry_budget)
        if isinstance(left, Budget):
            self._retries = left
            return None
        return left

    def may_hedge(self) -> Reason | None:
        """Take a hedge from the budget, if there is one left."""
        left = spent(self._hedges, self._elapsed(), HEDGES)
        if isinstance(left, Budget):
            self._hedges = left
            return None
        return left

    def hedge_after_s(self) -> float | None:
        """Seconds after which a second node is asked beside the first; None: not at all."""
        return hedge_after_s(self._durations, self._elapsed(), Hedging()) if self.conduct.hedges else None

    def __repr__(self) -> str:
        return f"PoolOrigin({self.name!r}, {len(self._members)} nodes)"


def _named(request: Request) -> Request:
    """`request` with a name for who sends it."""
    if "user-agent" in request.headers:
        return request
    return request.but(headers=request.headers.having(("User-Agent", USER_AGENT)))
