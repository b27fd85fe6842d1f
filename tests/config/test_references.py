"""What one section says of another, each mistake with its exact line."""

# ruff: noqa: E501 - a row of the table is a line

import pytest

from tests.config.conftest import SMALL, Told

ORIGINS = """
origins:
  bucket: {type: s3, bucket: assets}
  other: {type: s3, bucket: others}
  site: {type: http, url: "http://127.0.0.1:9100"}
"""
DEFAULT = "default_behavior: {target_origin: site}\n"
MANAGED_CACHE = (
    "CachingDisabled, CachingOptimized, CachingOptimizedForUncompressedObjects, Elemental-MediaPackage, UseOriginCacheControlHeaders,"
    " UseOriginCacheControlHeaders-QueryStrings"
)
MANAGED_REQUEST = "AllViewer, AllViewerExceptHostHeader, CORS-CustomOrigin, CORS-S3Origin, Elemental-MediaTailor-PersonalizedManifests, HostHeaderOnly, UserAgentRefererHeaders"
REFUSED_VIEWER = (
    "want a policy without CloudFront-Viewer-* fields: what they tell of a viewer is not known here"
)
NEVER = "want an origin group with an s3 origin first and such a status in failover_on"


def groups(text: str) -> str:
    return f"{ORIGINS}{DEFAULT}origin_groups: {{{text}}}"


def small(more: str) -> str:
    return f"{SMALL}\n{more}"


