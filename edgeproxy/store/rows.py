"""Keys and stored responses as the texts of a row in the catalogue."""

import json
from dataclasses import fields
from typing import Any

from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.storing import Stored

UNREADABLE = (ValueError, TypeError, LookupError)
"""What comes of a row whose text is not what was written."""


def octets(text: str) -> bytes:
    """As bytes, which compare as the paths do; also what is no Unicode text."""
    return text.encode("utf-8", "surrogatepass")


def key_text(key: CacheKey) -> str:
    """A cache key as text: the same for the same key."""
    return json.dumps([getattr(key, field.name) for field in fields(CacheKey)])


def key_of(text: str) -> CacheKey:
    """The cache key that `text` is of.  Raises one of `UNREADABLE`."""
    values: list[Any] = json.loads(text)
    return CacheKey(*map(_frozen, values))


def variant_text(stored: Stored) -> str:
    """Which variant it is: the names of its `Vary` and the values that the request had."""
    return json.dumps([stored.vary, stored.variant])


def stored_text(stored: Stored) -> str:
    """A stored response, less its body, as text."""
    values = {f.name: getattr(stored, f.name) for f in fields(Stored) if f.name != "head"}
    return json.dumps({"status": stored.head.status, "fields": stored.head.headers.pairs, **values})


def stored_of(text: str) -> Stored:
    """The stored response that `text` is of.  Raises one of `UNREADABLE`."""
    values: dict[str, Any] = json.loads(text)
    head = Head(values.pop("status"), Headers(_frozen(values.pop("fields"))))
    return Stored(head, **{name: _frozen(value) for name, value in values.items()})


def _frozen(value: Any) -> Any:
    """With tuples for the lists of JSON."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
