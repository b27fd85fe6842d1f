"""The origins of the configuration, and the pairs of them."""

import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

from edgeproxy.assembly.pools import conduct_of, endpoints_of
from edgeproxy.backfill.source import Address
from edgeproxy.clock import Clock
from edgeproxy.config.origins import Credentials, HttpOrigin, OriginGroup
from edgeproxy.config.origins import S3Origin as S3Section
from edgeproxy.config.pool import PoolOrigin as PoolSection
from edgeproxy.config.schema import Config
from edgeproxy.core.message import Headers
from edgeproxy.core.sourcing import is_near
from edgeproxy.origins.base import Origin
from edgeproxy.origins.connections import Patience
from edgeproxy.origins.credentials import FixedKeys, KeySource, ProviderChain
from edgeproxy.origins.failover import FailoverOrigin
from edgeproxy.origins.pool import PoolOrigin
from edgeproxy.origins.s3 import Bucket, S3Origin, Signed
from edgeproxy.origins.sigv4 import Keys
from edgeproxy.origins.web import WebOrigin
from edgeproxy.origins.wire import Wire


@dataclass(frozen=True, slots=True)
class Origins:
    """All origins, by name."""

    single: Mapping[str, Origin]
    groups: Mapping[str, OriginGroup]
    addresses: Mapping[str, Address]
    """Where each web server is, and may send whoever asks for an object."""
    buckets: Mapping[str, S3Section]
    """The bucket of each target that has one to be filled: of a group its primary, else the target itself."""
    pools: Mapping[str, PoolOrigin]
    """Those of the origins that have nodes."""

    @property
    def secondaries(self) -> dict[str, Origin]:
        """The secondary of each group."""
        return {name: self.single[group.members[1]] for name, group in self.groups.items()}

    def targets(self, filled: Callable[[str, Origin], Origin]) -> dict[str, Origin]:
        """All that a behaviour may name. `filled` gives what stands for the bucket of a target."""
        targets = dict(self.single)
        for name in self.buckets.keys() & self.single.keys():
            targets[name] = filled(name, self.single[name])
        for name, group in self.groups.items():
            primary, secondary = (self.single[member] for member in group.members)
            if name in self.buckets:
                primary = filled(name, primary)
            targets[name] = FailoverOrigin(name, primary, secondary, group.failover_on)
        return targets


async def origins_of(config: Config, clock: Clock, stack: AsyncExitStack) -> Origins:
    """The origins of `config`, closed with `stack`."""
    single: dict[str, Origin] = {}
    pools: dict[str, PoolOrigin] = {}
    addresses: dict[str, Address] = {}
    redirecting = {source.origin for source in config.backfill.sources.values() if source.follow_redirects}
    for name, section in config.origins.items():
        if isinstance(section, PoolSection):
            single[name] = pools[name] = await pool_of(name, section, clock, stack)
            continue
        wire = _wire(name, section, stack)
        single[name] = _origin(name, section, wire, clock, shows_notes=config.server.debug_headers)
        if name in redirecting and isinstance(section, HttpOrigin):
            addresses[name] = _address(name, section, wire, stack)
    return Origins(
        single=single,
        groups=config.origin_groups,
        addresses=addresses,
        buckets=buckets_of(config),
        pools=pools,
    )


def _wire(
    name: str, section: S3Section | HttpOrigin, stack: AsyncExitStack, *, elsewhere: bool = False
) -> Wire:
    """Connections to an origin; `elsewhere`: to whom it sends us, but not where only it may be."""
    verify = elsewhere or getattr(section, "tls_verify", True)
    is_far = (
        elsewhere and isinstance(section, HttpOrigin) and not is_near(urlsplit(section.url).hostname or "")
    )
    wire = Wire(name, _patience(section), tls_verify=verify, is_far=is_far)
    stack.callback(wire.close)
    return wire


def _address(name: str, section: HttpOrigin, own: Wire, stack: AsyncExitStack) -> Address:
    away = _wire(name, section, stack, elsewhere=True)
    custom = Headers(section.custom_headers.items())

    def at(base: str, is_own: bool) -> Origin:
        return WebOrigin(name, base, own if is_own else away, custom_headers=custom if is_own else Headers())

    return Address(section.url, section.origin_path, at)


def buckets_of(config: Config) -> dict[str, S3Section]:
    """The bucket of each target that has one to be filled."""
    alone = {section.target_origin for section in (*config.behaviors, config.default_behavior)}
    primaries = {name: group.members[0] for name, group in config.origin_groups.items()}
    primaries |= {name: name for name in sorted(alone & config.origins.keys())}
    return {
        target: section
        for target, primary in primaries.items()
        if isinstance(section := config.origins[primary], S3Section)
    }


def _origin(
    name: str, section: S3Section | HttpOrigin, wire: Wire, clock: Clock, *, shows_notes: bool
) -> Origin:
    custom = Headers(section.custom_headers.items())
    if isinstance(section, HttpOrigin):
        return WebOrigin(name, section.url, wire, path=section.origin_path, custom_headers=custom)
    bucket = Bucket.at(
        section.bucket, region=section.region, endpoint=section.endpoint, style=section.addressing_style
    )
    return S3Origin(
        name,
        Signed(bucket, wire, _keys(name, section), clock.now),
        path=section.origin_path,
        custom_headers=custom,
        shows_notes=shows_notes,
    )


async def pool_of(name: str, section: PoolSection, clock: Clock, stack: AsyncExitStack) -> PoolOrigin:
    """The pool called `name`, closed with `stack`."""
    pool = PoolOrigin(name, conduct_of(section), clock.elapsed, random.random)
    stack.push_async_callback(pool.close)
    await pool.replace(endpoints_of(section))
    return pool


def _keys(name: str, section: S3Section) -> KeySource:
    match section.credentials:
        case Credentials() as given:
            return FixedKeys(Keys(*plain_keys(given)))
        case "anonymous":
            return FixedKeys(None)
        case "default":
            return ProviderChain(name)


def _patience(section: S3Section | HttpOrigin) -> Patience:
    return Patience(
        attempts=section.connection_attempts,
        connect_s=section.connection_timeout,
        read_s=section.read_timeout,
        keepalive_s=section.keepalive_timeout,
        max_connections=section.max_connections,
    )


def plain_keys(given: Credentials) -> tuple[str, str, str | None]:
    """Access key id, secret access key and session token."""
    token = given.session_token.get_secret_value() if given.session_token is not None else None
    return given.access_key_id, given.secret_access_key.get_secret_value(), token
