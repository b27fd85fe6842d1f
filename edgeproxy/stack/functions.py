"""Lambda functions as `edgeproxy package` packs them, with their logs and roles."""

from edgeproxy.packaging.functions import BY_NAME
from edgeproxy.stack.intrinsics import Tree, att, logical_id, ref
from edgeproxy.stack.roles import role, writing_its_log, writing_logs_at_the_edge
from edgeproxy.stack.surroundings import Surroundings

EDGE_TIMEOUT_S = 30
"""Most that CloudFront waits for a function on an origin event.  Developer Guide, "Quotas"."""
_LOG_DAYS = 14
_MEMORY_MB = 512
"""Also how much of a processor it is: importing takes long with less."""


def regional(
    name: str,
    around: Surroundings,
    *,
    code: str,
    timeout_s: int,
    environment: dict[str, object],
    may: list[Tree],
    **more: object,
) -> dict[str, Tree]:
    """The function `code` under the logical id `name`, with a log group and a role of its own."""
    group = f"{name}Logs"
    return {
        name: {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                **_common(code, around),
                "Role": att(f"{name}Role", "Arn"),
                "Timeout": timeout_s,
                "Environment": {"Variables": environment},
                "LoggingConfig": {"LogGroup": ref(group)},
                **more,
            },
        },
        f"{name}Role": role([writing_its_log(group), *may]),
        group: {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": _LOG_DAYS}},
    }


def edge(code: str, around: Surroundings, *, timeout_s: int, may: list[Tree]) -> dict[str, Tree]:
    """A function that CloudFront calls: a new version for every change, no variables.

    It stays when the stack goes: its copies all over the world are gone some hours later only.
    """
    name = function_id(code)
    return {
        name: {
            "Type": "AWS::Serverless::Function",
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                **_common(code, around),
                "Role": att(f"{name}Role", "Arn"),
                "AutoPublishAlias": "live",
                "Timeout": timeout_s,
            },
        },
        f"{name}Role": role([writing_logs_at_the_edge(), *may], at_the_edge=True),
    }


def version_of(code: str) -> Tree:
    """What CloudFront is told to call: one version, never the latest."""
    return ref(f"{function_id(code)}.Version")


def function_id(code: str) -> str:
    """`edge_origin_request` -> `EdgeOriginRequest`."""
    return logical_id(code)


def _common(code: str, around: Surroundings) -> Tree:
    return {
        "CodeUri": f"{around.zips}/{code}.zip",
        "Handler": BY_NAME[code].handler,
        "Runtime": f"python{around.python}",
        "Architectures": ["x86_64"],
        "MemorySize": _MEMORY_MB,
    }
