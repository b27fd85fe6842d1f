"""What a response says to caches: `Cache-Control` and `CDN-Cache-Control` as values.

RFC 9111 §5.2, RFC 5861, RFC 9213.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from edgeproxy.core.message import Head, Headers
from edgeproxy.core.structured import Bare, Token, dictionary

MAX_SECONDS = 2**31
"""What a number too large to hold counts as.  RFC 9111 §1.2.2."""

TARGETED = "cdn-cache-control"
"""The field that speaks to CDNs alone.  RFC 9213 §3."""

UNDERSTOOD = frozenset(
    {200, 203, 204, 300, 301, 302, 307, 308, 400, 403, 404, 405, 412, 414, 415, 500, 501, 502, 503, 504}
)
"""Final statuses whose caching rules are kept here: those of `storing` and `erring`.  RFC 9111 §3."""

_DIRECTIVE = re.compile(
    r"""([!#$%&'*+\-.^_`|~0-9A-Za-z]+)   # token
        (?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^,; \t]*)))?   # quoted-string or token; spaces by old habit
    """,
    re.VERBOSE,
)
_NAMES = re.compile(r"[ \t]*(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+[ \t]*(?:,[ \t]*|\Z))+")
# What the rules, or whoever reads the body, cannot do without. To withhold one of these and serve the
# rest would be to serve something else.
_NEEDED = frozenset(
    "age cache-control cdn-cache-control connection content-encoding content-length content-range"
    " content-type date etag expires last-modified transfer-encoding vary".split()
)
_WITH_SECONDS = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})
_WITH_NAMES = frozenset({"no-cache", "private"})
_REMEMBERED_LENGTH = 256
"""So that what an origin makes up costs no memory."""
_ALONE = frozenset({"no-store", "public", "must-revalidate", "proxy-revalidate", "must-understand"})


@dataclass(frozen=True, slots=True)
class CacheControl:
    """The response directives a shared cache reads. Seconds are whole numbers; None = absent.

    `no_cache` and `private` are those without field names; with them they are in `no_cache_fields`
    and `private_fields`, in lower case.
    """

    max_age: int | None = None
    s_maxage: int | None = None
    no_cache: bool = False
    no_store: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    no_cache_fields: frozenset[str] = frozenset()
    private_fields: frozenset[str] = frozenset()
    is_targeted: bool = False
    """It stood in a targeted field, in whose presence `Expires` does not count."""


def effective(head: Head, *, is_targeted: bool) -> CacheControl:
    """What counts of all that `head` says to caches; every rule asks here.

    `is_targeted`: whether `CDN-Cache-Control` is heeded, which then stands for `Cache-Control` and
    `Expires` (RFC 9213 §2.2). `no-store` beside `must-understand` is for caches that do not
    understand the status (RFC 9111 §5.2.2.3).
    """
    control = targeted(head.headers) if is_targeted else None
    if control is None:
        control = cache_control(head.headers)
    if control.must_understand and control.no_store and head.status in UNDERSTOOD:
        return replace(control, no_store=False)
    return control


def targeted(headers: Headers) -> CacheControl | None:
    """`CDN-Cache-Control`; None if it is absent, empty, or not what RFC 9213 §2.1 says.

    It is taken or left as a whole: a directive whose value is of a wrong type spoils the field, like
    anything that is no dictionary.
    """
    text = headers.get(TARGETED)
    members = dictionary(text) if text is not None else None
    if not members or not all(_is_of_its_type(name, value) for name, value in members.items()):
        return None
    return replace(_control({name: [_argument(value)] for name, value in members.items()}), is_targeted=True)


def _is_of_its_type(name: str, value: Bare | None) -> bool:
    if name in _WITH_SECONDS:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if name in _WITH_NAMES:
        return value is True or (isinstance(value, str) and not isinstance(value, Token))
    return value is True or name not in _ALONE


def _argument(value: Bare | None) -> str | None:
    return None if value is None or value is True else str(value)


_NOTHING_SAID = CacheControl()


def cache_control(headers: Headers) -> CacheControl:
    """Parse `Cache-Control`.

    Where a sender is unclear the stricter reading wins: a number that is none counts as 0, of
    repeated numbers the smallest counts (RFC 9111 §4.2.1), and `private` or `no-cache` with
    something else than a quoted list of field names counts for the whole response (allowed by
    §5.2.2.4 and §5.2.2.7), and so they do with a field that cannot be withheld. Whatever stands
    between two directives parts them, and a quote that is never closed hides nothing.
    """
    text = headers.get("cache-control")
    if text is None:
        return _NOTHING_SAID
    return _remembered(text) if len(text) <= _REMEMBERED_LENGTH else _control(arguments(text))


@lru_cache(1024)
def _remembered(text: str) -> CacheControl:
    """Origins say the same all the time."""
    return _control(arguments(text))


def arguments(text: str) -> dict[str, list[str | None]]:
    """Every directive in a field, by its name in lower case, with what was said with it each time."""
    found: dict[str, list[str | None]] = {}
    for match in _DIRECTIVE.finditer(text):
        name = match[1].lower()
        argument = match[2] if match[2] is not None else match[3]
        if name in _WITH_NAMES and match[2] is None:
            argument = None
        found.setdefault(name, []).append(argument)
    return found


def _control(found: dict[str, list[str | None]]) -> CacheControl:
    no_cache_fields = _field_names(found.get("no-cache", []))
    private_fields = _field_names(found.get("private", []))
    return CacheControl(
        max_age=_least(found.get("max-age")),
        s_maxage=_least(found.get("s-maxage")),
        no_cache="no-cache" in found and no_cache_fields is None,
        no_store="no-store" in found,
        private="private" in found and private_fields is None,
        public="public" in found,
        must_revalidate="must-revalidate" in found,
        proxy_revalidate="proxy-revalidate" in found,
        must_understand="must-understand" in found,
        stale_while_revalidate=_least(found.get("stale-while-revalidate")),
        stale_if_error=_least(found.get("stale-if-error")),
        no_cache_fields=no_cache_fields or frozenset(),
        private_fields=private_fields or frozenset(),
    )


def _least(arguments: list[str | None] | None) -> int | None:
    return None if arguments is None else min(map(delta_seconds, arguments))


def _field_names(arguments: list[str | None]) -> frozenset[str] | None:
    """The fields of which alone a directive speaks; None if it speaks of the whole response."""
    names: set[str] = set()
    for argument in arguments:
        if argument is None or not _NAMES.fullmatch(argument):
            return None
        names |= {name.strip(" \t").lower() for name in argument.split(",")} - {""}
    return None if names & _NEEDED else frozenset(names)


def delta_seconds(argument: str | None) -> int:
    """A whole number of seconds; 0 for what is none, at most `MAX_SECONDS`.  RFC 9111 §1.2.2."""
    if argument is None or not argument.isascii() or not argument.isdigit():
        return 0
    digits = argument.lstrip("0") or "0"
    return MAX_SECONDS if len(digits) > 10 else min(int(digits), MAX_SECONDS)