MISTAKES: dict[str, tuple[str, list[str]]] = {
    "unknown origin": (ORIGINS + "default_behavior: {target_origin: sight}", ['default_behavior.target_origin: got "sight", want one of bucket, other, site']),
    "unknown target of a behaviour": (small("behaviors: [{path_pattern: /a, target_origin: x}]"), ['behaviors[0].target_origin: got "x", want one of bucket, media, site']),
    "unknown member": (groups("g: {members: [bucket, x], failover_on: [404]}"), ['origin_groups.g.members[1]: got "x", want one of bucket, other, site']),
    "group as a member": (groups("g: {members: [bucket, site], failover_on: [404]}, h: {members: [g, site], failover_on: [404]}"), ['origin_groups.h.members[0]: got "g", want one of bucket, other, site']),
    "twice the same member": (groups("g: {members: [site, site], failover_on: [404]}"), ["origin_groups.g.members: got [site, site], want two different origins"]),
    "group named as an origin": (groups("site: {members: [bucket, other], failover_on: [404]}"), ["origin_groups.site: has the name of an origin, want a name of its own"]),
    "unknown cache policy": (small("cache_policies: {mine: {}}\nbehaviors: [{path_pattern: /a, target_origin: site, cache_policy: x}]"), [f'behaviors[0].cache_policy: got "x", want one of {MANAGED_CACHE}, mine']),
    "unknown origin request policy": (small("behaviors: [{path_pattern: /a, target_origin: site, origin_request_policy: x}]"), [f'behaviors[0].origin_request_policy: got "x", want one of {MANAGED_REQUEST}']),
    "managed policies that cannot be had": (small("behaviors: [{path_pattern: /a, target_origin: site, cache_policy: Managed-Amplify, origin_request_policy: AllViewerAndCloudFrontHeaders-2022-06}, {path_pattern: /b, target_origin: site, cache_policy: Amplify-StaticContent}]"), [
        f'behaviors[0].cache_policy: got "Managed-Amplify", {REFUSED_VIEWER}',
        'behaviors[1].cache_policy: got "Amplify-StaticContent", want another policy: this one is for Amplify Hosting alone',
        f'behaviors[0].origin_request_policy: got "AllViewerAndCloudFrontHeaders-2022-06", {REFUSED_VIEWER}',
    ]),
    "unknown response headers policy": (small("response_headers_policies: {mine: {}}\nbehaviors: [{path_pattern: /a, target_origin: site, response_headers_policy: x}]"), ['behaviors[0].response_headers_policy: got "x", want one of CORS-With-Preflight, CORS-and-SecurityHeadersPolicy, CORS-with-preflight-and-SecurityHeadersPolicy, SecurityHeadersPolicy, SimpleCORS, mine']),
    "policy named as a managed one": (small("cache_policies: {CachingDisabled: {}}\norigin_request_policies: {Managed-AllViewer: {}}"), [
        "cache_policies.CachingDisabled: has the name of a managed policy, want a name of its own",
        "origin_request_policies.Managed-AllViewer: has the name of a managed policy, want a name of its own",
    ]),
    "Host in the key for S3": (small("cache_policies: {p: {headers: [HOST]}}\nbehaviors: [{path_pattern: /a, target_origin: media, cache_policy: p}, {path_pattern: /b, target_origin: site, cache_policy: p}]"), ['behaviors[0].cache_policy: got "p", which has Host in its key, want one without for an S3 origin']),
    "pattern twice": (small("behaviors: [{path_pattern: a/*, target_origin: site}, {path_pattern: /a/*, target_origin: site}]"), ['behaviors[1].path_pattern: got "/a/*", of which behaviors[0] takes everything, want the wider pattern below the narrower']),
    "pattern below everything": (small("behaviors: [{path_pattern: '*', target_origin: site}, {path_pattern: /a, target_origin: site}]"), ['behaviors[1].path_pattern: got "/a", of which behaviors[0] takes everything, want the wider pattern below the narrower']),
    "unknown source": (small("backfill: {sources: {a: {origin: site}, b: {origin: site}}, rules: [{sources: [b, c]}]}"), ['backfill.rules[0].sources[1]: got "c", want one of a, b']),
    "source without any": (small("backfill: {rules: [{sources: [site]}]}"), ['backfill.rules[0].sources[0]: got "site", want a name in backfill.sources']),
    "source named as an origin": (small("backfill: {sources: {site: {origin: site}}}"), ["backfill.sources.site: has the name of an origin, want a name of its own"]),
    "source without an origin": (small("backfill: {sources: {a: {origin: media}}}"), ['backfill.sources.a.origin: got "media", want one of bucket, site']),
    "redirects of a bucket": (small("backfill: {sources: {a: {origin: bucket, follow_redirects: 3}}}"), ["backfill.sources.a.follow_redirects: got 3, want 0 for an s3 origin, which sends nobody elsewhere"]),
    "rule that waits without a bucket": (ORIGINS + DEFAULT + "backfill: {sources: {a: {origin: site}}, rules: [{mode: generate, sources: [a]}]}", [f"backfill.rules[0]: can never apply to [403, 404], {NEVER}"]),
    "rule that queues without a group": (ORIGINS + "default_behavior: {target_origin: bucket}\nbackfill: {sources: {a: {origin: site}}, rules: [{sources: [a]}]}", [f"backfill.rules[0]: can never apply to [403, 404], {NEVER}"]),
    "rule below everything": (small("backfill: {rules: [{}, {path_pattern: /a, enabled: false}]}"), ['backfill.rules[1].path_pattern: got "/a", of which backfill.rules[0] takes everything, want the wider pattern below the narrower']),
    "rule without a group": (ORIGINS + DEFAULT + "backfill: {rules: [{path_pattern: /a}, {}]}", [f"backfill.rules[0]: can never apply to [403, 404], {NEVER}", f"backfill.rules[1]: can never apply to [403, 404], {NEVER}"]),
    "rule with the site first": (groups("g: {members: [site, bucket], failover_on: [404]}") + "\nbackfill: {rules: [{}]}", [f"backfill.rules[0]: can never apply to [403, 404], {NEVER}"]),
    "rule for a status without failover": (groups("g: {members: [bucket, site], failover_on: [403]}") + "\nbackfill: {rules: [{on_status: [404]}]}", [f"backfill.rules[0]: can never apply to [404], {NEVER}"]),
    "same port twice": (small("server: {listen: 127.0.0.1:8081}"), ["admin.listen: got 127.0.0.1:8081 while server.listen is 127.0.0.1:8081, want a port of its own"]),
    "port everywhere": (small("server: {listen: 0.0.0.0:8081}"), ["admin.listen: got 127.0.0.1:8081 while server.listen is 0.0.0.0:8081, want a port of its own"]),
    "nobody for jobs in memory": (small("backfill: {concurrency: 0}"), ["backfill.concurrency: got 0 while backfill.queue is memory, in which no other process finds jobs, want 1 or more"]),
    "queue in a file without a folder": (small("backfill: {queue: sqlite}\nstate: {folder: ''}"), ["state.folder: is missing while backfill.queue is sqlite, want a folder"]),
    "board in a file without a folder": (small("health: {board: sqlite}"), ["state.folder: is missing while health.board is sqlite, want a folder"]),
    "queue of SQS without its place": (small("backfill: {queue: sqs}"), ["backfill.sqs.url: is missing while backfill.queue is sqs, want the queue's url, or its name"]),
    "queue of SQS with both": (small("backfill: {queue: sqs, sqs: {url: 'http://x/1/q', name: q}}"), ['backfill.sqs.name: got "q", want url or name, not both']),
    "lease that SQS cannot give": (small("backfill: {queue: sqs, lease: 13h, sqs: {name: q}}"), ['backfill.lease: got "13h" while backfill.queue is sqs, want 12h or less']),
    "wait that SQS cannot give": (small("backfill: {queue: sqs, sqs: {name: q, wait: 500ms}}"), ['backfill.sqs.wait: got "500ms", want whole seconds, from 1s to 20s']),
    "group without a bucket": (groups("g: {members: [site, bucket], failover_on: [404]}, media: {members: [bucket, site], failover_on: [404]}") + "\nbackfill: {queue: sqs, sqs: {name: q, group: g}}", ['backfill.sqs.group: got "g", want one of media']),
    "URL of a queue that is none": (small("backfill: {queue: sqs, sqs: {url: 'sqs.eu-west-1.amazonaws.com'}}"), ['backfill.sqs.url: got "sqs.eu-west-1.amazonaws.com", want the URL of a queue, such as https://sqs.eu-west-1.amazonaws.com/123456789012/fill']),
    "no keys for SQS": (small("backfill: {queue: sqs, sqs: {name: q, credentials: anonymous}}"), ["backfill.sqs.credentials: got ***, want one of default"]),
    "open admin port": (small("admin: {listen: 0.0.0.0:9}"), ["admin.token: is missing while admin.listen is 0.0.0.0:9, want a token, or a loopback address"]),
    "admin port with an empty token": (small("admin: {listen: '[::]:9', token: ''}"), ["admin.token: is missing while admin.listen is [::]:9, want a token, or a loopback address"]),
    "admin port of a name": (small("admin: {listen: 127.evil.example:9}"), ["admin.token: is missing while admin.listen is 127.evil.example:9, want a token, or a loopback address"]),
    "no memory for a disk": (small("cache: {memory: 8MiB, disk: {folder: /x}}"), ['cache.memory: got "8MiB" beside a disk, want 16MiB or more']),
    "too many workers for a disk": (small("server: {workers: 20}\ncache: {disk: {folder: /x}}"), ['cache.memory: got "256MiB" beside a disk and 20 workers, want 320MiB or more']),
}  # fmt: skip


