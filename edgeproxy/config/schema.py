"""The shape of `config.yaml`. CloudFront's words in snake case; one sentence on every setting."""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from edgeproxy.config.backfill import Backfill
from edgeproxy.config.events import Events
from edgeproxy.config.fields import Bool, Bytes, Name, PathPattern, Seconds, SecondsAboveZero, VisibleText
from edgeproxy.config.health import Health
from edgeproxy.config.kinds import (
    FolderPath,
    Network,
    OneOf,
    PathText,
    Secret,
    Text,
    Whole,
    is_object_name,
    is_page,
)
from edgeproxy.config.managed import CACHE_POLICIES, ORIGIN_REQUEST_POLICIES, RESPONSE_HEADERS_POLICIES
from edgeproxy.config.origins import Credentials, HttpOrigin, Origin, OriginGroup, S3Origin
from edgeproxy.config.policies import AllExcept, CachePolicySection, OriginRequestPolicySection, Whitelist
from edgeproxy.config.pool import PoolOrigin
from edgeproxy.config.response_headers import ResponseHeadersPolicySection
from edgeproxy.config.section import EachOnce, EachOnceInAnyCase, Section, each_once, refused
from edgeproxy.config.units import Address, Listen, size_text
from edgeproxy.core.behavior import Behavior
from edgeproxy.core.erring import ErrorPolicy
from edgeproxy.core.error_pages import ErrorPage
from edgeproxy.core.forwarding import OriginRequestPolicy
from edgeproxy.core.paths import Pattern
from edgeproxy.core.posts import PostPolicy
from edgeproxy.core.response_headers import ResponseHeadersPolicy

# CloudFront Developer Guide, "Create a custom error page for specific HTTP status codes".
ERROR_CODES = (400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504)

Method: TypeAlias = Literal["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"]
CachedMethod: TypeAlias = Literal["GET", "HEAD", "OPTIONS"]
_HOST_NAME = Text(
    r"[A-Za-z0-9_.\-]{1,253}|\[[0-9A-Fa-f:.]+\]", "a host name such as www.example.com", "host name"
)


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
    websocket_idle_timeout: SecondsAboveZero = 600.0
    """How long a WebSocket is kept open while its origin sends nothing; CloudFront: 10 minutes."""
    express_lane: Bool = True
    """Answer repeats of a request that memory alone answered straight from there, in front of the HTTP
    server: the same answers, ten times as many."""
    drain_timeout: Seconds = 30.0
    """How long requests and backfill jobs that are under way may take to finish after SIGTERM."""
    debug_headers: Bool = False
    """Add `X-Edge-Origin` (which origins were asked), `X-Edge-Upstream` (which node of a pool answered),
    `X-Edge-Backfill` (what became of it) and `X-Edge-Compression` to answers."""


class Admin(Section):
    """The operators' port: health, readiness, state, explain."""

    listen: Annotated[Address, Listen()] = Address("127.0.0.1", 8081)
    """Address and port for operators; needs a token when others than this machine can reach it."""
    token: Annotated[SecretStr, Secret(VisibleText)] | None = None
    """Bearer token for everything but `/healthz` and `/readyz`; for CloudFront's API it is the secret access
    key that requests are signed with."""
    distribution_id: Annotated[str, Text("[A-Za-z0-9]{1,64}", "letters and digits", "id")] = "local"
    """What CloudFront's API on the admin port calls this gateway: `--distribution-id local`."""


LEAST_BESIDE_DISK = 16 * 2**20
"""Bytes of memory that a process needs for what passes through it on its way to disk."""


class Disk(Section):
    """The cache on disk, below memory: it outlives the process."""

    folder: Annotated[Path, FolderPath()]
    """Where it is kept; made if it is not there. One edgeproxy at a time may use it."""
    size: Bytes = 10 * 2**30
    """Bytes that it may take, its catalogue and the transfers that fill it included."""
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

    folder: Annotated[Path, FolderPath()] | None = None
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


