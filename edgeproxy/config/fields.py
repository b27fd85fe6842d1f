"""Sorts of settings that sections of several subjects have."""

from typing import Annotated, TypeAlias

from edgeproxy.config.kinds import Flag, PathText, Text, is_pattern
from edgeproxy.config.units import Duration, Size

Bool: TypeAlias = Annotated[bool, Flag()]
Bytes: TypeAlias = Annotated[int, Size()]
Seconds: TypeAlias = Annotated[float, Duration()]
SecondsAboveZero: TypeAlias = Annotated[float, Duration(above_zero=True)]
Name: TypeAlias = Annotated[
    str, Text(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}", 'a name of letters, digits, "_", "-" and "."', "name")
]
VisibleText = Text("[!-~]+", "visible ASCII characters without blanks", "text")
PathPattern: TypeAlias = Annotated[
    str,
    PathText(
        is_pattern,
        'a path as it stands in a URL, such as /images/*.jpg (no "//", no "..", é escaped as %C3%A9)',
        "path pattern",
    ),
]
