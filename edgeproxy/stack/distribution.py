"""CloudFront's distribution: origins, groups of them, behaviours, error pages.

CloudFormation Template Reference, "AWS::CloudFront::Distribution".
"""

import math
from collections.abc import Iterator

from edgeproxy.config import Config
from edgeproxy.config.mistakes import Mistake
from edgeproxy.config.origin import OriginBase
from edgeproxy.config.origins import HttpOrigin, OriginGroup, S3Origin
from edgeproxy.config.pool import PoolOrigin
from edgeproxy.config.schema import BehaviorSection
from edgeproxy.config.units import duration_text
from edgeproxy.core.backfilling import Mode
from edgeproxy.lambdas.edge_event import ROLE_FIELD
from edgeproxy.stack.balancer import pool_origin
from edgeproxy.stack.bucket import regional_domain
from edgeproxy.stack.errors import Note, mistake, note
from edgeproxy.stack.fillings import Cell, Filling, fillings
from edgeproxy.stack.functions import version_of
from edgeproxy.stack.hosts import Host
from edgeproxy.stack.intrinsics import Tree, att, logical_id, ref, sub
from edgeproxy.stack.mirror import mirror_domain, mirror_id, timeout_s
from edgeproxy.stack.policies import cache_id, origin_request_id, response_headers_id
from edgeproxy.stack.surroundings import DISTRIBUTION, Surroundings

_METHODS = (
    frozenset({"GET", "HEAD"}),
    frozenset({"GET", "HEAD", "OPTIONS"}),
    frozenset({"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"}),
)
_MOST_CONNECTING_S = 10
_MOST_READING_S = 120
_MOST_KEPT_S = 120
_MOST_HEADERS = 10
_HTTPS = {"OriginProtocolPolicy": "https-only", "OriginSSLProtocols": ["TLSv1.2"]}
EDGE_OF_MODE = {Mode.QUEUE: "edge_origin_request", Mode.GENERATE: "edge_origin_response"}
_EVENT = {Mode.QUEUE: "origin-request", Mode.GENERATE: "origin-response"}


def header_parameter(origin: str, header: str) -> str:
    """The parameter with the value of an origin's custom header, which may be a secret."""
    return f"{logical_id(origin)}Header{logical_id(header)}"


def used_origins(config: Config, there: list[Cell]) -> list[str]:
    """The origins that some behaviour leads to, in the order of the configuration."""
    used: set[str] = set()
    for cell in there:
        target, group = _target(config, cell)
        used |= {target} if group is None else set(group.members)
    return [name for name in config.origins if name in used]


def _target(config: Config, cell: Cell) -> tuple[str, OriginGroup | None]:
    """Where a behaviour leads: while an object is made, the bucket alone is asked."""
    name = cell.section.target_origin
    group = config.origin_groups.get(name)
    if cell.filling is not None and cell.filling.mode is not Mode.QUEUE:
        return cell.filling.bucket, None
    return name, group


def distribution(
    config: Config, there: list[Cell], hosts: dict[str, Host], around: Surroundings
) -> dict[str, Tree]:
    """The distribution, and what lets it into buckets and functions."""
    mirrors = fillings(there, Mode.REDIRECT)
    groups, origins = _groups(config, there, mirrors), _origins(config, there, hosts, mirrors, around)
    *patterned, default = [_behavior(config, cell, mirrors) for cell in there]
    described: Tree = {"Enabled": True, "Comment": sub("${AWS::StackName}")}
    described |= {"HttpVersion": "http2and3", "IPV6Enabled": True}
    if config.server.aliases:
        none = ref("AWS::NoValue")
        certificate = {
            "AcmCertificateArn": ref("CertificateArn"),
            "MinimumProtocolVersion": "TLSv1.2_2021",
            "SslSupportMethod": "sni-only",
        }
        described["Aliases"] = {"Fn::If": ["HasCertificate", list(config.server.aliases), none]}
        described["ViewerCertificate"] = {"Fn::If": ["HasCertificate", certificate, none]}
    if config.server.default_root_object:
        described["DefaultRootObject"] = config.server.default_root_object
    described["Origins"] = origins
    if groups:
        described["OriginGroups"] = {"Quantity": len(groups), "Items": groups}
    if patterned:
        described["CacheBehaviors"] = patterned
    described["DefaultCacheBehavior"] = default
    if config.custom_error_responses:
        described["CustomErrorResponses"] = _error_responses(config)
    properties = {"DistributionConfig": described}
    made: dict[str, Tree] = {
        DISTRIBUTION: {"Type": "AWS::CloudFront::Distribution", "Properties": properties}
    }
    if any(isinstance(config.origins[name], S3Origin) for name in used_origins(config, there)):
        made["BucketAccess"] = _access("s3")
    if mirrors:
        made["MirrorAccess"] = _access("lambda")
    return made


def _access(kind: str) -> Tree:
    described = {
        "Name": sub(f"${{AWS::StackName}}-{kind}"),
        "OriginAccessControlOriginType": kind,
        "SigningBehavior": "always",
        "SigningProtocol": "sigv4",
    }
    return {
        "Type": "AWS::CloudFront::OriginAccessControl",
        "Properties": {"OriginAccessControlConfig": described},
    }


