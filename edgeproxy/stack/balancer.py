"""Pools: the function that balances behind an HTTP API, and the canary with its schedule and table.

CloudFront signs requests to function URLs only where viewers send the digest of what they POST, which they do
not. So the API is open to all, and a secret of CloudFront's tells the function who calls.
"""

import math
import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from edgeproxy.config import Config
from edgeproxy.config.mistakes import Mistake
from edgeproxy.config.pool import PoolOrigin
from edgeproxy.config.renewing import pools_of
from edgeproxy.config.units import duration_text
from edgeproxy.lambdas.balance import SECRET_FIELD
from edgeproxy.lambdas.pools import LEAST_INTERVAL_S
from edgeproxy.stack.errors import Note, note
from edgeproxy.stack.functions import function_id, regional
from edgeproxy.stack.hosts import is_public
from edgeproxy.stack.intrinsics import Tree, att, logical_id, ref, statement, sub
from edgeproxy.stack.roles import called_by, role
from edgeproxy.stack.surroundings import Surroundings

BALANCE, CANARY = "balance", "canary"
TABLE = "HealthTable"
API = "BalanceApi"
_SECRET = "CallerSecret"  # noqa: S105 - its name
_PATIENCE_S = 30
"""What an HTTP API waits for a function.  API Gateway Developer Guide, "Quotas for HTTP APIs"."""
_TIMEOUT_S = _PATIENCE_S - 1
_STARTING_S = 10
_LONGEST_CHECK_S = 600
_VARIABLE = r"[A-Za-z][A-Za-z0-9_]+"
_RESERVED = re.compile(r"AWS_.*|_HANDLER|_X_AMZN_TRACE_ID|LAMBDA_.*|TZ|PATH|PYTHONPATH|LD_LIBRARY_PATH|LANG")
"""Lambda Developer Guide, "Using Lambda environment variables"."""


def _environment_id(variable: str) -> str:
    return f"Variable{logical_id(variable)}"


def balancer_parameters(around: Surroundings) -> dict[str, Tree]:
    """The secret, and each variable that the configuration speaks of."""
    made: dict[str, Tree] = {
        _SECRET: {
            "Type": "String",
            "NoEcho": True,
            "AllowedPattern": "^[!-~]{16,128}$",
            "Description": "What the balancer knows CloudFront by: 16 characters or more that nobody guesses",
        }
    }
    for name, has_default in around.variables.items():
        made[_environment_id(name)] = {
            "Type": "String",
            "NoEcho": True,
            **({"Default": ""} if has_default else {}),
            "Description": f"Variable {name} of the configuration",
        }
    return made


def used_pools(config: Config, used: list[str]) -> dict[str, PoolOrigin]:
    """The pools to which some behaviour leads."""
    return {name: pool for name, pool in pools_of(config).items() if name in used}


def balancer(pools: dict[str, PoolOrigin], around: Surroundings) -> list[dict[str, Tree]]:
    """All that pools need, each resource by its logical id."""
    known: dict[str, object] = {"caller_secret": ref(_SECRET), "trusted_hops": "1"}
    made = [balance(function_id(BALANCE), pools, around, known), _api()]
    if _are_checked(pools):
        made += [_table(), _canary(pools, around)]
    return made


def _are_checked(pools: dict[str, PoolOrigin]) -> bool:
    return any(pool.checks is not None for pool in pools.values())


def _told(pools: dict[str, PoolOrigin], around: Surroundings) -> dict[str, object]:
    """Environment variables of both functions."""
    told: dict[str, object] = {"health_table": ref(TABLE)} if _are_checked(pools) else {}
    variables = [name for name in around.variables if not _RESERVED.fullmatch(name)]
    return {**told, **{name: ref(_environment_id(name)) for name in variables}}


def balance(
    name: str, pools: dict[str, PoolOrigin], around: Surroundings, more: dict[str, object]
) -> dict[str, Tree]:
    """The function, under the logical id `name`; `more` is what it is told of its callers."""
    return regional(
        name,
        around,
        code=BALANCE,
        timeout_s=_TIMEOUT_S,
        environment={**_told(pools, around), **more},
        may=[statement(["dynamodb:BatchGetItem"], att(TABLE, "Arn"))] if _are_checked(pools) else [],
    )


def _api() -> dict[str, Tree]:
    function = function_id(BALANCE)
    return {
        API: {
            "Type": "AWS::ApiGatewayV2::Api",
            "Properties": {"Name": sub("${AWS::StackName}-balance"), "ProtocolType": "HTTP"},
        },
        f"{API}Integration": {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {
                "ApiId": ref(API),
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": att(function, "Arn"),
                "PayloadFormatVersion": "2.0",
                "TimeoutInMillis": _PATIENCE_S * 1000,
            },
        },
        f"{API}Route": {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {
                "ApiId": ref(API),
                "RouteKey": "$default",
                "Target": sub(f"integrations/${{{API}Integration}}"),
            },
        },
        f"{API}Stage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "Properties": {"ApiId": ref(API), "StageName": "$default", "AutoDeploy": True},
        },
        f"{API}Permission": called_by_api(function, API),
    }


