"""The shape of `config.yaml`. CloudFront's words in snake case; one sentence on every setting."""

from ipaddress import ip_network
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    field_validator,
    model_validator,
)

from edgeproxy.config.managed import CACHE_POLICIES, ORIGIN_REQUEST_POLICIES
from edgeproxy.config.units import Address, Bytes, Listen, Seconds
from edgeproxy.core.backfilling import Rule
from edgeproxy.core.behavior import Behavior
from edgeproxy.core.forwarding import OriginRequestPolicy
from edgeproxy.core.freshness import TtlPolicy
from edgeproxy.core.key import KeyPolicy, Pick, Selection
from edgeproxy.core.paths import Pattern
from edgeproxy.core.selection import FAILOVER_STATUSES
from edgeproxy.core.storing import CachePolicy

# What each pattern below means, for messages.
FORMS = {
    (
        _NAME := r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}$"
    ): "a name of letters, digits, dots, dashes and underscores",
    (_TOKEN := r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$"): "the name of a header field",
    (
        _VALUE := r"^(?:[^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?)?$"
    ): "a line of text without blanks around",
    (_OBJECT := r"^(?:[^/].*)?$"): 'the name of an object without a slash in front, such as "index.html"',
    (
        _PATH := r"^(?:/[^?#\s]*[^/?#\s])?$"
    ): 'a path with a slash in front and none behind, such as "/production"',
    (
        _BUCKET := r"^[A-Za-z0-9][A-Za-z0-9._\-]{1,62}$"
    ): "the name of a bucket, 2 to 63 letters, digits, dots, dashes",
    (_REGION := r"^[a-z0-9\-]+$"): 'the name of a region, such as "eu-west-1"',
}

Method = Literal["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"]
Name = Annotated[str, Field(pattern=_NAME)]
HeaderName = Annotated[str, Field(pattern=_TOKEN)]
HeaderValue = Annotated[str, Field(pattern=_VALUE, max_length=1783)]
PathPattern = Annotated[str, Field(min_length=1, max_length=255)]

# CloudFront Developer Guide, "Add custom headers to origin requests".
_RESERVED = frozenset(
    "cache-control connection content-length cookie host if-match if-modified-since if-none-match if-range"
    " if-unmodified-since max-forwards pragma proxy-authorization proxy-connection range request-range te"
    " trailer transfer-encoding upgrade via x-real-ip".split()
)


class Section(BaseModel):
    """Unknown keys are mistakes; values do not change once read."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Server(Section):
    """The port that viewers talk to."""

    listen: Listen = Address("127.0.0.1", 8080)
    """Address and port for viewers."""
    aliases: tuple[str, ...] = ()
    """Host names that are answered; empty = every host."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose `X-Forwarded-*` fields are believed, such as `10.0.0.0/8`; others' are dropped."""
    default_root_object: str = Field(default="", max_length=255, pattern=_OBJECT)
    """The object that a request for `/` gets, such as `index.html`."""
    ambiguous_paths: Literal["refuse", "pass"] = "refuse"
    """Paths with `.` or `..` segments, `%2F` or `%5C`: refused with 400, or passed on as CloudFront does."""
    max_request_body: Bytes = 64 * 10**9
    """Largest request body that is passed on."""
    max_connections: int = Field(default=10_000, ge=1)
    """Open viewer connections; more are closed at once."""
    head_timeout: Seconds = 10.0
    """How long a viewer may take to send a request head."""
    idle_timeout: Seconds = 75.0
    """How long a connection is kept open between requests, and how long a transfer may stand still."""
    drain_timeout: Seconds = 30.0
    """How long requests and backfill jobs that are under way may take to finish after SIGTERM."""
    debug_headers: bool = False
    """Add `X-Edge-Origin` (which origins were asked) and `X-Edge-Backfill` (what became of it) to answers."""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            try:
                ip_network(value)
            except ValueError:
                raise ValueError('networks such as "10.0.0.0/8"') from None
        return values