def _origins(
    config: Config, there: list[Cell], hosts: dict[str, Host], mirrors: list[Filling], around: Surroundings
) -> list[Tree]:
    queued = [
        group
        for cell in there
        if cell.filling is not None and cell.filling.mode is Mode.QUEUE
        for group in [config.origin_groups[cell.section.target_origin]]
    ]
    seconds = {group.members[1] for group in queued} - {group.members[0] for group in queued}
    made = []
    for name in used_origins(config, there):
        origin = config.origins[name]
        role: list[Tree] = []
        if name in seconds:
            # So that the function knows which of the two it runs for.
            role.append({"HeaderName": ROLE_FIELD, "HeaderValue": "secondary"})
        if isinstance(origin, PoolOrigin):
            made.append(pool_origin(name, role))
            continue
        tree: Tree = {"Id": name}
        if isinstance(origin, S3Origin):
            tree["DomainName"] = regional_domain(name, around)
        else:
            tree["DomainName"] = ref(hosts[name].parameter)
        if origin.origin_path:
            tree["OriginPath"] = origin.origin_path
        tree["ConnectionAttempts"] = origin.connection_attempts
        tree["ConnectionTimeout"] = _within(origin.connection_timeout, 1, _MOST_CONNECTING_S)
        headers: list[Tree] = [
            {"HeaderName": header, "HeaderValue": ref(header_parameter(name, header))}
            for header in origin.custom_headers
        ]
        if headers or role:
            tree["OriginCustomHeaders"] = [*headers, *role]
        made.append(tree | _kind(origin, hosts.get(name)))
    for filling in mirrors:
        name = mirror_id(filling, mirrors)
        reading_s = min(_MOST_READING_S, timeout_s(config))
        made.append(
            {
                "Id": name,
                "DomainName": mirror_domain(name),
                "OriginAccessControlId": att("MirrorAccess", "Id"),
                "CustomOriginConfig": {**_HTTPS, "OriginReadTimeout": reading_s},
            }
        )
    return made


def _kind(origin: OriginBase, host: Host | None) -> Tree:
    reading_s = _within(origin.read_timeout, 1, _MOST_READING_S)
    if host is None:
        access: Tree = {"OriginAccessIdentity": "", "OriginReadTimeout": reading_s}
        # An empty identity is wanted beside access control.
        return {"OriginAccessControlId": att("BucketAccess", "Id"), "S3OriginConfig": access}
    described: Tree = {
        "OriginProtocolPolicy": "https-only" if host.is_tls else "http-only",
        "HTTPSPort" if host.is_tls else "HTTPPort": host.port,
        "OriginSSLProtocols": ["TLSv1.2"],
        "OriginReadTimeout": reading_s,
        "OriginKeepaliveTimeout": _within(origin.keepalive_timeout, 1, _MOST_KEPT_S),
    }
    return {"CustomOriginConfig": described}


def _within(seconds: float, least: int, most: int) -> int:
    return max(least, min(most, math.ceil(seconds)))


def _groups(config: Config, there: list[Cell], mirrors: list[Filling]) -> list[Tree]:
    made: dict[str, Tree] = {}
    for cell in there:
        name, group = _target(config, cell)
        if cell.filling is not None and cell.filling.mode is Mode.REDIRECT:
            mirror = mirror_id(cell.filling, mirrors)
            name = _mirror_group(cell, mirrors)
            made[name] = _group(name, (cell.filling.bucket, mirror), list(cell.statuses))
        elif group is not None:
            made[name] = _group(name, group.members, sorted(group.failover_on))
    return list(made.values())


def _mirror_group(cell: Cell, mirrors: list[Filling]) -> str:
    assert cell.filling is not None
    return "-".join([mirror_id(cell.filling, mirrors), *map(str, cell.statuses)])


def _group(name: str, members: tuple[str, str], statuses: list[int]) -> Tree:
    return {
        "Id": name,
        "FailoverCriteria": {"StatusCodes": {"Quantity": len(statuses), "Items": statuses}},
        "Members": {"Quantity": 2, "Items": [{"OriginId": member} for member in members]},
    }


def _behavior(config: Config, cell: Cell, mirrors: list[Filling]) -> Tree:
    section, filling = cell.section, cell.filling
    tree: Tree = {} if cell.pattern is None else {"PathPattern": cell.pattern}
    is_mirrored = filling is not None and filling.mode is Mode.REDIRECT
    tree["TargetOriginId"] = _mirror_group(cell, mirrors) if is_mirrored else _target(config, cell)[0]
    tree["ViewerProtocolPolicy"] = "redirect-to-https"
    tree["AllowedMethods"] = list(section.allowed_methods)
    tree["CachedMethods"] = list(section.cached_methods)
    tree["Compress"] = section.compress
    tree["CachePolicyId"] = cache_id(section.cache_policy)
    if section.origin_request_policy is not None:
        tree["OriginRequestPolicyId"] = origin_request_id(section.origin_request_policy)
    if section.response_headers_policy is not None:
        tree["ResponseHeadersPolicyId"] = response_headers_id(section.response_headers_policy)
    if filling is not None and filling.mode in EDGE_OF_MODE:
        called: Tree = {
            "EventType": _EVENT[filling.mode],
            "LambdaFunctionARN": version_of(EDGE_OF_MODE[filling.mode]),
        }
        if filling.mode is Mode.QUEUE:
            called["IncludeBody"] = False
        tree["LambdaFunctionAssociations"] = [called]
    return tree


