"""Defaults, what follows from what, and the values that the rules of `core` are given."""

import pytest

from edgeproxy.config import Config, ConfigError, parse
from edgeproxy.config.origins import Credentials, HttpOrigin, S3Origin
from edgeproxy.config.policies import CachePolicySection, Whitelist
from edgeproxy.config.schema import BehaviorSection
from edgeproxy.config.units import Address
from edgeproxy.core.behavior import behavior_for
from edgeproxy.core.forwarding import OriginRequestPolicy
from edgeproxy.core.freshness import TtlPolicy
from edgeproxy.core.key import KeyPolicy, Pick, Selection
from edgeproxy.core.posts import PostPolicy
from edgeproxy.core.storing import CachePolicy
from tests.config.conftest import SMALL

MINUTE = 60.0
DAY = 86_400.0
YEAR = 365 * DAY


def policy(text: str) -> CachePolicySection:
    return parse(f"{SMALL}\ncache_policies: {{p: {{{text}}}}}", {}).cache_policies["p"]


def ttls(text: str) -> tuple[float, float, float]:
    section = policy(text)
    return section.min_ttl, section.default_ttl, section.max_ttl


def test_defaults() -> None:
    config = parse(SMALL, {})
    assert config.server.listen == Address("127.0.0.1", 8080)
    assert config.admin.listen == Address("127.0.0.1", 8081)
    assert config.admin.token is None
    assert (config.cache.memory, config.cache.max_object) == (256 * 2**20, 32 * 2**20)
    bucket, site = config.origins["bucket"], config.origins["site"]
    assert isinstance(bucket, S3Origin)
    assert (bucket.region, bucket.endpoint, bucket.credentials) == ("us-east-1", None, "default")
    assert isinstance(site, HttpOrigin)
    assert (site.connection_attempts, site.connection_timeout, site.read_timeout) == (3, 10, 30)
    assert config.origin_groups["media"].failover_on == {403, 404}
    assert config.default_behavior == BehaviorSection(target_origin="media")
    assert config.backfill.rules == ()


def test_a_ttl_that_is_not_given_makes_room_for_the_others() -> None:
    """CloudFront API, CachePolicyConfig: DefaultTTL, MaxTTL."""
    assert ttls("") == (0, DAY, YEAR)
    assert ttls("min_ttl: 2d") == (2 * DAY, 2 * DAY, YEAR)
    assert ttls("min_ttl: 400d") == (400 * DAY, 400 * DAY, 400 * DAY)
    assert ttls("default_ttl: 400d") == (0, 400 * DAY, 400 * DAY)
    assert ttls("max_ttl: 1m") == (0, MINUTE, MINUTE)
    assert ttls("min_ttl: 0, default_ttl: 0, max_ttl: 0") == (0, 0, 0)
    assert policy("max_ttl: 0").value("p").ttl.is_off
    assert ttls("heuristic_freshness: 0.1") == (0, 0, YEAR)
    assert policy("heuristic_freshness: 0.1").value("p").ttl.heuristic == 0.1


def test_the_largest_stored_object_follows_a_small_cache() -> None:
    assert parse(f"{SMALL}\ncache: {{memory: 1MiB}}", {}).cache.max_object == 2**20
    assert parse(f"{SMALL}\ncache: {{memory: 0}}", {}).cache.max_object == 0
    assert parse(f"{SMALL}\ncache: {{memory: 0, max_object: 1MiB}}", {}).cache.max_object == 2**20


def test_cached_methods_follow_the_allowed_ones() -> None:
    assert BehaviorSection(target_origin="a", allowed_methods=("GET", "POST")).cached_methods == ("GET",)
    assert BehaviorSection(target_origin="a", allowed_methods=("POST",)).cached_methods == ()


def test_what_has_no_value_is_as_good_as_absent() -> None:
    text = SMALL.replace("bucket: assets", "bucket: assets, endpoint: '', region: , credentials: ")
    assert parse(f"{text}\nserver:\nadmin: {{token: '', listen: ~}}\nbehaviors:", {}) == parse(SMALL, {})


def test_a_variable_may_stand_for_any_value() -> None:
    text = f"""{SMALL}
server: {{max_connections: "${{N}}", debug_headers: "${{T}}", drain_timeout: "${{D}}",
  listen: "${{L:-127.0.0.1:1}}"}}
backfill: {{rules: [{{on_status: ["${{S}}"]}}]}}
"""
    config = parse(text, {"N": "7", "T": "true", "D": "5s", "S": "404"})
    assert config.server.max_connections == 7
    assert config.server.debug_headers is True
    assert config.server.drain_timeout == 5
    assert config.server.listen == Address("127.0.0.1", 1)
    assert config.backfill.rules[0].on_status == {404}


def test_a_policy_as_the_rules_take_it() -> None:
    section = policy(
        "min_ttl: 1s, default_ttl: 1m, max_ttl: 1h, query: {whitelist: [Id]}, headers: [X-A, Accept],"
        " cookies: {all_except: [Tmp]}, gzip: true"
    )
    assert section.value("p") == CachePolicy(
        TtlPolicy(1, 60, 3600),
        KeyPolicy(
            query=Selection(Pick.ONLY, frozenset({"Id"})),
            headers=Selection(Pick.ONLY, frozenset({"x-a", "accept"})),
            cookies=Selection(Pick.EXCEPT, frozenset({"Tmp"})),
            gzip=True,
        ),
        "p",
    )


