"""What is known of the nodes of pools: the section of where findings are kept, and how names are followed."""

from typing import Annotated, Literal, Self

from pydantic import SecretStr, model_validator

from edgeproxy.config.fields import SecondsAboveZero
from edgeproxy.config.kinds import BaseUrl, Secret, Text
from edgeproxy.config.origins import REGION, AwsKeys
from edgeproxy.config.section import Section, refused

_REDIS_URL = Text(
    r"rediss?://[!-~]{1,1024}|unix://[!-~]{1,1024}", "a URL such as redis://:password@127.0.0.1:6379/0", "URL"
)


class Health(Section):
    """What the checks of pools have found. All that share it check each node once an interval, together."""

    board: Literal["memory", "sqlite", "redis", "dynamodb"] = "memory"
    """Where findings are kept. `memory`: nowhere, each process checks for itself. `sqlite`: in a file in
    `state.folder`, which the processes of a machine share; so it is, where nothing is given, wherever there
    is a `state.folder`. `redis` (needs `edgeproxy[redis]`) and `dynamodb`: for several machines."""
    redis_url: Annotated[SecretStr, Secret(_REDIS_URL)] | None = None
    """Where Redis is, such as `redis://127.0.0.1:6379/0`; `rediss://` for TLS."""
    table: Annotated[str, Text(r"[A-Za-z0-9_.\-]{3,255}", "the name of a DynamoDB table", "table name")] = (
        "edgeproxy-health"
    )
    """DynamoDB table. Its key is `server`, a string; its Time to Live may be on `expires`."""
    region: Annotated[str, REGION] = "us-east-1"
    """Region of the table."""
    endpoint: Annotated[str, BaseUrl()] | None = None
    """Where DynamoDB is, such as `http://127.0.0.1:8000`; AWS when absent."""
    credentials: AwsKeys = "default"
    """Keys for DynamoDB; or `default`, which asks the AWS provider chain."""
    resolve_interval: SecondsAboveZero = 30.0
    """How often the names of nodes are looked up whose `addresses` are `each`."""

    @model_validator(mode="after")
    def _knows_where(self) -> Self:
        if self.board == "redis" and self.redis_url is None:
            raise refused("board", "redis_url beside it")
        return self
