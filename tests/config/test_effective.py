"""What `edgeproxy check` and `edgeproxy schema` print."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.config import load, parse
from edgeproxy.config.document import filled, read
from edgeproxy.config.effective import as_yaml, effective, json_schema
from edgeproxy.config.manual import markdown
from tests.config.conftest import SMALL

ROOT = Path(__file__).parents[2]

EFFECTIVE = """\
server:
  listen: 127.0.0.1:8080
  workers: 1
  aliases: [www.example.com]
  trusted_proxies: []
  default_root_object: ''
  ambiguous_paths: refuse
  max_request_body: 64GB
  max_connections: 10000
  head_timeout: 10s
  idle_timeout: 75s
  websocket_idle_timeout: 10m
  express_lane: true
  drain_timeout: 30s
  debug_headers: false
admin:
  listen: '[::1]:8081'
  token: '***'
  distribution_id: local
cache:
  memory: 1GiB
  disk: null
  max_object: 32MiB
log:
  format: text
  access: true
state:
  folder: null
origins:
  bucket:
    type: s3
    bucket: assets
    region: us-east-1
    endpoint: null
    addressing_style: auto
    credentials:
      access_key_id: me
      secret_access_key: '***'
      session_token: null
    custom_headers:
      X-A: '***'
    origin_path: ''
    max_connections: 512
    keepalive_timeout: 5s
    connection_attempts: 3
    connection_timeout: 10s
    read_timeout: 30s
  site:
    type: http
    url: http://127.0.0.1:9100
    tls_verify: true
    custom_headers: {}
    origin_path: ''
    max_connections: 512
    keepalive_timeout: 5s
    connection_attempts: 3
    connection_timeout: 10s
    read_timeout: 1500ms
origin_groups:
  media:
    members: [bucket, site]
    failover_on: [403, 404, 503]
cache_policies:
  p:
    min_ttl: 0s
    default_ttl: 90m
    max_ttl: 90m
    query:
      whitelist: [a, b]
    headers: [X-A]
    cookies: none
    gzip: false
    brotli: false
    targeted_cache_control: false
    heuristic_freshness: 0
    honor_request_directives: false
origin_request_policies:
  r:
    headers: none
    cookies:
      all_except: [c]
    query: all
response_headers_policies:
  h:
    cors_config:
      access_control_allow_origins: ['https://*.example.com']
      access_control_allow_headers: []
      access_control_allow_methods: [ALL]
      access_control_allow_credentials: false
      access_control_expose_headers: ['*']
      access_control_max_age_sec: 600
      origin_override: true
    security_headers_config:
      strict_transport_security: null
      content_type_options:
        override: true
      frame_options:
        frame_option: DENY
        override: false
      referrer_policy: null
      content_security_policy: null
      xss_protection: null
    custom_headers_config:
    - header: X-A
      value: ''
      override: true
    remove_headers_config: [Server]
    server_timing_headers_config:
      enabled: true
      sampling_rate: 12.5
