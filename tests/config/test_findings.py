"""Every sort of mistake in one section, with the exact line that tells it."""

# ruff: noqa: E501 - a row of the table is a line

import pytest

from tests.config.conftest import SMALL, Told

S3 = "origins: {o: {type: s3, bucket: assets, %s}}\ndefault_behavior: {target_origin: o}"
HTTP = "origins: {o: {type: http, url: http://a, %s}}\ndefault_behavior: {target_origin: o}"
POOL = "origins: {o: {type: pool, nodes: [{url: http://a}], %s}}\ndefault_behavior: {target_origin: o}"
NODES = "origins: {o: {type: pool, nodes: [%s]}}\ndefault_behavior: {target_origin: o}"
POLICY = SMALL + "cache_policies: {p: {%s}}"
ERROR = SMALL + "custom_error_responses: [{%s}]"
DRESS = SMALL + "response_headers_policies: {p: {%s}}"
BEHAVIOR = SMALL + "behaviors: [{path_pattern: /a, target_origin: site, %s}]"
GROUP = "origins: {a: {type: http, url: http://a}, b: {type: http, url: http://b}}\n"
GROUP += "origin_groups: {g: {%s}}\ndefault_behavior: {target_origin: a}"

CHOICE = "none, all, {whitelist: [...]} or {all_except: [...]}"
TEXT = "visible ASCII characters without blanks"
DURATION = "with its unit such as 500ms, 30s, 5m, 24h or 365d"
SIZE = "a size with its unit such as 512KiB, 256MiB or 10GB"
BUCKET = 'the name of a bucket: 3 to 63 letters, digits, "-", "_" and "."'
NAME = 'a name of letters, digits, "_", "-" and "."'
URL = "scheme, host and port such as https://www.example.com:8443 (a path goes to origin_path)"
STATUSES = "one of 400, 403, 404, 416, 429, 500, 502, 503, 504"
KEYS = "default, anonymous or {access_key_id: ..., secret_access_key: ...}"
PATTERN = 'a path as it stands in a URL, such as /images/*.jpg (no "//", no "..", é escaped as %C3%A9)'
CUSTOM = "the name of a header that edgeproxy does not set itself"
FREE = "the name of a header that a policy may change"
VALUE = "at most 1783 ASCII characters without blanks around them"


SOURCE = "backfill.sources.a"
TEMPLATE = (
    "want a path such as /originals{rest}, in which {path} is the viewer's, {rest} what strip_prefix leaves of it,"
    ' and {key} the object\'s key without "/" in front'
)


def source(settings: str) -> str:
    return small(f"backfill: {{sources: {{a: {{origin: site, {settings}}}}}}}")


def small(more: str) -> str:
    return f"{SMALL}\n{more}"


