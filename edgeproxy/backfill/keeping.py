"""What of an answer's head is kept with an object, as botocore's parameters and as header fields."""

from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from edgeproxy.core.freshness import http_date
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.provenance import is_ours

# Head fields that S3 keeps with an object, and the names botocore has for them.
_KEPT = {
    "content-type": "ContentType",
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
}
_FIELDS = {parameter: name for name, parameter in _KEPT.items()} | {
    "ContentMD5": "content-md5",
    "IfMatch": "if-match",
    "IfNoneMatch": "if-none-match",
}
META = "x-amz-meta-"
_MAX_META_BYTES = 2048


def kept_fields(head: Head, notes: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of an object that comes with `head`; of `notes` those for which there is room."""
    fields: dict[str, Any] = {}
    for name, parameter in _KEPT.items():
        value = head.headers.get(name)
        if value:
            fields[parameter] = value
    expires = head.headers.get("expires")
    if expires is not None and (moment := http_date(expires)) is not None:
        fields["Expires"] = moment
    meta = {
        name.lower().removeprefix(META): value
        for name, value in head.headers
        if name.lower().startswith(META) and value.isascii() and not is_ours(name)
    }
    room = _MAX_META_BYTES - sum(len(name) + len(value) for name, value in meta.items())
    if room < 0:
        meta, room = {}, _MAX_META_BYTES
    for name, value in notes.items():
        if len(name) + len(value) <= room:
            meta[name] = value
            room -= len(name) + len(value)
    if meta:
        fields["Metadata"] = meta
    return fields


def headers_of(fields: Mapping[str, Any]) -> Headers:
    """What botocore would make of these parameters."""
    pairs = [(name, fields[parameter]) for parameter, name in _FIELDS.items() if parameter in fields]
    if "Expires" in fields:
        pairs.append(("expires", formatdate(fields["Expires"], usegmt=True)))
    return Headers([*pairs, *((META + name, value) for name, value in fields.get("Metadata", {}).items())])
