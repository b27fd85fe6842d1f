"""From a configuration to a template: what is in it, what is told, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.cli.main import main
from edgeproxy.config import ConfigError
from edgeproxy.config.managed import CACHE_POLICIES, ORIGIN_REQUEST_POLICIES, RESPONSE_HEADERS_POLICIES
from edgeproxy.config.schema import Config
from edgeproxy.packaging.functions import BY_NAME
from edgeproxy.stack import policies
from edgeproxy.stack.errors import StackError
from edgeproxy.stack.surroundings import Part, Surroundings
from edgeproxy.stack.text import as_json, as_yaml
from edgeproxy.stack.unexpressed import EXPRESSED, UNEXPRESSED

from .rules import Tree, behaviors, faults
from .variants import ALL, GROUP, NO_KEY, ORIGINS, POOL, ROOT, SHAPES, VARIANTS, own, stack_of, template


def distribution(tree: Tree) -> Tree:
    found: Tree = tree["Resources"]["Distribution"]["Properties"]["DistributionConfig"]
    return found


def refused(text: str) -> list[str]:
    with pytest.raises(StackError) as caught:
        stack_of(text)
    return str(caught.value).split("\n")


def notes(text: str) -> list[str]:
    return [str(note) for note in stack_of(text).notes]


# The whole.


def test_the_repositorys_own_is_as_in_the_docs() -> None:
    """`python -m edgeproxy template > docs/stack.yaml` makes it again."""
    assert as_yaml(template(own(), Surroundings())) == (ROOT / "docs" / "stack.yaml").read_text()


class _Loader(yaml.SafeLoader):
    """Reads the short tags as CloudFormation does."""


def _long(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return {f"Fn::{tag}": loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode)
    value = loader.construct_scalar(node)
    if tag == "GetAtt":
        return {"Fn::GetAtt": value.split(".", 1)}
    return {"Ref" if tag == "Ref" else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _long)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(("name", "part"), SHAPES)
def test_both_forms_say_the_same_and_always_the_same(name: str, part: Part) -> None:
    stack = stack_of(VARIANTS[name], part)
    assert json.loads(as_json(stack)) == stack.tree
    assert yaml.load(as_yaml(stack), _Loader) == stack.tree
    assert as_yaml(stack_of(VARIANTS[name], part)) == as_yaml(stack)
    # CloudFormation User Guide, "Quotas": the text of a template in S3.
    assert len(as_yaml(stack)) < 1_000_000


def test_no_secret_is_in_it() -> None:
    stack = stack_of(ALL)
    assert "secret-of-the-site" not in as_yaml(stack) + as_json(stack)
    assert stack.tree["Parameters"]["SiteHeaderXApiKey"]["NoEcho"] is True


def test_the_parts_together_have_what_the_whole_has() -> None:
    whole, edge, store = (set(stack_of(ALL, part).tree["Resources"]) for part in Part)
    assert edge | store == whole
    assert not edge & store
    assert "DistributionId" in stack_of(ALL, Part.STORE).tree["Parameters"]
    assert "StoreRegion" in stack_of(ALL, Part.EDGE).tree["Parameters"]


def test_a_part_with_nothing_in_it() -> None:
    with pytest.raises(StackError, match="no behaviour leads to a bucket"):
        stack_of(VARIANTS["single site"], Part.STORE)


# What becomes of the rules.


def modes(text: str) -> list[tuple[str | None, str, list[str]]]:
    """Each behaviour: its pattern, where it leads, which functions stand at it."""
    return [
        (
            b.get("PathPattern"),
            b["TargetOriginId"],
            [a["LambdaFunctionARN"]["Ref"] for a in b.get("LambdaFunctionAssociations", [])],
        )
        for b in behaviors(distribution(stack_of(text).tree))
    ]


def test_rules_for_a_part_of_a_behaviour_make_behaviours() -> None:
    assert modes(ALL) == [
        ("/api/*", "site", []),
        ("/thumbs/*", "made", ["EdgeOriginResponse.Version"]),
        ("/fetched/*", "MirrorUrl-403-404", []),
        ("/private/*", "media", []),
        (None, "media", ["EdgeOriginRequest.Version"]),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("single bucket", [(None, "bucket", [])]),
        ("single site", [(None, "site", [])]),
        ("group", [(None, "media", [])]),
        ("backfill", [(None, "media", ["EdgeOriginRequest.Version"])]),
        # Not with a group: the bucket alone is asked, and what it has not is made.
        ("generate", [(None, "bucket", ["EdgeOriginResponse.Version"])]),
        ("redirect", [(None, "MirrorUrl-403-404", [])]),
        ("two mirrors", [("/a/*", "MirrorUrl-403-404", []), (None, "MirrorUrl2-403-404", [])]),
    ],
)
def test_modes(name: str, expected: list[Any]) -> None:
    assert modes(VARIANTS[name]) == expected


def test_an_origin_path_with_escapes_is_what_keys_begin_with() -> None:
    text = ORIGINS.replace("region: eu-west-1", "origin_path: /our%20site") + GROUP
    rule = '{path_pattern: "/*", mode: queue, on_status: [403, 404]}'
    resources = stack_of(f"{text}\nbackfill: {{rules: [{rule}]}}").tree["Resources"]
    told = resources["BucketBucket"]["Properties"]["NotificationConfiguration"]["LambdaConfigurations"]
    assert told[0]["Filter"]["S3Key"]["Rules"] == [{"Name": "prefix", "Value": "our site/"}]
    role = json.dumps(resources["QueueConsumerRole"])
    assert "arn:${AWS::Partition}:s3:::${BucketName}/our site/*" in role


def test_without_a_backfill_there_is_no_queue() -> None:
    kinds = {resource["Type"] for resource in stack_of(VARIANTS["group"]).tree["Resources"].values()}
    assert "AWS::SQS::Queue" not in kinds
    assert "AWS::S3::Bucket" in kinds


def test_a_rule_where_no_bucket_comes_first_does_nothing() -> None:
    text = ORIGINS + GROUP + "behaviors: [{path_pattern: /s, target_origin: site}]\nbackfill: {rules: [{}]}"
    assert modes(text)[0] == ("/s", "site", [])


def test_zips_for_the_edge_have_their_settings_in_them() -> None:
    plain, queued, made = stack_of(ALL).commands
    assert plain == "edgeproxy package invalidate_on_put mirror_url queue_consumer"
    assert "--set queue_url=https://sqs.REGION.amazonaws.com/ACCOUNT/edgeproxy-backfill" in queued
    assert made.endswith(" edge_origin_response")
    for told in (
        "s3_bucket=made-of-ours",
        "generator_url=http://studio.example.org",
        "too_large=redirect",
        "source_path='/make{rest}'",
        "max_object_bytes=10485760",
    ):
        assert f"--set {told} " in made
    assert "too_large" not in stack_of(VARIANTS["generate"]).commands[-1]  # CachingOptimized keeps redirects


@pytest.mark.parametrize("queue", ["name: fill", "url: https://sqs.eu-west-1.amazonaws.com/1/fill"])
def test_the_queue_is_called_as_the_gateways_is(queue: str) -> None:
    backfill = "backfill:\n  rules: [{}]\n  queue: sqs\n  sqs:\n"
    stack = stack_of(f"{ORIGINS}{GROUP}{backfill}    {queue}")
    assert stack.tree["Parameters"]["QueueName"]["Default"] == "fill"
    assert "--set queue_url=https://sqs.REGION.amazonaws.com/ACCOUNT/fill " in stack.commands[-1]


def test_every_function_is_one_that_is_packed() -> None:
    for name, part in SHAPES:
        for resource in stack_of(VARIANTS[name], part).tree["Resources"].values():
            if resource["Type"] == "AWS::Serverless::Function":
                code = resource["Properties"]["CodeUri"].removeprefix("dist/").removesuffix(".zip")
                assert resource["Properties"]["Handler"] == BY_NAME[code].handler


# Policies.


def test_every_managed_policy_has_its_id() -> None:
    assert set(policies.CACHE) == set(CACHE_POLICIES)
    assert set(policies.ORIGIN_REQUEST) == set(ORIGIN_REQUEST_POLICIES)
    assert set(policies.RESPONSE_HEADERS) == set(RESPONSE_HEADERS_POLICIES)


def test_own_policies() -> None:
    resources = stack_of(ALL).tree["Resources"]
    cache = resources["LongLivedCachePolicy"]["Properties"]["CachePolicyConfig"]
    assert (cache["MinTTL"], cache["DefaultTTL"], cache["MaxTTL"]) == (60, 86_400, 31_536_000)
    key = cache["ParametersInCacheKeyAndForwardedToOrigin"]
    assert key["CookiesConfig"] == {"CookieBehavior": "allExcept", "Cookies": ["sid"]}
    assert key["QueryStringsConfig"] == {"QueryStringBehavior": "all"}
    assert key["HeadersConfig"] == {"HeaderBehavior": "none"}
    request = resources["LanguagesOriginRequestPolicy"]["Properties"]["OriginRequestPolicyConfig"]
    assert request["HeadersConfig"] == {"HeaderBehavior": "whitelist", "Headers": ["Accept-Language"]}


# What is refused.

SITE = '{type: http, url: "https://www.example.org"}'
SEVEN = "GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            ORIGINS + GROUP.replace("media}", "media, allowed_methods: [GET, HEAD, POST]}"),
            "default_behavior.allowed_methods: got [GET, HEAD, POST], want GET and HEAD, these and OPTIONS, "
            "or all seven",
        ),
        (
            ORIGINS
            + GROUP.replace("media}", f"media, allowed_methods: [{SEVEN}]}}"),
            f"default_behavior.allowed_methods: got [{SEVEN}], want only "
            "GET, HEAD and OPTIONS, as CloudFront fails over on no other",
        ),
        (
            ORIGINS + GROUP.replace("media}", "media, cached_methods: [GET]}"),
            "default_behavior.cached_methods: got [GET], want GET and HEAD, or these and OPTIONS",
        ),
        (
            ORIGINS + GROUP.replace("media}", "media, origin_request_policy: AllViewer}"),
            'default_behavior.origin_request_policy: got "AllViewer", want one without Host, such as '
            "AllViewerExceptHostHeader: a bucket is signed for by its own name",
        ),
        (
            ORIGINS + GROUP + "backfill: {rules: [{mode: redirect}]}",
            'default_behavior.cache_policy: got "CachingOptimized", want one with a min_ttl of 0, as '
            "CloudFront would keep the redirect and send viewers in circles",
        ),
        (
            ORIGINS.replace("www.example.org", "www.example.org:81") + GROUP,
            'origins.site.url: got "https://www.example.org:81", want port 80, 443 or one from 1024 for '
            "CloudFront",
        ),
        (
            ORIGINS.replace(SITE, SITE[:-1] + ", custom_headers: {X-Origin-Role: primary}}") + GROUP,
            'origins.site.custom_headers.X-Origin-Role: got "***", want none: the stack sets it itself',
        ),
        (
            ORIGINS + GROUP + "backfill: {queue: sqs, sqs: {name: fill.fifo}}",
            'backfill.sqs.name: got "fill.fifo", want a standard queue with a name of at most 75 characters',
        ),
        (
            ORIGINS + GROUP + "server: {aliases: [localhost]}",
            'server.aliases[0]: got "localhost", want a public host name',
        ),
        (
            ORIGINS + GROUP + "cache_policies: {none: {default_ttl: 0, max_ttl: 0, query: all}}",
            "cache_policies.none.max_ttl: got \"0s\", want query in an origin request policy, as CloudFront "
            "takes no key where nothing is kept",
        ),
        (
            ORIGINS + GROUP + "origin_request_policies: {o: {headers: {whitelist: [Authorization]}}}",
            "origin_request_policies.o.headers: got [Authorization], want Authorization in a cache policy's "
            "headers, or headers: all",
        ),
        (
            ORIGINS + GROUP + f"cache_policies: {{c: {{query: {{whitelist: {list(map(str, range(11)))}}}}}}}",
            "cache_policies.c.query: got [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], want at most 10 names",
        ),
        (
            ORIGINS
            + GROUP
            + "behaviors: [{path_pattern: /a/*, target_origin: media}]\n"
            + 'backfill: {rules: [{path_pattern: "*.jpg"}]}',
            'backfill.rules[0].path_pattern: got "*.jpg", which covers a part of "/a/*" in behaviors[0], '
            "want one of the two within the other",
        ),
        (
            ORIGINS + GROUP + "backfill: {rules: [{path_pattern: /a, max_object: 1MiB}, {}]}",
            "backfill.rules: got 2 of mode queue that differ in bucket, source or max_object, want the same "
            "in all of them: the one queue has one consumer",
        ),
        (
            ORIGINS.replace(SITE, "{type: s3, bucket: bbb}")
            + GROUP
            + "backfill: {rules: [{}]}",
            'backfill.rules[0].mode: got "queue", want a source with an http origin, as functions ask no '
            "other (site is s3)",
        ),
        (
            ORIGINS.replace(SITE, "{type: s3, bucket: bbb}")
            .replace("assets-of-ours", "bbb")
            + GROUP,
            'origins.site.bucket: got "bbb", want a bucket of its own, as a stack makes each once, and '
            "origins.bucket has it",
        ),
    ],
)  # fmt: skip
def test_what_aws_would_refuse(text: str, line: str) -> None:
    assert line in refused(text)


def test_names_that_become_one() -> None:
    text = ORIGINS + GROUP + "cache_policies: {a-b: {}, a.b: {}, aB: {}}"
    assert refused(text)[0].startswith("file: two of the names become AB")


def test_origins_that_become_one() -> None:
    text = ORIGINS + "  Site: {type: http, url: 'https://other.example.org'}\n" + GROUP
    text += "behaviors: [{path_pattern: /o, target_origin: Site}]"
    assert refused(text) == ["file: two of the names become SiteHost, want names that differ in letters"]


def test_too_many_behaviours() -> None:
    rules = ", ".join(f"{{path_pattern: /{number}}}" for number in range(76))
    lines = refused(ORIGINS + GROUP + f"backfill: {{rules: [{rules}]}}")
    assert lines == ["behaviors: got 76 with those of the rules, want at most 75"]


# What is told.


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            ("https://www.example.org", "http://127.0.0.1:9100"),
            'origins.site.url: got "http://127.0.0.1:9100": CloudFront cannot reach it: parameter SiteHost '
            "wants a public host name, with HTTPS",
        ),
        (
            ("https://www.example.org", "http://site:80"),
            'origins.site.url: got "http://site:80": CloudFront cannot reach it: parameter SiteHost wants a '
            "public host name, with HTTPS",
        ),
        (
            ("region: eu-west-1", 'endpoint: "http://127.0.0.1:9000"'),
            'origins.bucket.endpoint: got "http://127.0.0.1:9000": the bucket is made on AWS',
        ),
        (
            ("assets-of-ours", "Assets_of_ours"),
            'origins.bucket.bucket: got "Assets_of_ours": parameter BucketName wants a name of lower-case '
            "letters, digits and hyphens",
        ),
        (
            ("origins:", "cache: {memory: 1GiB}\norigins:"),
            'cache.memory: got "1GiB": CloudFront\'s cache has no sizes to be set',
        ),
        (
            ("origins:", "admin: {token: very-secret}\norigins:"),
            'admin.token: got "***": CloudFront has the API, the console and CloudWatch',
        ),
        (
            ("origins:", "origins:\n  idle: {type: s3, bucket: idle}"),
            "origins.idle: nothing leads there, and it is left out",
        ),
    ],
)
def test_what_is_otherwise_there(change: tuple[str, str], line: str) -> None:
    assert line in notes((ORIGINS + GROUP).replace(*change))


def test_a_host_that_is_not_public_has_no_default() -> None:
    tree = stack_of((ORIGINS + GROUP).replace("https://www.example.org", "http://127.0.0.1:9100")).tree
    assert "Default" not in tree["Parameters"]["SiteHost"]


def _leaves(schema: dict[str, Any], root: dict[str, Any], place: str) -> set[str]:
    """Every setting's place, with `*` for names and numbers; sections of several shapes are all looked at."""
    if "$ref" in schema:
        return _leaves(root["$defs"][schema["$ref"].rpartition("/")[2]], root, place)
    if schema.get("type") == "null":
        return set()
    known = {place} & (UNEXPRESSED.keys() | EXPRESSED)
    if known:
        return known
    found: set[str] = set()
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        found |= _leaves(choice, root, place)
    for name, inner in schema.get("properties", {}).items():
        found |= _leaves(inner, root, f"{place}.{name}".lstrip("."))
    named = schema.get("patternProperties", {}).values()
    for inner in (*named, schema.get("additionalProperties"), schema.get("items")):
        if isinstance(inner, dict):
            found |= _leaves(inner, root, f"{place}.*")
    return found or {place}


