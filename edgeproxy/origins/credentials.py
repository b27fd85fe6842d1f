"""Where the keys for S3 come from. No exception of botocore's leaves this file."""

from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError

from edgeproxy.aws import session
from edgeproxy.core.errors import OriginError
from edgeproxy.core.reason import Reason
from edgeproxy.origins.sigv4 import Keys

if TYPE_CHECKING:
    from aiobotocore.credentials import AioCredentials


class KeySource(Protocol):
    """Gives the keys that are valid now; None = do not sign."""

    async def current(self) -> Keys | None:
        """Raises `OriginError` when there should be keys and are none."""
        ...


class FixedKeys:
    """Keys from the configuration, or none for a bucket that is open to all."""

    def __init__(self, keys: Keys | None) -> None:
        self._keys = keys

    async def current(self) -> Keys | None:
        """The keys."""
        return self._keys


class ProviderChain:
    """AWS's provider chain: environment, shared files, web identity, container and instance role.

    Keys that expire are renewed by the chain before they do.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._session = session()
        self._credentials: AioCredentials | None = None

    async def current(self) -> Keys:
        """The keys as the chain has them now."""
        try:
            if self._credentials is None:
                self._credentials = await self._session.get_credentials()
            if self._credentials is None:
                message = f"{self._origin}: no AWS credentials were found, and credentials is not anonymous"
                raise OriginError(Reason.S3_NO_CREDENTIALS, message)
            frozen = await self._credentials.get_frozen_credentials()
        except BotoCoreError as error:
            message = f"{self._origin}: the AWS credentials cannot be had ({type(error).__name__})"
            raise OriginError(Reason.S3_NO_CREDENTIALS, message) from error
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)
