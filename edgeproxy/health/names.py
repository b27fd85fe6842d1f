"""Looks the names of nodes up again and again.

getaddrinfo tells no time to live, so it is done at a fixed pace.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from edgeproxy.origins.addresses import Addresses
from edgeproxy.origins.localhost import Resolver
from edgeproxy.origins.pool import PoolOrigin
from edgeproxy.store.faults import Faults

Resolve: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a name.  Raises `OSError`."""

_PATIENCE_S = 5.0
"""How long a resolver may take."""


class Lookout:
    """Owns one task, between `start` and `close`. `tell` hears of names that cannot be resolved."""

    def __init__(
        self,
        pools: Sequence[PoolOrigin],
        every_s: float,
        resolve: Resolve,
        elapsed: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        self._pools = pools
        self._every_s = every_s
        self._resolve = resolve
        self._faults = Faults(tell, elapsed)
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look again each `every_s` from now on."""
        self._loop = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self.look()

    async def look(self) -> None:
        """Look every name up once. One that cannot be resolved keeps the addresses it had."""
        names = sorted({name for pool in self._pools for name in pool.names})
        answers = await asyncio.gather(*map(self._looked_up, names))
        found: Addresses = {name: found for name, found in zip(names, answers, strict=True) if found}
        for pool in self._pools:
            await pool.found_at(found)

    async def _looked_up(self, name: str) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                found = tuple(await self._resolve(name))
        except (OSError, TimeoutError) as error:
            said = getattr(error, "strerror", None) or f"no answer in {_PATIENCE_S:g} s"
        else:
            if found:
                return found
            said = "it has no address"
        self._faults.note(f"{name}: cannot be resolved ({said}); its nodes stay as they are")
        return ()


async def system_addresses(name: str) -> list[str]:
    """What the system's resolver says.  Raises `OSError`."""
    return [one["host"] for one in await Resolver().resolve(name, 0, socket.AF_UNSPEC)]
