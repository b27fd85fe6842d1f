"""How an object is asked for at a source other than by its own path, and whom a redirect may lead to.

RFC 9110 §10.2.2, §15.4 (redirects), RFC 3986 §3.3, §3.4, §5.
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from edgeproxy.core.errors import RequestError
from edgeproxy.core.forwarding import CLAIMS
from edgeproxy.core.freshness import http_date
from edgeproxy.core.key import Pick, Selection, selected_query
from edgeproxy.core.message import HOP_BY_HOP, SECRET_FIELDS, Headers, Request
from edgeproxy.core.paths import key_path, normalise
from edgeproxy.core.reason import Reason
from edgeproxy.core.validation import CONDITIONAL

PLACEHOLDERS = ("path", "rest", "key")
WANTED = (
    "a path such as /originals{rest}, in which {path} is the viewer's, {rest} what strip_prefix leaves of it,"
    ' and {key} the object\'s key without "/" in front'
)

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_QUERY = re.compile(r"(?:[!$&-;=?-~]|%[0-9A-Fa-f]{2})*")
_SENT_QUERY = re.compile(r"[^\x00-\x20\x7f#]*")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")

_STEERING = frozenset(
    "x-http-method x-http-method-override x-method-override x-original-method x-forwarded-method"
    " x-original-url x-original-uri x-rewrite-url x-forwarded-url x-forwarded-uri x-forwarded-path"
    " x-http-destinationurl x-proxy-url"
    " x-host x-original-host x-forwarded x-forwarded-server x-forwarded-scheme x-forwarded-ssl".split()
)
"""What frameworks and servers take for another method, path or host than the request line's.

A stranger's would put another object under this one's key for everybody, or do something else at the source.
"""
NEVER_PASSED = (
    SECRET_FIELDS
    | HOP_BY_HOP
    | CONDITIONAL
    | CLAIMS
    | _STEERING
    | frozenset(
        "accept-encoding cache-control cdn-loop content-digest content-encoding content-length content-md5"
        " content-type date expect host if-range max-forwards origin pragma range repr-digest trailer via"
        " x-amz-cf-id".split()
    )
)
"""Fields of a viewer's that a source never gets: secrets, claims, what steers it or is one message's own.

An object that is for everybody must not be asked for in the name of one.
"""


class Template:
    """A source's path, and perhaps a query, with places for what names the object.

    What a place in the query stands for is escaped, "/" apart; in the path it stays in its normal form.
    Raises `ValueError` with what is wanted.
    """

    __slots__ = ("_path", "_query", "text")

    def __init__(self, text: str) -> None:
        path, _, query = text.partition("?")
        names = _PLACEHOLDER.findall(text)
        tried = _PLACEHOLDER.sub(lambda m: "x" if m[1] == "key" else "/x", path)
        bare = _PLACEHOLDER.sub("x", query)
        is_fit = bool(names) and set(names) <= set(PLACEHOLDERS) and not re.search(r"[{}]", tried + bare)
        if not is_fit or not _is_normal(tried) or not _QUERY.fullmatch(bare):
            raise ValueError(WANTED)
        self.text = text
        self._path = path
        self._query = query

    def filled(self, path: str, rest: str, key: bytes) -> tuple[str, str]:
        """Path and query for an object."""
        here = {"path": path, "rest": rest, "key": key_path(key)[1:]}
        there = {"path": _escaped(path), "rest": _escaped(rest), "key": quote(key, safe="/~")}
        return (
            _PLACEHOLDER.sub(lambda match: here[match[1]], self._path),
            _PLACEHOLDER.sub(lambda match: there[match[1]], self._query),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Template({self.text!r})"


def _escaped(path: str) -> str:
    return quote(unquote_to_bytes(path), safe="/~")


def _is_normal(path: str) -> bool:
    try:
        return normalise(path) == path
    except RequestError:
        return False


@dataclass(frozen=True, slots=True)
class Supplier:
    """One way to get an object. `repr` hides the values of the fields that are set."""

    name: str
    origin: str
    """An origin, by its name."""
    path: Template = Template("{rest}")
    strip_prefix: str = ""
    """What {rest} lacks in front, if the path has it there as whole segments."""
    query: Selection = Selection()
    """Parameters of the viewer's that are sent."""
    passed: Selection = Selection()
    """Fields of the viewer's that are sent, by names in lower case."""
    blocked: frozenset[str] = frozenset()
    """Fields that are not, whatever `passed` takes."""
    fields: Headers = field(default=Headers(), repr=False)
    """Fields that are set, over the viewer's."""
    redirects: int = 0
    """How many redirects are followed for one object."""
    redirect_hosts: frozenset[str] = frozenset()
    """Hosts that a redirect may lead to besides the origin's own: "host" or "host:port", lower case."""
    rate: float | None = None
    """Requests a second at most."""
    bandwidth: int | None = None
    """Bytes a second at most."""
    failures: int = 5
    """Faults in a row after which it is left alone."""
    rest_s: float = 30.0
    """How long it then is."""

    @property
    def is_plain(self) -> bool:
        """Whether the path that is asked for is the viewer's own."""
        return self.path.text in ("{rest}", "{path}") and not self.strip_prefix

    def passes(self, name: str) -> bool:
        """Whether a field of the viewer's (lower case) is sent."""
        return self.passed.takes(name) and name not in self.blocked and name not in NEVER_PASSED


