"""How aiobotocore is told where a service is, and with which keys."""

import re
from collections.abc import Mapping
from typing import Any

from aiobotocore.config import AioConfig

_HOST_OF_SQS = re.compile(
    r"(?:.*\.)?sqs(?:-fips)?\.([a-z0-9-]+)\.(?:vpce\.)?(?:amazonaws\.com(?:\.cn)?|api\.aws)"
    r"|([a-z0-9-]+)\.queue\.amazonaws\.com(?:\.cn)?"
)


def region_of(host: str) -> str | None:
    """The region of a queue of SQS by the host of its URL.  AWS General Reference, "Amazon SQS endpoints"."""
    match = _HOST_OF_SQS.fullmatch(host)
    return (match[1] or match[2]) if match is not None else None


def client_options(
    region: str, endpoint: str | None, keys: tuple[str, str, str | None] | None, config: Mapping[str, Any]
) -> dict[str, Any]:
    """What `create_client` takes; without `keys` (id, secret, session token) AWS's own chain has them."""
    options: dict[str, Any] = {
        "region_name": region,
        "endpoint_url": endpoint,
        "config": AioConfig(**config),
    }
    if keys is not None:
        access, secret, token = keys
        options |= {
            "aws_access_key_id": access,
            "aws_secret_access_key": secret,
            "aws_session_token": token,
        }
    return options
