"""The functions that there are, and what each needs of AWS."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Function:
    """A handler and its surroundings."""

    name: str
    about: str
    services: frozenset[str] = frozenset()
    """AWS services that it talks to, as botocore names them."""
    takes_config: bool = False
    """Whether it reads the configuration."""
    is_edge: bool = False
    """Whether it is for CloudFront: no environment variables, x86_64 alone, a smaller zip."""

    @property
    def module(self) -> str:
        """Where its code is."""
        return f"edgeproxy.lambdas.{self.name}"

    @property
    def handler(self) -> str:
        """What Lambda is told to call."""
        return f"{self.module}.handler"


FUNCTIONS = (
    Function(
        "edge_origin_request",
        "at CloudFront, before the second origin is asked: puts the object into the queue",
        frozenset({"sqs"}),
        is_edge=True,
    ),
    Function("queue_consumer", "takes messages from the queue and fills the bucket", frozenset({"s3"})),
    Function(
        "edge_origin_response",
        "at CloudFront, after the bucket has answered: makes what it has not",
        frozenset({"s3"}),
        is_edge=True,
    ),
    Function("mirror_url", "a function URL as the second origin: stores, and sends back", frozenset({"s3"})),
    Function("invalidate_on_put", "tells CloudFront of objects that have changed", frozenset({"cloudfront"})),
    Function(
        "balance",
        "behind an API or a function URL: passes requests on to the fittest node of a pool",
        frozenset({"dynamodb"}),
        takes_config=True,
    ),
    Function(
        "canary",
        "once a minute: checks the nodes of all pools, and tells who balances",
        frozenset({"dynamodb"}),
        takes_config=True,
    ),
)
BY_NAME = {function.name: function for function in FUNCTIONS}
