"""Structured fields: dictionaries, read as strictly as their RFC wants it.  RFC 9651 (RFC 8941)."""

import re
from typing import Never, TypeAlias

Bare: TypeAlias = bool | int | float | str | bytes
"""A value without its parameters. Of a `str`: tokens are `Token`, strings are plain."""

_KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*")
_NUMBER = re.compile(r"-?(?:(\d{1,12}\.\d{1,3})|(\d{1,15}))(?![\d.])", re.ASCII)
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")
_BYTES = re.compile(r":[A-Za-z0-9+/]*={0,2}:")
_DATE = re.compile(r"@-?\d{1,15}(?![\d.])", re.ASCII)
_DISPLAY = re.compile(r'%"((?:[ !#$&-~]|%[0-9a-f]{2})*)"')
_BOOLEAN = re.compile(r"\?([01])")
_BLANKS = re.compile(r"[ \t]*")
_SPACES = re.compile(r" *")


MOST_PIECES = 8_192
"""Pieces that are read of one field: enough for the 1,024 members that every reader has to take (§3.2)."""


class Token(str):
    """A word without quotes.  RFC 9651 §3.3.4."""

    __slots__ = ()


class _NotStructuredError(Exception):
    """The text is not what the RFC allows."""


def dictionary(text: str) -> dict[str, Bare | None] | None:
    """The members of a dictionary by key; None if `text` is none, which fails as a whole.

    Of a key that stands twice the last counts. Parameters are checked and left out, and so is what
    nobody here asks for: inner lists, dates and display strings are None.  RFC 9651 §4.2.2.
    """
    try:
        return _Parser(text.strip(" ")).dictionary()
    except _NotStructuredError:
        return None


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._pieces = 0

    def dictionary(self) -> dict[str, Bare | None]:
        members: dict[str, Bare | None] = {}
        while self._at < len(self._text):
            key = self._take(_KEY)[0]
            members[key] = self._value() if self._has("=") else True
            self._parameters()
            self._take(_BLANKS)
            if self._at == len(self._text):
                break
            self._want(",")
            self._take(_BLANKS)
            if self._at == len(self._text):
                _fail()  # a comma behind the last member
        return members

    def _value(self) -> Bare | None:
        if not self._has("("):
            return self._bare()
        self._inner_list()
        return None

    def _inner_list(self) -> None:
        while True:
            self._take(_SPACES)
            if self._has(")"):
                return
            self._bare()
            self._parameters()
            if self._text[self._at : self._at + 1] not in (" ", ")"):
                _fail()

    def _parameters(self) -> None:
        while self._has(";"):
            self._take(_SPACES)
            self._take(_KEY)
            if self._has("="):
                self._bare()

    def _bare(self) -> Bare | None:
        match self._text[self._at : self._at + 1]:
            case '"':
                return re.sub(r"\\(.)", r"\1", self._take(_STRING)[1])
            case ":":
                return self._take(_BYTES)[0].encode()
            case "?":
                return self._take(_BOOLEAN)[1] == "1"
            case "@":
                self._take(_DATE)
                return None
            case "%":
                self._display()
                return None
            case first if first == "-" or (first.isascii() and first.isdigit()):
                number = self._take(_NUMBER)
                return float(number[0]) if number[1] is not None else int(number[0])
        return Token(self._take(_TOKEN)[0])

    def _display(self) -> None:
        escaped = self._take(_DISPLAY)[1]
        octets = re.sub("%([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), escaped)
        try:
            octets.encode("latin-1").decode()
        except UnicodeDecodeError:
            _fail()

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        self._pieces += 1
        if match is None or self._pieces > MOST_PIECES:
            _fail()
        self._at = match.end()
        return match

    def _has(self, character: str) -> bool:
        if self._text.startswith(character, self._at):
            self._at += 1
            return True
        return False

    def _want(self, character: str) -> None:
        if not self._has(character):
            _fail()


def _fail() -> Never:
    raise _NotStructuredError
