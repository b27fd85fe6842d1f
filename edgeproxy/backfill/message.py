"""A job as text: what stands in a queue's file, in a message of SQS, and what a Lambda consumer reads.

    {"v": 1, "uri": "/img/a%20b.jpg", "querystring": "", "group": "media", "key": "img/a b.jpg",
     "max_bytes": 5497558138880, "headers": [["Accept-Language", "de"]], "cache_key": [...]}

Only `v` and `uri` must be there. Without a `key` the object's is that of the path, and without a `group`
it is for whoever reads it to know which bucket is meant. A key that is no UTF-8 stands in `key_hex`.
With `"refresh": true` an object of ours that is there is replaced, if the source has another by now.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from edgeproxy.backfill.job import Job
from edgeproxy.core.key import CacheKey
from edgeproxy.core.paths import object_key
from edgeproxy.store.rows import UNREADABLE, key_of, key_text

VERSION = 1
MAX_OBJECT_BYTES = 5 * 2**40
"""Largest object that S3 has."""


# Nothing that would end a request line, or the target in it, early.
# A surrogate that stands for no byte is none either.
_PATH = re.compile(r"/[^\x00-\x20\x7f?#\ud800-\udc7f\udd00-\udfff]*")
_QUERY = re.compile(r"[^\x00-\x20\x7f#\ud800-\udc7f\udd00-\udfff]*")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udc7f\udd00-\udfff]*")


class MessageError(ValueError):
    """The text is not a job; the message says which field, what it is, and what is wanted."""


def message_text(job: Job) -> str:
    """`job` as text, less its attempt."""
    key: dict[str, str]
    try:
        key = {"key": job.key.decode("utf-8")}
    except UnicodeDecodeError:
        key = {"key_hex": job.key.hex()}
    told: dict[str, Any] = {
        "v": VERSION,
        "uri": job.path,
        "querystring": job.query,
        "group": job.group,
        **key,
        "max_bytes": job.max_bytes,
        "headers": job.headers,
    }
    if job.refresh:
        told["refresh"] = True
    if job.cache_key is not None:
        told["cache_key"] = json.loads(key_text(job.cache_key))
    return json.dumps(told, separators=(",", ":"))


def job_of(text: str | bytes, *, group: str | None = "", prefix: str | Mapping[str, str] = "") -> Job:
    """The job that `text` is of, with `group` where it names none.

    Where it names no key, that is below `prefix`: the bucket's origin path, or each group's, by its name.

    Raises `MessageError`.
    """
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise MessageError(f"the message: got {_short(text)}, want a JSON object") from None
    if not isinstance(told, dict):
        raise MessageError(f"the message: got {_short(text)}, want a JSON object")
    version = told.get("v")
    if version != VERSION:
        raise MessageError(f"v: got {_short(version)}, want {VERSION}")
    path = _text(told, "uri", None)
    if not _PATH.fullmatch(path):
        raise MessageError(f'uri: got {_short(path)}, want a path that begins with "/" and has no blanks')
    query = _text(told, "querystring", "")
    if not _QUERY.fullmatch(query):
        raise MessageError(f"querystring: got {_short(query)}, want a query without blanks")
    target = _text(told, "group", group)
    return Job(
        group=target,
        key=_key(told, path, prefix if isinstance(prefix, str) else prefix.get(target, "")),
        path=path,
        cache_key=_cache_key(told),
        max_bytes=_size(told),
        query=query,
        headers=_headers(told),
        refresh=_flag(told, "refresh"),
    )


def _text(told: dict[str, Any], name: str, default: str | None) -> str:
    value = told.get(name, default)
    if not isinstance(value, str):
        raise MessageError(f"{name}: got {_short(value)}, want text")
    return value


def _key(told: dict[str, Any], path: str, prefix: str) -> bytes:
    if "key_hex" in told:
        try:
            return bytes.fromhex(_text(told, "key_hex", None))
        except ValueError:
            raise MessageError(f"key_hex: got {_short(told['key_hex'])}, want hexadecimal digits") from None
    if "key" not in told:
        return object_key(path, prefix)
    try:
        return _text(told, "key", None).encode()
    except UnicodeEncodeError:
        raise MessageError(f"key: got {_short(told['key'])}, want text that is Unicode") from None


def _size(told: dict[str, Any]) -> int:
    value = told.get("max_bytes", MAX_OBJECT_BYTES)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise MessageError(f"max_bytes: got {_short(value)}, want bytes")
    return value


def _flag(told: dict[str, Any], name: str) -> bool:
    value = told.get(name, False)
    if not isinstance(value, bool):
        raise MessageError(f"{name}: got {_short(value)}, want true or false")
    return value


def _headers(told: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    pairs = told.get("headers", [])
    if not isinstance(pairs, list):
        raise MessageError(f"headers: got {_short(pairs)}, want a list of [name, value]")
    for pair in pairs:
        if not _is_field(pair):
            raise MessageError(f"headers: got {_short(pair)} in it, want [name, value]")
    return tuple((name, value) for name, value in pairs)


def _is_field(pair: object) -> bool:
    match pair:
        case [str(name), str(value)]:
            return _NAME.fullmatch(name) is not None and _VALUE.fullmatch(value) is not None
        case _:
            return False


def _cache_key(told: dict[str, Any]) -> CacheKey | None:
    if told.get("cache_key") is None:
        return None
    try:
        key = key_of(json.dumps(told["cache_key"]))
        hash(key)
    except UNREADABLE:
        raise MessageError(f"cache_key: got {_short(told['cache_key'])}, want a cache key") from None
    return key


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return ascii(text[:60]) if isinstance(value, str) else text[:60]
