"""From a configuration to a template, and what is to be said of it."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgeproxy.config import Config
from edgeproxy.config.mistakes import Mistake, Place, dotted
from edgeproxy.config.origins import HttpOrigin, S3Origin
from edgeproxy.config.pool import PoolOrigin
from edgeproxy.core.backfilling import Mode
from edgeproxy.packaging.functions import BY_NAME
from edgeproxy.stack.balancer import balancer, balancer_parameters, said_of_pools, used_pools
from edgeproxy.stack.bucket import bucket, bucket_parameters, said_of_bucket
from edgeproxy.stack.distribution import (
    EDGE_OF_MODE,
    distribution,
    header_parameter,
    said_of_distribution,
    used_origins,
)
from edgeproxy.stack.errors import Note, StackError, mistake, note
from edgeproxy.stack.fillings import Cell, Filling, cells, fillings
from edgeproxy.stack.functions import EDGE_TIMEOUT_S, edge
from edgeproxy.stack.hosts import Host, host_of, is_public
from edgeproxy.stack.intrinsics import Tree, att, ref, statement, sub
from edgeproxy.stack.mirror import LONGEST_S, mirror, mirror_id
from edgeproxy.stack.policies import policies, said_of_policies
from edgeproxy.stack.queue import bucket_name, queue, queue_name, said_of_queue
from edgeproxy.stack.rest import REST, rest, rest_parameters, rest_url
from edgeproxy.stack.roles import filling as may_fill
from edgeproxy.stack.surroundings import DISTRIBUTION, QUEUE, Surroundings, parameters
from edgeproxy.stack.unexpressed import unexpressed

_SENDING_S = 5
"""The function gives up after one second; the rest is for its start."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template with what it has not (`notes`), and how its zips are packed (`commands`)."""

    tree: Tree
    notes: tuple[Note, ...]
    commands: tuple[str, ...]


def template(config: Config, around: Surroundings) -> Template:
    """The stack of `config`.  Raises `StackError` with everything that AWS would refuse."""
    there, said = _examined(config, around)
    mistakes = [one for one in said if isinstance(one, Mistake)]
    if mistakes:
        raise StackError(list(dict.fromkeys(mistakes)))
    notes = tuple(dict.fromkeys(one for one in said if isinstance(one, Note)))
    hosts = _hosts(config)
    resources = _resources(config, there, hosts, around)
    if not resources:
        raise StackError([Mistake("file", "no behaviour leads to a bucket", "one that does for this part")])
    used = set(_named(resources))
    wanted = {name: tree for name, tree in _parameters(config, around, hosts).items() if name in used}
    _joined([wanted, resources])
    tree: Tree = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": "Made by edgeproxy template",
    }
    if wanted:
        tree["Parameters"] = wanted
    if "CertificateArn" in wanted:
        given = {"Fn::Not": [{"Fn::Equals": [ref("CertificateArn"), ""]}]}
        tree["Conditions"] = {"HasCertificate": given}
    tree["Resources"] = resources
    tree["Outputs"] = _outputs(resources)
    return Template(tree, notes, tuple(_commands(config, there, hosts, resources, around)))


def _hosts(config: Config) -> dict[str, Host]:
    return {
        name: host_of(name, origin)[0]
        for name, origin in config.origins.items()
        if isinstance(origin, HttpOrigin)
    }


def _examined(config: Config, around: Surroundings) -> tuple[list[Cell], list[Mistake | Note]]:
    there, mistakes = cells(config)
    said: list[Mistake | Note] = [*mistakes, *said_of_policies(config), *said_of_distribution(config, there)]
    used = set(used_origins(config, there)) | {cell.filling.origin for cell in there if cell.filling}
    buckets: list[str] = []
    for name, origin in config.origins.items():
        if name not in used:
            said.append(Note(dotted(("origins", name)), "nothing leads there, and it is left out"))
        elif isinstance(origin, HttpOrigin):
            said += host_of(name, origin)[1]
        elif isinstance(origin, S3Origin):
            said += said_of_bucket(name, config, buckets)
            buckets.append(name)
    for number, alias in enumerate(config.server.aliases):
        if not is_public(alias.strip("[]")):
            said.append(mistake(("server", "aliases", number), alias, "a public host name"))
    pools = used_pools(config, used_origins(config, there))
    if around.has_rest and not pools:
        said.append(Mistake("origins", "got no pool for a REST API", "one that a behaviour leads to"))
    said += [*said_of_pools(pools, around), *_said_of_rules(config, there), *said_of_queue(config)]
    return there, [*said, *unexpressed(config)]