@pytest.mark.parametrize(("text", "lines"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told(text: str, lines: list[str], told: Told) -> None:
    assert told(text) == lines


HOLDS = {
    "managed policies, with and without prefix": small(
        "behaviors: [{path_pattern: /a, target_origin: site, cache_policy: Managed-CachingDisabled,"
        " origin_request_policy: Managed-AllViewer}, {path_pattern: /b, target_origin: site, cache_policy: CachingDisabled}]"
    ),
    "a policy of one's own whose name begins with Managed-": small(
        "cache_policies: {Managed-Mine: {}}\n"
        "behaviors: [{path_pattern: /a, target_origin: site, cache_policy: Managed-Mine}]"
    ),
    "everything comes last": small("behaviors: [{path_pattern: /a, target_origin: site}, {path_pattern: /*, target_origin: site}]"),
    "rule that waits, with a bucket": ORIGINS + "default_behavior: {target_origin: bucket}\nbackfill: {sources: {a: {origin: site}}, rules: [{mode: generate, sources: [a]}]}",
    "disabled rule": ORIGINS + DEFAULT + "backfill: {rules: [{enabled: false}]}",
    "ports of the system's choice": small("server: {listen: 127.0.0.1:0}\nadmin: {listen: 127.0.0.1:0}"),
    "open admin port with a token": small("admin: {listen: 0.0.0.0:9, token: hunter2}"),
    "memory for a disk and workers": small("server: {workers: 16}\ncache: {disk: {folder: /x}}"),
    "little memory without a disk": small("server: {workers: 200}\ncache: {memory: 1MiB}"),
    "admin port on localhost": small("admin: {listen: localhost:9}"),
}  # fmt: skip


@pytest.mark.parametrize("text", HOLDS.values(), ids=HOLDS)
def test_it_holds(text: str, told: Told) -> None:
    assert told(text) == []


def test_what_the_schema_tells_is_not_told_again(told: Told) -> None:
    assert told(ORIGINS.replace("s3", "S3") + DEFAULT + "backfill: {rules: [{}]}") == [
        'origins.bucket.type: got "S3", want s3, http or pool',
        'origins.other.type: got "S3", want s3, http or pool',
    ]
    assert told(small("behaviors: [{path_pattern: /a, target_origin: a b}]")) == [
        'behaviors[0].target_origin: got "a b", want a name of letters, digits, "_", "-" and "."'
    ]
