"""The paths under which CloudFront may have stored an object.

CloudFront Developer Guide, "Invalidate files": only what is not ASCII and what RFC 1738 calls unsafe is
escaped. A "~" can be written in no way that works (aws/aws-sdk#525), and "*" is a wildcard.
"""

from collections.abc import Iterable
from urllib.parse import quote

from edgeproxy.core.paths import object_key

MAX_PATHS = 3000
"""Paths that may be under way for one distribution at a time."""
MAX_WILDCARDS = 15

_RAW = "/!$&'()+,;=:@-._"
_INEXPRESSIBLE = ("~", "*")


def invalidation_paths(
    key: bytes, *, origin_path: str = "", default_root_object: str = "", any_query: bool = False
) -> tuple[str, ...]:
    """What to invalidate for the object `key`; nothing if it lies outside of `origin_path`.

    With `any_query` whatever the query was is covered too.
    """
    folder = object_key(f"{origin_path}/")
    if not key.startswith(folder):
        return ()
    path = b"/" + key.removeprefix(folder)
    is_root = bool(default_root_object) and path == f"/{default_root_object}".encode()
    cut = min((path.find(char.encode()) for char in _INEXPRESSIBLE if char.encode() in path), default=None)
    if cut is not None:
        # Everything with the same beginning: more than is needed, but nothing stale is left.
        return (quote(path[:cut], safe=_RAW) + "*",)
    said = quote(path, safe=_RAW) + ("*" if any_query else "")
    if is_root:
        return (said, "/", "/?*") if any_query else (said, "/")
    return (said,)


def batches(paths: Iterable[str]) -> list[tuple[str, ...]]:
    """Paths once each, in an order of their own, in portions that CloudFront takes."""
    once = sorted(set(paths))
    wide = [path for path in once if path.endswith("*")]
    # What a wildcard covers need not be said again.
    plain = [path for path in once if not any(path != one and path.startswith(one[:-1]) for one in wide)]
    portions: list[list[str]] = [[]]
    wildcards = 0
    for path in plain:
        is_wide = path.endswith("*")
        if len(portions[-1]) == MAX_PATHS or (is_wide and wildcards == MAX_WILDCARDS):
            portions.append([])
            wildcards = 0
        portions[-1].append(path)
        wildcards += is_wide
    return [tuple(portion) for portion in portions if portion]
