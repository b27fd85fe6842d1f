"""The shape of `config.yaml`. CloudFront's words in snake case; one sentence on every setting."""

from dataclasses import replace
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from edgeproxy.config.kinds import (
    BaseUrl,
    CustomHeaderName,
    Decimal,
    Flag,
    HeaderName,
    Network,
    OneOf,
    PathText,
    Private,
    Secret,
    Text,
    Whole,
    is_object_name,
    is_page,
    is_path_prefix,
    is_pattern,
)
from edgeproxy.config.managed import CACHE_POLICIES, ORIGIN_REQUEST_POLICIES, RESPONSE_HEADERS_POLICIES
from edgeproxy.config.response_headers import ResponseHeadersPolicySection
from edgeproxy.config.section import EachOnce, EachOnceInAnyCase, Section, each_once, refused
from edgeproxy.config.units import Address, Duration, Listen, Size, duration_text, size_text
from edgeproxy.core.backfilling import Rule
from edgeproxy.core.behavior import Behavior
from edgeproxy.core.erring import ErrorPolicy
from edgeproxy.core.error_pages import ErrorPage
from edgeproxy.core.forwarding import OriginRequestPolicy
from edgeproxy.core.freshness import TtlPolicy
from edgeproxy.core.key import KeyPolicy, Pick, Selection
from edgeproxy.core.paths import Pattern
from edgeproxy.core.response_headers import ResponseHeadersPolicy
from edgeproxy.core.selection import FAILOVER_STATUSES
from edgeproxy.core.storing import CachePolicy

# CloudFront Developer Guide, "Create a custom error page for specific HTTP status codes".
ERROR_CODES = (400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504)

Bool: TypeAlias = Annotated[bool, Flag()]
Bytes: TypeAlias = Annotated[int, Size()]
Seconds: TypeAlias = Annotated[float, Duration()]
SecondsAboveZero: TypeAlias = Annotated[float, Duration(above_zero=True)]
Method: TypeAlias = Literal["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"]
CachedMethod: TypeAlias = Literal["GET", "HEAD", "OPTIONS"]
Name: TypeAlias = Annotated[
    str, Text(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}", 'a name of letters, digits, "_", "-" and "."', "name")
]
PathPattern: TypeAlias = Annotated[
    str,
    PathText(
        is_pattern,
        'a path as it stands in a URL, such as /images/*.jpg (no "//", no "..", é escaped as %C3%A9)',
        "path pattern",
    ),
]
# VCHAR and inner blanks, RFC 9110 §5.5; the length is CloudFront's.
_HEADER_VALUE = Private(
    r"(?:[!-~](?:[!-~ \t]{0,1781}[!-~])?)?",
    "at most 1783 ASCII characters without blanks around them",
    "text",
)
_HOST_NAME = Text(
    r"[A-Za-z0-9_.\-]{1,253}|\[[0-9A-Fa-f:.]+\]", "a host name such as www.example.com", "host name"
)
VisibleText = Text("[!-~]+", "visible ASCII characters without blanks", "text")


def _each_code_once(values: object) -> object:
    """Refuse a list in which an error code stands twice."""
    if isinstance(values, list):
        each_once([str(value.get("error_code")) for value in values if isinstance(value, dict)])
    return values