def test_behaviors_as_the_rules_take_them() -> None:
    config = parse(
        f"""{SMALL}
cache_policies: {{mine: {{max_ttl: 1m}}}}
origin_request_policies: {{ours: {{headers: {{whitelist: [X-A]}}, query: all}}}}
behaviors:
  - {{path_pattern: /a/*, target_origin: site, cache_policy: mine, origin_request_policy: ours}}
  - {{path_pattern: "*.jpg", target_origin: bucket, cache_policy: Managed-CachingDisabled,
     origin_request_policy: AllViewer}}
""",
        {},
    )
    first, second, last = config.behavior_values()
    assert (first.pattern.text, first.target, first.cache.name) == ("/a/*", "site", "mine")
    assert first.origin_request == OriginRequestPolicy(
        Selection(Pick.ONLY, frozenset({"x-a"})), Selection(), Selection(Pick.ALL), "ours"
    )
    assert (second.cache.name, second.origin_request.name) == ("CachingDisabled", "AllViewer")
    assert (last.pattern.text, last.target, last.cache.name) == ("*", "media", "CachingOptimized")
    assert last.origin_request == OriginRequestPolicy()
    assert behavior_for("/b.jpg", (first, second, last)) is second


def test_a_section_may_be_built_in_code() -> None:
    origin = S3Origin(
        type="s3",
        bucket="assets",
        credentials=Credentials.model_validate({"access_key_id": "a", "secret_access_key": "b"}),
    )
    config = Config.model_validate(
        {
            "origins": {
                "o": origin,
                "p": {"type": "http", "url": "http://a", "connection_attempts": 1, "tls_verify": False},
            },
            "cache_policies": {"p": CachePolicySection(query=Whitelist(whitelist=("a",)), cookies="all")},
            "default_behavior": {"target_origin": "o"},
        }
    )
    assert config.origins["o"] is origin
    assert config.cache_policies["p"].value("p").key.query == Selection(Pick.ONLY, frozenset({"a"}))


def test_no_secret_is_in_a_repr() -> None:
    text = SMALL.replace(
        "bucket: assets",
        "bucket: assets, custom_headers: {X-A: hunter2},"
        " credentials: {access_key_id: a, secret_access_key: hunter2, session_token: hunter2}",
    )
    config = parse(f"{text}\nadmin: {{token: hunter2}}", {})
    assert "hunter2" not in repr(config)
    assert "hunter2" not in str(config)
    assert config.origins["bucket"].custom_headers == {"X-A": "hunter2"}


def test_jobs_are_kept_wherever_they_can_be() -> None:
    def queue(text: str) -> str:
        return parse(f"{SMALL}\n{text}", {}).backfill.queue

    assert queue("") == "memory"
    assert queue("state: {folder: here}") == "sqlite"
    assert queue("state: {folder: here}\nbackfill: {rules: [{}]}") == "sqlite"
    assert queue("state: {folder: here}\nbackfill: {queue: memory}") == "memory"
    assert queue("state: {folder: ''}") == "memory"


def test_processes_of_a_machine_check_nodes_together_wherever_they_can() -> None:
    def board(text: str) -> str:
        return parse(f"{SMALL}\n{text}", {}).health.board

    assert board("") == "memory"
    assert board("state: {folder: here}") == "sqlite"
    assert board("state: {folder: here}\nhealth: {resolve_interval: 5s}") == "sqlite"
    assert board("state: {folder: here}\nhealth: {board: memory}") == "memory"


def test_posts_that_read_as_the_rules_take_them() -> None:
    posts = "{json_rpc: {eth_chainId: 1h}, graphql: {ttl: 30s}, max_body: 1KiB}"
    config = parse(_with_posts(posts, "[GET, HEAD, POST]"), {})
    found = config.behavior_values()[-1].posts
    assert found == PostPolicy({"eth_chainId": 3600.0}, 30.0, 1024, 2**20)


@pytest.mark.parametrize(
    ("posts", "methods", "said"),
    [
        ("{json_rpc: {a: 1h}}", "[GET, HEAD]", "POST in allowed_methods beside it"),
        ("{}", "[GET, POST]", "json_rpc or graphql in it"),
        ("{json_rpc: {a: 0s}}", "[GET, POST]", "0s"),
        ("{json_rpc: {'a b': 1s}}", "[GET, POST]", "visible ASCII characters"),
        ("{graphql: {}}", "[GET, POST]", "ttl"),
    ],
)
def test_posts_that_cannot_be_cached_are_told(posts: str, methods: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(_with_posts(posts, methods), {})
    (line,) = [str(mistake) for mistake in caught.value.mistakes]
    assert "cached_posts" in line
    assert said in line


def _with_posts(posts: str, methods: str) -> str:
    return f"""
origins: {{node: {{type: http, url: "http://node.test"}}}}
default_behavior: {{target_origin: node, allowed_methods: {methods}, cached_posts: {posts}}}
"""
