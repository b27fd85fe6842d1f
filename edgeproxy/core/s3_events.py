"""What S3 servers tell of changed objects: AWS, EventBridge, MinIO, Ceph, bare or as messages of SNS and SQS.

S3 User Guide, "Event message structure", "EventBridge event message structure". All send at least
once and in any order, and nearly the same JSON; the keys of objects are written differently.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import unquote_to_bytes

_DEPTH = 4
"""Messages within messages: S3 -> SNS -> SQS -> Lambda."""
_SHOWN_CHARS = 60
# MinIO sends these as ObjectCreated, though the object is what it was.
_BYTES_STAY = frozenset({"PutTagging", "DeleteTagging", "PutRetention", "PutLegalHold"})
_OF_EVENTBRIDGE = {"Object Created": "ObjectCreated", "Object Deleted": "ObjectRemoved"}


class Change(StrEnum):
    """What became of an object."""

    CREATED = "created"
    """It is new, or is another one now."""
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """One object has changed. `sequencer` orders the events of one key, see `is_later`."""

    bucket: str
    key: bytes
    change: Change
    etag: str | None = None
    """Without quotes, as it is there."""
    version: str | None = None
    sequencer: str | None = None
    principal: str | None = None
    """Who did it: `AWS:<role id>:<session>` on AWS, the access key id on MinIO, the user on Ceph; with
    EventBridge the account only."""
    user_agent: str | None = None
    """With what; MinIO alone tells it."""
    is_expiry: bool = False
    """Whether a rule of the bucket removed it by its age, and nobody on purpose."""


def is_later(sequencer: str, other: str) -> bool:
    """Whether an event happened after another of the same key: hexadecimal, the shorter one padded."""
    width = max(len(sequencer), len(other))
    return sequencer.upper().ljust(width, "0") > other.upper().ljust(width, "0")


def object_events(body: bytes | str) -> tuple[ObjectEvent, ...]:
    """The changes of objects in a notification, in its order; other events, and the test event, are none.

    Raises `ValueError` with one line that names the field, what it has and what is wanted.
    """
    return tuple(_in_text(body, "body", _DEPTH))


def _in_text(body: bytes | str, place: str, depth: int) -> Iterator[ObjectEvent]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):  # the former also for bytes that are no Unicode text
        raise _wrong(place, body, "JSON") from None
    yield from _in_message(message, place, depth)


def _in_message(message: Any, place: str, depth: int) -> Iterator[ObjectEvent]:
    if not isinstance(message, dict):
        raise _wrong(place, message, "a JSON object")
    if depth == 0:
        raise ValueError(f"{place}: got messages within messages, want at most {_DEPTH} of them")
    if "Records" in message:
        records = message["Records"]
        if not isinstance(records, list):
            raise _wrong(_under(place, "Records"), records, "a list")
        for number, record in enumerate(records):
            yield from _in_record(record, _under(place, f"Records[{number}]"), depth)
    elif "detail-type" in message:
        yield from _of_eventbridge(message, place)
    elif message.get("Type") == "Notification":
        yield from _in_text(_text(message, "Message", place), _under(place, "Message"), depth - 1)
    elif "Event" not in message and "Type" not in message:  # S3's test event, SNS's about subscriptions
        raise _wrong(place, message, "Records, detail-type or Message in it")


def _in_record(record: Any, place: str, depth: int) -> Iterator[ObjectEvent]:
    if not isinstance(record, dict):
        raise _wrong(place, record, "a JSON object")
    if "body" in record:  # of SQS
        yield from _in_text(_text(record, "body", place), _under(place, "body"), depth - 1)
    elif "Sns" in record:
        inner = _under(place, "Sns")
        yield from _in_text(
            _text(_part(record, "Sns", place), "Message", inner), f"{inner}.Message", depth - 1
        )
    else:
        yield from _of_s3(record, place)


def _of_s3(record: dict[str, Any], place: str) -> Iterator[ObjectEvent]:
    name = _text(record, "eventName", place).removeprefix("s3:")
    change = _change(name)
    if change is None:
        return
    s3, inner = _part(record, "s3", place), _under(place, "s3")
    item = _part(s3, "object", inner)
    key = _key(item, f"{inner}.object")
    # Ceph alone sends it as it is; a key with "+" or "%" would become another one.
    is_raw = record.get("eventSource") == "ceph:s3"
    yield ObjectEvent(
        bucket=_text(_part(s3, "bucket", inner), "name", f"{inner}.bucket"),
        key=key if is_raw else unquote_to_bytes(key.replace(b"+", b" ")),
        change=change,
        etag=_known(item, "eTag"),
        version=_known(item, "versionId"),
        sequencer=_known(item, "sequencer"),
        principal=_known(record.get("userIdentity"), "principalId"),
        user_agent=_known(record.get("source"), "userAgent"),
        is_expiry=change is Change.REMOVED and "Expiration" in name,
    )


def _of_eventbridge(event: dict[str, Any], place: str) -> Iterator[ObjectEvent]:
    change = _change(_OF_EVENTBRIDGE.get(_text(event, "detail-type", place), ""))
    if change is None:
        return
    detail, inner = _part(event, "detail", place), _under(place, "detail")
    item = _part(detail, "object", inner)
    yield ObjectEvent(
        bucket=_text(_part(detail, "bucket", inner), "name", f"{inner}.bucket"),
        key=_key(item, f"{inner}.object"),
        change=change,
        etag=_known(item, "etag"),
        version=_known(item, "version-id"),
        sequencer=_known(item, "sequencer"),
        principal=_known(detail, "requester"),
        is_expiry=change is Change.REMOVED and _known(detail, "reason") == "Lifecycle Expiration",
    )


def _change(name: str) -> Change | None:
    kind, _, how = name.partition(":")
    if kind == "ObjectCreated" and how not in _BYTES_STAY:
        return Change.CREATED
    # S3 and Ceph have words of their own for what their lifecycle rules delete.
    if kind in ("ObjectRemoved", "LifecycleExpiration") or name.startswith("ObjectLifecycle:Expiration"):
        return Change.REMOVED
    return None


def _key(item: dict[str, Any], place: str) -> bytes:
    text = _text(item, "key", place)
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can hold
        raise _wrong(f"{place}.key", text, "Unicode text") from None


def _text(values: dict[str, Any], name: str, place: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value:
        raise _wrong(_under(place, name), value, "a text")
    return value


def _part(values: dict[str, Any], name: str, place: str) -> dict[str, Any]:
    value = values.get(name)
    if not isinstance(value, dict):
        raise _wrong(_under(place, name), value, "a JSON object")
    return value


def _known(values: Any, name: str) -> str | None:
    """What we can do without: nothing if it is not there."""
    value = values.get(name) if isinstance(values, dict) else None
    return value if isinstance(value, str) and value else None


def _under(place: str, name: str) -> str:
    return name if place == "body" else f"{place}.{name}"


def _wrong(place: str, value: object, wanted: str) -> ValueError:
    shown = ascii(value) if isinstance(value, bytes) else json.dumps(value)
    if len(shown) > _SHOWN_CHARS:
        shown = f"{shown[:_SHOWN_CHARS]}..."
    return ValueError(f"{place}: got {shown if value is not None else 'nothing'}, want {wanted}")
