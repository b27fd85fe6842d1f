"""Several equal servers as one origin: the sections of a pool, its nodes and its checks."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from edgeproxy.config.fields import Bool, Bytes, SecondsAboveZero, VisibleText
from edgeproxy.config.kinds import BaseUrl, Decimal, OneOf, Secret, Text, Whole
from edgeproxy.config.origin import PATH_PREFIX, Reached, WithHeaders
from edgeproxy.config.section import EachOnce, Section, refused
from edgeproxy.core.balancing.breaker import Ejection
from edgeproxy.core.balancing.budget import RETRIES
from edgeproxy.core.balancing.health import Thresholds
from edgeproxy.core.balancing.nodes import Node, Rules, Tier
from edgeproxy.core.balancing.ranking import Algorithm

_FAILURES = OneOf({429, 500, 501, 502, 503, 504})
_SHARE = Decimal(0, 1, digits=3, such_as="0.2")
_POINTER = Text(r"(?:/(?:[^~/]|~[01])*)*", "a JSON pointer such as /result/head_block_number", "JSON pointer")


class NodeCredentials(Section):
    """What a node knows us by: a token, or a name and a password."""

    token: Annotated[SecretStr, Secret(VisibleText)] | None = None
    """Sent as `Authorization: Bearer`."""
    username: Annotated[str, Text(r"[^:\x00-\x1f\x7f]+", 'a name without ":"', "text")] | None = None
    """Sent as `Authorization: Basic`, with the password."""
    password: Annotated[SecretStr, Secret(Text(r"[^\x00-\x1f\x7f]+", "a password", "text"))] | None = None
    """The password."""

    @model_validator(mode="after")
    def _are_of_one_sort(self) -> Self:
        has_token, has_name, has_password = (
            value is not None for value in (self.token, self.username, self.password)
        )
        if has_token == has_name or has_name != has_password:
            raise ValueError("a token, or username and password")
        return self


class PoolNode(WithHeaders):
    """One of the servers of a pool."""

    url: Annotated[str, BaseUrl()]
    """Scheme, host and port, such as `https://a.example.com`."""
    name: Annotated[str, Text(r"[A-Za-z0-9\[][A-Za-z0-9_.:\[\]\-]{0,127}", "a name", "name")] | None = None
    """What it is called in logs, answers and commands; where not given, host and port of its URL."""
    path: Annotated[str, PATH_PREFIX] = ""
    """Put in front of every request path at this node, and of the pool's `origin_path`."""
    weight: Annotated[int, Whole(1, 1000)] = 1
    """How much of the load it gets, against the others."""
    tier: Literal["primary", "backup"] = "primary"
    """`backup`: asked only where no primary can be."""
    addresses: Literal["one", "each"] = "one"
    """`each`: each address of the name in `url` is a node, called `name@address`; they are looked up again
    every `health.resolve_interval`. `one`: it is one node, wherever it leads."""
    credentials: NodeCredentials | None = None
    """Sent with every request to this node, over the viewer's."""

    @property
    def called(self) -> str:
        """Its name, given or not."""
        return self.name or urlsplit(self.url).netloc

    def value(self) -> Node:
        """The node as the rules take it."""
        return Node(self.called, float(self.weight), Tier(self.tier))


class PoolChecks(Section):
    """What tells whether a node is well."""

    interval: SecondsAboveZero = 5.0
    """How often each node is asked, up to a tenth earlier or later."""
    timeout: SecondsAboveZero = 2.0
    """How long it may take to answer."""
    method: Literal["GET", "HEAD", "POST", "OPTIONS"] = "GET"
    """Method of the request; it goes with the headers and credentials of the node."""
    path: Annotated[str, Text(r"/[!-~]{0,1023}", 'a path such as /health, with "/" in front', "path")] = "/"
    """Path of the request, perhaps with a query, behind the node's `path` and the pool's `origin_path`."""
    body: Annotated[str, Text(r"(?s:.{1,65536})", "text", "text")] | None = None
    """Body of the request, such as a JSON-RPC call."""
    content_type: Annotated[str, Text(r"[!-~]([ -~]{0,254}[!-~])?", "a media type", "media type")] = (
        "application/json"
    )
    """Media type of the body."""
    expect_status: Annotated[frozenset[Annotated[int, Whole(100, 599)]], Field(min_length=1), EachOnce] = (
        frozenset({200})
    )
    """Statuses that pass."""
    expect_pointer: Annotated[str, _POINTER] | None = None
    """Where the JSON answer has to have a value, as a JSON pointer."""
    expect_value: Annotated[str, Text(r"(?s:.{1,1024})", "text", "text")] | None = None
    """What has to stand there, as text; any value but null and false where not given."""
    head_pointer: Annotated[str, _POINTER] | None = None
    """Where the JSON answer has a number that grows, such as that of the newest block."""
    max_lag: Annotated[int, Whole(0, 10**15)] | None = None
    """By how much that number may be behind the others'; more, and the node is not asked."""
    rise: Annotated[int, Whole(1, 100)] = 2
    """So many checks in a row have to pass before a node that was down is up."""
    fall: Annotated[int, Whole(1, 100)] = 3
    """So many have to fail before one that was up is down."""

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.expect_value is not None and self.expect_pointer is None:
            raise refused("expect_value", "expect_pointer beside it")
        if self.max_lag is not None and self.head_pointer is None:
            raise refused("max_lag", "head_pointer beside it")
        if self.body is not None and self.method != "POST":
            raise refused("method", "POST for a body")
        return self