def test_no_setting_is_lost_silently() -> None:
    """Who adds a setting says in `stack/unexpressed.py` whether a stack has it."""
    schema = Config.model_json_schema()
    there = _leaves(schema, schema, "")
    assert there == UNEXPRESSED.keys() | EXPRESSED
    assert not UNEXPRESSED.keys() & EXPRESSED


# Pools.


def test_a_pool_is_an_api_with_a_secret() -> None:
    tree = stack_of(POOL).tree
    origins = {origin["Id"]: origin for origin in distribution(tree)["Origins"]}
    api = {"Fn::Sub": "${BalanceApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"}
    assert origins["api"]["DomainName"] == origins["plain"]["DomainName"] == api
    assert "OriginPath" not in origins["api"]
    secret = {"HeaderName": "x-edge-secret", "HeaderValue": {"Ref": "CallerSecret"}}
    assert origins["api"]["OriginCustomHeaders"] == [secret]
    schedule = tree["Resources"]["CanarySchedule"]["Properties"]
    assert schedule["ScheduleExpression"] == "rate(2 minutes)"
    assert tree["Resources"]["Canary"]["Properties"]["Timeout"] == 13


def test_variables_of_the_configuration_are_parameters() -> None:
    tree = stack_of(POOL).tree
    assert tree["Parameters"]["VariableAPIKEY"]["NoEcho"] is True
    assert "Default" not in tree["Parameters"]["VariableAPIKEY"]
    assert tree["Parameters"]["VariableTOKEN"]["Default"] == ""
    for name in ("Balance", "Canary"):
        told = tree["Resources"][name]["Properties"]["Environment"]["Variables"]
        assert told["API_KEY"] == {"Ref": "VariableAPIKEY"}