def _error_responses(config: Config) -> list[Tree]:
    made = []
    for response in config.custom_error_responses:
        tree: Tree = {"ErrorCode": response.error_code}
        tree["ErrorCachingMinTTL"] = math.ceil(response.error_caching_min_ttl)
        if response.response_page_path is not None:
            tree["ResponsePagePath"] = response.response_page_path
            tree["ResponseCode"] = response.response_code
        made.append(tree)
    return made


def said_of_distribution(config: Config, there: list[Cell]) -> Iterator[Mistake | Note]:
    """What CloudFront refuses, or has otherwise."""
    values = {id(s): v for s, v in zip(_sections(config), config.behavior_values(), strict=True)}
    for cell in there:
        section, behavior = cell.section, values[id(cell.section)]
        target, group = _target(config, cell)
        allowed = frozenset(section.allowed_methods)
        mode = cell.filling.mode if cell.filling is not None else None
        if allowed not in _METHODS:
            wanted = "GET and HEAD, these and OPTIONS, or all seven"
            yield mistake((*cell.place, "allowed_methods"), list(section.allowed_methods), wanted)
        elif "POST" in allowed and (group is not None or mode is Mode.REDIRECT):
            wanted = "only GET, HEAD and OPTIONS, as CloudFront fails over on no other"
            yield mistake((*cell.place, "allowed_methods"), list(section.allowed_methods), wanted)
        if frozenset(section.cached_methods) not in _METHODS[:2]:
            wanted = "GET and HEAD, or these and OPTIONS"
            yield mistake((*cell.place, "cached_methods"), list(section.cached_methods), wanted)
        if mode is Mode.REDIRECT and behavior.cache.ttl.min_s > 0:
            wanted = (
                "one with a min_ttl of 0, as CloudFront would keep the redirect and send viewers in circles"
            )
            yield mistake((*cell.place, "cache_policy"), section.cache_policy, wanted)
        members = (target,) if group is None else group.members
        to_s3 = any(isinstance(config.origins[member], S3Origin) for member in members)
        if behavior.origin_request.headers.takes("host") and (to_s3 or mode is Mode.REDIRECT):
            wanted = (
                "one without Host, such as AllViewerExceptHostHeader: a bucket is signed for by its own name"
            )
            yield mistake(
                (*cell.place, "origin_request_policy"), section.origin_request_policy or "none", wanted
            )
        to_pool = any(isinstance(config.origins[member], PoolOrigin) for member in members)
        if behavior.origin_request.headers.takes("host") and to_pool:
            wanted = "one without Host, such as AllViewerExceptHostHeader: an API knows its own name alone"
            yield mistake(
                (*cell.place, "origin_request_policy"), section.origin_request_policy or "none", wanted
            )
        if mode is Mode.GENERATE and cell.section.target_origin != target:
            said = f"{target} alone is asked for {cell.pattern or 'the rest'}: objects are made at its answer"
            yield note((*cell.place, "target_origin"), section.target_origin, said)
    for name in used_origins(config, there):
        origin = config.origins[name]
        if not isinstance(origin, PoolOrigin):
            yield from _said_of_origin(name, origin)
    for number, response in enumerate(config.custom_error_responses):
        seconds = response.error_caching_min_ttl
        if seconds != math.ceil(seconds):
            place = ("custom_error_responses", number, "error_caching_min_ttl")
            yield note(place, duration_text(seconds), f"is {math.ceil(seconds)}s there")


def _sections(config: Config) -> list[BehaviorSection]:
    return [*config.behaviors, config.default_behavior]


def _said_of_origin(name: str, origin: OriginBase) -> Iterator[Mistake | Note]:
    times = [("connection_timeout", _MOST_CONNECTING_S), ("read_timeout", _MOST_READING_S)]
    if isinstance(origin, HttpOrigin):
        times.append(("keepalive_timeout", _MOST_KEPT_S))
    for setting, most in times:
        seconds = getattr(origin, setting)
        there = _within(seconds, 1, most)
        if there != seconds:
            said = f"is {there}s there, which takes whole seconds from 1 to {most}"
            yield note(("origins", name, setting), duration_text(seconds), said)
    for header in origin.custom_headers:
        parameter = header_parameter(name, header)
        if header.lower() == ROLE_FIELD:
            yield mistake(
                ("origins", name, "custom_headers", header), "***", "none: the stack sets it itself"
            )
        yield note(("origins", name, "custom_headers", header), "***", f"is the parameter {parameter}")
    if len(origin.custom_headers) > _MOST_HEADERS - 1:
        wanted = f"at most {_MOST_HEADERS - 1}, and more only after asking AWS"
        yield mistake(("origins", name, "custom_headers"), list(origin.custom_headers), wanted)
