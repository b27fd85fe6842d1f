"""From the section of a pool to its nodes and its conduct."""

import base64
from dataclasses import replace

from edgeproxy.config.pool import NodeCredentials, PoolChecks, PoolNode, PoolOrigin
from edgeproxy.core.balancing.budget import RETRIES
from edgeproxy.core.checking import Wanted
from edgeproxy.core.message import Headers
from edgeproxy.origins.conduct import Conduct
from edgeproxy.origins.connections import Patience
from edgeproxy.origins.member import Endpoint
from edgeproxy.origins.pinging import Check


def endpoints_of(section: PoolOrigin) -> list[Endpoint]:
    """The nodes, in the order in which they stand."""
    timeouts = section.timeouts
    patience = Patience(
        attempts=1,
        connect_s=timeouts.connect,
        read_s=timeouts.first_byte,
        silence_s=timeouts.silence,
        keepalive_s=section.keepalive_timeout,
        max_connections=section.max_connections,
    )
    return [
        Endpoint(
            node.value(),
            node.url,
            f"{node.path}{section.origin_path}",
            _headers(section, node),
            patience,
            section.tls_verify,
            each_address=node.addresses == "each",
        )
        for node in section.nodes
    ]


def _headers(section: PoolOrigin, node: PoolNode) -> Headers:
    headers = Headers(section.custom_headers.items()).having(*node.custom_headers.items())
    return headers.having(("Authorization", _known_by(node.credentials))) if node.credentials else headers


def _known_by(given: NodeCredentials) -> str:
    if given.token is not None:
        return f"Bearer {given.token.get_secret_value()}"
    assert given.username is not None
    assert given.password is not None
    pair = f"{given.username}:{given.password.get_secret_value()}"
    # RFC 7617 §2.1: UTF-8 is the only charset there is a name for.
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def check_of(section: PoolChecks) -> Check:
    """What a ping is."""
    return Check(
        path=section.path,
        method=section.method,
        body=section.body.encode() if section.body is not None else None,
        content_type=section.content_type,
        wanted=Wanted(
            section.expect_status, section.expect_pointer, section.expect_value, section.head_pointer
        ),
        timeout_s=section.timeout,
    )


def conduct_of(section: PoolOrigin) -> Conduct:
    """How it treats requests."""
    checks = section.checks or PoolChecks()
    return Conduct(
        algorithm=section.ranking,
        rules=section.rules(),
        check=check_of(checks),
        check_every_s=checks.interval,
        is_checked=section.checks is not None,
        attempts=section.retries.attempts,
        retry_on=section.retries.on_status,
        retry_budget=replace(RETRIES, share=section.retries.share),
        failures=section.ejection.on_status,
        max_ejected=section.ejection.max_share,
        hedges=section.hedge,
        total_s=section.timeouts.total,
        idempotent_calls=frozenset(section.idempotent_rpc_methods),
        max_held=section.max_held_body,
        held_together=section.held_bodies,
        annotates=section.annotate,
        tells=section.upstream_headers,
    )
