"""Requests, response heads and their fields.  RFC 9110 §5-§7."""

from collections.abc import AsyncIterable, Iterable, Iterator
from dataclasses import dataclass, field

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Those that change nothing, of the methods that are let in.  RFC 9110 §9.2.1."""

# Fields that speak of one connection only, RFC 9110 §7.6.1; the last three are older habits.
HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer"
    " transfer-encoding upgrade http2-settings".split()
)
# Fields for every recipient of the message, which `Connection` must not list (RFC 9110 §7.6.1). They
# stay even so: one line in a head must not undo a `no-store`, or split the key from what is sent.
_FOR_ALL = frozenset(
    "accept-encoding age authorization cache-control content-encoding content-length content-range"
    " content-type cookie date etag expires host last-modified vary".split()
)
_MAX_DIGITS = 19
"""Digits of the largest length in use; `int` itself raises at some thousands."""
SECRET_FIELDS = frozenset("authorization proxy-authorization cookie set-cookie x-amz-security-token".split())


def field_text(value: bytes) -> str:
    """A field value as text: UTF-8, or ISO-8859-1 where it is not that, as older servers write it.

    RFC 9110 §5.5 leaves such octets open; we pass them on in UTF-8.
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


class Headers:
    """Fields in the order they came; names compare without case; immutable.  RFC 9110 §5.

    `repr` hides the values of fields that carry secrets.
    """

    __slots__ = ("_index", "pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs: tuple[tuple[str, str], ...] = tuple(pairs)
        self._index: dict[str, str] | None = None

    def get(self, name: str) -> str | None:
        """The value of `name` (lower case), several lines joined by ", " (RFC 9110 §5.3), or None."""
        index = self._index
        if index is None:
            index = self._indexed()
        return index.get(name)

    def _indexed(self) -> dict[str, str]:
        index: dict[str, str] = {}
        for name, value in self.pairs:
            lower = name.lower()
            index[lower] = f"{index[lower]}, {value}" if lower in index else value
        self._index = index
        return index

    def all(self, name: str) -> tuple[str, ...]:
        """Every line of `name` (lower case) by itself."""
        return tuple(value for field, value in self.pairs if field.lower() == name)

    def without(self, names: Iterable[str]) -> "Headers":
        """These fields less `names` (lower case)."""
        dropped = frozenset(names)
        if dropped.isdisjoint(self._index or self._indexed()):
            return self
        return Headers([pair for pair in self.pairs if pair[0].lower() not in dropped])

    def having(self, *fields: tuple[str, str]) -> "Headers":
        """These fields with each of `fields` in place of all lines of the same name."""
        if not fields:
            return self
        replaced = {name.lower() for name, _ in fields}
        if replaced.isdisjoint(self._index or self._indexed()):
            return Headers(self.pairs + fields)
        return Headers([*[pair for pair in self.pairs if pair[0].lower() not in replaced], *fields])

    def end_to_end(self) -> "Headers":
        """Without hop-by-hop fields and those that `Connection` rightly lists.  RFC 9110 §7.6.1."""
        listed = self.get("connection")
        if listed is None:
            return self.without(HOP_BY_HOP)
        options = {name.strip().lower() for name in listed.split(",")}
        return self.without(HOP_BY_HOP | (options - _FOR_ALL))

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.pairs == other.pairs

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __repr__(self) -> str:
        shown = (f"{name}: {'***' if name.lower() in SECRET_FIELDS else value}" for name, value in self.pairs)
        return f"Headers({', '.join(shown)})"


@dataclass(frozen=True, slots=True)
class Request:
    """What a viewer asks, or what an origin is asked.

    `path` begins with "/" and is in the normal form of `paths.normalise`; `query` is as received,
    without "?"; `body` is None where the message has none.
    """

    method: str
    path: str
    query: str = ""
    headers: Headers = Headers()
    host: str = ""
    scheme: str = "http"
    viewer: str = ""
    """Address of the viewer, for `X-Forwarded-For`; empty for requests of our own."""
    body: AsyncIterable[bytes] | None = None
    websocket: bool = False
    """Whether it asks to go on as a WebSocket, and may.  RFC 6455 §4."""
    asked: "Request | None" = field(default=None, compare=False, repr=False)
    """The viewer's own request, if this is what an origin gets of it."""

    def but(
        self,
        *,
        method: str | None = None,
        path: str | None = None,
        query: str | None = None,
        headers: Headers | None = None,
        host: str | None = None,
        websocket: bool | None = None,
        asked: "Request | None" = None,
    ) -> "Request":
        """The same with what is given in its place; every request comes by here, and `replace` is slow."""
        return Request(
            self.method if method is None else method,
            self.path if path is None else path,
            self.query if query is None else query,
            self.headers if headers is None else headers,
            self.host if host is None else host,
            self.scheme,
            self.viewer,
            self.body,
            self.websocket if websocket is None else websocket,
            self.asked if asked is None else asked,
        )

    @property
    def target(self) -> str:
        """Path and query as they stand in a request line.  RFC 9112 §3.2.1."""
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(frozen=True, slots=True)
class Head:
    """Status and fields of a response."""

    status: int
    headers: Headers = Headers()

    @property
    def length(self) -> int | None:
        """The body's length in bytes as `Content-Length` has it; None if absent or nonsense."""
        value = self.headers.get("content-length")
        if value is None or not value.isascii() or not value.isdigit() or len(value) > _MAX_DIGITS:
            return None
        return int(value)