behaviors:
- path_pattern: /$x/*
  target_origin: site
  cache_policy: p
  origin_request_policy: null
  response_headers_policy: null
  allowed_methods: [GET, POST]
  disallowed_status: 403
  cached_methods: [GET]
  compress: false
  cached_posts: null
default_behavior:
  target_origin: media
  cache_policy: CachingOptimized
  origin_request_policy: null
  response_headers_policy: null
  allowed_methods: [GET, HEAD]
  disallowed_status: 403
  cached_methods: [GET, HEAD]
  compress: false
  cached_posts: null
custom_error_responses: []
backfill:
  sources:
    images:
      origin: site
      path: '{rest}'
      strip_prefix: ''
      query: [w]
      pass_headers: all
      block_headers: [X-Who]
      set_headers:
        X-Token: '***'
      follow_redirects: 0
      redirect_hosts: []
      rate: 12.5
      bandwidth: 1MiB
      breaker:
        failures: 5
        rest: 30s
  rules:
  - path_pattern: '*'
    mode: queue
    sources: [images]
    on_status: [404]
    methods: [GET, HEAD]
    content_types: []
    min_object: 0B
    max_object: 5TiB
    refresh:
      every: 1d
    enabled: true
  queue: memory
  sqs: null
  concurrency: 4
  queue_size: 10000
  attempts: 5
  backoff_base: 1s
  backoff_cap: 1m
  lease: 30s
  make_concurrency: 16
  make_timeout: 1m
  missing_for: 1m
  history: 10000
  part_size: 8MiB
  parts_at_once: 2
  write_timeout: 2m
  tombstone_for: 1d
events:
  token: '***'
  sqs: null
  ignore_principals: [filler]
health:
  board: memory
  redis_url: null
  table: edgeproxy-health
  region: us-east-1
  endpoint: null
  credentials: default
  resolve_interval: 30s
"""


def test_every_default_is_filled_in_and_every_secret_hidden() -> None:
    config = parse(
        """
backfill:
  sources:
    images: {origin: site, query: [w], pass_headers: all, block_headers: [X-Who],
      set_headers: {X-Token: hush}, rate: 12.5, bandwidth: 1MiB}
  rules: [{on_status: [404], sources: [images], refresh: {every: 1d}}]
behaviors: [{path_pattern: "/$$x/*", target_origin: site, cache_policy: p, allowed_methods: [GET, POST]}]
origin_request_policies: {r: {query: all, cookies: {all_except: [c]}}}
response_headers_policies:
  h:
    cors_config: {access_control_allow_origins: ["https://*.example.com"], access_control_max_age_sec: 600,
      access_control_allow_methods: [ALL], access_control_expose_headers: ["*"]}
    security_headers_config: {content_type_options: {}, frame_options: {frame_option: DENY, override: false}}
    custom_headers_config: [{header: X-A}]
    remove_headers_config: [Server]
    server_timing_headers_config: {enabled: true, sampling_rate: 12.50}
cache_policies: {p: {max_ttl: 5400s, query: {whitelist: [a, b]}, headers: [X-A]}}
origin_groups: {media: {members: [bucket, site], failover_on: [503, 404, 403]}}
default_behavior: {target_origin: media}
origins:
  bucket:
    type: s3
    bucket: assets
    custom_headers: {X-A: hunter2}
    credentials: {access_key_id: me, secret_access_key: hunter2}
  site: {type: http, url: "http://127.0.0.1:9100/", read_timeout: 1.5s}
cache: {memory: 1024MiB}
admin: {listen: "[::1]:8081", token: hunter2}
events: {token: hunter2, ignore_principals: [filler]}
server: {aliases: [www.example.com]}
""",
        {},
    )
    assert effective(config) == EFFECTIVE


@pytest.mark.parametrize("text", [SMALL, (ROOT / "config.yaml").read_text(), EFFECTIVE])
def test_it_loads_again_to_the_same(text: str) -> None:
    shown = effective(parse(text, {}))
    assert effective(parse(shown, {})) == shown


@given(st.text(alphabet="${}abA:-") | st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_text_is_written_so_that_it_is_read_again(text: str) -> None:
    assert filled(read(as_yaml({"a": text})), {}) == ({"a": text}, [])


def violations(document: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(json_schema())
    return sorted(error.json_path for error in validator.iter_errors(document))


def test_the_schema_is_one() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "edgeproxy config.yaml"


@pytest.mark.parametrize(
    "text",
    [
        SMALL,
        (ROOT / "config.yaml").read_text(),
        EFFECTIVE.split("behaviors:")[0] + "default_behavior: {target_origin: site}",
    ],
)
def test_the_schema_takes_what_loads(text: str) -> None:
    document = yaml.safe_load(text)
    assert violations(document) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("server", []),
        ("server", {"lisen": "127.0.0.1:80"}),
        ("server", {"listen": 8080}),
        ("server", {"max_connections": 0}),
        ("server", {"debug_headers": "yes"}),
        ("server", {"drain_timeout": 30}),
        ("cache", {"memory": 256}),
        ("cache", {"memory": True}),
        ("log", {"format": "xml"}),
        ("origins", []),
        ("origins", {"o": {"type": "ftp"}}),
        ("origins", {"o": {"type": "s3"}}),
        ("origins", {"o": {"type": "s3", "bucket": "abc", "credentials": "x"}}),
        ("origin_groups", {"g": {"members": ["a"], "failover_on": [404]}}),
        ("origin_groups", {"g": {"members": ["a", "b"], "failover_on": [200]}}),
        ("cache_policies", {"p": {"query": "some"}}),
        ("cache_policies", {"p": {"query": {"whitelist": "a"}}}),
        ("behaviors", {}),
        ("behaviors", [{"path_pattern": "/a"}]),
        ("backfill", {"rules": [{"on_status": [500]}]}),
        ("extra", {}),
    ],
)
def test_the_schema_refuses_what_is_wrong(path: str, value: Any) -> None:
    assert violations({**yaml.safe_load(SMALL), path: value})


def test_the_schema_takes_variables() -> None:
    document = yaml.safe_load(SMALL) | {
        "server": {
            "listen": "${A}",
            "max_connections": "${A}",
            "debug_headers": "${A}",
            "drain_timeout": "${A:-1s}",
        },
        "log": {"format": "${A}"},
        "cache_policies": {"p": {"query": "${A}"}},
        "origin_groups": {"media": {"members": ["${A}", "${B}"], "failover_on": ["${A}"]}},
    }
    assert violations(document) == []


def test_the_schema_beside_config_yaml_is_this_one() -> None:
    beside = json.loads((ROOT / "config.schema.json").read_text(encoding="utf-8"))
    assert beside == json_schema(), "write it again: edgeproxy schema > config.schema.json"


def test_every_setting_is_described() -> None:
    nameless = [
        f"{name}.{setting}"
        for name, section in json_schema()["$defs"].items()
        for setting, about in section["properties"].items()
        if not about.get("description")
    ]
    assert nameless == []


def test_config_yaml_says_what_docker_compose_runs() -> None:
    config = load(ROOT / "config.yaml", {})
    assert str(config.server.listen) == "127.0.0.1:8080"
    assert config.admin.listen.is_loopback
    assert config.origin_groups["media"].members == ("bucket", "site")
    assert config.origin_groups["media"].failover_on == {403, 404, 500, 502, 503, 504}
    api, rest = config.behavior_values()
    assert (api.pattern.text, api.target, api.cache.name) == ("/api/*", "site", "CachingDisabled")
    assert api.origin_request.name == "AllViewerExceptHostHeader"
    assert len(api.allowed_methods) == 7
    assert (rest.target, rest.cache.name) == ("media", "CachingOptimized")
    assert [rule.path_pattern for rule in config.backfill.rules] == ["*"]


def test_the_manual_is_up_to_date() -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert page == markdown(), "write it again: edgeproxy schema --markdown > docs/configuration.md"
