"""CloudFront's API 2020-05-31 on the wire: invalidations as XML.

CloudFront API Reference, "CreateInvalidation", "GetInvalidation", "ListInvalidations".
"""

import re
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape

from edgeproxy.core.batch import ApiError, Batch, Page, Recorded

_NAMESPACE = "http://cloudfront.amazonaws.com/doc/2020-05-31/"
_MAX_DEPTH = 8
_MAX_ELEMENTS = 20_000
"""More than any batch has that is taken: whoever sends a million of them must not keep viewers waiting."""
_IN_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""XML 1.0 §2.2."""


@dataclass(slots=True)
class _Element:
    name: str
    parts: list["_Element"] = field(default_factory=list)
    text: str = ""

    def named(self, name: str) -> "_Element | None":
        return next((part for part in self.parts if part.name == name), None)

    def text_of(self, name: str) -> str:
        part = self.named(name)
        return part.text.strip() if part is not None else ""


class _Reader:
    """Builds the elements of a document without a DTD: nothing in it can stand for more than it is."""

    def __init__(self) -> None:
        self.top = _Element("")
        self._open = [self.top]
        self._count = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._refuse

    def read(self, body: bytes) -> _Element:
        """The outermost element.  Raises `ApiError`."""
        try:
            self._parser.Parse(body, True)
        except expat.ExpatError as error:
            raise _malformed(str(error)) from None
        except (LookupError, ValueError):  # an encoding that is none
            raise _malformed("unknown encoding") from None
        return self.top.parts[0]

    def _start(self, name: str, _: dict[str, str]) -> None:
        if len(self._open) > _MAX_DEPTH:
            raise _malformed("too many elements within elements")
        self._count += 1
        if self._count > _MAX_ELEMENTS:
            said = f"Your request has more than {_MAX_ELEMENTS} elements."
            raise ApiError("BatchTooLarge", 413, said)
        element = _Element(name.rpartition(" ")[2])
        self._open[-1].parts.append(element)
        self._open.append(element)

    def _end(self, _: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        self._open[-1].text += text

    def _refuse(self, *_: object) -> None:
        raise _malformed("a document type is not taken")


def batch_of(body: bytes) -> Batch:
    """The batch in the body of CreateInvalidation.

    Raises `ApiError`: `MissingBody`, `MalformedInput`, `InconsistentQuantities`, `BatchTooLarge`.
    """
    if not body.strip():
        raise ApiError("MissingBody", 400, "This operation requires a body.")
    top = _Reader().read(body)
    if top.name != "InvalidationBatch":
        raise _malformed(f"got {top.name}, want InvalidationBatch")
    paths = top.named("Paths") or _Element("Paths")
    items = paths.named("Items") or _Element("Items")
    found = tuple(item.text.strip() for item in items.parts if item.name == "Path")
    quantity = paths.text_of("Quantity")
    if not quantity.isascii() or not quantity.isdigit() or int(quantity[:9]) != len(found):
        said = f"Paths.Quantity is {quantity or 'missing'} and there are {len(found)} paths"
        raise ApiError("InconsistentQuantities", 400, f"The quantity and the number of items differ: {said}.")
    return Batch(found, top.text_of("CallerReference"))


def _malformed(why: str) -> ApiError:
    return ApiError("MalformedInput", 400, f"The XML cannot be read: {why}.")


def invalidation_xml(recorded: Recorded) -> bytes:
    """The answer of CreateInvalidation and GetInvalidation."""
    paths = "".join(_leaf("Path", path) for path in recorded.batch.paths)
    batch = (
        f"<Paths>{_leaf('Quantity', len(recorded.batch.paths))}<Items>{paths}</Items></Paths>"
        f"{_leaf('CallerReference', recorded.batch.reference)}"
    )
    return _document("Invalidation", f"{_summary(recorded)}<InvalidationBatch>{batch}</InvalidationBatch>")


def page_xml(page: Page) -> bytes:
    """The answer of ListInvalidations."""
    items = "".join(f"<InvalidationSummary>{_summary(item)}</InvalidationSummary>" for item in page.items)
    following = _leaf("NextMarker", page.items[-1].id) if page.is_truncated else ""
    return _document(
        "InvalidationList",
        f"{_leaf('Marker', page.marker)}{following}{_leaf('MaxItems', page.max_items)}"
        f"{_leaf('IsTruncated', str(page.is_truncated).lower())}{_leaf('Quantity', len(page.items))}"
        f"<Items>{items}</Items>",
    )


def error_xml(error: ApiError, request_id: str) -> bytes:
    """The answer in place of any other."""
    told = _leaf("Type", "Sender" if error.status < 500 else "Receiver")
    told += _leaf("Code", error.code) + _leaf("Message", error.message)
    return _document("ErrorResponse", f"<Error>{told}</Error>{_leaf('RequestId', request_id)}")


def _summary(recorded: Recorded) -> str:
    return (
        _leaf("Id", recorded.id)
        + _leaf("CreateTime", recorded.created)
        + _leaf("Status", recorded.status.value)
    )


def _leaf(name: str, value: object) -> str:
    text = _IN_NO_XML.sub("\ufffd", str(value))
    return f"<{name}>{escape(text, {chr(13): '&#13;'})}</{name}>"


def _document(name: str, inner: str) -> bytes:
    return f'<?xml version="1.0"?>\n<{name} xmlns="{_NAMESPACE}">{inner}</{name}>\n'.encode()
