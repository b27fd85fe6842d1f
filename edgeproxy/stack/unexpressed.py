"""Every setting, and whether a stack has it: what is given and lost is told, one line each."""

from collections.abc import Iterator, Mapping
from typing import Any

from edgeproxy.config import Config
from edgeproxy.config.mistakes import Place
from edgeproxy.config.pool import PoolOrigin
from edgeproxy.config.section import Section
from edgeproxy.stack.errors import Note, note

_OURS = "CloudFront has its own"
_STORE = "CloudFront's cache has no sizes to be set"
_QUEUE = "SQS and Lambda do it their way"
_SOURCE = "the functions do not know it"
_RULE = "the functions copy whatever the rule's paths bring"
_TABLE = "the functions share a table that the stack makes"
_SIGNED = "CloudFront and the functions sign with roles of their own"

UNEXPRESSED: Mapping[str, str] = {
    "server.listen": "CloudFront listens on ports 80 and 443, and sends viewers to the latter",
    "server.workers": _OURS,
    "server.trusted_proxies": "CloudFront believes no X-Forwarded-For but adds to it",
    "server.ambiguous_paths": "CloudFront passes such paths on",
    "server.max_request_body": "CloudFront takes 64 GB",
    "server.max_connections": _OURS,
    "server.head_timeout": _OURS,
    "server.idle_timeout": _OURS,
    "server.express_lane": _OURS,
    "server.drain_timeout": _OURS,
    "server.debug_headers": "CloudFront has none",
    "admin": "CloudFront has the API, the console and CloudWatch",
    "cache": _STORE,
    "health.board": _TABLE,
    "health.redis_url": _TABLE,
    "health.table": _TABLE,
    "health.region": _TABLE,
    "health.endpoint": _TABLE,
    "health.credentials": _TABLE,
    "log": "the distribution has no logs; standard logs v2 are set up beside it",
    "state": "what outlives a process is in the bucket and the queue",
    "origins.*.max_connections": _OURS,
    "origins.*.endpoint": "the bucket is made on AWS",
    "origins.*.region": "the bucket is where its stack is deployed",
    "origins.*.addressing_style": "CloudFront asks for the bucket by its host name",
    "origins.*.credentials": _SIGNED,
    "origins.*.tls_verify": "CloudFront always verifies",
    "server.websocket_idle_timeout": _OURS,
    "cache_policies.*.targeted_cache_control": "CloudFront does not know CDN-Cache-Control",
    "cache_policies.*.heuristic_freshness": "CloudFront does not guess",
    "cache_policies.*.honor_request_directives": "CloudFront does not heed viewers",
    "backfill.queue": "the queue is SQS",
    "backfill.queue_size": _QUEUE,
    "backfill.sqs.region": "the queue is where its stack is deployed",
    "backfill.sqs.endpoint": "the queue is on AWS",
    "backfill.sqs.credentials": _SIGNED,
    "backfill.sqs.dead_letter_url": "the stack makes a queue for dead letters",
    "backfill.sqs.wait": _QUEUE,
    "backfill.sqs.group": "the consumer fills one bucket",
    "backfill.backoff_base": _QUEUE,
    "backfill.backoff_cap": _QUEUE,
    "backfill.lease": _QUEUE,
    "backfill.make_concurrency": _QUEUE,
    "backfill.missing_for": _QUEUE,
    "backfill.history": _QUEUE,
    "backfill.part_size": _SOURCE,
    "backfill.parts_at_once": _SOURCE,
    "backfill.write_timeout": _SOURCE,
    "backfill.tombstone_for": _SOURCE,
    "backfill.sources.*.block_headers": _SOURCE,
    "backfill.sources.*.set_headers": _SOURCE,
    "backfill.sources.*.follow_redirects": _SOURCE,
    "backfill.sources.*.redirect_hosts": _SOURCE,
    "backfill.sources.*.rate": _SOURCE,
    "backfill.sources.*.bandwidth": _SOURCE,
    "backfill.sources.*.breaker": _SOURCE,
    "backfill.rules.*.methods": _RULE,
    "backfill.rules.*.content_types": _RULE,
    "backfill.rules.*.min_object": _RULE,
    "backfill.rules.*.refresh": "what is in the bucket stays as it is",
    "events": "the bucket tells a function of its changes, which invalidates them",
}
"""What a stack has not, by its place with `*` for names and numbers, and why. Sections stand for all in
them."""

EXPRESSED = frozenset(
    """
    server.aliases server.default_root_object health.resolve_interval
    origins.*.algorithm origins.*.annotate origins.*.checks origins.*.ejection origins.*.hedge
    origins.*.held_bodies origins.*.idempotent_rpc_methods origins.*.max_held_body origins.*.nodes
    origins.*.retries origins.*.timeouts origins.*.upstream_headers
    origins.*.type origins.*.origin_path origins.*.connection_attempts origins.*.connection_timeout
    origins.*.read_timeout origins.*.keepalive_timeout origins.*.custom_headers origins.*.bucket origins.*.url
    origin_groups cache_policies.*.min_ttl cache_policies.*.default_ttl cache_policies.*.max_ttl
    cache_policies.*.query cache_policies.*.headers cache_policies.*.cookies cache_policies.*.gzip
    cache_policies.*.brotli origin_request_policies response_headers_policies behaviors default_behavior
    custom_error_responses
    backfill.sources.*.origin backfill.sources.*.path backfill.sources.*.strip_prefix
    backfill.sources.*.query backfill.sources.*.pass_headers
    backfill.rules.*.path_pattern backfill.rules.*.mode backfill.rules.*.sources backfill.rules.*.on_status
    backfill.rules.*.max_object backfill.rules.*.enabled
    backfill.sqs.url backfill.sqs.name backfill.concurrency backfill.attempts backfill.make_timeout
    """.split()
)
"""What a stack has."""


def unexpressed(config: Config) -> Iterator[Note]:
    """Every setting that the file has and the stack has not."""
    yield from _walked(config, config.model_dump(), ())


def _walked(value: Any, written: Any, place: Place) -> Iterator[Note]:
    spelt = ".".join("*" if _is_name(place, n) else str(part) for n, part in enumerate(place))
    if spelt in _PARTS:
        # A line for each of its settings.
        for name in value.settings():
            if name in value.model_fields_set:
                yield note((*place, name), written[name], UNEXPRESSED[spelt])
        return
    if spelt in UNEXPRESSED:
        yield note(place, written, UNEXPRESSED[spelt])
        return
    match value:
        case PoolOrigin():
            # The function reads all of it.
            return
        case Section():
            for name in value.settings():
                if name in value.model_fields_set:
                    yield from _walked(getattr(value, name), written[name], (*place, name))
        case dict():
            for name, inner in value.items():
                yield from _walked(inner, written[name], (*place, name))
        case tuple():
            for number, inner in enumerate(value):
                yield from _walked(inner, written[number], (*place, number))


_PARTS = frozenset({"admin", "cache", "log", "state", "events"})
_NAMED = {("origins",), ("cache_policies",), ("backfill", "sources"), ("backfill", "rules")}


def _is_name(place: Place, number: int) -> bool:
    return place[:number] in _NAMED
