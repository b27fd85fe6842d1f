"""A bucket that CloudFront alone may read, and the function that tells CloudFront of its changes."""

import re

from edgeproxy.config import Config
from edgeproxy.config.mistakes import Mistake
from edgeproxy.config.origins import S3Origin
from edgeproxy.core.key import Pick
from edgeproxy.stack.errors import Note, mistake, note
from edgeproxy.stack.functions import function_id, regional
from edgeproxy.stack.intrinsics import Tree, att, logical_id, ref, statement, sub
from edgeproxy.stack.queue import CONSUMER, bucket_name
from edgeproxy.stack.surroundings import Surroundings, bucket_arn, folder_of

_INVALIDATE = "invalidate_on_put"
_NAME = r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]"
"""S3 User Guide, "General purpose bucket naming rules"."""
_TIMEOUT_S = 60


def bucket_parameters(name: str, origin: S3Origin) -> dict[str, Tree]:
    """The parameter with the bucket's name."""
    default = {"Default": origin.bucket} if re.fullmatch(_NAME, origin.bucket) else {}
    about = f"Name of the bucket of the origin {name}; the names of all accounts are one set"
    return {
        bucket_name(name): {
            "Type": "String",
            **default,
            "AllowedPattern": f"^{_NAME}$",
            "Description": about,
        }
    }


def said_of_bucket(name: str, config: Config, others: list[str]) -> list[Mistake | Note]:
    """What AWS refuses of an S3 origin, or has otherwise. `others`: S3 origins that stand above it."""
    origin = config.origins[name]
    assert isinstance(origin, S3Origin)
    said: list[Mistake | Note] = []
    for other in others:
        if getattr(config.origins[other], "bucket", None) == origin.bucket:
            wanted = f"a bucket of its own, as a stack makes each once, and origins.{other} has it"
            said.append(mistake(("origins", name, "bucket"), origin.bucket, wanted))
    if not re.fullmatch(_NAME, origin.bucket):
        wants = f"parameter {bucket_name(name)} wants a name of lower-case letters, digits and hyphens"
        said.append(note(("origins", name, "bucket"), origin.bucket, wants))
    return said


def bucket(name: str, config: Config, around: Surroundings, *, is_filled: bool) -> dict[str, Tree]:
    """The bucket of the S3 origin `name`; `is_filled`: the queue's consumer writes to it."""
    origin = config.origins[name]
    kept = logical_id(name) + "Bucket"
    invalidate = logical_id(name) + function_id(_INVALIDATE)
    permission = f"{invalidate}Permission"
    notification: Tree = {"Event": "s3:ObjectCreated:*", "Function": att(invalidate, "Arn")}
    if origin.origin_path:
        # Notifications take keys as they are, not as they stand in a URL.
        rules = [{"Name": "prefix", "Value": folder_of(origin.origin_path)}]
        notification["Filter"] = {"S3Key": {"Rules": rules}}
    arn = bucket_arn(bucket_name(name))
    return {
        kept: {
            "Type": "AWS::S3::Bucket",
            "DependsOn": permission,
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "BucketName": ref(bucket_name(name)),
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": True,
                    "RestrictPublicBuckets": True,
                },
                "LifecycleConfiguration": {
                    "Rules": [
                        {
                            "Id": "cut-off-uploads",
                            "Status": "Enabled",
                            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                        }
                    ]
                },
                "NotificationConfiguration": {"LambdaConfigurations": [notification]},
            },
        },
        f"{kept}Policy": {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {
                "Bucket": ref(kept),
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        _for_cloudfront("s3:GetObject", f"{arn}/*", around),
                        # So that what is missing is 404, not 403.
                        _for_cloudfront("s3:ListBucket", arn, around),
                    ],
                },
            },
        },
        **regional(
            invalidate,
            around,
            code=_INVALIDATE,
            timeout_s=_TIMEOUT_S,
            environment={
                "distribution_id": around.distribution_id,
                **({"origin_path": origin.origin_path} if origin.origin_path else {}),
                **(
                    {"default_root_object": config.server.default_root_object}
                    if config.server.default_root_object
                    else {}
                ),
                "any_query": "true" if _has_query_in_a_key(config) else "false",
                # What the queue brings was missing: there is nothing old to be forgotten.
                **({"ignore_principal": att(f"{function_id(CONSUMER)}Role", "RoleId")} if is_filled else {}),
            },
            may=[statement(["cloudfront:CreateInvalidation"], sub(around.distribution_arn))],
        ),
        permission: {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": ref(invalidate),
                "Action": "lambda:InvokeFunction",
                "Principal": "s3.amazonaws.com",
                "SourceAccount": ref("AWS::AccountId"),
                "SourceArn": sub(arn),
            },
        },
    }


def _for_cloudfront(action: str, resource: str, around: Surroundings) -> Tree:
    return {
        "Effect": "Allow",
        "Principal": {"Service": "cloudfront.amazonaws.com"},
        "Action": action,
        "Resource": sub(resource),
        "Condition": {"StringEquals": {"AWS:SourceArn": sub(around.distribution_arn)}},
    }


def _has_query_in_a_key(config: Config) -> bool:
    return any(behavior.cache.key.query.pick is not Pick.NONE for behavior in config.behavior_values())


def regional_domain(name: str, around: Surroundings) -> Tree:
    """Where CloudFront finds the bucket: by its name, for its resource would lead in a circle."""
    return sub(f"${{{bucket_name(name)}}}.s3.{around.store_region}.${{AWS::URLSuffix}}")
