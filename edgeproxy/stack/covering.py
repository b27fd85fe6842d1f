"""Path patterns beside each other: CloudFront has functions by behaviour, the backfill rules by path.

CloudFront Developer Guide, "Path pattern".
"""

import re
from functools import cache


def within(inner: str, outer: str) -> bool:
    """Whether every path of `inner` is one of `outer`."""
    small, large = _plain(inner), _plain(outer)

    @cache
    def covers(i: int, j: int) -> bool:
        if i == len(large):
            return j == len(small)
        if large[i] == "*":
            return covers(i + 1, j) or (j < len(small) and covers(i, j + 1))
        if j == len(small) or small[j] == "*":
            return False
        return large[i] in ("?", small[j]) and covers(i + 1, j + 1)

    return covers(0, 0)


def meet(one: str, other: str) -> bool:
    """Whether some path is one of both."""
    a, b = _plain(one), _plain(other)

    @cache
    def some(i: int, j: int) -> bool:
        if i < len(a) and a[i] == "*":
            return some(i + 1, j) or (j < len(b) and some(i, j + 1))
        if j < len(b) and b[j] == "*":
            return some(i, j + 1) or (i < len(a) and some(i + 1, j))
        if i == len(a) or j == len(b):
            return i == len(a) and j == len(b)
        return (a[i] == b[j] or "?" in (a[i], b[j])) and some(i + 1, j + 1)

    return some(0, 0)


def _plain(pattern: str) -> str:
    """Rooted, and of the ways to write a run of wildcards the one with `?` first and one `*`."""
    rooted = pattern if pattern.startswith(("/", "*")) else f"/{pattern}"
    # A path always begins with "/", which a star in front has to take.
    if rooted.startswith("*") and rooted.lstrip("*")[:1] not in ("/", "?"):
        rooted = f"/{rooted}"
    return re.sub(r"[*?]+", lambda run: "?" * run[0].count("?") + "*" * ("*" in run[0]), rooted)