def test_the_zips_of_pools_have_the_configuration() -> None:
    assert stack_of(POOL).commands == (
        "edgeproxy package invalidate_on_put",
        "edgeproxy package --config config.yaml balance canary",
    )
    assert stack_of(VARIANTS["unchecked"]).commands == ("edgeproxy package --config config.yaml balance",)


def test_without_checks_there_is_no_canary_and_no_table() -> None:
    kinds = {r["Type"] for r in stack_of(VARIANTS["unchecked"]).tree["Resources"].values()}
    assert not {"AWS::DynamoDB::Table", "AWS::Scheduler::Schedule", "AWS::ApiGateway::RestApi"} & kinds


def test_a_pool_stands_with_the_distribution() -> None:
    whole, edge, store = (set(stack_of(POOL, part).tree["Resources"]) for part in Part)
    assert edge | store == whole
    assert {"Balance", "HealthTable", "CanarySchedule"} <= edge


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            ("interval: 90s", "interval: 5s"),
            'origins.api.checks.interval: got "5s": is 1m there, as schedules have whole minutes',
        ),
        (
            ("https://a.example.org", "http://10.0.0.1:80"),
            'origins.api.nodes[0].url: got "http://10.0.0.1:80": functions cannot reach it; what is packed '
            "wants an address that they can",
        ),
        (
            ("total: 40s", "total: 40s"),
            'origins.api.timeouts.total: got "40s": the whole request has 29s there',
        ),
        (
            ("\norigins:", "\nhealth: {board: redis, redis_url: 'redis://r:6379'}\norigins:"),
            'health.board: got "redis": the functions share a table that the stack makes',
        ),
    ],
)
def test_what_a_pool_has_otherwise_there(change: tuple[str, str], line: str) -> None:
    told = notes(POOL.replace(*change))
    assert line in told
    assert not [one for one in told if "tls_verify" in one or "custom_headers" in one]


