"""Ids of requests, of the form of `X-Amz-Cf-Id`."""

import secrets
from base64 import urlsafe_b64encode

_BATCH = 256
_BYTES = 40
_OWN_BYTES, _OWN_CHARS = 18, 24
"""What is random anew in each: more than in a UUID. The rest is the same within a batch."""


class Ids:
    """56 characters of URL-safe base64, for 40 bytes. Many are made at once, since each hit needs one."""

    def __init__(self) -> None:
        self._made: list[str] = []

    def new(self) -> str:
        """An id that nobody else has, and nobody can guess."""
        if not self._made:
            rest = urlsafe_b64encode(secrets.token_bytes(_BYTES))[_OWN_CHARS:].decode()
            own = urlsafe_b64encode(secrets.token_bytes(_OWN_BYTES * _BATCH)).decode()
            self._made = [own[at : at + _OWN_CHARS] + rest for at in range(0, len(own), _OWN_CHARS)]
        return self._made.pop()
