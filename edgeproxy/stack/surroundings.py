"""Which part of the stack is made, and how its parts name each other.

Functions at the edge have to be in us-east-1, buckets are where their objects are wanted: a stack in one
region, or one for each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from edgeproxy.core.paths import object_key
from edgeproxy.stack.intrinsics import Tree, ref

DISTRIBUTION = "Distribution"
QUEUE = "BackfillQueue"


class Part(StrEnum):
    """What is in the template."""

    WHOLE = "whole"
    EDGE = "edge"
    """The distribution and what runs with it, in us-east-1."""
    STORE = "store"
    """Buckets, queue and their functions, in a region of their own."""

    @property
    def has_edge(self) -> bool:
        """Whether the distribution is in it."""
        return self is not Part.STORE

    @property
    def has_store(self) -> bool:
        """Whether the buckets are in it."""
        return self is not Part.EDGE


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What resources say of those that may be in the other stack; for `sub` where it is a text."""

    part: Part = Part.WHOLE
    zips: str = "dist"
    """The folder of the zips, as seen from the template."""
    python: str = "3.13"
    config: str = "config.yaml"
    """The file of the configuration, as commands name it."""
    variables: Mapping[str, bool] = field(default_factory=dict)
    """Those that pools want filled in, and whether each can be done without."""
    has_rest: bool = False
    """Whether there is a REST API with the published mapping template before pools."""

    @property
    def store_region(self) -> str:
        """Where the buckets and the queue are."""
        return "${StoreRegion}" if self.part is Part.EDGE else "${AWS::Region}"

    @property
    def distribution_id(self) -> Tree:
        """Of CloudFront's distribution."""
        return ref(DISTRIBUTION if self.part.has_edge else "DistributionId")

    @property
    def distribution_arn(self) -> str:
        """Of CloudFront's distribution."""
        name = self.distribution_id["Ref"]
        return f"arn:${{AWS::Partition}}:cloudfront::${{AWS::AccountId}}:distribution/${{{name}}}"

    @property
    def queue_arn(self) -> str:
        """Of the queue, by its name: so that the edge's stack can do without it."""
        return f"arn:${{AWS::Partition}}:sqs:{self.store_region}:${{AWS::AccountId}}:${{QueueName}}"


def bucket_arn(parameter: str) -> str:
    """By the bucket's name: its resource would lead from the distribution back to itself."""
    return f"arn:${{AWS::Partition}}:s3:::${{{parameter}}}"


def folder_of(path: str) -> str:
    """What keys begin with below the origin path `path`: as they are, where a path has escapes."""
    return object_key(f"{path}/").decode("utf-8", "replace")


DEFAULT_QUEUE_NAME = "edgeproxy-backfill"


def parameters(queue_name: str) -> dict[str, Tree]:
    """Those that any stack may need."""
    return {
        "StoreRegion": {"Type": "String", "Description": "Region of the stack with the buckets"},
        "DistributionId": {"Type": "String", "Description": "Output DistributionId of the stack at the edge"},
        "QueueName": {
            "Type": "String",
            "Default": queue_name,
            "AllowedPattern": "^[A-Za-z0-9_-]{1,75}$",
            "Description": "Name of the queue; its URL is in the zip of edge_origin_request",
        },
    }