def request_of(
    supplier: Supplier, path: str, key: bytes, query: str, headers: tuple[tuple[str, str], ...]
) -> Request | Reason:
    """The request for an object at `supplier`: always a GET for the whole, in no coding.

    `path` is the viewer's, `query` and `headers` are what was kept of the viewer's, from which only what
    the supplier takes is sent. BAD_PATH where the path that comes out is ambiguous, or the query none:
    an ambiguous path of the viewer's own is asked for only as it is.
    """
    own_path, own_query = supplier.path.filled(path, _rest(path, supplier.strip_prefix), key)
    if not supplier.is_plain:
        try:
            own_path = normalise(own_path)
        except RequestError:
            return Reason.BAD_PATH
    kept = selected_query(query, supplier.query)
    if not _SENT_QUERY.fullmatch(kept):
        return Reason.BAD_PATH
    passed = Headers(
        (name, value)
        for name, value in headers
        if supplier.passes(name.lower()) and _NAME.fullmatch(name) and _VALUE.fullmatch(value)
    )
    fields = passed.having(*supplier.fields, ("Accept-Encoding", "identity"))
    return Request("GET", own_path, "&".join(filter(None, (own_query, kept))), fields)


def _rest(path: str, prefix: str) -> str:
    """What `prefix` leaves of `path`; all of it if it is not in front."""
    rest = path.removeprefix(prefix)
    return rest if rest.startswith("/") else path


def by_default(origin: str) -> Supplier:
    """The supplier where a rule names none: the group's secondary, asked for the path itself.

    It gets what a job has kept of a viewer's request, which is nothing unless others than we put it in.
    """
    return Supplier(origin, origin, query=Selection(Pick.ALL), passed=Selection(Pick.ALL))


def kept_of(request: Request, suppliers: tuple[Supplier, ...]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """What of a viewer's request has to be remembered for `suppliers`: of query and fields what any takes."""
    takes_all = any(supplier.query.pick is Pick.ALL for supplier in suppliers)
    names: frozenset[str] = frozenset().union(*(supplier.query.names for supplier in suppliers))
    query = selected_query(request.query, Selection(Pick.ALL) if takes_all else Selection(Pick.ONLY, names))
    fields = tuple(
        (name, value)
        for name, value in request.headers.end_to_end()
        if any(supplier.passes(name.lower()) for supplier in suppliers)
    )
    return query, fields


class Said(Enum):
    """What a source's status says of an object."""

    HERE = "here"
    MISSING = "missing"
    """It has none; the next source may."""
    ELSEWHERE = "elsewhere"
    """It is at another address."""
    REFUSED = "refused"
    """Asking again cannot help; the next source may."""
    FAULT = "fault"
    """Asking again later may help."""


_MISSING = frozenset({404, 410})
_ELSEWHERE = frozenset({301, 302, 303, 307, 308})


def said_by(status: int) -> Said:
    """What `status` says.  RFC 9110 §15."""
    if status == 200:
        return Said.HERE
    if status in _MISSING:
        return Said.MISSING
    if status in _ELSEWHERE:
        return Said.ELSEWHERE
    return Said.FAULT if status >= 500 or status in (408, 429) else Said.REFUSED


_LONGEST_REST_S = 3600.0


def asked_again_in(status: int, headers: Headers, now: float) -> float | None:
    """Seconds for which a source wants to be left alone, an hour at most; None if it says nothing.

    RFC 9110 §10.2.3 (`Retry-After`), for 429 (RFC 6585 §4) and 503. `now` is POSIX time.
    """
    value = (headers.get("retry-after") or "").strip(" \t")
    if status not in (429, 503) or not value:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value):
        return min(float(value), _LONGEST_REST_S)
    date = http_date(value)
    return min(max(0.0, date - now), _LONGEST_REST_S) if date is not None else None


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a redirect leads. `base` has scheme, host and port."""

    base: str
    path: str
    query: str
    is_own: bool
    """Whether it is the origin's own host: only that gets what is the origin's and the viewer's."""

    @property
    def url(self) -> str:
        """The address in one piece."""
        return f"{self.base}{self.path}{'?' if self.query else ''}{self.query}"