def test_what_the_function_reads_is_not_lost() -> None:
    text = POOL.replace("type: pool\n", "type: pool\n    tls_verify: false\n    max_connections: 3\n")
    assert not [one for one in notes(text) if one.startswith(("origins.api.tls", "origins.api.max"))]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            POOL.replace("AllViewerExceptHostHeader", "AllViewer"),
            'behaviors[0].origin_request_policy: got "AllViewer", want one without Host, such as '
            "AllViewerExceptHostHeader: an API knows its own name alone",
        ),
        (
            POOL + "backfill: {rules: [{}]}",
            'backfill.rules[0].mode: got "queue", want a source with an http origin, as functions ask no '
            "other (plain is pool)",
        ),
        (
            POOL.replace("TOKEN:-t", "_T:-t"),
            "file: got ${_T}, want a name of two or more letters, digits and _ that begins with a letter, as "
            "Lambda has it",
        ),
        (
            ORIGINS + GROUP + "# REST",
            "origins: got no pool for a REST API, want one that a behaviour leads to",
        ),
    ],
)
def test_what_a_pool_cannot_be_there(text: str, line: str) -> None:
    assert line in refused(text)


# Any configuration.

PATTERNS = st.sampled_from(["*", "/a/*", "/a/b/*", "/b?", "*.jpg", "/a/*.jpg", "/c"])
RULES = st.lists(
    st.fixed_dictionaries(
        {"path_pattern": PATTERNS},
        optional={
            "mode": st.sampled_from(["queue", "generate", "redirect"]),
            "enabled": st.booleans(),
            "max_object": st.sampled_from(["1MiB", "1GiB"]),
        },
    ),
    max_size=3,
    unique_by=lambda rule: rule["path_pattern"],
)
BEHAVIOR = {
    "target_origin": st.sampled_from(["media", "media", "bucket", "site"]),
    "cache_policy": st.sampled_from(["CachingOptimized", "CachingDisabled", "short"]),
    "origin_request_policy": st.sampled_from(
        ["CORS-S3Origin", "AllViewerExceptHostHeader"] * 3 + ["AllViewer"]
    ),
}
BEHAVIORS = st.lists(
    st.fixed_dictionaries({"path_pattern": PATTERNS.filter("*".__ne__), **BEHAVIOR}),
    max_size=3,
    unique_by=lambda behavior: behavior["path_pattern"],
)