class Admin(Section):
    """The operators' port: health, readiness, state, explain."""

    listen: Listen = Address("127.0.0.1", 8081)
    """Address and port for operators; needs a token when others than this machine can reach it."""
    token: SecretStr | None = None
    """Bearer token for everything but `/healthz` and `/readyz`."""

    @field_validator("token")
    @classmethod
    def _empty_is_none(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value is not None and value.get_secret_value() else None


class Cache(Section):
    """The cache in memory."""

    memory: Bytes = 256 * 2**20
    """Bytes that stored responses may take, the transfers that fill it included; 0 = no cache."""
    max_object: Bytes = 32 * 2**20
    """Largest body that is stored; larger ones stream through."""


class Log(Section):
    """What is written for each request, to standard output."""

    format: Literal["text", "json"] = "text"
    """One line a request, for people or for programs."""
    access: bool = True
    """Whether requests are logged at all."""


class Credentials(Section):
    """Keys for signing requests to S3."""

    access_key_id: str = Field(min_length=1)
    """Access key id."""
    secret_access_key: SecretStr = Field(min_length=1)
    """Secret access key."""
    session_token: SecretStr | None = None
    """Session token, for temporary keys."""


class OriginBase(Section):
    """What all origins have."""

    origin_path: str = Field(default="", pattern=_PATH, max_length=255)
    """Put in front of every request path, such as `/production`."""
    connection_attempts: int = Field(default=3, ge=1, le=3)
    """How often connecting is tried; also how often a GET or HEAD that got no answer in time is sent."""
    connection_timeout: Seconds = Field(default=10.0, gt=0)
    """How long one attempt to connect may take."""
    read_timeout: Seconds = Field(default=30.0, gt=0)
    """How long the origin may be silent, before the first byte and between two packets."""
    max_connections: int = Field(default=512, ge=1)
    """Connections that may be open to this origin at once."""
    keepalive_timeout: Seconds = 5.0
    """How long an idle connection is kept."""
    custom_headers: dict[HeaderName, HeaderValue] = {}
    """Fields that are set on every request to this origin, over the viewer's."""

    @field_validator("custom_headers")
    @classmethod
    def _are_not_reserved(cls, values: dict[str, str]) -> dict[str, str]:
        for name in values:
            if name.lower() in _RESERVED or name.lower().startswith(("x-amz-", "x-edge-")):
                raise ValueError(f"header names other than {name}, which edgeproxy sets itself")
        return values


class S3Origin(OriginBase):
    """A bucket on AWS S3, MinIO or any compatible server."""

    type: Literal["s3"]
    """`s3`"""
    bucket: str = Field(pattern=_BUCKET)
    """Name of the bucket."""
    region: str = Field(default="us-east-1", pattern=_REGION)
    """Region, also for the signature."""
    endpoint: str | None = None
    """Where the server is, such as `http://127.0.0.1:9000`; AWS when absent."""
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """Bucket in the path or in the host name; `auto`: in the host name on AWS, else in the path."""
    credentials: Annotated[
        Annotated[Literal["default", "anonymous"], Tag("word")] | Annotated[Credentials, Tag("mapping")],
        Discriminator(lambda value: "mapping" if isinstance(value, dict | Section) else "word"),
    ] = "default"
    """`default` asks the AWS provider chain (environment, profile, role), `anonymous` does not sign."""

    @field_validator("endpoint")
    @classmethod
    def _is_base_url(cls, value: str | None) -> str | None:
        return None if value is None else _base_url(value)


class HttpOrigin(OriginBase):
    """Any HTTP server: the full origin, an API."""

    type: Literal["http"]
    """`http`"""
    url: str
    """Scheme, host and port, such as `https://www.example.com`."""
    tls_verify: bool = True
    """Whether the certificate has to be valid."""

    @field_validator("url")
    @classmethod
    def _is_base_url(cls, value: str) -> str:
        return _base_url(value)


def _base_url(value: str) -> str:
    message = (
        "a URL of scheme, host and port such as https://www.example.com:8443 (a path goes to origin_path)"
    )
    try:
        url = urlsplit(value)
        has_port = url.port is None or url.port > 0
    except ValueError:
        raise ValueError(message) from None
    if url.scheme not in ("http", "https") or not url.hostname or not has_port or url.query or url.fragment:
        raise ValueError(message)
    if url.username is not None or url.path not in ("", "/"):
        raise ValueError(message)
    return value.rstrip("/")


Origin = Annotated[S3Origin | HttpOrigin, Field(discriminator="type")]


class OriginGroup(Section):
    """A primary origin and the one that is asked when it fails."""

    members: tuple[Name, Name]
    """Primary and secondary, by their names in `origins`."""
    failover_on: frozenset[int]
    """Statuses of the primary after which the secondary is asked; 503 stands also for a failed connection,
    504 for a timeout, 502 for an unusable answer or refused credentials."""

    @field_validator("failover_on")
    @classmethod
    def _are_allowed(cls, values: frozenset[int]) -> frozenset[int]:
        if not values or values - FAILOVER_STATUSES:
            raise ValueError(f"a list of {', '.join(map(str, sorted(FAILOVER_STATUSES)))}")
        return values


class Whitelist(Section):
    """These names and no others."""

    whitelist: tuple[str, ...]
    """Names that count."""


class AllExcept(Section):
    """All names but these."""

    all_except: tuple[str, ...]
    """Names that do not count."""


def _shape(value: object) -> str:
    """Which branch of a choice is meant: by its shape, so that a mistake is told once and not per branch."""
    if not isinstance(value, dict | Section):
        return "word"
    fields = value if isinstance(value, dict) else type(value).model_fields
    return "all_except" if "all_except" in fields else "mapping"


Choice = Annotated[
    Annotated[Literal["none", "all"], Tag("word")]
    | Annotated[Whitelist, Tag("mapping")]
    | Annotated[AllExcept, Tag("all_except")],
    Discriminator(_shape),
]


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
    """Time for answers in which the origin says nothing."""
    max_ttl: Seconds = 31_536_000.0
    """Longest time, whatever the origin says."""
    query: Choice = "none"
    """Query parameters that make a different object: `none`, `all`, `whitelist:` or `all_except:` names."""
    headers: tuple[HeaderName, ...] = ()
    """Request fields that make a different object."""
    cookies: Choice = "none"
    """Cookies that make a different object."""
    gzip: bool = False
    """Whether gzip answers are kept apart for viewers that accept them."""
    brotli: bool = False
    """Whether brotli answers are kept apart for viewers that accept them."""

    @model_validator(mode="after")
    def _are_in_order(self) -> Self:
        # A default that is not written gives way to those that are, as on CloudFront.
        if "default_ttl" not in self.model_fields_set:
            object.__setattr__(self, "default_ttl", min(max(self.default_ttl, self.min_ttl), self.max_ttl))
        if not self.min_ttl <= self.default_ttl <= self.max_ttl:
            raise ValueError("TTLs in the order min_ttl <= default_ttl <= max_ttl")
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
        return CachePolicy(TtlPolicy(self.min_ttl, self.default_ttl, self.max_ttl), key, name)


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


class BehaviorSection(Section):
    """What happens to a request."""

    target_origin: Name
    """An origin or an origin group."""
    cache_policy: Name = "CachingOptimized"
    """One of `cache_policies`, or one of CloudFront's managed policies by its name."""
    origin_request_policy: Name | None = None
    """One of `origin_request_policies`, or one of CloudFront's managed policies by its name."""
    allowed_methods: tuple[Method, ...] = ("GET", "HEAD")
    """Methods that are let in; the others get 403, as on CloudFront."""
    cached_methods: tuple[Literal["GET", "HEAD", "OPTIONS"], ...] = ("GET", "HEAD")
    """Methods whose answers are cached."""


class PatternBehaviorSection(BehaviorSection):
    """What happens to requests for certain paths."""

    path_pattern: PathPattern
    """`*` is any run of characters, `?` exactly one: `/images/*.jpg`."""


class BackfillRule(Section):
    """Which objects are copied into the bucket."""

    path_pattern: PathPattern = "*"
    """Paths that the rule covers; the first rule that matches decides."""
    on_status: frozenset[Literal[403, 404]] = frozenset({403, 404})
    """What the bucket has to say of the missing object."""
    max_object: Bytes = 5 * 2**40
    """Largest object that is copied."""
    enabled: bool = True
    """`false` leaves these paths out."""

    def value(self) -> Rule:
        """The rule as the rules take it."""
        return Rule(Pattern(self.path_pattern), self.on_status, self.max_object, self.enabled)


class Backfill(Section):
    """Filling the bucket behind the viewer's back with what the full origin gave."""

    rules: tuple[BackfillRule, ...] = ()
    """Rules in order; without any, nothing is copied."""
    concurrency: int = Field(default=4, ge=1, le=256)
    """Jobs at work at once; each holds up to one part in memory."""
    queue_size: int = Field(default=10_000, ge=1)
    """Jobs that may wait; a full queue refuses more, viewers never wait for it."""
    attempts: int = Field(default=5, ge=1)
    """How often a job is tried."""
    backoff_base: Seconds = Field(default=1.0, gt=0)
    """Step before the second attempt; it doubles each time and is jittered."""
    backoff_cap: Seconds = Field(default=60.0, gt=0)
    """Longest step between attempts."""
    part_size: Bytes = Field(default=8 * 2**20, ge=5 * 2**20, le=5 * 2**30)
    """Objects above this size are uploaded in parts of it."""


class Config(Section):
    """edgeproxy's configuration."""

    server: Server = Server()
    admin: Admin = Admin()
    cache: Cache = Cache()
    log: Log = Log()
    origins: dict[Name, Origin] = Field(min_length=1)
    """Where objects come from, by name."""
    origin_groups: dict[Name, OriginGroup] = {}
    """Pairs of origins, by name."""
    cache_policies: dict[Name, CachePolicySection] = {}
    """Cache policies, by name."""
    origin_request_policies: dict[Name, OriginRequestPolicySection] = {}
    """Origin request policies, by name."""
    behaviors: tuple[PatternBehaviorSection, ...] = Field(default=(), max_length=75)
    """Behaviours by path pattern; the first that matches decides, in the order written."""
    default_behavior: BehaviorSection
    """The behaviour for all other paths."""
    backfill: Backfill = Backfill()

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
            cache=own.value(section.cache_policy) if own is not None else CACHE_POLICIES[name],
            origin_request=request_policy,
            allowed_methods=frozenset(section.allowed_methods),
            cached_methods=frozenset(section.cached_methods),
        )
