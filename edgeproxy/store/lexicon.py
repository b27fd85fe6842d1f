"""Header fields as they are kept in memory: what many stored responses have in common is held once."""

from sys import getsizeof

from edgeproxy.core.message import Headers

# Fields of few values: nearly every answer of an origin has the same line. Others (`Date`, `ETag`) would
# fill the lexicon with what comes once.
_OF_FEW_VALUES = frozenset(
    "accept-ranges access-control-allow-credentials access-control-allow-headers access-control-allow-methods"
    " access-control-allow-origin access-control-expose-headers access-control-max-age cache-control"
    " content-encoding content-language content-security-policy content-type cross-origin-resource-policy"
    " permissions-policy referrer-policy server strict-transport-security timing-allow-origin vary"
    " x-amz-server-side-encryption x-amz-storage-class x-content-type-options x-frame-options x-powered-by"
    " x-xss-protection".split()
)
_MAX_SHARED = 1_024
_MAX_SHARED_CHARS = 200
_PAIR_BYTES = 72


class KeptHeaders(Headers):
    """Fields that share what they can, and know how many bytes are theirs alone."""

    __slots__ = ("own_bytes",)

    def __init__(self, headers: Headers, lexicon: "Lexicon") -> None:
        index: dict[str, str] = {}
        pairs = []
        own_bytes = 0
        for pair in headers:
            name, lower, name_bytes = lexicon.name(pair[0])
            line = lexicon.line((name, pair[1]), lower)
            if line is None:
                line = (name, pair[1])
                own_bytes += name_bytes + getsizeof(pair[1]) + _PAIR_BYTES
            if lower in index:
                own_bytes += 2 + getsizeof(line[1])
                index[lower] = f"{index[lower]}, {line[1]}"
            else:
                index[lower] = line[1]
            pairs.append(line)
        super().__init__(pairs)
        self._index = index
        self.own_bytes = own_bytes + getsizeof(self.pairs) + getsizeof(index)


class Lexicon:
    """Names of fields, and lines of few values, that are held for good: to share them costs an entry nothing.

    The first 1,024 of each, and short ones only, so that it is bounded whatever origins send.
    """

    def __init__(self) -> None:
        self._names: dict[str, tuple[str, str]] = {}
        self._lines: dict[tuple[str, str], tuple[str, str]] = {}

    def kept(self, headers: Headers) -> KeptHeaders:
        """The same fields, as they are to be kept."""
        return headers if isinstance(headers, KeptHeaders) else KeptHeaders(headers, self)

    def name(self, name: str) -> tuple[str, str, int]:
        """A field's name as it was written and in lower case, and how many bytes are not shared."""
        known = self._names.get(name)
        if known is not None:
            return *known, 0
        lower = name.lower()
        if len(self._names) < _MAX_SHARED and len(name) <= _MAX_SHARED_CHARS:
            self._names[name] = (name, lower)
            return name, lower, 0
        return name, lower, getsizeof(name) + getsizeof(lower)

    def line(self, line: tuple[str, str], lower: str) -> tuple[str, str] | None:
        """The line that is shared, or None if it is one's own. `lower` is its name in lower case."""
        if lower not in _OF_FEW_VALUES or len(line[1]) > _MAX_SHARED_CHARS:
            return None
        if len(self._lines) < _MAX_SHARED:
            return self._lines.setdefault(line, line)
        return self._lines.get(line)