def hop(url: str, location: str, own: str, hosts: frozenset[str]) -> Hop | None:
    """Where `location`, in an answer from `url`, leads; None if we do not go there.

    `own` is the origin's base: its scheme, host and port, or its host by https on the port for that. Any
    other host has to be one of `hosts`, with its port where that is not the usual one or where https leads
    to http, and must not be this machine or a link's unless the origin is.
    A name that leads there has to be found out when it is resolved.
    """
    if _CONTROL.search(location):
        return None  # which would be passed over
    try:
        target, home = urlsplit(urljoin(url, location)), urlsplit(own)
        place, home_place = (target.scheme, target.hostname, _port(target.scheme, target.port)), _place(own)
        path = normalise(target.path or "/")
    except (ValueError, RequestError):
        return None
    scheme, host, port = place
    if scheme not in ("http", "https") or not host or "@" in target.netloc:
        return None
    if not _SENT_QUERY.fullmatch(target.query):
        return None
    is_own = place == home_place or (host == home.hostname and (scheme, port) == ("https", 443))
    if not is_own:
        name = f"[{host}]" if ":" in host else host
        # What came in the open may be anybody's, and would stay in the bucket: its port has to be listed.
        is_usual = port == _port(scheme, None) and not (scheme == "http" and home.scheme == "https")
        if f"{name}:{port}" not in hosts and not (is_usual and name in hosts):
            return None
        if is_near(host) and not is_near(home.hostname or ""):
            return None
    return Hop(f"{scheme}://{target.netloc}", path, target.query, is_own)


def _place(base: str) -> tuple[str, str | None, int | None]:
    url = urlsplit(base)
    return url.scheme, url.hostname, _port(url.scheme, url.port)


def _port(scheme: str, port: int | None) -> int | None:
    return port if port is not None else {"http": 80, "https": 443}.get(scheme)


def is_near(host: str) -> bool:
    """Whether `host` is this machine, or on its link, as far as the text tells.

    Where cloud machines keep their credentials (169.254.169.254) is on the link.
    """
    name = host.lower().rstrip(".").removeprefix("[").removesuffix("]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return is_near_address(ip_address(name.partition("%")[0]))
    except ValueError:
        # Not an address as it should be written; the C library also knows 127.1, 0x7f000001 and 2130706433.
        return re.fullmatch(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}", name) is not None


def is_near_address(address: IPv4Address | IPv6Address) -> bool:
    """Whether packets to it do not leave this machine or its link."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or _translated(address)
        if inner is not None:
            return is_near_address(inner)
        if address in _CREDENTIALS:
            return True
    return address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast


_CREDENTIALS = ip_network("fd00:ec2::/32")
"""Where machines of EC2 find theirs.  EC2 User Guide, "Use IMDS" (fd00:ec2::254)."""
_WITH_IPV4 = (ip_network("64:ff9b::/96"), ip_network("::/96"))
"""RFC 6052 §2.1 (NAT64), RFC 4291 §2.5.5.1; the last has this machine's own addresses in it too."""


def _translated(address: IPv6Address) -> IPv4Address | None:
    is_own = int(address) <= 1
    if is_own or not any(address in network for network in _WITH_IPV4):
        return None
    return IPv4Address(int(address) & 0xFFFFFFFF)
