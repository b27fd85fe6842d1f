"""How the clients of AWS's services are made, and of those that speak as they do.

aiobotocore takes a quarter of a second to import, which only those pay who have a client made.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiobotocore.session import AioSession
    from botocore.loaders import Loader


def session() -> "AioSession":
    """A session of its own, with its own credentials.

    The descriptions of the services, some megabytes of JSON, are read once for all sessions.
    """
    from aiobotocore.session import get_session

    made = get_session()
    made.register_component("data_loader", _loader(made.get_config_variable("data_path")))
    return made


@cache
def _loader(data_path: str | None) -> "Loader":
    from botocore.loaders import create_loader

    return create_loader(data_path)


def client(
    service: str,
    region: str | None,
    endpoint: str | None,
    keys: tuple[str, str, str | None] | None,
    config: Mapping[str, Any],
) -> AbstractAsyncContextManager[Any]:
    """A client of `service`, such as "sqs", closed with the context; nothing is sent yet.

    Without `endpoint` that of AWS; without `keys` (id, secret, session token) AWS's own chain has them.
    `config` is what `AioConfig` takes.  Entering it raises what botocore raises.
    """
    from aiobotocore.config import AioConfig

    access, secret, token = keys or (None, None, None)
    made: AbstractAsyncContextManager[Any] = session().create_client(
        service,
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=AioConfig(**config),
    )
    return made
