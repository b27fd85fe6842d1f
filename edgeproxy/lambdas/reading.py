"""Reading an event field by field: what is not as AWS documents it is told by its name."""

import base64
import binascii
from typing import Any, TypeAlias

Event: TypeAlias = dict[str, Any]


class EventError(ValueError):
    """The event is not what it should be; the message says which field, what it is, and what is wanted."""


def at(event: object, *path: str | int) -> Any:
    """What stands at `path`, such as `at(event, "Records", 0, "cf")`; None where there is nothing.

    Keys that AWS leaves out in one shape and sends as null in another mean the same.
    """
    for step in path:
        match event:
            case dict() if isinstance(step, str):
                event = event.get(step)
            case list() if isinstance(step, int) and step < len(event):
                event = event[step]
            case _:
                return None
    return event


def name_of(path: tuple[str | int, ...]) -> str:
    """How a place is spelt in messages: `Records[0].cf.request`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def text(event: object, *path: str | int, default: str | None = None) -> str:
    """The text at `path`.  Raises `EventError`."""
    value = at(event, *path)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise EventError(f"{name_of(path)}: got {short(value)}, want text")
    return value


def table(event: object, *path: str | int, default: Event | None = None) -> Event:
    """The JSON object at `path`.  Raises `EventError`."""
    value = at(event, *path)
    if value is None and default is not None:
        return default
    if not isinstance(value, dict):
        raise EventError(f"{name_of(path)}: got {short(value)}, want a JSON object")
    return value


def octets(event: object, body: str, is_base64: str) -> bytes:
    """The body under the name `body`, in base64 if `is_base64` says so.  Raises `EventError`."""
    said = text(event, body, default="")
    if at(event, is_base64) is not True:
        return said.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(said, validate=True)
    except (binascii.Error, ValueError):
        raise EventError(f"{body}: got {short(said)}, want base64, as {is_base64} says") from None


def short(value: object) -> str:
    """A value as it stands in a message, shortened."""
    shown = ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