class Server(Section):
    """The port that viewers talk to."""

    listen: Annotated[Address, Listen()] = Address("127.0.0.1", 8080)
    """Address and port for viewers."""
    workers: Annotated[int, Whole(1, 256)] = 1
    """Processes that answer viewers. They share the port, the disk cache and `cache.memory`."""
    aliases: Annotated[tuple[Annotated[str, _HOST_NAME], ...], EachOnceInAnyCase] = ()
    """Host names that are answered; empty = every host."""
    trusted_proxies: Annotated[tuple[Annotated[str, Network()], ...], EachOnce] = ()
    """Networks whose `X-Forwarded-*` fields are believed, such as `10.0.0.0/8`; others' are dropped."""
    default_root_object: Annotated[
        str,
        PathText(
            is_object_name, 'the name of an object such as index.html, without "/" in front', "object name"
        ),
    ] = ""
    """The object that a request for `/` gets, such as `index.html`."""
    ambiguous_paths: Literal["refuse", "pass"] = "refuse"
    """Paths with `.` or `..` segments, `%2F` or `%5C`: refused with 400, or passed on as CloudFront does."""
    max_request_body: Bytes = 64 * 10**9
    """Largest request body that is passed on."""
    max_connections: Annotated[int, Whole(1, 1_000_000)] = 10_000
    """Open viewer connections; more are closed at once."""
    head_timeout: SecondsAboveZero = 10.0
    """How long a viewer may take to send a request head."""
    idle_timeout: SecondsAboveZero = 75.0
    """How long a connection is kept open between requests, and how long a transfer may stand still."""
    drain_timeout: Seconds = 30.0
    """How long requests and backfill jobs that are under way may take to finish after SIGTERM."""
    debug_headers: Bool = False
    """Add `X-Edge-Origin` (which origins were asked), `X-Edge-Backfill` (what became of it) and
    `X-Edge-Compression` to answers."""


class Admin(Section):
    """The operators' port: health, readiness, state, explain."""

    listen: Annotated[Address, Listen()] = Address("127.0.0.1", 8081)
    """Address and port for operators; needs a token when others than this machine can reach it."""
    token: Annotated[SecretStr, Secret(VisibleText)] | None = None
    """Bearer token for everything but `/healthz` and `/readyz`."""


