"""Ids of requests, of the form of `X-Amz-Cf-Id`."""

import secrets
from base64 import urlsafe_b64encode

_BATCH = 512
_WHOLE_BYTES = 39
"""What base64 turns into 52 characters, with nothing left over; the 40th byte makes the last four."""
_LAST = tuple(urlsafe_b64encode(bytes([value])).decode() for value in range(256))


class Ids:
    """56 characters of URL-safe base64, from 40 random bytes each. Many are made at once."""

    def __init__(self) -> None:
        self._made: list[str] = []

    def new(self) -> str:
        """An id that nobody else has, and nobody can guess."""
        if not self._made:
            text = urlsafe_b64encode(secrets.token_bytes(_WHOLE_BYTES * _BATCH)).decode()
            step = len(text) // _BATCH
            last = secrets.token_bytes(_BATCH)
            self._made = [text[n * step : (n + 1) * step] + _LAST[last[n]] for n in range(_BATCH)]
        return self._made.pop()