def called_by_api(function: str, api: str) -> Tree:
    """The permission for an API to call a function."""
    arn = f"arn:${{AWS::Partition}}:execute-api:${{AWS::Region}}:${{AWS::AccountId}}:${{{api}}}/*"
    return {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "FunctionName": ref(function),
            "Action": "lambda:InvokeFunction",
            "Principal": "apigateway.amazonaws.com",
            "SourceArn": sub(arn),
        },
    }


def _table() -> dict[str, Tree]:
    return {
        TABLE: {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "server", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "server", "KeyType": "HASH"}],
                "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
                "SSESpecification": {"SSEEnabled": True},
            },
        }
    }


def _canary(pools: dict[str, PoolOrigin], around: Surroundings) -> dict[str, Tree]:
    canary = function_id(CANARY)
    checks = [pool.checks for pool in pools.values() if pool.checks is not None]
    minutes = min(_minutes(check.interval) for check in checks)
    longest_s = min(_LONGEST_CHECK_S, math.ceil(max(check.timeout for check in checks)))
    schedule = f"{canary}Schedule"
    return {
        **regional(
            canary,
            around,
            code=CANARY,
            timeout_s=longest_s + _STARTING_S,
            environment=_told(pools, around),
            may=[statement(["dynamodb:BatchGetItem", "dynamodb:PutItem"], att(TABLE, "Arn"))],
        ),
        schedule: {
            "Type": "AWS::Scheduler::Schedule",
            "Properties": {
                "ScheduleExpression": f"rate({minutes} minute{'s' if minutes > 1 else ''})",
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "Target": {
                    "Arn": att(canary, "Arn"),
                    "RoleArn": att(f"{schedule}Role", "Arn"),
                    # The next one comes soon enough.
                    "RetryPolicy": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60},
                },
            },
        },
        f"{schedule}Role": role(
            [statement(["lambda:InvokeFunction"], att(canary, "Arn"))],
            trusts=[called_by("scheduler.amazonaws.com")],
        ),
    }


def _minutes(interval_s: float) -> int:
    return math.ceil(max(interval_s, LEAST_INTERVAL_S) / 60)


def balance_domain() -> Tree:
    """The host of the API."""
    return sub(f"${{{API}}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}")


def pool_origin(name: str, more: list[Tree]) -> Tree:
    """The pool `name` as an origin of the distribution; `more` are other headers for it."""
    secret = {"HeaderName": SECRET_FIELD, "HeaderValue": ref(_SECRET)}
    return {
        "Id": name,
        "DomainName": balance_domain(),
        "OriginCustomHeaders": [secret, *more],
        "CustomOriginConfig": {
            "OriginProtocolPolicy": "https-only",
            "OriginSSLProtocols": ["TLSv1.2"],
            "OriginReadTimeout": _PATIENCE_S,
        },
    }


def said_of_pools(pools: dict[str, PoolOrigin], around: Surroundings) -> Iterator[Mistake | Note]:
    """What a pool has otherwise there."""
    for name, pool in pools.items():
        for number, node in enumerate(pool.nodes):
            if not _is_reached(urlsplit(node.url).hostname or ""):
                said = "functions cannot reach it; what is packed wants an address that they can"
                yield note(("origins", name, "nodes", number, "url"), node.url, said)
        for setting in ("first_byte", "silence", "total"):
            seconds = getattr(pool.timeouts, setting)
            if seconds is not None and seconds >= _TIMEOUT_S and setting in pool.timeouts.model_fields_set:
                said = f"the whole request has {_TIMEOUT_S}s there"
                yield note(("origins", name, "timeouts", setting), duration_text(seconds), said)
        if pool.checks is None:
            continue
        minutes = _minutes(pool.checks.interval)
        if minutes * 60 != pool.checks.interval:
            said = f"is {minutes}m there, as schedules have whole minutes"
            yield note(("origins", name, "checks", "interval"), duration_text(pool.checks.interval), said)
    if not pools:
        return
    for variable in around.variables:
        if not re.fullmatch(_VARIABLE, variable) and not _RESERVED.fullmatch(variable):
            wanted = "a name of two or more letters, digits and _ that begins with a letter, as Lambda has it"
            yield Mistake("file", f"got ${{{variable}}}", wanted)


def _is_reached(host: str) -> bool:
    try:
        return ip_address(host).is_global
    except ValueError:
        return is_public(host)
