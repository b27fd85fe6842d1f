"""Names that lead to this machine, and those who must not follow them."""

import socket
from typing import Any

import pytest
from aiohttp import ThreadedResolver
from aiohttp.abc import ResolveResult

from edgeproxy.origins.localhost import FarResolver, Resolver


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What the system's resolver knows."""
    known: dict[str, list[str]] = {}

    async def resolve(_: Any, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in known[host]
        ]

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    return known


async def test_a_name_below_localhost_is_this_machine(names: dict[str, list[str]]) -> None:
    names["localhost"] = ["127.0.0.1"]
    for name in ("bucket.localhost", "bucket.localhost.", "localhost", "localhost."):
        (found,) = await Resolver().resolve(name, 80)
        assert found["host"] == "127.0.0.1"


async def test_from_afar_no_name_leads_here(names: dict[str, list[str]]) -> None:
    names |= {"a.example": ["127.0.0.1", "169.254.169.254"], "b.example": ["127.0.0.1", "192.0.2.1"]}
    with pytest.raises(OSError, match="on its link"):
        await FarResolver().resolve("a.example", 80)
    assert [found["host"] for found in await FarResolver().resolve("b.example", 80)] == ["192.0.2.1"]
