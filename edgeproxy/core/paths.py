"""Request paths: normal form, what is refused, behaviour patterns, object keys.

RFC 3986 §2, §6.2.2; CloudFront Developer Guide, "Path pattern".
"""

import re
from urllib.parse import quote, unquote_to_bytes

from edgeproxy.core.errors import RequestError
from edgeproxy.core.reason import Reason

# pchar and "/", RFC 3986 §3.3: what may stand in a path without escaping. We also let through what
# browsers send raw and no origin reads otherwise.
_PATH = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@/%|\[\]^`{}\"<>\\]*\Z")
_NOT_ASCII = re.compile(r"[^\x00-\x7F]+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# What a normal form may hold escaped or not, as it is not in `key_path`.
_MORE_SPELLINGS = re.compile("[!$&'()*+,;=:@]|%2F")
_RAW_UNSAFE = re.compile(r"[ |\[\]^`{}\"<>\\]")


def normalise(path: str, *, allow_ambiguous: bool = False) -> str:
    """`path` with its percent-encoding in normal form; segments stay as they are.

    Escapes of unreserved characters are decoded, the others get upper-case digits (RFC 3986
    §6.2.2), non-ASCII and unsafe characters are escaped. Two spellings of one path so become one
    cache key, one S3 key and one request to the origin.

    Raises `RequestError` (400) for what is no path, and, unless `allow_ambiguous`, for a path that
    an origin may read as another one than the behaviours were matched on: dot segments, and
    escaped "/", "\\" or NUL.
    """
    try:
        path = _ascii(path)
    except UnicodeEncodeError:
        # A surrogate that stands for no byte.
        raise RequestError(Reason.BAD_PATH, "the path is not a valid URI path", status=400) from None
    if not _PATH.match(path) or _BAD_ESCAPE.search(path):
        raise RequestError(Reason.BAD_PATH, "the path is not a valid URI path", status=400)
    normal = _respelt(path)
    if "%00" in normal:
        raise RequestError(Reason.BAD_PATH, "the path holds an escaped NUL", status=400)
    if not allow_ambiguous:
        if "%2F" in normal or "%5C" in normal:
            raise RequestError(Reason.BAD_PATH, "the path holds an escaped slash", status=400)
        if "/." in normal and any(_is_dots(segment) for segment in normal.split("/")):
            raise RequestError(Reason.BAD_PATH, 'the path holds a "." or ".." segment', status=400)
    return normal


def _ascii(text: str) -> str:
    return _NOT_ASCII.sub(lambda match: quote(match[0].encode("utf-8", "surrogateescape")), text)


def _respelt(text: str) -> str:
    return _RAW_UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", _ESCAPE.sub(_normal_escape, text))


def _is_dots(segment: str) -> bool:
    """Whether some server reads it as "." or "..": parameters behind ";" are dropped by a few."""
    return segment.partition(";")[0] in (".", "..")


def _normal_escape(match: re.Match[str]) -> str:
    char = chr(int(match[0][1:], 16))
    return char if char in _UNRESERVED else match[0].upper()


def collapsed(path: str) -> str:
    """`path` as behaviours are matched on it: dot segments resolved, runs of "/" as one."""
    if "//" not in path and "/." not in path:
        return path
    kept: list[str] = []
    segments = [segment for segment in path.split("/") if segment]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    ends_open = path.endswith("/") or segments[-1:] in (["."], [".."])
    return "/" + "/".join(kept) + ("/" if ends_open and kept else "")


def same_address(path: str, query: str) -> str:
    """The reference, for `Location`, by which a client comes again to where it asked for these.

    Never one that names another host: a path that begins with "//" would be read as that.  RFC 3986 §4.2.
    """
    reference = f"/.{path}" if path.startswith("//") else path
    return f"{reference}?{_ascii(query)}" if query else reference


class Pattern:
    """A behaviour's path pattern: `*` is any run of characters including "/", `?` exactly one.

    Case matters, the leading "/" is optional, query strings are not looked at. The pattern is
    matched against the normal form of the path, and is brought into that form itself.  CloudFront
    Developer Guide, "Path pattern".
    """

    __slots__ = ("_match", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        rooted = _respelt(_ascii(text if text.startswith(("/", "*")) else f"/{text}"))
        first, *others = (
            "".join("." if c == "?" else re.escape(c) for c in part) for part in rooted.split("*")
        )
        # Between two stars the first place that fits will do: the atomic group never comes back to try
        # another, so that the time stays linear in the path.
        middle = "".join(f"(?>.*?{part})" for part in others[:-1] if part)
        end = f".*{others[-1]}" if others else ""
        self._match = re.compile(first + middle + end, re.DOTALL).fullmatch

    def matches(self, path: str) -> bool:
        """Whether the `collapsed` form of a path is covered."""
        return self._match(path) is not None

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def object_key(path: str, prefix: str = "") -> bytes:
    """The S3 key that `path` names: the bytes after the first "/", each escape decoded once.

    `prefix` is an origin path such as "/site"; it goes in front.
    """
    return unquote_to_bytes(f"{prefix}{path}"[1:].encode("utf-8", "surrogateescape"))


def object_path(path: str) -> str:
    """The one spelling that stands for all paths in normal form that name the same object.

    Normal forms still differ: whoever escapes "!", "$", "&", "'", "(", ")", "*", "+", ",", ";", "=", ":", "@"
    or "/" asks for the same key as who does not (RFC 3986 §2.2 leaves it to the server; S3 decodes them).
    """
    return path if not _MORE_SPELLINGS.search(path) else key_path(object_key(path))


def key_path(key: bytes) -> str:
    """The path of an S3 key as SigV4 wants it in its canonical form: only unreserved and "/" stay raw."""
    return "/" + quote(key, safe="/~")
