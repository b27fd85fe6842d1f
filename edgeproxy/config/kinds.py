"""Kinds of values: how a setting is read, written again, and told in words.

All scalars of the file come here as text (see `document`): what `10` or `true` means, the setting
says. Values of Python are taken too, for sections that are built in code.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import urlsplit

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SecretStr
from pydantic_core import CoreSchema, core_schema

from edgeproxy.core.errors import RequestError
from edgeproxy.core.paths import collapsed, normalise

JsonSchema: TypeAlias = dict[str, Any]
T = TypeVar("T")

HIDDEN = "***"
"""Stands for a secret wherever one would be shown."""
OR_VARIABLE = r"|\$\{"
"""Ends a pattern of the JSON Schema: `${NAME}` may stand for any text."""


class Kind(ABC, Generic[T]):
    """Stands in `Annotated` and is all that pydantic knows of the value.

    `wanted` completes "want ..." in messages; `name` is what the manual says, where that is to be shorter.
    """

    def __init__(self, wanted: str, name: str = "") -> None:
        self.wanted = wanted
        self.name = name or wanted

    @abstractmethod
    def read(self, value: object) -> T:
        """The setting's value.  Raises `ValueError` with what is wanted."""

    @abstractmethod
    def schema(self) -> JsonSchema:
        """JSON Schema of what `read` takes, or `${NAME}`."""

    def write(self, value: T) -> object:
        """The value as it stands in the file."""
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read, serialization=core_schema.plain_serializer_function_ser_schema(self.write)
        )

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return self.schema()


class Text(Kind[str]):
    """Text of one form: a pattern for us, words for people."""

    def __init__(self, pattern: str, wanted: str, name: str = "") -> None:
        super().__init__(wanted, name)
        self.pattern = pattern

    def read(self, value: object) -> str:
        if isinstance(value, str) and re.fullmatch(self.pattern, value):
            return value
        raise ValueError(self.wanted)

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": f"^(?:{self.pattern})${OR_VARIABLE}"}


class FolderPath(Kind[Path]):
    """A folder; `~` is the home of whoever runs edgeproxy."""

    def __init__(self) -> None:
        super().__init__("a folder", "folder")

    def read(self, value: object) -> Path:
        if isinstance(value, Path):
            return value
        if isinstance(value, str) and value and "\0" not in value:
            try:
                return Path(value).expanduser()
            except RuntimeError:
                raise ValueError("a folder; there is no home that ~ could stand for") from None
        raise ValueError(self.wanted)

    def write(self, value: Path) -> object:
        return str(value)

    def schema(self) -> JsonSchema:
        return {"type": "string", "minLength": 1}


class Private(Text):
    """Text that is used as it is, but never shown."""

    def write(self, value: str) -> object:
        return HIDDEN


