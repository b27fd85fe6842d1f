"""Configurations of every shape that a stack has."""

from pathlib import Path

from edgeproxy.config import Config, parse
from edgeproxy.config.portion import for_balancing, variables
from edgeproxy.stack.surroundings import Part, Surroundings
from edgeproxy.stack.template import Template, template

ROOT = Path(__file__).parents[2]

ORIGINS = """
origins:
  bucket: {type: s3, bucket: assets-of-ours, region: eu-west-1}
  site: {type: http, url: "https://www.example.org"}
"""
GROUP = """
origin_groups:
  media: {members: [bucket, site], failover_on: [403, 404]}
default_behavior: {target_origin: media}
"""
NO_KEY = """
cache_policies:
  short: {min_ttl: 0, default_ttl: 1h}
"""
ALL = """
server: {aliases: [cdn.example.org, img.example.org], default_root_object: index.html}
origins:
  bucket: {type: s3, bucket: assets-of-ours, origin_path: /live, read_timeout: 20s}
  made: {type: s3, bucket: made-of-ours}
  site:
    type: http
    url: "https://www.example.org:8443"
    origin_path: /old
    custom_headers: {X-Api-Key: secret-of-the-site}
    connection_timeout: 3s
    keepalive_timeout: 500s
  studio: {type: http, url: "http://studio.example.org"}
origin_groups:
  media: {members: [bucket, site], failover_on: [403, 404, 500]}
cache_policies:
  short:
    {min_ttl: 0, default_ttl: 1h, query: {whitelist: [w, h]}, headers: [Origin], gzip: true, brotli: true}
  long-lived: {min_ttl: 1m, max_ttl: 365d, cookies: {all_except: [sid]}, query: all}
origin_request_policies:
  languages: {headers: {whitelist: [Accept-Language]}, query: all, cookies: {whitelist: [lang]}}
response_headers_policies:
  careful:
    cors_config:
      access_control_allow_origins: ["https://example.org"]
      access_control_allow_methods: [GET, HEAD]
      access_control_allow_headers: ["*"]
      access_control_expose_headers: [ETag]
      access_control_max_age_sec: 600
    security_headers_config:
      strict_transport_security: {access_control_max_age_sec: 31536000, include_subdomains: true}
      content_type_options: {}
      frame_options: {frame_option: DENY}
      referrer_policy: {referrer_policy: same-origin}
      content_security_policy: {content_security_policy: "default-src 'self'"}
      xss_protection: {protection: true, report_uri: "https://example.org/xss"}
    custom_headers_config: [{header: X-Served, value: "yes"}]
    remove_headers_config: [Server]
    server_timing_headers_config: {enabled: true, sampling_rate: 12.5}
behaviors:
  - path_pattern: /api/*
    target_origin: site
    cache_policy: CachingDisabled
    origin_request_policy: AllViewerExceptHostHeader
    allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]
  - path_pattern: /thumbs/*
    target_origin: made
    cache_policy: short
    compress: true
  - path_pattern: /fetched/*
    target_origin: bucket
    cache_policy: short
    origin_request_policy: languages
    response_headers_policy: careful
    allowed_methods: [GET, HEAD, OPTIONS]
    cached_methods: [GET, HEAD, OPTIONS]
default_behavior: {target_origin: media, cache_policy: long-lived, response_headers_policy: SimpleCORS}
custom_error_responses:
  - {error_code: 404, response_page_path: /404.html, response_code: 404, error_caching_min_ttl: 1m}
  - {error_code: 503, error_caching_min_ttl: 1500ms}
backfill:
  make_timeout: 20s
  sources:
    pictures:
      {origin: studio, path: "/make{rest}", strip_prefix: /thumbs, query: [w, h], pass_headers: [Accept]}
    plain: {origin: studio}
  rules:
    - {path_pattern: /thumbs/*, mode: generate, sources: [pictures], max_object: 10MiB}
    - {path_pattern: /fetched/*, mode: redirect, sources: [plain]}
    - {path_pattern: /private/*, enabled: false}
    - {path_pattern: "*"}
"""

POOL = """
origins:
  api:
    type: pool
    custom_headers: {X-Key: "${API_KEY}"}
    nodes:
      - {url: "https://a.example.org", credentials: {token: "${TOKEN:-t}"}}
      - {url: "https://b.example.org", tier: backup}
    checks: {path: /health, interval: 90s, timeout: 3s}
    timeouts: {total: 40s}
  plain: {type: pool, nodes: [{url: "https://c.example.org"}]}
  bucket: {type: s3, bucket: assets-of-ours}
origin_groups:
  media: {members: [bucket, plain], failover_on: [403, 404]}
behaviors:
  - path_pattern: /api/*
    target_origin: api
    cache_policy: CachingDisabled
    origin_request_policy: AllViewerExceptHostHeader
    allowed_methods: [GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE]
  - {path_pattern: /plain/*, target_origin: plain}
default_behavior: {target_origin: media}
"""

VARIANTS: dict[str, str] = {
    "single bucket": ORIGINS + "default_behavior: {target_origin: bucket}",
    "single site": ORIGINS + "default_behavior: {target_origin: site}",
    "group": ORIGINS + GROUP,
    "backfill": ORIGINS + GROUP + "backfill: {rules: [{}]}",
    "backfill of a part": ORIGINS + GROUP + "backfill: {rules: [{path_pattern: /a/*}, {path_pattern: /b/*}]}",
    "generate": ORIGINS + GROUP + "backfill: {rules: [{mode: generate}]}",
    "redirect": ORIGINS
    + NO_KEY
    + GROUP.replace("media}", "media, cache_policy: short}")
    + "backfill: {rules: [{mode: redirect}]}",
    "two mirrors": ORIGINS
    + NO_KEY
    + GROUP.replace("media}", "media, cache_policy: short}")
    + "backfill: {rules: [{mode: redirect, path_pattern: /a/*, max_object: 1MiB}, {mode: redirect}]}",
    "all": ALL,
    "pools": POOL,
    "pools and a REST API": f"{POOL}# REST",
    "unchecked": "origins: {api: {type: pool, nodes: [{url: 'https://a.example.org'}]}}\n"
    "default_behavior: {target_origin: api}",
}

SHAPES = [
    (name, part)
    for name in VARIANTS
    for part in Part
    if (name, part) not in (("single site", Part.STORE), ("unchecked", Part.STORE))
]


def config_of(text: str) -> Config:
    return parse(text, {"API_KEY": "k"})


def own() -> Config:
    """The repository's own, as it is without an environment."""
    return parse((ROOT / "config.yaml").read_text(), {})


def stack_of(text: str, part: Part = Part.WHOLE) -> Template:
    around = Surroundings(part, variables=variables(for_balancing(text)), has_rest=text.endswith("# REST"))
    return template(config_of(text), around)
