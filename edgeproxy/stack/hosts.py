"""HTTP origins as CloudFront and functions reach them: parameters with a host name each."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from edgeproxy.config.mistakes import Mistake
from edgeproxy.config.origins import HttpOrigin
from edgeproxy.stack.errors import Note, mistake, note
from edgeproxy.stack.intrinsics import Tree, literal, logical_id

_PRIVATE = re.compile(r"[^.]+|.*\.(?:local|localhost|internal|lan|home|test|invalid)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Host:
    """An HTTP origin. `default` is its name where viewers' side of the world can reach it."""

    name: str
    is_tls: bool
    port: int
    default: str | None
    path: str

    @property
    def parameter(self) -> str:
        """Holds the host name."""
        return f"{logical_id(self.name)}Host"

    @property
    def url(self) -> str:
        """For `sub`."""
        return self._url(f"${{{self.parameter}}}", literal(self.path))

    @property
    def plain_url(self) -> str:
        """For people."""
        return self._url(self.default or self.parameter.upper(), self.path)

    def _url(self, host: str, path: str) -> str:
        scheme, usual = ("https", 443) if self.is_tls else ("http", 80)
        return f"{scheme}://{host}{'' if self.port == usual else f':{self.port}'}{path}"

    def parameters(self) -> dict[str, Tree]:
        """By its name."""
        default = {} if self.default is None else {"Default": self.default}
        pattern = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+$"
        about = f"Host name of the origin {self.name}"
        return {
            self.parameter: {"Type": "String", **default, "AllowedPattern": pattern, "Description": about}
        }


def host_of(name: str, origin: HttpOrigin) -> tuple[Host, list[Mistake | Note]]:
    """The origin, and what is to be said of its URL."""
    place = ("origins", name, "url")
    parts = urlsplit(origin.url)
    host, is_tls = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if is_tls else 80)
    if not is_public(host):
        made = Host(name, True, 443, None, origin.origin_path)
        said = f"CloudFront cannot reach it: parameter {made.parameter} wants a public host name, with HTTPS"
        return made, [note(place, origin.url, said)]
    said_of: list[Mistake | Note] = []
    # CloudFront Developer Guide, "HTTP port".
    if port not in (80, 443) and port < 1024:
        said_of.append(mistake(place, origin.url, "port 80, 443 or one from 1024 for CloudFront"))
    return Host(name, is_tls, port, host, origin.origin_path), said_of


def is_public(host: str) -> bool:
    """Whether it is a name that could be of the public DNS; CloudFront takes no addresses."""
    try:
        ip_address(host)
    except ValueError:
        return _PRIVATE.fullmatch(host) is None
    return False
