"""Names below `localhost` mean this machine.  RFC 6761 §6.3.

The C library does not see to it everywhere, and `bucket.localhost` is what virtual-host style makes of
an S3 server on `localhost`.
"""

import socket

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from edgeproxy.core.sourcing import is_near


class Resolver(ThreadedResolver):
    """The system's resolver, but for names below `localhost`."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`."""
        is_local = f".{host.rstrip('.')}".endswith(".localhost")
        return await super().resolve("localhost" if is_local else host, port, family)


class FarResolver(Resolver):
    """Knows no address of this machine or its link, whatever name it has."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`.  Raises `OSError` if it has none that is far."""
        found = await super().resolve(host, port, family)
        far = [one for one in found if not is_near(one["host"])]
        if not far:
            raise OSError(None, "it is this machine, or on its link")
        return far


class Pinned(AbstractResolver):
    """Knows one address, whatever name is asked for: TLS and `Host` go by the name all the same."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The address."""
        its_family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host, host=self._address, port=port, family=its_family, proto=0, flags=flags
            )
        ]

    async def close(self) -> None:
        """Nothing is open."""