@settings(max_examples=60, deadline=None)
@given(RULES, BEHAVIORS, st.fixed_dictionaries(BEHAVIOR), st.sampled_from(Part))
def test_every_stack_is_sound_or_refused(rules: Any, listed: Any, default: Any, part: Part) -> None:
    sections = {"backfill": {"rules": rules}, "behaviors": listed, "default_behavior": default}
    lines = [f"{name}: {json.dumps(section)}" for name, section in sections.items()]
    text = ORIGINS + NO_KEY + GROUP.partition("default_behavior")[0]
    try:
        stack = stack_of(text + "\n".join(lines), part)
    except (ConfigError, StackError):
        return
    assert faults(stack.tree) == []


# The command.


def run(*arguments: str, config: str = ORIGINS + GROUP, folder: Path) -> Any:
    (folder / "config.yaml").write_text(config)
    return CliRunner().invoke(main, ["template", "-c", str(folder / "config.yaml"), *arguments])


def test_the_command_prints_and_tells(tmp_path: Path) -> None:
    done = run(folder=tmp_path)
    assert done.exit_code == 0
    assert done.stdout.startswith("# Made by edgeproxy template")
    assert done.stderr == (
        f"{tmp_path}/config.yaml: origins.bucket.region: got \"eu-west-1\": the bucket is where its stack is "
        "deployed\n"
    )  # fmt: skip


def test_json_goes_to_a_file(tmp_path: Path) -> None:
    done = run(
        "--format", "json", "--output", str(tmp_path / "t.json"), "--zips", "../dist/", folder=tmp_path
    )
    assert (done.exit_code, done.stdout) == (0, "")
    assert "its zips: edgeproxy package invalidate_on_put\n" in done.stderr
    function = json.loads((tmp_path / "t.json").read_text())["Resources"]["BucketInvalidateOnPut"]
    assert function["Properties"]["CodeUri"] == "../dist/invalidate_on_put.zip"


def test_what_is_refused_is_told_in_lines(tmp_path: Path) -> None:
    done = run(config=ORIGINS + GROUP + "backfill: {rules: [{mode: redirect}]}", folder=tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{tmp_path}/config.yaml: default_behavior.cache_policy: got ")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    done = run("--output", str(tmp_path / "no" / "t.yaml"), folder=tmp_path)
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (
        1,
        f"{tmp_path}/no/t.yaml: No such file or directory",
    )
