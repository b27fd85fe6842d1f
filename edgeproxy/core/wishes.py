"""What a viewer asks of a cache: the request directives of `Cache-Control`.  RFC 9111 §5.2.1, RFC 5861 §4."""

from dataclasses import dataclass

from edgeproxy.core.directives import MAX_SECONDS, arguments, delta_seconds
from edgeproxy.core.message import Headers


@dataclass(frozen=True, slots=True)
class Wishes:
    """The request directives, where they are heeded. Seconds are whole numbers; None = absent."""

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    min_fresh: int | None = None
    max_stale: int | None = None
    stale_if_error: int | None = None

    def refuse(self, age_s: float, fresh_for_s: float) -> bool:
        """Whether a stored response of that age and freshness is not wanted without validation.

        Of a stale one more is to be asked, see `takes_stale`.  RFC 9111 §5.2.1.1, §5.2.1.3, §5.2.1.4.
        """
        if self.no_cache or (self.max_age is not None and age_s > self.max_age):
            return True
        return self.min_fresh is not None and fresh_for_s < self.min_fresh

    @property
    def takes_stale(self) -> bool:
        """Whether a stale response is not ruled out: with `max-age` it is, but for `max-stale`.  §5.2.1.1."""
        return self.max_age is None or self.max_stale is not None


NONE = Wishes()
"""Of a viewer that asks for nothing, or is not heeded."""


def wishes(headers: Headers) -> Wishes:
    """What a request's `Cache-Control` asks for, or in its absence `Pragma: no-cache` (RFC 9111 §5.4).

    Where it is unclear the stricter reading wins: of repeated numbers, and in place of what is no
    number, the one that asks for the fresher answer.
    """
    text = headers.get("cache-control")
    if text is None:
        pragma = headers.get("pragma")
        return Wishes(no_cache=True) if pragma is not None and "no-cache" in arguments(pragma) else NONE
    found = arguments(text)
    fresh = [_or_all(argument) for argument in found.get("min-fresh", [])]
    stale = [
        MAX_SECONDS if argument is None else delta_seconds(argument)
        for argument in found.get("max-stale", [])
    ]
    return Wishes(
        no_cache="no-cache" in found,
        no_store="no-store" in found,
        only_if_cached="only-if-cached" in found,
        max_age=min(map(delta_seconds, found.get("max-age", [])), default=None),
        min_fresh=max(fresh, default=None),
        max_stale=min(stale, default=None),
        stale_if_error=min(map(delta_seconds, found.get("stale-if-error", [])), default=None),
    )


def _or_all(argument: str | None) -> int:
    """Seconds; what is no number asks for more than any response has."""
    is_number = argument is not None and argument.isascii() and argument.isdigit()
    return delta_seconds(argument) if is_number else MAX_SECONDS
