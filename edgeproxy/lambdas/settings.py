"""What a function is told about its surroundings: environment variables, and a file in its zip.

CloudFront's functions may have no environment variables of their own: theirs stand in the file.
"""

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

FILE = Path(__file__).parents[2] / "edgeproxy.json"
"""Where `edgeproxy package --set` puts them: beside our package, at the top of the zip."""


class SettingError(ValueError):
    """A setting is missing or makes no sense; the message says which, what it is, and what is wanted."""


@cache
def given() -> Mapping[str, str]:
    """Every setting there is; the environment goes before the file.  Raises `SettingError`."""
    try:
        baked = json.loads(FILE.read_text("utf-8"))
    except FileNotFoundError:
        baked = {}
    except (OSError, ValueError):
        baked = None
    if not isinstance(baked, dict) or not all(isinstance(value, str) for value in baked.values()):
        raise SettingError(f"{FILE.name}: want a JSON object with texts in it")
    return {**baked, **os.environ}


def text(*names: str, default: str | None = None, wanted: str = "a text") -> str:
    """The first of `names` that is set.  Raises `SettingError` where none is and there is no default."""
    for name in names:
        value = given().get(name)
        if value:
            return value
    if default is None:
        raise SettingError(f"{names[0]}: is not set, want {wanted}")
    return default


def url(*names: str, default: str | None = None) -> str:
    """An http(s) URL without a "/" at its end.  Raises `SettingError`."""
    wanted = "a URL such as https://www.example.com"
    value = text(*names, default=default, wanted=wanted)
    if value and not _is_url(value):
        # A password in it is not for the log.
        shown = re.sub("//.*@", "//***@", value, flags=re.DOTALL)
        raise SettingError(f"{names[0]}: got {shown!r}, want {wanted}")
    return value.rstrip("/")


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        has_place = parts.hostname and parts.port != 0
    except ValueError:  # brackets that are none, a port that is none
        return False
    is_plain = value.isascii() and value.isprintable() and " " not in value
    return bool(is_plain and has_place and parts.scheme in ("http", "https")) and not (
        parts.query or parts.fragment
    )


def folder(name: str) -> str:
    """What stands in front of paths, such as "/site"; "" = nothing.  Raises `SettingError`."""
    value = text(name, default="")
    if value and (not value.startswith("/") or value.endswith("/")):
        raise SettingError(f'{name}: got {value!r}, want a path such as /site, with "/" in front alone')
    return value


def choice(name: str, *choices: str) -> str:
    """One of `choices`, of which the first is the default.  Raises `SettingError`."""
    value = text(name, default=choices[0])
    if value not in choices:
        raise SettingError(f"{name}: got {value!r}, want {' or '.join(choices)}")
    return value


def number(name: str, default: float) -> float:
    """A number above zero.  Raises `SettingError`."""
    value = given().get(name)
    if not value:
        return default
    try:
        got = float(value)
    except ValueError:
        got = 0.0
    if not 0 < got < float("inf"):
        raise SettingError(f"{name}: got {value!r}, want a number above 0")
    return got
