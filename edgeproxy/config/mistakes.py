"""What is wrong with a configuration, in one line each: the place, the value seen, the value wanted."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Place: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the top of the file down to a value."""

_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong: where, what was seen, what is wanted."""

    where: str
    seen: str
    wanted: str = ""

    def __str__(self) -> str:
        wanted = f", want {self.wanted}" if self.wanted else ""
        return f"{self.where}: {self.seen}{wanted}"


class ConfigError(Exception):
    """The configuration cannot be used; `mistakes` holds every one of them."""

    def __init__(self, source: str, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(f"{source}: {mistake}" for mistake in mistakes))
        self.mistakes = tuple(mistakes)


def dotted(place: Place) -> str:
    """A place as text: `origins.site.url`, `behaviors[0].path_pattern`, `origins."a.b".type`."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if re.fullmatch(r"[A-Za-z0-9_\-]+", part) else _quoted(part)
            text += f".{name}" if text else name
    return text or "file"


def shown(value: object) -> str:
    """A value in one short line: of mappings only the keys, for a secret may stand behind one."""
    return _short(_flow(value, quoted=True))


def kind_shown(value: object) -> str:
    """What sort of thing a value is: for places that want a mapping, which may hold a secret."""
    match value:
        case None:
            return "nothing"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return "text"


def _flow(value: object, *, quoted: bool) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return f"{{{', '.join(f'{_flow(key, quoted=False)}: ...' for key in value)}}}"
        case list() | tuple():
            return f"[{', '.join(_flow(item, quoted=False) for item in value)}]"
        case str():
            # A number looks like one, though to us it is text.
            is_plain = re.fullmatch(r"-?[0-9]+(\.[0-9]+)?|true|false" if quoted else r"[\w.*/:+\-]+", value)
            return value if is_plain and value.isprintable() else _quoted(value)
        case _:
            return repr(value)


def _quoted(text: str) -> str:
    # What a URL has in front of "@" is a name and a password.
    hidden = re.sub(r"//[^/\s]*@", "//***@", _short(text, 4 * _LONGEST))
    return _short("".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in f'"{hidden}"'))


def _short(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
