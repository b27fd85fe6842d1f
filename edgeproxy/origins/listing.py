"""What is in a bucket, a thousand objects at a time.  Amazon S3 API Reference, "ListObjectsV2"."""

from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes
from xml.etree import ElementTree

from edgeproxy.core.errors import OriginError
from edgeproxy.core.reason import Reason
from edgeproxy.origins.s3 import S3Origin

_MAX_PAGE_BYTES = 8 * 2**20
"""A thousand keys of 1024 bytes, each escaped, and what is told of them."""


@dataclass(frozen=True, slots=True)
class Page:
    """Keys and sizes in bytes, ascending; `is_last` = there are no more behind them."""

    objects: tuple[tuple[bytes, int], ...]
    is_last: bool


class NotListedError(OriginError):
    """The keys that we have may not list the bucket."""


async def page_of(origin: S3Origin, prefix: bytes, after: bytes = b"") -> Page:
    """The first objects of the bucket whose keys begin with `prefix` and are greater than `after`.

    Raises `OriginError`, and `NotListedError` where that is not allowed.
    """
    query = "encoding-type=url&list-type=2"
    # Sorted, as it is signed.
    for name, value in (("prefix", prefix), ("start-after", after)):
        query += f"&{name}={quote(value, safe='')}" if value else ""
    reply = await origin.listing(query)
    document = b""
    try:
        async for chunk in reply.body:
            document += chunk
            if len(document) > _MAX_PAGE_BYTES:
                raise _unfit(origin, "the listing is larger than any can be")
    finally:
        reply.close()
    if reply.head.status == 403:
        raise NotListedError(Reason.ORIGIN_BAD_REPLY, f"{origin.name}: S3 does not let us list the bucket")
    if reply.head.status != 200:
        raise _unfit(origin, f"the bucket cannot be listed: S3 answered {reply.head.status}")
    try:
        return _read(document)
    except (ElementTree.ParseError, ValueError, KeyError):
        raise _unfit(origin, "the listing is none") from None


def _read(document: bytes) -> Page:
    # Expat expands no entities beyond a bound, and it is our own bucket that speaks.
    root = ElementTree.fromstring(document)  # noqa: S314
    is_last = True
    objects: list[tuple[bytes, int]] = []
    for element in root:
        match _name(element):
            case "IsTruncated":
                is_last = element.text != "true"
            case "Contents":
                told = {_name(child): child.text or "" for child in element}
                # A blank is "+" here, and what is not is escaped.
                key = unquote_to_bytes(told["Key"].replace("+", " "))
                objects.append((key, int(told["Size"])))
    return Page(tuple(objects), is_last or not objects)


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _unfit(origin: S3Origin, cause: str) -> OriginError:
    return OriginError(Reason.ORIGIN_BAD_REPLY, f"{origin.name}: {cause}")
