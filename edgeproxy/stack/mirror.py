"""The function behind a URL that is the second origin for rules of mode `redirect`.

Lambda Developer Guide, "Creating and managing Lambda function URLs"; CloudFront Developer Guide, "Restrict
access to an AWS Lambda function URL origin".
"""

import math

from edgeproxy.config import Config
from edgeproxy.stack.fillings import Filling
from edgeproxy.stack.functions import function_id, regional
from edgeproxy.stack.hosts import Host
from edgeproxy.stack.intrinsics import Tree, att, ref, sub
from edgeproxy.stack.queue import bucket_name, filling_environment
from edgeproxy.stack.roles import filling as may_fill
from edgeproxy.stack.surroundings import Surroundings

MIRROR = "mirror_url"
LONGEST_S = 120
"""Longest that CloudFront waits for an origin's first byte.  CloudFront Developer Guide, "Quotas"."""


def timeout_s(config: Config) -> int:
    """How long the viewer waits, whole seconds."""
    return min(LONGEST_S, math.ceil(config.backfill.make_timeout))


def mirror_id(filling: Filling, several: list[Filling]) -> str:
    """The logical id of its function: with a number where there are several."""
    number = several.index(filling)
    return function_id(MIRROR) + (str(number + 1) if number else "")


def mirror(config: Config, name: str, filling: Filling, host: Host, around: Surroundings) -> dict[str, Tree]:
    """The function `name`, its URL, and the two permissions that CloudFront needs to call it."""
    path = config.origins[filling.bucket].origin_path
    caller = {"Principal": "cloudfront.amazonaws.com", "SourceArn": sub(around.distribution_arn)}
    return {
        **regional(
            name,
            around,
            code=MIRROR,
            timeout_s=timeout_s(config),
            environment=filling_environment(filling, host, path, around),
            may=may_fill(bucket_name(filling.bucket), path),
        ),
        f"{name}Url": {
            "Type": "AWS::Lambda::Url",
            "Properties": {"TargetFunctionArn": att(name, "Arn"), "AuthType": "AWS_IAM"},
        },
        f"{name}UrlPermission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": ref(name),
                "Action": "lambda:InvokeFunctionUrl",
                "FunctionUrlAuthType": "AWS_IAM",
                **caller,
            },
        },
        f"{name}Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": ref(name),
                "Action": "lambda:InvokeFunction",
                "InvokedViaFunctionUrl": True,
                **caller,
            },
        },
    }


def mirror_domain(name: str) -> Tree:
    """The host of the function's URL: the third of `https:`, nothing, the host, nothing."""
    return {"Fn::Select": [2, {"Fn::Split": ["/", att(f"{name}Url", "FunctionUrl")]}]}
