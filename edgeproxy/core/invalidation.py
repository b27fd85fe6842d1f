"""What an invalidation covers: a path, a path with a query, a prefix, everything, or a tag.

CloudFront Developer Guide, "Specify objects to invalidate", "Invalidate by cache tag"; RFC 9111 §4.4.
"""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from edgeproxy.core.errors import RequestError
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers, Request
from edgeproxy.core.paths import key_path, normalise, object_key, object_path

MAX_TAGS = 50
MAX_TAG_CHARS = 256
_UNSAFE = frozenset({"PUT", "PATCH", "POST", "DELETE"})


class Reach(StrEnum):
    """How far an invalidation reaches."""

    EXACT = "exact"
    """One path with one query, or none."""
    PATH = "path"
    """One path with any query."""
    OBJECT = "object"
    """All paths that name one object, with any query."""
    PREFIX = "prefix"
    TAG = "tag"


@dataclass(frozen=True, slots=True)
class Invalidation:
    """All variants of what it covers, for all methods."""

    reach: Reach
    text: str

    @property
    def is_of_all(self) -> bool:
        """Whether nothing is left out: every path begins with a slash."""
        return self.reach is Reach.PREFIX and self.text == "/"

    def covers(self, key: CacheKey, tags: frozenset[str]) -> bool:
        """Whether the object under `key`, with these tags, is covered."""
        match self.reach:
            case Reach.EXACT:
                return self.text == (f"{key.path}?{key.query}" if key.query else key.path)
            case Reach.PATH:
                return key.path == self.text
            case Reach.OBJECT:
                return object_path(key.path) == self.text
            case Reach.PREFIX:
                return (f"{key.path}?{key.query}" if key.query else key.path).startswith(self.text)
            case Reach.TAG:
                return self.text in tags

    def __str__(self) -> str:
        return {Reach.PREFIX: f"{self.text}*", Reach.TAG: f"#{self.text}"}.get(self.reach, self.text)


def invalidation(text: str) -> Invalidation:
    """The invalidation that an operator writes: `/a.jpg`, `/a.jpg?w=1`, `/images/*`, `/*`, `#tag`.

    `*` is a wildcard at the end only. Raises `ValueError` with one line for the user.
    """
    if text.startswith("#") and len(text) > 1:
        return Invalidation(Reach.TAG, text[1:].lower())
    if not text.startswith("/") or len(text) > 4000:
        raise ValueError(
            f'path: got "{text}", want a path such as /a.jpg or /images/*, or a tag such as #news'
        )
    is_prefix = text.endswith("*")
    path, mark, query = text.removesuffix("*").partition("?")
    try:
        path = normalise(path, allow_ambiguous=True)
    except RequestError as error:
        raise ValueError(f'path: got "{text}", but {error.message}') from None
    return Invalidation(Reach.PREFIX if is_prefix else Reach.EXACT, f"{path}{mark}{query}")


def of_object(key: bytes, prefix: str = "") -> Invalidation | None:
    """All that viewers may have got of the object `key`; None if no path leads to it.

    `prefix` is an origin path such as "/site", which stands in front of every key.
    """
    folder = object_key(f"{prefix}/") if prefix else b""
    if not key.startswith(folder):
        return None
    return Invalidation(Reach.OBJECT, key_path(key.removeprefix(folder)))


def cache_tags(head: Head) -> frozenset[str]:
    """The tags of an answer: `Cache-Tag`, parted by commas, and `Surrogate-Key`, parted by blanks.

    In lower case; what is longer than CloudFront takes is passed over.
    """
    listed = (head.headers.get("cache-tag") or "").split(",")
    spaced = (head.headers.get("surrogate-key") or "").replace(",", " ").split()
    tags = (tag.strip().lower() for tag in (*listed, *spaced))
    return frozenset([tag for tag in tags if 0 < len(tag) <= MAX_TAG_CHARS][:MAX_TAGS])


def by_unsafe_method(request: Request, status: int, headers: Headers) -> tuple[Invalidation, ...]:
    """What a write that succeeded makes invalid: its own path, `Location` and `Content-Location`.

    The latter two only on the same host.  RFC 9111 §4.4.
    """
    if request.method not in _UNSAFE or not 200 <= status < 400:
        return ()
    paths = [request.path]
    for name in ("location", "content-location"):
        value = headers.get(name)
        if value is None:
            continue
        try:
            url = urlsplit(value)
            if url.path.startswith("/") and url.netloc.lower() in ("", request.host):
                paths.append(normalise(url.path, allow_ambiguous=True))
        except (ValueError, RequestError):
            continue
    return tuple(Invalidation(Reach.PATH, path) for path in dict.fromkeys(paths))
