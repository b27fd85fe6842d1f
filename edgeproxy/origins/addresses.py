"""One node for each address that a name has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import TypeAlias

from edgeproxy.origins.member import Endpoint

Addresses: TypeAlias = Mapping[str, tuple[str, ...]]
"""By name, as it was last resolved."""

MAX_ADDRESSES = 64
"""Of one name; more are left out."""


def spread(endpoints: Sequence[Endpoint], addresses: Addresses) -> list[Endpoint]:
    """`endpoints` with one for each address in place of those that ask for it (`each_address`).

    A name is as many nodes as it has addresses, called `name@address`, each with the weight of the name; one
    of which none is known yet is one node under its own name. They are sorted, so that an answer in another
    order changes nothing; and a node is called the same whoever else there is, so that what is known of it,
    and what the operator said of it, outlives the others' coming and going.
    """
    return [one for endpoint in endpoints for one in _spread(endpoint, addresses)]


def _spread(endpoint: Endpoint, addresses: Addresses) -> Iterator[Endpoint]:
    found = sorted(set(addresses.get(endpoint.hostname, ()))) if endpoint.each_address else []
    if not found:
        yield endpoint
        return
    for address in found[:MAX_ADDRESSES]:
        node = replace(endpoint.node, name=f"{endpoint.name}@{address}")
        yield replace(endpoint, node=node, address=address)


def wanted_names(endpoints: Sequence[Endpoint]) -> list[str]:
    """The names that have to be resolved for `spread`; what is an address already is not among them."""
    names = {endpoint.hostname for endpoint in endpoints if endpoint.each_address}
    return sorted(name for name in names if not _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