class PoolTimeouts(Section):
    """How long a node may take, by phase."""

    connect: SecondsAboveZero = 2.0
    """Until there is a connection."""
    first_byte: SecondsAboveZero = 30.0
    """From the end of the request to the end of the head of the answer."""
    silence: SecondsAboveZero = 30.0
    """Between two packets of the body."""
    total: SecondsAboveZero | None = None
    """From the first attempt to the end of the answer, all attempts together; no limit where not given."""


class PoolRetries(Section):
    """Asking another node after one has failed, where that is safe."""

    attempts: Annotated[int, Whole(1, 10)] = 3
    """Nodes that are asked for one request at most, hedges included."""
    on_status: Annotated[frozenset[Annotated[int, _FAILURES]], EachOnce] = frozenset({502, 503, 504})
    """Statuses after which another node is asked; a node that does not answer is always one."""
    share: Annotated[float, _SHARE] = RETRIES.share
    """How many retries there may be for each request, so that they cannot bury nodes that are ill."""


class PoolEjection(Section):
    """When a node is left alone for a while because of how it answered."""

    failures: Annotated[int, Whole(1, 1000)] = 5
    """So many failures in a row."""
    on_status: Annotated[frozenset[Annotated[int, _FAILURES]], EachOnce] = frozenset({500, 502, 503, 504})
    """Statuses that are failures; no answer, or one that is cut, always is."""
    base: SecondsAboveZero = 5.0
    """How long it is left alone the first time; each further time it is twice as long."""
    cap: SecondsAboveZero = 300.0
    """The longest time."""
    forgiven_after: SecondsAboveZero = 30.0
    """One ejection is forgotten each time that the node has done well for so long."""
    max_share: Annotated[float, _SHARE] = 0.5
    """How many of the nodes may be ejected for statuses: requests that no node can do must not eject all."""


class PoolOrigin(Reached):
    """Several servers that give the same answers, such as the nodes of an API."""

    type: Literal["pool"]
    """Which sort of origin it is."""
    nodes: Annotated[tuple[PoolNode, ...], Field(min_length=1, max_length=1000)]
    """The servers."""
    algorithm: Literal[
        "p2c-ewma", "least-load", "round-robin", "random", "ip-hash", "fastest-ping", "race", "dns"
    ] = "p2c-ewma"
    """Which of them is asked: docs/balancing.md."""
    checks: PoolChecks | None = None
    """Pings that tell whether nodes are well; without them only requests do."""
    timeouts: PoolTimeouts = PoolTimeouts()
    """Limits of time, by phase."""
    retries: PoolRetries = PoolRetries()
    """Asking another node after one has failed."""
    ejection: PoolEjection = PoolEjection()
    """When a node is left alone for a while."""
    hedge: Bool = False
    """Whether a second node is asked when the first is slower than 95 of 100 answers, where asking twice is
    safe; the first answer counts."""
    idempotent_rpc_methods: Annotated[
        tuple[Annotated[str, Text("[!-~]{1,256}", "the name of a JSON-RPC method", "text")], ...], EachOnce
    ] = ()
    """JSON-RPC methods that may be sent twice though they are sent with POST."""
    max_held_body: Bytes = 256 * 2**10
    """Request bodies up to this size are held until there is an answer, so that they can be sent again;
    larger ones pass through. Also the largest answer that is annotated."""
    held_bodies: Bytes = 64 * 2**20
    """Bytes that all bodies that are held may take together; above that they pass through."""
    annotate: Bool = False
    """Put `__server__` (the node) and `__version__` (edgeproxy's) into answers to GET and POST that are JSON
    objects."""
    upstream_headers: Bool = False
    """Add `X-Edge-Upstream` (the node) and `Server-Timing` to answers that came from a node;
    `server.debug_headers` does too."""
    tls_verify: Bool = True
    """Whether certificates have to be valid."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        names = [node.called for node in self.nodes]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise refused("nodes", f"a name of its own for each node; {twice[0]} stands twice")
        if all(node.tier == "backup" for node in self.nodes):
            raise refused("nodes", "at least one whose tier is primary")
        if self.algorithm in ("race", "fastest-ping") and self.checks is None:
            raise refused("algorithm", "checks beside it, which say what a ping is")
        return self

    @property
    def ranking(self) -> Algorithm:
        """The algorithm as the rules take it."""
        return Algorithm(self.algorithm)

    def rules(self) -> Rules:
        """What nodes are judged by."""
        checks, ejection = self.checks or PoolChecks(), self.ejection
        return Rules(
            checks=Thresholds(checks.fall, checks.rise),
            ejection=Ejection(ejection.failures, ejection.base, ejection.cap, ejection.forgiven_after),
            max_lag=checks.max_lag,
        )