def _said_of_rules(config: Config, there: list[Cell]) -> Iterator[Note]:
    modes = {cell.filling.mode for cell in there if cell.filling is not None}
    for number, rule in enumerate(config.backfill.rules):
        place: Place = ("backfill", "rules", number)
        if len(rule.sources) > 1:
            yield note((*place, "sources"), list(rule.sources), f"{rule.sources[0]} alone is asked")
        if rule.mode == "queue" and rule.enabled:
            for group in config.origin_groups.values():
                if group.failover_on - rule.on_status:
                    said = "not looked at: the queue hears of all that the second origin is asked for"
                    yield note((*place, "on_status"), sorted(rule.on_status), said)
                    break
        if rule.mode == "generate" and rule.on_status != {403, 404}:
            yield note((*place, "on_status"), sorted(rule.on_status), "the function takes 403 and 404")
    longest = {Mode.GENERATE: EDGE_TIMEOUT_S, Mode.REDIRECT: LONGEST_S}
    for mode, most in longest.items():
        if mode in modes and config.backfill.make_timeout > most:
            given = config.model_dump()["backfill"]["make_timeout"]
            yield note(("backfill", "make_timeout"), given, f"is {most}s there for mode {mode}")
    for cell in there:
        origin = config.origins[cell.filling.origin] if cell.filling is not None else None
        if cell.filling is not None and origin is not None and origin.custom_headers:
            yield note(
                ("origins", cell.filling.origin, "custom_headers"), "***", "the functions do not send them"
            )


def _resources(
    config: Config, there: list[Cell], hosts: dict[str, Host], around: Surroundings
) -> dict[str, Tree]:
    made: list[dict[str, Tree]] = []
    queued, made_at_once = fillings(there, Mode.QUEUE), fillings(there, Mode.GENERATE)
    mirrors = fillings(there, Mode.REDIRECT)
    if around.part.has_edge:
        made += [*policies(config), distribution(config, there, hosts, around)]
        if queued:
            may = [statement(["sqs:SendMessage"], sub(around.queue_arn))]
            made.append(edge(EDGE_OF_MODE[Mode.QUEUE], around, timeout_s=_SENDING_S, may=may))
        for filling in made_at_once:
            may = may_fill(bucket_name(filling.bucket), config.origins[filling.bucket].origin_path)
            code = EDGE_OF_MODE[Mode.GENERATE]
            made.append(edge(code, around, timeout_s=_making_s(config), may=may))
        for filling in mirrors:
            name = mirror_id(filling, mirrors)
            made.append(mirror(config, name, filling, hosts[filling.origin], around))
        if pools := used_pools(config, used_origins(config, there)):
            made += balancer(pools, around)
            if around.has_rest:
                made.append(rest(pools, around))
    if around.part.has_store:
        filled = {filling.bucket for filling in queued}
        for name in used_origins(config, there):
            if isinstance(config.origins[name], S3Origin):
                made.append(bucket(name, config, around, is_filled=name in filled))
        for filling in queued:
            made.append(queue(config, filling, hosts[filling.origin], around))
    return _joined(made)


def _making_s(config: Config) -> int:
    return max(1, min(EDGE_TIMEOUT_S, round(config.backfill.make_timeout)))


def _joined(pieces: list[dict[str, Tree]]) -> dict[str, Tree]:
    joined: dict[str, Tree] = {}
    for piece in pieces:
        for name in piece:
            if name in joined:
                seen = f"two of the names become {name}"
                raise StackError([Mistake("file", seen, "names that differ in letters")])
        joined |= piece
    return joined