class Disk(Section):
    """The cache on disk, below memory: it outlives the process."""

    folder: Annotated[str, Text(r"[^\0]+", "a folder", "folder")]
    """Where it is kept; made if it is not there. One edgeproxy at a time may use it."""
    size: Bytes = 10 * 2**30
    """Bytes that it may take, the transfers that fill it included."""
    max_object: Bytes = Field(default_factory=lambda disk: min(50 * 10**9, disk["size"] // 2))
    """Largest body that is stored, at most half of `size`."""

    @field_validator("size")
    @classmethod
    def _is_of_use(cls, value: int) -> int:
        if value < 2**20:
            raise ValueError("1MiB or more")
        return value

    @field_validator("max_object")
    @classmethod
    def _fits(cls, value: int, info: ValidationInfo) -> int:
        size = info.data.get("size")
        if size is not None and value > size // 2:
            raise ValueError(f"at most half of size, which is {size_text(size // 2)}")
        return value


def _max_in_memory(cache: dict[str, Any]) -> int:
    has_disk = cache.get("disk") is not None
    return min((1 if has_disk else 32) * 2**20, int(cache["memory"]))


class State(Section):
    """Where edgeproxy keeps what outlives it, other than the cache."""

    folder: Annotated[str, Text(r"[^\0]+", "a folder", "folder")] | None = None
    """Where it is kept; made if it is not there. On a disk of this machine, where several edgeproxy may
    share it."""


class Cache(Section):
    """What is stored of answers: in memory, and below it on disk."""

    memory: Bytes = 256 * 2**20
    """Bytes that stored responses may take, the transfers that fill it included; 0 = no cache."""
    disk: Disk | None = None
    """A second tier for what shall outlive the process, or is too large for memory."""
    max_object: Bytes = Field(default_factory=_max_in_memory)
    """Largest body that is stored in memory, at most `memory`; larger ones go to disk, or stream through.
    Where there is a disk and nothing is given, 1MiB."""

    @field_validator("max_object")
    @classmethod
    def _fits(cls, value: int, info: ValidationInfo) -> int:
        memory = info.data.get("memory", 0)
        if 0 < memory < value:
            raise ValueError(f"at most memory, which is {size_text(memory)}")
        return value

    @model_validator(mode="after")
    def _has_a_way_to_disk(self) -> Self:
        if self.disk is not None and self.memory < 16 * 2**20:
            raise refused("memory", "16MiB or more, for what goes to disk passes through it")
        return self


class Log(Section):
    """What is written for each request, to standard output."""

    format: Literal["text", "json"] = "text"
    """One line a request, for people or for programs."""
    access: Bool = True
    """Whether requests are logged at all."""


class Credentials(Section):
    """Keys for signing requests to S3."""

    access_key_id: Annotated[str, VisibleText]
    """Access key id."""
    secret_access_key: Annotated[SecretStr, Secret(VisibleText)]
    """Secret access key."""
    session_token: Annotated[SecretStr, Secret(VisibleText)] | None = None
    """Session token, for temporary keys."""


def _shape_of_credentials(value: object) -> str | None:
    return (
        "<word>"
        if value in ("default", "anonymous")
        else "<keys>"
        if isinstance(value, dict | Credentials)
        else None
    )


class OriginBase(Section):
    """What all origins have."""

    origin_path: Annotated[
        str,
        PathText(is_path_prefix, 'a path such as /production, with "/" in front and none at the end', "path"),
    ] = ""
    """Put in front of every request path, such as `/production`."""
    connection_attempts: Annotated[int, Whole(1, 3)] = 3
    """How often connecting is tried; also how often a GET or HEAD that got no answer in time is sent."""
    connection_timeout: SecondsAboveZero = 10.0
    """How long one attempt to connect may take."""
    read_timeout: SecondsAboveZero = 30.0
    """How long the origin may be silent, before the first byte and between two packets."""
    max_connections: Annotated[int, Whole(1, 100_000)] = 512
    """Connections that may be open to this origin at once."""
    keepalive_timeout: Seconds = 5.0
    """How long an idle connection is kept."""
    custom_headers: dict[Annotated[str, CustomHeaderName()], Annotated[str, _HEADER_VALUE]] = Field(
        default={}, repr=False
    )
    """Fields that are set on every request to this origin, over the viewer's. Values count as secrets."""

    @field_validator("custom_headers")
    @classmethod
    def _stand_once(cls, values: dict[str, str]) -> dict[str, str]:
        spellings: dict[str, str] = {}
        for name in values:
            other = spellings.setdefault(name.lower(), name)
            if other != name:
                raise ValueError(f"one of {other} and {name}, which are the same header")
        return values


class S3Origin(OriginBase):
    """A bucket on AWS S3, MinIO or any compatible server."""

    type: Literal["s3"]
    """Which sort of origin it is."""
    bucket: Annotated[
        str,
        Text(
            r"[A-Za-z0-9][A-Za-z0-9._\-]{1,61}[A-Za-z0-9]",
            'the name of a bucket: 3 to 63 letters, digits, "-", "_" and "."',
            "bucket name",
        ),
    ]
    """Name of the bucket."""
    region: Annotated[str, Text(r"[a-z0-9\-]{1,64}", "a region such as eu-west-1", "region")] = "us-east-1"
    """Region, also for the signature."""
    endpoint: Annotated[str, BaseUrl()] | None = None
    """Where the server is, such as `http://127.0.0.1:9000`; AWS when absent."""
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """Bucket in the path or in the host name; `auto`: in the host name on AWS, else in the path."""
    credentials: Annotated[
        Annotated[Literal["default", "anonymous"], Tag("<word>")] | Annotated[Credentials, Tag("<keys>")],
        Discriminator(
            _shape_of_credentials,
            custom_error_type="shape",
            custom_error_message="default, anonymous or {access_key_id: ..., secret_access_key: ...}",
        ),
    ] = "default"
    """Keys; or `default`, which asks the AWS provider chain (environment, profile, role); or `anonymous`,
    which does not sign."""


class HttpOrigin(OriginBase):
    """Any HTTP server: the full origin, an API."""

    type: Literal["http"]
    """Which sort of origin it is."""
    url: Annotated[str, BaseUrl()]
    """Scheme, host and port, such as `https://www.example.com`."""
    tls_verify: Bool = True
    """Whether the certificate has to be valid."""


def _type_of_origin(value: object) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"<{kind}>" if kind in ("s3", "http") else None


Origin: TypeAlias = Annotated[
    Annotated[S3Origin, Tag("<s3>")] | Annotated[HttpOrigin, Tag("<http>")],
    Discriminator(_type_of_origin, custom_error_type="type_of_origin", custom_error_message="s3 or http"),
]


def _pair(values: object) -> object:
    if isinstance(values, list) and len(values) != 2:
        raise ValueError("two origins, the primary first")
    return values


class OriginGroup(Section):
    """A primary origin and the one that is asked when it fails."""

    members: Annotated[tuple[Name, Name], BeforeValidator(_pair)]
    """Primary and secondary, by their names in `origins`."""
    failover_on: Annotated[frozenset[Annotated[int, OneOf(FAILOVER_STATUSES)]], Field(min_length=1), EachOnce]
    """Statuses of the primary after which the secondary is asked; 503 stands also for a failed connection,
    504 for a timeout, 502 for an unusable answer or refused credentials."""


class Whitelist(Section):
    """These names and no others."""

    whitelist: Annotated[tuple[Annotated[str, VisibleText], ...], Field(min_length=1), EachOnce]
    """Names that count."""


class AllExcept(Section):
    """All names but these."""

    all_except: Annotated[tuple[Annotated[str, VisibleText], ...], Field(min_length=1), EachOnce]
    """Names that do not count."""


def _shape_of_choice(value: object) -> str | None:
    match value:
        case "none" | "all":
            return "<word>"
        case Whitelist():
            return "<whitelist>"
        case AllExcept():
            return "<all_except>"
        case dict() if len(value) == 1:
            return next((f"<{name}>" for name in ("whitelist", "all_except") if name in value), None)
        case _:
            return None


Choice: TypeAlias = Annotated[
    Annotated[Literal["none", "all"], Tag("<word>")]
    | Annotated[Whitelist, Tag("<whitelist>")]
    | Annotated[AllExcept, Tag("<all_except>")],
    Discriminator(
        _shape_of_choice,
        custom_error_type="shape",
        custom_error_message="none, all, {whitelist: [...]} or {all_except: [...]}",
    ),
]

SHAPES: dict[str, type[Section] | None] = {
    "<s3>": S3Origin,
    "<http>": HttpOrigin,
    "<keys>": Credentials,
    "<whitelist>": Whitelist,
    "<all_except>": AllExcept,
    "<word>": None,
}
"""What a setting that may have several shapes turned out to be, as pydantic puts it into a place."""


def _selection(choice: Choice, *, lower: bool = False) -> Selection:
    match choice:
        case Whitelist(whitelist=names):
            pick = Pick.ONLY
        case AllExcept(all_except=names):
            pick = Pick.EXCEPT
        case _:
            return Selection(Pick(choice))
    return Selection(pick, frozenset(name.lower() if lower else name for name in names))


class CachePolicySection(Section):
    """How long answers are cached, and under which key."""

    min_ttl: Seconds = 0.0
    """Least time an answer is kept, even where the origin forbids it."""
    default_ttl: Seconds = 86_400.0
    """Time for answers in which the origin says nothing; where not given, kept between the other two."""
    max_ttl: Seconds = 31_536_000.0
    """Longest time, whatever the origin says; where not given, at least the other two."""
    query: Choice = "none"
    """Query parameters that make a different object."""
    headers: Annotated[tuple[Annotated[str, HeaderName()], ...], EachOnceInAnyCase] = ()
    """Request fields that make a different object."""
    cookies: Choice = "none"
    """Cookies that make a different object."""
    gzip: Bool = False
    """Whether gzip answers are kept apart for viewers that accept them."""
    brotli: Bool = False
    """Whether brotli answers are kept apart for viewers that accept them."""
    targeted_cache_control: Bool = False
    """Whether `CDN-Cache-Control` (RFC 9213) stands for `Cache-Control` and `Expires`; CloudFront: no."""
    heuristic_freshness: Annotated[float, Decimal(0, 1, digits=9, such_as="0.1")] = 0.0
    """Part of the time since `Last-Modified` for which answers are kept in which the origin says nothing,
    such as 0.1 (RFC 9111 §4.2.2). Goes with a `default_ttl` of 0, which then need not be given."""
    honor_request_directives: Bool = False
    """Whether a viewer's own `Cache-Control` and `Pragma` count (RFC 9111 §5.2.1); CloudFront: no."""

    @model_validator(mode="after")
    def _are_in_order(self) -> Self:
        """CloudFront refuses TTLs in another order; one that is not given makes room for the others."""
        given = self.model_fields_set
        if self.heuristic_freshness:
            if self.min_ttl or ("default_ttl" in given and self.default_ttl):
                raise refused("heuristic_freshness", "0 where min_ttl or default_ttl is above 0s")
            object.__setattr__(self, "default_ttl", 0.0)
            given = given | {"default_ttl"}
        default_s = self.default_ttl if "default_ttl" in given else max(self.default_ttl, self.min_ttl)
        if "max_ttl" not in given:
            object.__setattr__(self, "max_ttl", max(self.max_ttl, self.min_ttl, default_s))
        if "default_ttl" not in given:
            object.__setattr__(self, "default_ttl", min(default_s, self.max_ttl))
        for lower, upper in (("min_ttl", "max_ttl"), ("min_ttl", "default_ttl"), ("default_ttl", "max_ttl")):
            if getattr(self, upper) < getattr(self, lower):
                raise refused(upper, f"at least {lower}, which is {duration_text(getattr(self, lower))}")
        return self

    def value(self, name: str) -> CachePolicy:
        """The policy as the rules take it."""
        names = frozenset(header.lower() for header in self.headers)
        key = KeyPolicy(
            query=_selection(self.query),
            headers=Selection(Pick.ONLY, names) if names else Selection(),
            cookies=_selection(self.cookies),
            gzip=self.gzip,
            brotli=self.brotli,
        )
        ttl = TtlPolicy(
            self.min_ttl,
            self.default_ttl,
            self.max_ttl,
            self.targeted_cache_control,
            self.heuristic_freshness,
        )
        return CachePolicy(ttl, key, name, heeds_viewers=self.honor_request_directives)


class OriginRequestPolicySection(Section):
    """What origins get of a request beyond the cache key."""

    headers: Choice = "none"
    """Request fields."""
    cookies: Choice = "none"
    """Cookies."""
    query: Choice = "none"
    """Query parameters."""

    def value(self, name: str) -> OriginRequestPolicy:
        """The policy as the rules take it."""
        return OriginRequestPolicy(
            _selection(self.headers, lower=True), _selection(self.cookies), _selection(self.query), name
        )


def _cached_by_default(settings: dict[str, Any]) -> tuple[CachedMethod, ...]:
    usual: tuple[CachedMethod, ...] = ("GET", "HEAD")
    return tuple(method for method in usual if method in settings["allowed_methods"])


class BehaviorSection(Section):
    """What happens to a request."""

    target_origin: Name
    """An origin or an origin group."""
    cache_policy: Name = "CachingOptimized"
    """One of `cache_policies`, or one of CloudFront's managed policies by its name."""
    origin_request_policy: Name | None = None
    """One of `origin_request_policies`, or one of CloudFront's managed policies by its name."""
    response_headers_policy: Name | None = None
    """One of `response_headers_policies`, or one of CloudFront's managed policies by its name."""
    allowed_methods: Annotated[tuple[Method, ...], Field(min_length=1), EachOnce] = ("GET", "HEAD")
    """Methods that are let in; the others get 403, as on CloudFront."""
    cached_methods: Annotated[tuple[CachedMethod, ...], EachOnce] = Field(default_factory=_cached_by_default)
    """Methods whose answers are cached; where not given, GET and HEAD as far as they are allowed."""
    compress: Bool = False
    """Whether answers are compressed on their way into the cache, by what the cache policy has of `gzip` and
    `brotli`."""

    @field_validator("cached_methods")
    @classmethod
    def _are_allowed(cls, values: tuple[CachedMethod, ...], info: ValidationInfo) -> tuple[CachedMethod, ...]:
        allowed = info.data.get("allowed_methods", values)
        if not set(values) <= set(allowed):
            raise ValueError("only methods that are in allowed_methods")
        return values


class PatternBehaviorSection(BehaviorSection):
    """What happens to requests for certain paths."""

    path_pattern: PathPattern
    """`*` is any run of characters, `?` exactly one: `/images/*.jpg`."""


class CustomErrorResponse(Section):
    """What is special about one error status."""

    error_code: Annotated[int, OneOf(ERROR_CODES)]
    """Status of the origin's answer, or of the error where there is none."""
    response_page_path: (
        Annotated[str, PathText(is_page, "the path of a page such as /errors/404.html", "path")] | None
    ) = None
    """The page that viewers get instead; it comes through the behaviour that its path falls to."""
    response_code: Annotated[int, OneOf((200, *ERROR_CODES))] | None = None
    """The status that the page is sent with."""
    error_caching_min_ttl: Seconds = 10.0
    """How long such an answer is served again at least; also how long an origin is left alone when a stale
    object stands in for it."""

    @model_validator(mode="after")
    def _page_has_code(self) -> Self:
        """CloudFront refuses one without the other."""
        if self.response_page_path is None and self.response_code is not None:
            raise refused("response_code", "response_page_path beside it")
        if self.response_page_path is not None and self.response_code is None:
            raise refused("response_page_path", "response_code beside it")
        return self


class BackfillRule(Section):
    """Which objects are copied into the bucket."""

    path_pattern: PathPattern = "*"
    """Paths that the rule covers; the first rule that matches decides."""
    on_status: Annotated[frozenset[Annotated[int, OneOf({403, 404})]], Field(min_length=1), EachOnce] = (
        frozenset({403, 404})
    )
    """What the bucket has to say of the missing object."""
    max_object: Bytes = 5 * 2**40
    """Largest object that is copied."""
    enabled: Bool = True
    """`false` leaves these paths out."""

    def value(self) -> Rule:
        """The rule as the rules take it."""
        return Rule(Pattern(self.path_pattern), self.on_status, self.max_object, self.enabled)


class Backfill(Section):
    """Filling the bucket behind the viewer's back with what the full origin gave."""

    rules: tuple[BackfillRule, ...] = ()
    """Rules in order; without any, nothing is copied."""
    queue: Literal["memory", "sqlite"] = "memory"
    """Where jobs wait. `sqlite`: in a file in `state.folder`, which outlives the process and which several
    share; so it is, where nothing is given, wherever there is a `state.folder`."""
    concurrency: Annotated[int, Whole(1, 256)] = 4
    """Jobs at work at once; each holds up to one part in memory."""
    queue_size: Annotated[int, Whole(1, 10_000_000)] = 10_000
    """Jobs that may wait or be at work; a full queue refuses more, viewers never wait for it."""
    attempts: Annotated[int, Whole(1, 100)] = 5
    """How often a job is tried."""
    backoff_base: SecondsAboveZero = 1.0
    """Step before the second attempt; it doubles each time and is jittered."""
    backoff_cap: SecondsAboveZero = 60.0
    """Longest step between attempts."""
    lease: SecondsAboveZero = 30.0
    """How long a job belongs to a process that says nothing more, such as one that was killed; then others
    may take it."""
    missing_for: Seconds = 60.0
    """How long an object that the full origin said it has not (404, 410) is not queued again."""
    history: Annotated[int, Whole(0, 10_000_000)] = 10_000
    """Jobs that have ended and are remembered, for 30 days at most; the oldest go first."""
    part_size: Annotated[int, Size(5 * 2**20, 5 * 2**30)] = 8 * 2**20
    """Objects above this size are uploaded in parts of it."""


class Config(Section):
    """edgeproxy's configuration."""

    server: Server = Server()
    admin: Admin = Admin()
    cache: Cache = Cache()
    log: Log = Log()
    state: State = State()
    origins: dict[Name, Origin] = Field(min_length=1)
    """Where objects come from, by name."""
    origin_groups: dict[Name, OriginGroup] = Field(default={})
    """Pairs of origins, by name."""
    cache_policies: dict[Name, CachePolicySection] = Field(default={})
    """Cache policies, by name."""
    origin_request_policies: dict[Name, OriginRequestPolicySection] = Field(default={})
    """Origin request policies, by name."""
    response_headers_policies: dict[Name, ResponseHeadersPolicySection] = Field(default={})
    """Response headers policies, by name."""
    behaviors: tuple[PatternBehaviorSection, ...] = Field(default=(), max_length=75)
    """Behaviours by path pattern; the first that matches decides, in the order written."""
    default_behavior: BehaviorSection
    """The behaviour for all other paths."""
    custom_error_responses: Annotated[tuple[CustomErrorResponse, ...], BeforeValidator(_each_code_once)] = ()
    """Errors that viewers get a page for, or that are to be remembered for other than 10 seconds."""
    backfill: Backfill = Backfill()

    @model_validator(mode="after")
    def _keeps_jobs(self) -> Self:
        """Jobs outlive the process wherever they can."""
        if self.state.folder is not None and "queue" not in self.backfill.model_fields_set:
            object.__setattr__(self, "backfill", self.backfill.model_copy(update={"queue": "sqlite"}))
        return self

    def behavior_values(self) -> tuple[Behavior, ...]:
        """The behaviours as the rules take them, the default one last."""
        listed = ((section.path_pattern, section) for section in self.behaviors)
        return tuple(
            self._behavior(pattern, section) for pattern, section in (*listed, ("*", self.default_behavior))
        )

    def _behavior(self, pattern: str, section: BehaviorSection) -> Behavior:
        name = section.cache_policy.removeprefix("Managed-")
        own = self.cache_policies.get(section.cache_policy)
        request_name = section.origin_request_policy
        own_request = self.origin_request_policies.get(request_name) if request_name else None
        if own_request is not None and request_name is not None:
            request_policy = own_request.value(request_name)
        elif request_name is not None:
            request_policy = ORIGIN_REQUEST_POLICIES[request_name.removeprefix("Managed-")]
        else:
            request_policy = OriginRequestPolicy()
        return Behavior(
            pattern=Pattern(pattern),
            target=section.target_origin,
            cache=replace(
                own.value(section.cache_policy) if own is not None else CACHE_POLICIES[name],
                errors=self._error_policy(),
            ),
            origin_request=request_policy,
            allowed_methods=frozenset(section.allowed_methods),
            cached_methods=frozenset(section.cached_methods),
            compress=section.compress,
            response_headers=self._response_headers(section.response_headers_policy),
        )

    def _response_headers(self, name: str | None) -> ResponseHeadersPolicy | None:
        if name is None:
            return None
        own = self.response_headers_policies.get(name)
        return (
            own.value(name) if own is not None else RESPONSE_HEADERS_POLICIES[name.removeprefix("Managed-")]
        )

    def error_pages(self) -> tuple[ErrorPage, ...]:
        """The custom error pages as the rules take them."""
        return tuple(
            ErrorPage(r.error_code, r.response_page_path, r.response_code)
            for r in self.custom_error_responses
            if r.response_page_path is not None and r.response_code is not None
        )

    def _error_policy(self) -> ErrorPolicy:
        responses = self.custom_error_responses
        return ErrorPolicy(by_status=tuple((r.error_code, r.error_caching_min_ttl) for r in responses))
