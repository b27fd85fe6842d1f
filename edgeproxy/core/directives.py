"""`Cache-Control` fields as values.  RFC 9111 §5.2, RFC 5861."""

import re
from dataclasses import dataclass

from edgeproxy.core.message import Headers

MAX_SECONDS = 2**31
"""What a number too large to hold counts as.  RFC 9111 §1.2.2."""

_DIRECTIVE = re.compile(
    r"""([!#$%&'*+\-.^_`|~0-9A-Za-z]+)   # token
        (?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^,; \t]*)))?   # quoted-string or token; spaces by old habit
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class CacheControl:
    """The response directives a shared cache reads. Seconds are whole numbers; None = absent."""

    max_age: int | None = None
    s_maxage: int | None = None
    no_cache: bool = False
    no_store: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None


def cache_control(headers: Headers) -> CacheControl:
    """Parse `Cache-Control`.

    Where a sender is unclear the stricter reading wins: a number that is none counts as 0, of
    repeated numbers the smallest counts (RFC 9111 §4.2.1), and `private` or `no-cache` with field
    names counts for the whole response (allowed by §5.2.2.4 and §5.2.2.7). Whatever stands between
    two directives parts them, and a quote that is never closed hides nothing.
    """
    text = headers.get("cache-control")
    if text is None:
        return CacheControl()
    found: dict[str, int | None] = {}
    for match in _DIRECTIVE.finditer(text):
        name = match[1].lower()
        argument = match[2] if match[2] is not None else match[3]
        if name in _WITH_SECONDS:
            seconds = delta_seconds(argument)
            before = found.get(name)
            found[name] = seconds if before is None else min(before, seconds)
        else:
            found[name] = None
    return CacheControl(
        max_age=found.get("max-age"),
        s_maxage=found.get("s-maxage"),
        no_cache="no-cache" in found,
        no_store="no-store" in found,
        private="private" in found,
        public="public" in found,
        must_revalidate="must-revalidate" in found,
        proxy_revalidate="proxy-revalidate" in found,
        stale_while_revalidate=found.get("stale-while-revalidate"),
        stale_if_error=found.get("stale-if-error"),
    )


_WITH_SECONDS = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})


def delta_seconds(argument: str | None) -> int:
    """A whole number of seconds; 0 for what is none, at most `MAX_SECONDS`.  RFC 9111 §1.2.2."""
    if argument is None or not argument.isascii() or not argument.isdigit():
        return 0
    digits = argument.lstrip("0") or "0"
    return MAX_SECONDS if len(digits) > 10 else min(int(digits), MAX_SECONDS)
