"""Request heads as bytes: which of them nobody can misread, and what of them need not be looked at.

RFC 9112 §2-§5.
"""

import re
from collections.abc import Iterable
from typing import TypeAlias

MAX_BYTES = 8_000
"""A longer head comes up against limits that are not looked at here: of the line, of all of it."""
_MAX_LINES = 100

# What says where the message ends, or that more than an answer is expected. `keep-alive` is what goes
# without saying.
_FRAMING = (
    rb"content-length|transfer-encoding|expect|upgrade|te|trailer|keep-alive|proxy-connection|http2-settings"
    rb"|connection(?!:[ \t]*keep-alive[ \t]*\r)"
)
_PLAIN = re.compile(
    rb"(?:GET|HEAD) /[!-~]* HTTP/1\.1\r\n"
    rb"(?:(?!(?i:" + _FRAMING + rb"):)[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)+"
    rb"\r\n"
)


def is_plain(data: bytes) -> bool:
    """Whether `data` is exactly one request, whole and without a body, however it is read.

    All of it is in the strict form that leaves no choice: nothing is folded, no line ends but in CRLF.
    """
    return len(data) <= MAX_BYTES and _PLAIN.fullmatch(data) is not None


class Shortening:
    """Brings heads to a common form, by taking the lines of `names` (lower case) out of them."""

    def __init__(self, names: Iterable[str]) -> None:
        lower = sorted(names)
        self._usual = _lines_of("-".join(word.capitalize() for word in name.split("-")) for name in lower)
        self._small = _lines_of(lower)
        self._any = re.compile(rf"\r\n(?:{'|'.join(map(re.escape, lower))})[ \t]*:".encode(), re.IGNORECASE)
        self._is_idle = not lower

    def short(self, head: bytes) -> bytes | None:
        """The short form of `head`; None for what cannot be one plain head, and where a name stands twice.

        The names have to be written as "User-Agent" or "user-agent", all of a head alike; what is written
        otherwise stays. Nothing is put in, so that the outcome is a plain head only if what went in is one.
        """
        # A blank line in front of the end would be the end.
        if len(head) > MAX_BYTES or head.find(b"\r\n\r\n") != len(head) - 4 or head.count(b"\n") > _MAX_LINES:
            return None
        parts = self._usual.split(head)
        if len(parts) == 1:
            parts = self._small.split(head)
        taken = parts[1::2]
        return None if len(set(taken)) < len(taken) else b"".join(parts[::2])

    def is_short(self, head: bytes) -> bool:
        """Whether none of the names stands in `head`, however it is written.

        Only such a one is the form of others: a name that is left in it would stand twice in them, of which
        aiohttp thinks otherwise.
        """
        return self._is_idle or self._any.search(head) is None


def _lines_of(names: Iterable[str]) -> re.Pattern[bytes]:
    """A line of one of `names`. The line behind must not be the rest of it, folded."""
    tree: _Tree = {}
    for name in names:
        branch = tree
        for letter in name:
            branch = branch.setdefault(letter, {})
        branch[""] = {}
    # Without a name, what is nowhere.
    return re.compile(rf"\r\n({_pattern(tree) or '(?!)'}):[ -~]*(?=\r\n(?![ \t]))".encode())


def _pattern(tree: "_Tree") -> str:
    """As a tree, in which each letter is looked at once: `re` would try one name after the other."""
    ways = [re.escape(letter) + _pattern(branch) for letter, branch in tree.items() if letter]
    if not ways:
        return ""
    return f"(?:{'|'.join(ways)}){'?' if '' in tree else ''}"


_Tree: TypeAlias = dict[str, "_Tree"]
