"""What of a configuration goes into the zip of a function that balances."""

from dataclasses import replace

import pytest

from edgeproxy.config import parse
from edgeproxy.config.document import DocumentError
from edgeproxy.config.portion import for_balancing, variables

TEXT = """
server: {listen: "${LISTEN}", default_root_object: index.html, aliases: [a.example.com]}
admin: {token: "${ADMIN_TOKEN}"}
cache: {disk: {folder: /var/cache}}
origins:
  bucket:
    {type: s3, bucket: "${BUCKET}", credentials: {access_key_id: k, secret_access_key: of-the-bucket}}
  site: {type: http, url: "${SITE}", custom_headers: {X-Key: of-the-site}}
  api:
    type: pool
    nodes:
      - {url: "https://a.example.com", credentials: {token: "${TOKEN}"}}
      - {url: "https://b.example.com", weight: "${WEIGHT:-3}"}
origin_groups: {media: {members: [bucket, site], failover_on: [404]}}
response_headers_policies: {open: {cors_config: {access_control_allow_origins: ["*"]}}}
behaviors: [{path_pattern: /api/*, target_origin: api, response_headers_policy: open}]
default_behavior: {target_origin: media}
backfill: {rules: [{}]}
health: {board: dynamodb, table: "${TABLE:-nodes}"}
log: {format: json}
"""


def test_what_balances_is_whole_and_the_rest_is_not_there() -> None:
    text = for_balancing(TEXT)
    assert variables(text) == {"TOKEN": False, "WEIGHT": True, "TABLE": True}
    for secret in ("ADMIN_TOKEN", "of-the-bucket", "of-the-site", "LISTEN", "/var/cache"):
        assert secret not in text
    got = parse(text, {"TOKEN": "t"})
    whole = parse(
        TEXT,
        {"TOKEN": "t", "LISTEN": "127.0.0.1:1", "ADMIN_TOKEN": "x", "BUCKET": "bucket", "SITE": "http://s"},
    )
    assert got.origins["api"] == whole.origins["api"]
    for here, there in zip(got.behavior_values(), whole.behavior_values(), strict=True):
        assert replace(here, pattern=there.pattern) == there
    assert got.health == whole.health
    assert got.server.default_root_object == "index.html"


def test_a_variable_that_is_wanted_once_is_wanted() -> None:
    assert variables("${A:-1} ${A} $${B} $$ ${C:-} ${no way}") == {"A": False, "C": True}


def test_a_text_that_is_no_configuration() -> None:
    with pytest.raises(DocumentError):
        for_balancing("- a")
    assert for_balancing("origins: [a]") == '{"origins": ["a"]}'
