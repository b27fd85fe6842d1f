"""What origins of all sorts have."""

from typing import Annotated

from pydantic import Field, field_validator

from edgeproxy.config.fields import Seconds, SecondsAboveZero
from edgeproxy.config.kinds import CustomHeaderName, PathText, Private, Whole, is_path_prefix
from edgeproxy.config.section import Section

# VCHAR and inner blanks, RFC 9110 §5.5; the length is CloudFront's.
HEADER_VALUE = Private(
    r"(?:[!-~](?:[!-~ \t]{0,1781}[!-~])?)?",
    "at most 1783 ASCII characters without blanks around them",
    "text",
)
PATH_PREFIX = PathText(
    is_path_prefix, 'a path such as /production, with "/" in front and none at the end', "path"
)


def stand_once(values: dict[str, str]) -> dict[str, str]:
    """Refuse header fields of which one stands in two spellings."""
    spellings: dict[str, str] = {}
    for name in values:
        other = spellings.setdefault(name.lower(), name)
        if other != name:
            raise ValueError(f"one of {other} and {name}, which are the same header")
    return values


class WithHeaders(Section):
    """What is sent with every request."""

    custom_headers: dict[Annotated[str, CustomHeaderName()], Annotated[str, HEADER_VALUE]] = Field(
        default={}, repr=False
    )
    """Fields that are set on every request to this origin, over the viewer's. Values count as secrets."""

    _stand_once = field_validator("custom_headers")(stand_once)


class Reached(WithHeaders):
    """How requests get to an origin, whatever it is."""

    origin_path: Annotated[str, PATH_PREFIX] = ""
    """Put in front of every request path, such as `/production`."""
    max_connections: Annotated[int, Whole(1, 100_000)] = 512
    """Connections that may be open to this origin at once; of a pool, to each node."""
    keepalive_timeout: Seconds = 5.0
    """How long an idle connection is kept."""


class OriginBase(Reached):
    """What an origin has that is one server."""

    connection_attempts: Annotated[int, Whole(1, 3)] = 3
    """How often connecting is tried; also how often a GET or HEAD that got no answer in time is sent."""
    connection_timeout: SecondsAboveZero = 10.0
    """How long one attempt to connect may take."""
    read_timeout: SecondsAboveZero = 30.0
    """How long the origin may be silent, before the first byte and between two packets."""
