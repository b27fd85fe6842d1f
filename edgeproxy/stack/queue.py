"""The queue of objects to be copied, its dead letters, and the function that copies.

Lambda Developer Guide, "Using Lambda with Amazon SQS".
"""

import math
from collections.abc import Iterator

from edgeproxy.config import Config
from edgeproxy.config.mistakes import Mistake
from edgeproxy.stack.errors import mistake
from edgeproxy.stack.fillings import Filling
from edgeproxy.stack.functions import function_id, regional
from edgeproxy.stack.hosts import Host
from edgeproxy.stack.intrinsics import Tree, att, logical_id, ref, statement, sub
from edgeproxy.stack.roles import filling as may_fill
from edgeproxy.stack.surroundings import DEFAULT_QUEUE_NAME, QUEUE, Surroundings

_TIMEOUT_S = 300
_VISIBLE_AFTER_S = 6 * _TIMEOUT_S
"""Lambda's advice: the queue must not give a message to another while the function is at it."""
_KEPT_S = 14 * 86_400
_BATCH = 10
_LONGEST_NAME = 75
"""So that "-dead" still fits."""
_AT_ONCE_EACH = 4
"""Objects that one call of the function copies at once."""
CONSUMER = "queue_consumer"


def queue_name(config: Config) -> str:
    """What the gateway's own queue is called, if that is one of SQS."""
    sqs = config.backfill.sqs
    if sqs is None:
        return DEFAULT_QUEUE_NAME
    return sqs.name or (sqs.url or DEFAULT_QUEUE_NAME).rpartition("/")[2]


def said_of_queue(config: Config) -> Iterator[Mistake]:
    """What the functions cannot do."""
    name = queue_name(config)
    if name.endswith(".fifo") or len(name) > _LONGEST_NAME:
        setting = "url" if config.backfill.sqs is not None and config.backfill.sqs.url else "name"
        wanted = f"a standard queue with a name of at most {_LONGEST_NAME} characters"
        yield mistake(("backfill", "sqs", setting), name, wanted)


def bucket_name(origin: str) -> str:
    """The parameter with the name of the bucket of an S3 origin."""
    return f"{logical_id(origin)}Name"


def filling_environment(filling: Filling, host: Host, path: str, around: Surroundings) -> dict[str, object]:
    """What a function that fills a bucket is told; `path` is the bucket's origin path."""
    return {
        "s3_bucket": ref(bucket_name(filling.bucket)),
        "s3_region": sub(around.store_region),
        **({"s3_prefix": path} if path else {}),
        "external_endpoint": sub(host.url),
        **filling.settings,
    }


def queue(config: Config, filling: Filling, host: Host, around: Surroundings) -> dict[str, Tree]:
    """Queue, dead letters and consumer."""
    path = config.origins[filling.bucket].origin_path
    dead = f"{QUEUE}Dead"
    consumer = function_id(CONSUMER)
    calls = max(2, math.ceil(config.backfill.concurrency / _AT_ONCE_EACH))
    actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    return {
        dead: {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": sub("${QueueName}-dead"),
                "MessageRetentionPeriod": _KEPT_S,
                "SqsManagedSseEnabled": True,
            },
        },
        QUEUE: {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": ref("QueueName"),
                "VisibilityTimeout": _VISIBLE_AFTER_S,
                "SqsManagedSseEnabled": True,
                "RedrivePolicy": {
                    "deadLetterTargetArn": att(dead, "Arn"),
                    "maxReceiveCount": config.backfill.attempts,
                },
            },
        },
        **regional(
            consumer,
            around,
            code=CONSUMER,
            timeout_s=_TIMEOUT_S,
            environment=filling_environment(filling, host, path, around),
            may=[statement(actions, att(QUEUE, "Arn")), *may_fill(bucket_name(filling.bucket), path)],
        ),
        f"{consumer}Source": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": att(QUEUE, "Arn"),
                "FunctionName": ref(consumer),
                "BatchSize": _BATCH,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "ScalingConfig": {"MaximumConcurrency": calls},
            },
        },
    }