MISTAKES: dict[str, tuple[str, str]] = {
    # The shape of the file.
    "required section": ("origins: {a: {type: http, url: http://a}}", "default_behavior: is missing"),
    "required setting": (small("behaviors: [{path_pattern: /a}]"), "behaviors[0].target_origin: is missing"),
    "text for a section": (small("server: x"), "server: got text, want a mapping"),
    "list for a section": (small("cache: [x]"), "cache: got a list, want a mapping"),
    "list for named sections": (small("cache_policies: [x]"), "cache_policies: got a list, want a mapping"),
    "nothing for a named section": (small("cache_policies: {p: }"), "cache_policies.p: got nothing, want a mapping"),
    "nothing in a list": (small("behaviors: [~]"), "behaviors[0]: got nothing, want a mapping"),
    "mapping for a list": (small("behaviors: {a: b}"), "behaviors: got {a: ...}, want a list"),
    "text for a list": (small("server: {aliases: a}"), 'server.aliases: got "a", want a list'),
    "mapping for text": (small("server: {default_root_object: {a: b}}"), 'server.default_root_object: got {a: ...}, want the name of an object such as index.html, without "/" in front'),
    "no origins": ("origins: {}\ndefault_behavior: {target_origin: a}", "origins: got 0 of them, want at least 1"),
    "setting with a slip": (small("server: {lisen: x}"), 'server.lisen: is not a setting, want "listen"'),
    "setting from elsewhere": (small("log: {zzz: }"), "log.zzz: is not a setting, want one of access, format"),
    "section with a slip": (small("orgins: {}"), 'orgins: is not a setting, want "origins"'),
    "setting of the other type": (HTTP % "bucket: x", "origins.o.bucket: is not a setting, want one of connection_attempts, connection_timeout, custom_headers, keepalive_timeout, max_connections, origin_path, read_timeout, tls_verify, type, url"),
    "setting deep down": (S3 % "credentials: {access_key_id: a, secret_access_key: b, sesion_token: c}", 'origins.o.credentials.sesion_token: is not a setting, want "session_token"'),
    "setting in a list": (small("backfill: {rules: [{patern: x}]}"), 'backfill.rules[0].patern: is not a setting, want "path_pattern"'),
    "setting in an origin named as one": ("origins: {s3: {type: s3, bucket: abc, regoin: x}}\ndefault_behavior: {target_origin: s3}", 'origins.s3.regoin: is not a setting, want "region"'),
    # Units.
    "bare number for a size": (small("cache: {memory: 256}"), f"cache.memory: got 256, want {SIZE}"),
    "boolean for a size": (small("cache: {memory: true}"), f"cache.memory: got true, want {SIZE}"),
    "list for a size": (small("cache: {memory: [1MiB]}"), f"cache.memory: got [1MiB], want {SIZE}"),
    "infinite size": (small("cache: {memory: .inf}"), f'cache.memory: got ".inf", want {SIZE}'),
    "date for a size": (small("cache: {memory: 2001-01-01}"), f'cache.memory: got "2001-01-01", want {SIZE}'),
    "huge size": (small("cache: {memory: 9999999999999TiB}"), 'cache.memory: got "9999999999999TiB", want a size from 0B to 8192TiB'),
    "part size": (small("backfill: {part_size: 1MiB}"), 'backfill.part_size: got "1MiB", want a size from 5MiB to 5GiB'),
    "small disk": (small("cache: {disk: {folder: /x, size: 9KiB}}"), 'cache.disk.size: got "9KiB", want 1MiB or more'),
    "object larger than half the disk": (small("cache: {disk: {folder: /x, size: 9MiB, max_object: 5MiB}}"), 'cache.disk.max_object: got "5MiB", want at most half of size, which is 4608KiB'),
    "object larger than the cache": (small("cache: {memory: 1MiB, max_object: 2MiB}"), 'cache.max_object: got "2MiB", want at most memory, which is 1MiB'),
    "bare number for a duration": (small("server: {drain_timeout: 30}"), f"server.drain_timeout: got 30, want a duration {DURATION}"),
    "no time at all": (small("server: {head_timeout: 0}"), "server.head_timeout: got 0, want a duration of at least 1ms"),
    "more than a hundred years": (small("server: {drain_timeout: 99999d}"), 'server.drain_timeout: got "99999d", want a duration of at most 36500d'),
    # Numbers, flags, words.
    "boolean for a number": (small("server: {max_connections: true}"), "server.max_connections: got true, want a whole number from 1 to 1000000"),
    "too small a number": (small("backfill: {attempts: 0}"), "backfill.attempts: got 0, want a whole number from 1 to 100"),
    "huge number": (small("backfill: {attempts: " + "9" * 5000 + "}"), "backfill.attempts: got " + "9" * 77 + "..., want a whole number from 1 to 100"),
    "fraction": (small("backfill: {attempts: 1.5}"), "backfill.attempts: got 1.5, want a whole number from 1 to 100"),
    "not a number": (small("backfill: {attempts: .nan}"), 'backfill.attempts: got ".nan", want a whole number from 1 to 100'),
    "yes for true": (small("server: {debug_headers: yes}"), 'server.debug_headers: got "yes", want true or false'),
    "number for true": (small("log: {access: 1}"), "log.access: got 1, want true or false"),
    "word out of a few": (small("log: {format: xml}"), 'log.format: got "xml", want one of text, json'),
    "list for a word": (small("log: {format: [text]}"), "log.format: got [text], want one of text, json"),
    # Addresses and names.
    "listen": (small("server: {listen: 8080}"), "server.listen: got 8080, want an address such as 127.0.0.1:8080 or [::1]:8080"),
    "network": (small("server: {trusted_proxies: [x]}"), 'server.trusted_proxies[0]: got "x", want a network such as 10.0.0.0/8, or an address'),
    "network with host bits": (small("server: {trusted_proxies: [10.0.0.1/8]}"), 'server.trusted_proxies[0]: got "10.0.0.1/8", want 10.0.0.0/8, the network of that address'),
    "host name": (small("server: {aliases: ['*.example.com']}"), 'server.aliases[0]: got "*.example.com", want a host name such as www.example.com'),
    "host name twice": (small("server: {aliases: [a, A]}"), "server.aliases: got [a, A], want each of them once"),
    "root object": (small("server: {default_root_object: /index.html}"), 'server.default_root_object: got "/index.html", want the name of an object such as index.html, without "/" in front'),
    "name of a policy": (small('origin_request_policies: {"a b": {}}'), f'origin_request_policies: got the name "a b", want {NAME}'),
    "name with a line end": (small('cache_policies: {"a\\nb": {}}'), f'cache_policies: got the name "a\\nb", want {NAME}'),
    "url": (HTTP.replace("http://a", "http://a/b") % "", f'origins.o.url: got "http://a/b", want {URL}'),
    "endpoint": (S3 % "endpoint: 127.0.0.1:9000", f'origins.o.endpoint: got "127.0.0.1:9000", want {URL}'),
    "password in a url": (S3 % "endpoint: 'http://me:hunter2@a'", f'origins.o.endpoint: got "http://***@a", want {URL}'),
    "bucket": (S3.replace("assets", "a_") % "", f'origins.o.bucket: got "a_", want {BUCKET}'),
    "region": (S3 % "region: EU", 'origins.o.region: got "EU", want a region such as eu-west-1'),
    "origin path": (S3 % "origin_path: /a/", 'origins.o.origin_path: got "/a/", want a path such as /production, with "/" in front and none at the end'),
    "attempts": (S3 % "connection_attempts: 4", "origins.o.connection_attempts: got 4, want a whole number from 1 to 3"),
    # Shapes.
    "pool without nodes": (NODES % "", "origins.o.nodes: got 0 of them, want at least 1"),
    "pool of backups": (NODES % "{url: http://a, tier: backup}", "origins.o.nodes: got [{url: ..., tier: ...}], want at least one whose tier is primary"),
    "nodes of one name": (NODES % "{url: http://a}, {url: http://b, name: a}", "origins.o.nodes: got [{url: ...}, {url: ..., name: ...}], want a name of its own for each node; a stands twice"),
    "node without weight": (NODES % "{url: http://a, weight: 0}", "origins.o.nodes[0].weight: got 0, want a whole number from 1 to 1000"),
    "node with a path in its URL": (NODES % "{url: http://a/v1}", 'origins.o.nodes[0].url: got "http://a/v1", want scheme, host and port such as https://www.example.com:8443 (a path goes to origin_path)'),
    "setting of a node": (NODES % "{url: http://a, wieght: 1}", 'origins.o.nodes[0].wieght: is not a setting, want "weight"'),
    "header of a node": (NODES % '{url: http://a, custom_headers: {X-A: "sé"}}', f"origins.o.nodes[0].custom_headers.X-A: got ***, want {VALUE}"),
    "credentials of two sorts": (NODES % "{url: http://a, credentials: {token: t, username: u, password: p}}", "origins.o.nodes[0].credentials: got ***, want a token, or username and password"),
    "name without password": (NODES % "{url: http://a, credentials: {username: u}}", "origins.o.nodes[0].credentials: got ***, want a token, or username and password"),
    "race without checks": (POOL % "algorithm: race", 'origins.o.algorithm: got "race", want checks beside it, which say what a ping is'),
    "algorithm": (POOL % "algorithm: best", 'origins.o.algorithm: got "best", want one of p2c-ewma, least-load, round-robin, random, ip-hash, fastest-ping, race, dns'),
    "value without pointer": (POOL % "checks: {expect_value: ok}", 'origins.o.checks.expect_value: got "ok", want expect_pointer beside it'),
    "lag without head": (POOL % "checks: {max_lag: 3}", "origins.o.checks.max_lag: got 3, want head_pointer beside it"),
    "body of a GET": (POOL % "checks: {method: GET, body: x}", 'origins.o.checks.method: got "GET", want POST for a body'),
    "share": (POOL % "retries: {share: 1.5}", "origins.o.retries.share: got 1.5, want a number from 0 to 1 such as 0.2"),
    "type of origin": ("origins: {o: {type: S3, bucket: abc}}\ndefault_behavior: {target_origin: o}", 'origins.o.type: got "S3", want s3, http or pool'),
    "no type of origin": ("origins: {o: {bucket: abc}}\ndefault_behavior: {target_origin: o}", "origins.o.type: is missing, want s3, http or pool"),
    "list for a type of origin": ("origins: {o: {type: [s3]}}\ndefault_behavior: {target_origin: o}", "origins.o.type: got [s3], want s3, http or pool"),
    "redis without a url": (small("health: {board: redis}"), 'health.board: got "redis", want redis_url beside it'),
    "redis somewhere else": (small("health: {board: redis, redis_url: 'http://:hunter2@a'}"), "health.redis_url: got ***, want a URL such as redis://:password@127.0.0.1:6379/0"),
    "board": (small("health: {board: paper}"), 'health.board: got "paper", want one of memory, sqlite, redis, dynamodb'),
    "anonymous at a table": (small("health: {credentials: anonymous}"), "health.credentials: got ***, want default or {access_key_id: ..., secret_access_key: ...}"),
    "list for an origin": ("origins: {o: [hunter2]}\ndefault_behavior: {target_origin: o}", "origins.o: got a list, want a mapping"),
    "word for keys": (S3 % "credentials: hunter2", f"origins.o.credentials: got ***, want {KEYS}"),
    "list for keys": (S3 % "credentials: [hunter2]", f"origins.o.credentials: got ***, want {KEYS}"),
    "missing key": (S3 % "credentials: {access_key_id: a}", "origins.o.credentials.secret_access_key: is missing"),
    "key with a line end": (S3 % 'credentials: {access_key_id: a, secret_access_key: "hunter2\\n"}', f"origins.o.credentials.secret_access_key: got ***, want {TEXT}"),
    "list for a key": (S3 % "credentials: {access_key_id: a, secret_access_key: [hunter2]}", f"origins.o.credentials.secret_access_key: got ***, want {TEXT}"),
    "token with blanks": (small("admin: {token: hunter2 x}"), f"admin.token: got ***, want {TEXT}"),
    "mapping for a token": (small("admin: {token: {hunter2: }}"), f"admin.token: got ***, want {TEXT}"),
    "path for a queue": (small("events: {sqs: {url: /changes}}"), 'events.sqs.url: got "/changes", want the URL of a queue, such as https://sqs.eu-west-1.amazonaws.com/123456789012/changes'),
    "anonymous for a queue": (small("events: {sqs: {url: 'http://a/b', credentials: anonymous}}"), "events.sqs.credentials: got ***, want default or {access_key_id: ..., secret_access_key: ...}"),
    "word for a choice": (POLICY % "query: some", f'cache_policies.p.query: got "some", want {CHOICE}'),
    "list for a choice": (POLICY % "query: [1]", f"cache_policies.p.query: got [1], want {CHOICE}"),
    "two choices": (POLICY % "cookies: {whitelist: [a], all_except: [b]}", f"cache_policies.p.cookies: got {{whitelist: ..., all_except: ...}}, want {CHOICE}"),
    "no choice": (POLICY % "cookies: {}", f"cache_policies.p.cookies: got {{}}, want {CHOICE}"),
    "text in a choice": (POLICY % "query: {whitelist: a}", 'cache_policies.p.query.whitelist: got "a", want a list'),
    "nothing in a choice": (POLICY % "query: {all_except: []}", "cache_policies.p.query.all_except: got 0 of them, want at least 1"),
    "blank in a choice": (POLICY % "query: {whitelist: [a, b c]}", f'cache_policies.p.query.whitelist[1]: got "b c", want {TEXT}'),
    "blank in a choice of one": (POLICY % "query: {whitelist: [b c]}", f'cache_policies.p.query.whitelist[0]: got "b c", want {TEXT}'),
    "name twice in a choice": (POLICY % "query: {whitelist: [a, A, a]}", "cache_policies.p.query.whitelist: got [a, A, a], want each of them once"),
    # Headers.
    "header name": (POLICY % "headers: ['a:']", 'cache_policies.p.headers[0]: got "a:", want the name of a header'),
    "header twice": (POLICY % "headers: [X-A, x-a]", "cache_policies.p.headers: got [X-A, x-a], want each of them once"),
    "custom header of ours": (HTTP % "custom_headers: {Host: hunter2}", f'origins.o.custom_headers: got the name "Host", want {CUSTOM}'),
    "custom header with a line end": (HTTP % 'custom_headers: {X-A: "hunter2\\r\\nX-B: c"}', f"origins.o.custom_headers.X-A: got ***, want {VALUE}"),
    "custom header with blanks": (HTTP % "custom_headers: {X-A: ' hunter2'}", f"origins.o.custom_headers.X-A: got ***, want {VALUE}"),
    "custom header not ASCII": (HTTP % "custom_headers: {X-A: hünter2}", f"origins.o.custom_headers.X-A: got ***, want {VALUE}"),
    "long custom header": (HTTP % f"custom_headers: {{X-A: {'a' * 1784}}}", f"origins.o.custom_headers.X-A: got ***, want {VALUE}"),
    "nothing for a custom header": (HTTP % "custom_headers: {X-A: }", f"origins.o.custom_headers.X-A: got ***, want {VALUE}"),
    "custom header twice": (HTTP % "custom_headers: {X-A: hunter2, x-a: hunter2}", "origins.o.custom_headers: got ***, want one of X-A and x-a, which are the same header"),
    "list for custom headers": (HTTP % "custom_headers: [hunter2]", "origins.o.custom_headers: got a list, want a mapping"),
    # Groups.
    "one member": (GROUP % "members: [a], failover_on: [404]", "origin_groups.g.members: got [a], want two origins, the primary first"),
    "three members": (GROUP % "members: [a, b, a], failover_on: [404]", "origin_groups.g.members: got [a, b, a], want two origins, the primary first"),
    "no status": (GROUP % "members: [a, b], failover_on: []", "origin_groups.g.failover_on: got 0 of them, want at least 1"),
    "other status": (GROUP % "members: [a, b], failover_on: [404, 200]", f"origin_groups.g.failover_on[1]: got 200, want {STATUSES}"),
    "status of text": (GROUP % "members: [a, b], failover_on: [4xx]", f'origin_groups.g.failover_on[0]: got "4xx", want {STATUSES}'),
    "status twice": (GROUP % "members: [a, b], failover_on: [404, 404]", "origin_groups.g.failover_on: got [404, 404], want each of them once"),
    # Response headers.
    "nobody allowed": (DRESS % "cors_config: {access_control_allow_origins: []}", "response_headers_policies.p.cors_config.access_control_allow_origins: got 0 of them, want at least 1"),
    "half an origin": (DRESS % "cors_config: {access_control_allow_origins: [exa*mple.org]}", 'response_headers_policies.p.cors_config.access_control_allow_origins[0]: got "exa*mple.org", want an origin such as https://www.example.com or https://*.example.com'),
    "credentials for all": (DRESS % "cors_config: {access_control_allow_origins: ['*'], access_control_allow_credentials: true}", "response_headers_policies.p.cors_config.access_control_allow_origins: got [*], want origins by name, as credentials are allowed"),
    "frame option": (DRESS % "security_headers_config: {frame_options: {frame_option: deny}}", 'response_headers_policies.p.security_headers_config.frame_options.frame_option: got "deny", want one of DENY, SAMEORIGIN'),
    "two filters": (DRESS % "security_headers_config: {xss_protection: {protection: true, mode_block: true, report_uri: /a}}", 'response_headers_policies.p.security_headers_config.xss_protection.report_uri: got "/a", want none, as mode_block is true'),
    "misspelt in what is optional": (DRESS % "security_headers_config: {xss_protection: {protection: true, mode_blok: true}}", 'response_headers_policies.p.security_headers_config.xss_protection.mode_blok: is not a setting, want "mode_block"'),
    "header that stays": (DRESS % "remove_headers_config: [x-amz-cf-id]", f'response_headers_policies.p.remove_headers_config[0]: got "x-amz-cf-id", want {FREE}'),
    "header that is not theirs": (DRESS % "custom_headers_config: [{header: Content-Length}]", f'response_headers_policies.p.custom_headers_config[0].header: got "Content-Length", want {FREE}'),
    "header with a line end": (DRESS % 'custom_headers_config: [{header: X-A, value: "a\\r\\nb"}]', f'response_headers_policies.p.custom_headers_config[0].value: got "a\\r\\nb", want {VALUE}'),
    "header added twice": (DRESS % "custom_headers_config: [{header: X-A}, {header: x-a}]", "response_headers_policies.p.custom_headers_config: got [{header: ...}, {header: ...}], want each header once"),
    "more than all": (DRESS % "server_timing_headers_config: {enabled: true, sampling_rate: 100.1}", 'response_headers_policies.p.server_timing_headers_config.sampling_rate: got 100.1, want a number from 0 to 100 such as 12.5'),
    "too fine a rate": (DRESS % "server_timing_headers_config: {enabled: true, sampling_rate: 0.00001}", 'response_headers_policies.p.server_timing_headers_config.sampling_rate: got 0.00001, want a number from 0 to 100 such as 12.5'),
    # TTLs.
    "default below min": (POLICY % "min_ttl: 2m, default_ttl: 1m", 'cache_policies.p.default_ttl: got "1m", want at least min_ttl, which is 2m'),
    "a guess beside a default": (POLICY % "heuristic_freshness: 0.1, default_ttl: 1m", 'cache_policies.p.heuristic_freshness: got 0.1, want 0 where min_ttl or default_ttl is above 0s'),
    "a guess beside a minimum": (POLICY % "heuristic_freshness: 0.1, min_ttl: 1m", 'cache_policies.p.heuristic_freshness: got 0.1, want 0 where min_ttl or default_ttl is above 0s'),
    "a guess of more than all": (POLICY % "heuristic_freshness: 10", 'cache_policies.p.heuristic_freshness: got 10, want a number from 0 to 1 such as 0.1'),
    "max below min": (POLICY % "min_ttl: 2m, max_ttl: 1m", 'cache_policies.p.max_ttl: got "1m", want at least min_ttl, which is 2m'),
    "max below default": (POLICY % "default_ttl: 2m, max_ttl: 1m", 'cache_policies.p.max_ttl: got "1m", want at least default_ttl, which is 2m'),
    # Behaviours and rules.
    "path pattern": (small("behaviors: [{path_pattern: /a//b, target_origin: site}]"), f'behaviors[0].path_pattern: got "/a//b", want {PATTERN}'),
    "empty path pattern": (small("behaviors: [{path_pattern: '', target_origin: site}]"), f'behaviors[0].path_pattern: got "", want {PATTERN}'),
    "method": (BEHAVIOR % "allowed_methods: [GET, get]", 'behaviors[0].allowed_methods[1]: got "get", want one of GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE'),
    "method twice": (BEHAVIOR % "allowed_methods: [GET, GET]", "behaviors[0].allowed_methods: got [GET, GET], want each of them once"),
    "no method": (BEHAVIOR % "allowed_methods: []", "behaviors[0].allowed_methods: got 0 of them, want at least 1"),
    "cached POST": (BEHAVIOR % "allowed_methods: [GET, POST], cached_methods: [POST]", 'behaviors[0].cached_methods[0]: got "POST", want one of GET, HEAD, OPTIONS'),
    "cached but not allowed": (BEHAVIOR % "cached_methods: [GET, OPTIONS]", "behaviors[0].cached_methods: got [GET, OPTIONS], want only methods that are in allowed_methods"),
    "76 behaviours": (small("behaviors: [" + ", ".join(f"{{path_pattern: /{n}, target_origin: site}}" for n in range(76)) + "]"), "behaviors: got 76 of them, want at most 75"),
    "error without a page": (ERROR % "error_code: 412", "custom_error_responses[0].error_code: got 412, want one of 400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504"),
    "page with a status of its own": (ERROR % "error_code: 404, response_page_path: /a, response_code: 201", "custom_error_responses[0].response_code: got 201, want one of 200, 400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504"),
    "page without a status": (ERROR % "error_code: 404, response_page_path: /a", 'custom_error_responses[0].response_page_path: got "/a", want response_code beside it'),
    "status without a page": (ERROR % "error_code: 404, response_code: 200", "custom_error_responses[0].response_code: got 200, want response_page_path beside it"),
    "page with a query": (ERROR % "error_code: 404, response_page_path: '/a?b=1', response_code: 200", 'custom_error_responses[0].response_page_path: got "/a?b=1", want the path of a page such as /errors/404.html'),
    "error twice": (ERROR % "error_code: 404}, {error_code: 404", "custom_error_responses: got [{error_code: ...}, {error_code: ...}], want each of them once"),
    "source's path": (source("path: /fixed"), f'{SOURCE}.path: got "/fixed", {TEMPLATE}'),
    "source's path with another place": (source("path: '/{file}'"), f'{SOURCE}.path: got "/{{file}}", {TEMPLATE}'),
    "prefix that is not stripped": (source("path: '{path}', strip_prefix: /img"), f'{SOURCE}.strip_prefix: got "/img", want {{rest}} in the path beside it'),
    "secret passed": (source("pass_headers: [Accept, Cookie]"), f"{SOURCE}.pass_headers: got [Accept, Cookie], want the name of a header that may be passed on (Authorization and Cookie may not)"),
    "passed twice": (source("pass_headers: [Accept, ACCEPT]"), f"{SOURCE}.pass_headers: got [Accept, ACCEPT], want each of them once"),
    "no header names": (source("pass_headers: []"), f"{SOURCE}.pass_headers: got [], want none, all or a list: header name"),
    "blocked of none": (source("block_headers: [Accept]"), f"{SOURCE}.block_headers: got [Accept], want pass_headers: all beside it"),
    "query": (source("query: some"), f'{SOURCE}.query: got "some", want none, all or a list: parameter'),
    "parameter": (source("query: [a=b]"), f'{SOURCE}.query: got ["a=b"], want the name of a query parameter'),
    "set header": (source('set_headers: {X-Token: "hush\\n"}'), f"{SOURCE}.set_headers.X-Token: got ***, want at most 1783 ASCII characters without blanks around them"),
    "too many redirects": (source("follow_redirects: 11"), f"{SOURCE}.follow_redirects: got 11, want a whole number from 0 to 10"),
    "hosts without redirects": (source("redirect_hosts: [cdn.example.com]"), f"{SOURCE}.redirect_hosts: got [cdn.example.com], want follow_redirects beside it"),
    "host": (source("follow_redirects: 1, redirect_hosts: ['http://a/']"), f'{SOURCE}.redirect_hosts[0]: got "http://a/", want a host such as cdn.example.com, or with its port where that is not the usual one'),
    "no rate": (source("rate: 0"), f"{SOURCE}.rate: got 0, want a number above 0 such as 12.5"),
    "bandwidth": (source("bandwidth: 10B"), f'{SOURCE}.bandwidth: got "10B", want a size from 1KiB to 1TiB'),
    "breaker": (source("breaker: {failures: 0}"), f"{SOURCE}.breaker.failures: got 0, want a whole number from 1 to 1000"),
    "rule's mode": (small("backfill: {rules: [{mode: later}]}"), 'backfill.rules[0].mode: got "later", want one of queue, generate, redirect'),
    "rule's type": (small("backfill: {rules: [{content_types: [image]}]}"), 'backfill.rules[0].content_types[0]: got "image", want a media type such as image/* or application/pdf'),
    "rule's sizes": (small("backfill: {rules: [{min_object: 2MiB, max_object: 1MiB}]}"), 'backfill.rules[0].min_object: got "2MiB", want at most max_object'),
    "rule's method": (small("backfill: {rules: [{methods: [POST]}]}"), 'backfill.rules[0].methods[0]: got "POST", want one of GET, HEAD'),
    "refresh": (small("backfill: {rules: [{refresh: 1d}]}"), 'backfill.rules[0].refresh: got "1d", want never, on-event or {every: ...} with a duration such as 1d'),
    "refresh every": (small("backfill: {rules: [{refresh: {every: 0}}]}"), "backfill.rules[0].refresh: got {every: ...}, want a duration of at least 1ms"),
    "rule's status": (small("backfill: {rules: [{on_status: [500, 404]}]}"), "backfill.rules[0].on_status[0]: got 500, want one of 403, 404"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_in_one_line(text: str, line: str, told: Told) -> None:
    assert told(text) == [line]
    assert line.isprintable()
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "text",
    [
        SMALL,
        S3 % "",
        S3 % "credentials: anonymous",
        HTTP % "custom_headers: {X-A: ''}",
        POLICY % "query: {whitelist: [a, A]}",
        GROUP % "members: [a, b], failover_on: ['404']",
        BEHAVIOR % "cached_methods: []",
    ],
    ids=range(7),
)
def test_what_the_table_starts_from_holds(text: str, told: Told) -> None:
    assert told(text) == []


def test_all_mistakes_are_told_at_once(told: Told) -> None:
    text = """
server: {listen: 8080, lisen: x}
cache: {memory: 1}
origins:
  o: {type: s3, bucket: a, credentials: {access_key_id: a b}}
  p: {type: ftp}
default_behavior: {target_origin: nowhere, cache_policy: "${POLICY}"}
"""
    assert [line.split(":")[0] for line in told(text)] == [
        "default_behavior.cache_policy",
        "server.listen",
        "server.lisen",
        "cache.memory",
        "origins.o.bucket",
        "origins.o.credentials.access_key_id",
        "origins.o.credentials.secret_access_key",
        "origins.p.type",
        "default_behavior.target_origin",
    ]
