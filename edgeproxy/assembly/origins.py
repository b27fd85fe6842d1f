"""The origins of the configuration, and the pairs of them."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from edgeproxy.clock import Clock
from edgeproxy.config.origins import Credentials, HttpOrigin
from edgeproxy.config.origins import S3Origin as S3Section
from edgeproxy.config.schema import Config
from edgeproxy.core.message import Headers
from edgeproxy.origins.base import Origin
from edgeproxy.origins.credentials import FixedKeys, KeySource, ProviderChain
from edgeproxy.origins.failover import FailoverOrigin
from edgeproxy.origins.s3 import Bucket, S3Origin
from edgeproxy.origins.sigv4 import Keys
from edgeproxy.origins.web import WebOrigin
from edgeproxy.origins.wire import Patience, Wire


@dataclass(frozen=True, slots=True)
class Origins:
    """All origins, by name."""

    single: Mapping[str, Origin]
    groups: Mapping[str, Origin]
    secondaries: Mapping[str, Origin]
    """The secondary of each group."""
    buckets: Mapping[str, S3Section]
    """The bucket of each target that has one to be filled: of a group its primary, else the target itself."""

    @property
    def targets(self) -> dict[str, Origin]:
        """All that a behaviour may name."""
        return {**self.single, **self.groups}


async def origins_of(config: Config, clock: Clock, stack: AsyncExitStack) -> Origins:
    """The origins of `config`, closed with `stack`."""
    single: dict[str, Origin] = {}
    for name, section in config.origins.items():
        wire = Wire(name, _patience(section), tls_verify=getattr(section, "tls_verify", True))
        stack.push_async_callback(wire.close)
        await wire.open()
        single[name] = _origin(name, section, wire, clock, shows_notes=config.server.debug_headers)
    groups = config.origin_groups
    return Origins(
        single=single,
        groups={
            name: FailoverOrigin(name, single[g.members[0]], single[g.members[1]], g.failover_on)
            for name, g in groups.items()
        },
        secondaries={name: single[g.members[1]] for name, g in groups.items()},
        buckets=_buckets(config),
    )


def _buckets(config: Config) -> dict[str, S3Section]:
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
    keys = _keys(name, section)
    return S3Origin(
        name,
        bucket,
        wire,
        keys,
        clock.now,
        path=section.origin_path,
        custom_headers=custom,
        shows_notes=shows_notes,
    )


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