class Secret(Kind[SecretStr]):
    """Text that does not show itself even in a `repr`."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.wanted, text.name)
        self._text = text

    def read(self, value: object) -> SecretStr:
        return SecretStr(self._text.read(value.get_secret_value() if isinstance(value, SecretStr) else value))

    def write(self, value: SecretStr) -> object:
        return HIDDEN

    def schema(self) -> JsonSchema:
        return self._text.schema()


class Flag(Kind[bool]):
    """`true` or `false`."""

    def __init__(self) -> None:
        super().__init__("true or false", "`true`, `false`")

    def read(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise ValueError(self.wanted)

    def schema(self) -> JsonSchema:
        return {"type": ["boolean", "string"], "pattern": f"^(?:true|false)${OR_VARIABLE}"}


class Whole(Kind[int]):
    """A whole number within bounds."""

    def __init__(self, least: int, most: int) -> None:
        super().__init__(f"a whole number from {least} to {most}", f"{least} to {most}")
        self._least, self._most = least, most

    def read(self, value: object) -> int:
        number = _whole(value)
        if number is None or not self._least <= number <= self._most:
            raise ValueError(self.wanted)
        return number

    def schema(self) -> JsonSchema:
        bounds = {"minimum": self._least, "maximum": self._most}
        return {"type": ["integer", "string"], **bounds, "pattern": f"^[0-9]+${OR_VARIABLE}"}


class Decimal(Kind[float]):
    """A number within bounds, with at most so many digits behind the point."""

    def __init__(self, least: int, most: int, *, digits: int, such_as: str) -> None:
        super().__init__(f"a number from {least} to {most} such as {such_as}", f"{least} to {most}")
        self._least, self._most, self._digits = least, most, digits

    def read(self, value: object) -> float:
        text = str(value) if isinstance(value, str | int | float) else ""
        is_number = re.fullmatch(rf"[0-9]{{1,9}}(?:\.[0-9]{{1,{self._digits}}})?", text) is not None
        if not is_number or not self._least <= float(text) <= self._most:
            raise ValueError(self.wanted)
        return float(text)

    def write(self, value: float) -> object:
        return int(value) if value.is_integer() else value

    def schema(self) -> JsonSchema:
        bounds = {"minimum": self._least, "maximum": self._most}
        return {"type": ["number", "string"], **bounds, "pattern": rf"^[0-9]+(?:\.[0-9]+)?${OR_VARIABLE}"}


class OneOf(Kind[int]):
    """A number out of a few, such as a status."""

    def __init__(self, choices: Iterable[int]) -> None:
        self._choices = sorted(choices)
        numbers = ", ".join(map(str, self._choices))
        super().__init__(f"one of {numbers}", numbers)

    def read(self, value: object) -> int:
        number = _whole(value)
        if number is None or number not in self._choices:
            raise ValueError(self.wanted)
        return number

    def schema(self) -> JsonSchema:
        text = {"type": "string", "pattern": f"^(?:{'|'.join(map(str, self._choices))})${OR_VARIABLE}"}
        return {"anyOf": [{"enum": self._choices}, text]}


def _whole(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # `int` refuses text of more than 4300 digits with an error of its own.
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,18}", value) else None


class PathText(Kind[str]):
    """A piece of a request path; `is_fit` says which."""

    def __init__(self, is_fit: Callable[[str], bool], wanted: str, name: str) -> None:
        super().__init__(wanted, name)
        self._is_fit = is_fit

    def read(self, value: object) -> str:
        if isinstance(value, str) and len(value) <= 255 and self._is_fit(value):
            return value
        raise ValueError(self.wanted)

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": rf"^[!-~]{{0,255}}${OR_VARIABLE}"}


def is_pattern(text: str) -> bool:
    """Whether a request path can match it: these are looked at in normal form and collapsed."""
    rooted = f"/{text.removeprefix('/').replace('?', '_')}"
    return bool(text) and _is_normal(rooted) and collapsed(rooted) == rooted


def is_object_name(text: str) -> bool:
    """Whether it can stand behind the "/" of a request for the root; empty = none."""
    return not text or (not text.startswith("/") and _is_normal(f"/{text}"))


def is_path_prefix(text: str) -> bool:
    """Whether it can stand in front of a request path; empty = nothing."""
    return not text or (not text.endswith("/") and _is_normal(text))


def is_page(text: str) -> bool:
    """Whether it is the path of a page of its own, without a query."""
    return text.startswith("/") and "?" not in text and _is_normal(text)


def _is_normal(path: str) -> bool:
    try:
        return normalise(path, allow_ambiguous=True) == path
    except RequestError:
        return False


class Network(Kind[str]):
    """A network of addresses, or one address."""

    def __init__(self) -> None:
        super().__init__("a network such as 10.0.0.0/8, or an address", "network")

    def read(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(self.wanted)
        try:
            network = ip_network(value, strict=False)
        except ValueError:
            raise ValueError(self.wanted) from None
        if "/" in value and ip_address(value.partition("/")[0]) != network.network_address:
            raise ValueError(f"{network}, the network of that address")
        return value

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": f"^[0-9A-Fa-f:.]+(?:/[0-9]+)?${OR_VARIABLE}"}


class BaseUrl(Text):
    """Scheme, host and port."""

    def __init__(self) -> None:
        host = r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]{0,251}[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]"
        super().__init__(
            f"https?://(?:{host})(?::[0-9]{{1,5}})?/?",
            "scheme, host and port such as https://www.example.com:8443 (a path goes to origin_path)",
            "URL",
        )

    def read(self, value: object) -> str:
        url = super().read(value).removesuffix("/")
        port = re.search(":([0-9]+)$", url)
        if port is not None and not 1 <= int(port[1]) <= 65535:
            raise ValueError(self.wanted)
        try:
            urlsplit(url)
        except ValueError:
            raise ValueError(self.wanted) from None
        return url


# CloudFront Developer Guide, "Add custom headers to origin requests".
_RESERVED = frozenset(
    "cache-control connection content-length cookie host if-match if-modified-since if-none-match if-range"
    " if-unmodified-since max-forwards pragma proxy-authorization proxy-connection range request-range te"
    " trailer transfer-encoding upgrade via x-real-ip".split()
)


class HeaderName(Text):
    """The name of a header field.  RFC 9110 §5.1; CloudFront's length."""

    def __init__(self, wanted: str = "the name of a header") -> None:
        super().__init__(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}", wanted, "header name")


class CustomHeaderName(HeaderName):
    """The name of a header field that may be set on requests to an origin."""

    def __init__(self) -> None:
        super().__init__("the name of a header that edgeproxy does not set itself")

    def read(self, value: object) -> str:
        name = super().read(value)
        if name.lower() in _RESERVED or name.lower().startswith(("x-amz-", "x-edge-")):
            raise ValueError(self.wanted)
        return name