def _parameters(config: Config, around: Surroundings, hosts: dict[str, Host]) -> dict[str, Tree]:
    made = [parameters(queue_name(config)), balancer_parameters(around), rest_parameters()]
    for name, origin in config.origins.items():
        if isinstance(origin, PoolOrigin):
            # What its nodes are told goes with the configuration.
            continue
        if isinstance(origin, S3Origin):
            made.append(bucket_parameters(name, origin))
        else:
            made.append(hosts[name].parameters())
        for header in origin.custom_headers:
            about = f"Value of {header} for the origin {name}"
            secret = {"Type": "String", "NoEcho": True, "Description": about}
            made.append({header_parameter(name, header): secret})
    about = "Certificate in us-east-1 for server.aliases; without one the aliases are left out"
    made.append({"CertificateArn": {"Type": "String", "Default": "", "Description": about}})
    return _joined(made)


def _named(tree: Any) -> Iterator[str]:
    """Every name that `Ref` and `Fn::Sub` speak of, and the parameters of conditions."""
    match tree:
        case {"Ref": str(name), **others} if not others:
            yield name
        case {"Fn::Sub": str(text), **others} if not others:
            yield from (part.partition("}")[0] for part in text.split("${")[1:])
        case {"Fn::If": ["HasCertificate", *branches], **others} if not others:
            yield "CertificateArn"
            yield from _named(branches)
        case dict():
            for value in tree.values():
                yield from _named(value)
        case list():
            for value in tree:
                yield from _named(value)


def _outputs(resources: dict[str, Tree]) -> Tree:
    made: Tree = {}
    if DISTRIBUTION in resources:
        made["DistributionId"] = {"Value": ref(DISTRIBUTION)}
        made["Domain"] = {"Value": att(DISTRIBUTION, "DomainName")}
    if QUEUE in resources:
        made["QueueUrl"] = {"Value": ref(QUEUE)}
        made["DeadLettersUrl"] = {"Value": ref(f"{QUEUE}Dead")}
    if REST in resources:
        made["RestUrl"] = {"Value": rest_url()}
    for name, resource in resources.items():
        if resource["Type"] == "AWS::S3::Bucket":
            made[name] = {"Value": ref(name)}
    return made


def _commands(
    config: Config,
    there: list[Cell],
    hosts: dict[str, Host],
    resources: dict[str, Tree],
    around: Surroundings,
) -> Iterator[str]:
    """How the zips are packed: those for the edge have their settings in them."""
    uris = [r["Properties"].get("CodeUri", "") for r in resources.values()]
    codes = sorted({uri.rpartition("/")[2].removesuffix(".zip") for uri in uris if uri})
    baked: dict[str, dict[str, str]] = {}
    if fillings(there, Mode.QUEUE):
        url = f"https://sqs.REGION.amazonaws.com/ACCOUNT/{queue_name(config)}"
        baked[EDGE_OF_MODE[Mode.QUEUE]] = {"queue_url": url}
    for filling in fillings(there, Mode.GENERATE):
        baked[EDGE_OF_MODE[Mode.GENERATE]] = _settings(config, there, filling, hosts[filling.origin])
    plain = [code for code in codes if code not in baked]
    for takes_config, options in ((False, ""), (True, f" --config {_quoted(around.config)}")):
        if these := [code for code in plain if BY_NAME[code].takes_config is takes_config]:
            yield f"edgeproxy package{options} {' '.join(these)}"
    for code in codes:
        if code in baked:
            told = " ".join(f"--set {name}={_quoted(value)}" for name, value in baked[code].items())
            yield f"edgeproxy package {told} {code}"


def _settings(config: Config, there: list[Cell], filling: Filling, host: Host) -> dict[str, str]:
    origin = config.origins[filling.bucket]
    assert isinstance(origin, S3Origin)
    values = {
        pattern: behavior.cache.ttl.min_s
        for pattern, behavior in zip(
            [*(section.path_pattern for section in config.behaviors), None],
            config.behavior_values(),
            strict=True,
        )
    }
    least = [values[getattr(cell.section, "path_pattern", None)] for cell in there if cell.filling == filling]
    return {
        "s3_bucket": origin.bucket,
        "s3_region": "REGION",
        **({"s3_prefix": origin.origin_path} if origin.origin_path else {}),
        "generator_url": host.plain_url,
        # A redirect that is kept would send viewers in circles.
        **({"too_large": "redirect"} if not any(least) else {}),
        **filling.settings,
    }


def _quoted(value: str) -> str:
    return shlex.quote(value)
