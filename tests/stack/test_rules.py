"""Every stack keeps the rules that cfn-lint has not; and every rule finds its faults."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import pytest

from edgeproxy.stack.surroundings import Part, Surroundings

from .rules import RULES, Tree, faults
from .variants import ALL, SHAPES, VARIANTS, own, stack_of, template

Change = Callable[[Tree], Any]


@pytest.mark.parametrize(("name", "part"), SHAPES)
def test_every_stack_keeps_every_rule(name: str, part: Part) -> None:
    assert faults(stack_of(VARIANTS[name], part).tree) == []


_POOLED = VARIANTS["pools and a REST API"]
_OF_POOLS = {
    "apis_may_call",
    "balancers_know_their_caller",
    "schedules_may_call",
    "tables_are_as_functions_want_them",
}


@cache
def _good(text: str) -> Tree:
    return stack_of(text).tree


def _config(tree: Tree) -> Tree:
    found: Tree = tree["Resources"]["Distribution"]["Properties"]["DistributionConfig"]
    return found


def _edge(tree: Tree) -> Tree:
    found: Tree = tree["Resources"]["EdgeOriginRequest"]["Properties"]
    return found


def _of(tree: Tree, name: str) -> Tree:
    found: Tree = tree["Resources"][name]["Properties"]
    return found


def _behavior(tree: Tree, pattern: str) -> Tree:
    found: Tree = next(b for b in _config(tree)["CacheBehaviors"] if b["PathPattern"] == pattern)
    return found


def _associated(tree: Tree) -> Tree:
    found: Tree = _config(tree)["DefaultCacheBehavior"]["LambdaFunctionAssociations"][0]
    return found


def _group(tree: Tree) -> Tree:
    found: Tree = _config(tree)["OriginGroups"]["Items"][-1]
    return found


def _origin(tree: Tree, name: str) -> Tree:
    found: Tree = next(o for o in _config(tree)["Origins"] if o["Id"] == name)
    return found


def _trust(tree: Tree) -> Tree:
    found: Tree = _of(tree, "EdgeOriginRequestRole")["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]
    return found


def _told(tree: Tree) -> Tree:
    found: Tree = _of(tree, "MadeBucket")["NotificationConfiguration"]["LambdaConfigurations"][0]
    return found


MISTAKES: dict[str, tuple[str, Change]] = {
    "target": ("targets_exist", lambda t: _behavior(t, "/api/*").update(TargetOriginId="nowhere")),
    "member": ("targets_exist", lambda t: _group(t)["Members"]["Items"][1].update(OriginId="nowhere")),
    "id": ("ids_are_unique", lambda t: _origin(t, "site").update(Id="bucket")),
    "pattern": ("ids_are_unique", lambda t: _behavior(t, "/api/*").update(PathPattern="/thumbs/*")),
    "code 418": (
        "failover_codes_are_known",
        lambda t: _group(t)["FailoverCriteria"].update(StatusCodes={"Quantity": 1, "Items": [418]}),
    ),
    "quantity": ("quantities_are_right", lambda t: _config(t)["OriginGroups"].update(Quantity=7)),
    "members": (
        "quantities_are_right",
        lambda t: _group(t).update(Members={"Quantity": 1, "Items": [{"OriginId": "bucket"}]}),
    ),
    "methods": (
        "methods_are_a_set_of_cloudfronts",
        lambda t: _behavior(t, "/api/*").update(AllowedMethods=["GET", "POST"]),
    ),
    "cached": (
        "methods_are_a_set_of_cloudfronts",
        lambda t: _behavior(t, "/api/*").update(CachedMethods=["GET"]),
    ),
    "group and POST": (
        "methods_are_a_set_of_cloudfronts",
        lambda t: _behavior(t, "/api/*").update(TargetOriginId="media"),
    ),
    "URL": (
        "origins_are_host_names",
        lambda t: _origin(t, "site").update(DomainName="https://www.example.org"),
    ),
    "URL as a default": (
        "origins_are_host_names",
        lambda t: t["Parameters"]["SiteHost"].update(Default="https://www.example.org"),
    ),
    "no S3OriginConfig": (
        "access_control_has_its_config",
        lambda t: _origin(t, "bucket").pop("S3OriginConfig"),
    ),
    "no access control": (
        "access_control_has_its_config",
        lambda t: _origin(t, "bucket").pop("OriginAccessControlId"),
    ),
    "event": ("associations_are_sound", lambda t: _associated(t).update(EventType="origin_request")),
    "two events": (
        "associations_are_sound",
        lambda t: _config(t)["DefaultCacheBehavior"].update(LambdaFunctionAssociations=[_associated(t)] * 2),
    ),
    "unversioned": (
        "associations_are_sound",
        lambda t: _associated(t).update(LambdaFunctionARN={"Fn::GetAtt": ["EdgeOriginRequest", "Arn"]}),
    ),
    "alias": (
        "associations_are_sound",
        lambda t: _associated(t).update(LambdaFunctionARN={"Ref": "EdgeOriginRequest.Alias"}),
    ),
    "$LATEST": (
        "associations_are_sound",
        lambda t: _associated(t).update(LambdaFunctionARN="arn:aws:lambda:us-east-1:1:function:f:$LATEST"),
    ),
    "generator on a group": (
        "associations_are_sound",
        lambda t: _behavior(t, "/thumbs/*").update(TargetOriginId="media"),
    ),
    "variables": ("edge_functions_are_fit", lambda t: _edge(t).update(Environment={})),
    "layers": ("edge_functions_are_fit", lambda t: _edge(t).update(Layers=[])),
    "arm64": ("edge_functions_are_fit", lambda t: _edge(t).update(Architectures=["arm64"])),
    "60 s": ("edge_functions_are_fit", lambda t: _edge(t).update(Timeout=60)),
    "no version": ("edge_functions_are_fit", lambda t: _edge(t).pop("AutoPublishAlias")),
    "deleted": (
        "edge_functions_are_fit",
        lambda t: t["Resources"]["EdgeOriginRequest"].pop("DeletionPolicy"),
    ),
    "trust": ("edge_functions_are_fit", lambda t: _trust(t).update(Service=["lambda.amazonaws.com"])),
    "trust of the edge alone": (
        "edge_functions_are_fit",
        lambda t: _trust(t).update(Service=["edgelambda.amazonaws.com"]),
    ),
    "visibility": (
        "queues_wait_long_enough",
        lambda t: _of(t, "BackfillQueue").update(VisibilityTimeout=1799),
    ),
    "batch": ("queues_wait_long_enough", lambda t: _of(t, "QueueConsumerSource").update(BatchSize=100)),
    "failures": (
        "queues_wait_long_enough",
        lambda t: _of(t, "QueueConsumerSource").pop("FunctionResponseTypes"),
    ),
    "dead letters": ("queues_wait_long_enough", lambda t: _of(t, "BackfillQueue").pop("RedrivePolicy")),
    "S3 event": ("notifications_may_call", lambda t: _told(t).update(Event="s3:ObjectCreate:*")),
    "S3 permission": (
        "notifications_may_call",
        lambda t: t["Resources"].pop("MadeInvalidateOnPutPermission"),
    ),
    "too early": ("notifications_may_call", lambda t: t["Resources"]["MadeBucket"].pop("DependsOn")),
    "URL permission": ("urls_may_be_called", lambda t: t["Resources"].pop("MirrorUrlUrlPermission")),
    "function permission": ("urls_may_be_called", lambda t: t["Resources"].pop("MirrorUrlPermission")),
    "min TTL": (
        "redirects_are_not_kept",
        lambda t: _of(t, "ShortCachePolicy")["CachePolicyConfig"].update(MinTTL=1),
    ),
    "managed min TTL": (
        "redirects_are_not_kept",
        lambda t: _behavior(t, "/fetched/*").update(CachePolicyId="658327ea-f89d-4fab-a63d-7e88639e58f6"),
    ),
    "Host": (
        "hosts_are_not_passed_on",
        lambda t: _behavior(t, "/fetched/*").update(
            OriginRequestPolicyId="216adef6-5c7f-47e4-b989-5492eafa07d3"
        ),
    ),
    "Host of its own": (
        "hosts_are_not_passed_on",
        lambda t: _of(t, "LanguagesOriginRequestPolicy")["OriginRequestPolicyConfig"].update(
            HeadersConfig={"HeaderBehavior": "allExcept", "Headers": ["X"]}
        ),
    ),
    "Host for an API": (
        "hosts_are_not_passed_on",
        lambda t: _behavior(t, "/api/*").update(OriginRequestPolicyId="216adef6-5c7f-47e4-b989-5492eafa07d3"),
    ),
    "API permission": ("apis_may_call", lambda t: t["Resources"].pop("BalanceApiPermission")),
    "REST permission": ("apis_may_call", lambda t: t["Resources"].pop("RestApiPermission")),
    "payload": (
        "apis_may_call",
        lambda t: _of(t, "BalanceApiIntegration").update(PayloadFormatVersion="1.0"),
    ),
    "API timeout": ("apis_may_call", lambda t: _of(t, "Balance").update(Timeout=60)),
    "no secret": (
        "balancers_know_their_caller",
        lambda t: _of(t, "Balance")["Environment"]["Variables"].pop("caller_secret"),
    ),
    "a secret that is shown": (
        "balancers_know_their_caller",
        lambda t: t["Parameters"]["CallerSecret"].pop("NoEcho"),
    ),
    "a secret that is not told": (
        "balancers_know_their_caller",
        lambda t: _origin(t, "api").pop("OriginCustomHeaders"),
    ),
    "schedule": (
        "schedules_may_call",
        lambda t: _of(t, "CanaryScheduleRole")["Policies"].clear(),
    ),
    "any account": (
        "schedules_may_call",
        lambda t: _of(t, "CanaryScheduleRole")["AssumeRolePolicyDocument"]["Statement"][0].pop("Condition"),
    ),
    "rate": (
        "schedules_may_call",
        lambda t: _of(t, "CanarySchedule").update(ScheduleExpression="rate(1 minutes)"),
    ),
    "key": (
        "tables_are_as_functions_want_them",
        lambda t: _of(t, "HealthTable").update(KeySchema=[{"AttributeName": "node", "KeyType": "HASH"}]),
    ),
    "time to live": (
        "tables_are_as_functions_want_them",
        lambda t: _of(t, "HealthTable").pop("TimeToLiveSpecification"),
    ),
    "a balancer that writes": (
        "tables_are_as_functions_want_them",
        lambda t: _of(t, "BalanceRole")["Policies"][0]["PolicyDocument"]["Statement"][1].update(
            Action=["dynamodb:PutItem"]
        ),
    ),
    "every action": (
        "nothing_is_open",
        lambda t: _of(t, "QueueConsumerRole")["Policies"][0]["PolicyDocument"]["Statement"][0].update(
            Action=["s3:*"]
        ),
    ),
    "every resource": (
        "nothing_is_open",
        lambda t: _of(t, "QueueConsumerRole")["Policies"][0]["PolicyDocument"]["Statement"][0].update(
            Resource="*"
        ),
    ),
    "managed policy": (
        "nothing_is_open",
        lambda t: _of(t, "QueueConsumerRole").update(ManagedPolicyArns=["x"]),
    ),
    "public": ("nothing_is_open", lambda t: _of(t, "MadeBucket").pop("PublicAccessBlockConfiguration")),
    "uploads": ("nothing_is_open", lambda t: _of(t, "MadeBucket").pop("LifecycleConfiguration")),
    "any distribution": (
        "nothing_is_open",
        lambda t: _of(t, "MadeBucketPolicy")["PolicyDocument"]["Statement"][0].pop("Condition"),
    ),
    "name": ("names_are_there", lambda t: t["Parameters"].pop("SiteHost")),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_rule_finds_its_fault(what: str) -> None:
    rule, change = MISTAKES[what]
    tree = deepcopy(_good(_POOLED if rule in _OF_POOLS or what == "Host for an API" else ALL))
    change(tree)
    assert rule in {fault.partition(":")[0] for fault in faults(tree)}


def test_no_rule_is_there_for_nothing() -> None:
    assert {rule for rule, _ in MISTAKES.values()} == {rule.__name__ for rule in RULES}


def test_the_repositorys_own_configuration_keeps_them_too() -> None:
    assert faults(template(own(), Surroundings()).tree) == []