class Log(Section):
    """What is written for each request, to standard output."""

    format: Literal["text", "json"] = "text"
    """One line a request, for people or for programs."""
    access: Bool = True
    """Whether requests are logged at all."""


SHAPES: dict[str, type[Section] | None] = {
    "<s3>": S3Origin,
    "<http>": HttpOrigin,
    "<pool>": PoolOrigin,
    "<keys>": Credentials,
    "<whitelist>": Whitelist,
    "<all_except>": AllExcept,
    "<word>": None,
}
"""What a setting that may have several shapes turned out to be, as pydantic puts it into a place."""


def _cached_by_default(settings: dict[str, Any]) -> tuple[CachedMethod, ...]:
    usual: tuple[CachedMethod, ...] = ("GET", "HEAD")
    return tuple(method for method in usual if method in settings["allowed_methods"])


class GraphQL(Section):
    """GraphQL requests whose operations are all queries."""

    ttl: SecondsAboveZero
    """How long an answer without `errors` is kept."""


class CachedPosts(Section):
    """POST requests that only read, told by their bodies: their answers are cached and shared."""

    json_rpc: dict[Annotated[str, VisibleText], SecondsAboveZero] = Field(default={})
    """JSON-RPC methods, and how long a result is kept: `{eth_blockNumber: 2s}`. Errors, `null` and batches
    are not; everybody gets an answer with an `id` of their own."""
    graphql: GraphQL | None = None
    """GraphQL requests whose operations are all queries: `{ttl: 30s}`."""
    max_body: Bytes = 64 * 2**10
    """Largest request body that is looked into; larger ones are passed on."""
    max_answer: Bytes = 2**20
    """Largest answer that is kept."""

    @model_validator(mode="after")
    def _has_some(self) -> Self:
        if not self.json_rpc and self.graphql is None:
            raise ValueError("json_rpc or graphql in it")
        return self

    def value(self) -> PostPolicy:
        """The policy as the rules take it."""
        queries_s = self.graphql.ttl if self.graphql is not None else None
        return PostPolicy(MappingProxyType(dict(self.json_rpc)), queries_s, self.max_body, self.max_answer)


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
    """Methods that are let in; the others get `disallowed_status`."""
    disallowed_status: Annotated[int, OneOf((403, 405))] = 403
    """What methods that are not let in get: 403 as on CloudFront, or 405 with `Allow` as RFC 9110 has it."""
    cached_methods: Annotated[tuple[CachedMethod, ...], EachOnce] = Field(default_factory=_cached_by_default)
    """Methods whose answers are cached; where not given, GET and HEAD as far as they are allowed."""
    compress: Bool = False
    """Whether answers are compressed on their way into the cache, by what the cache policy has of `gzip` and
    `brotli`."""

    cached_posts: CachedPosts | None = None
    """POST requests that only read, such as calls of an API; needs POST in `allowed_methods`."""

    @field_validator("cached_posts")
    @classmethod
    def _lets_post_in(cls, value: CachedPosts | None, info: ValidationInfo) -> CachedPosts | None:
        if value is not None and "POST" not in info.data.get("allowed_methods", ("POST",)):
            raise ValueError("POST in allowed_methods beside it")
        return value

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
    events: Events = Events()
    health: Health = Health()

    @model_validator(mode="after")
    def _keeps_jobs(self) -> Self:
        """Jobs outlive the process wherever they can."""
        if self.state.folder is not None and "queue" not in self.backfill.model_fields_set:
            object.__setattr__(self, "backfill", self.backfill.model_copy(update={"queue": "sqlite"}))
        return self

    @model_validator(mode="after")
    def _shares_findings(self) -> Self:
        """The processes of a machine check nodes together wherever they can."""
        if self.state.folder is not None and "board" not in self.health.model_fields_set:
            object.__setattr__(self, "health", self.health.model_copy(update={"board": "sqlite"}))
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
            refuses_with=section.disallowed_status,
            response_headers=self._response_headers(section.response_headers_policy),
            posts=section.cached_posts.value() if section.cached_posts is not None else None,
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
