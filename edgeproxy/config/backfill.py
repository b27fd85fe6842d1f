"""Filling the bucket: the sections of its sources, its rules, its queue and its work."""

import re
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from edgeproxy.config.fields import Bool, Bytes, Name, PathPattern, Seconds, SecondsAboveZero
from edgeproxy.config.kinds import (
    OR_VARIABLE,
    BaseUrl,
    CustomHeaderName,
    Decimal,
    HeaderName,
    JsonSchema,
    Kind,
    OneOf,
    PathText,
    Text,
    Whole,
    is_path_prefix,
)
from edgeproxy.config.origin import HEADER_VALUE, stand_once
from edgeproxy.config.origins import REGION, Credentials, shape_of_credentials
from edgeproxy.config.section import EachOnce, EachOnceInAnyCase, Section, refused
from edgeproxy.config.units import Duration, Size, duration_text
from edgeproxy.core.backfilling import MISSING_STATUSES, Mode, Rule
from edgeproxy.core.key import Pick, Selection
from edgeproxy.core.message import Headers
from edgeproxy.core.paths import Pattern
from edgeproxy.core.refreshing import ON_EVENT
from edgeproxy.core.sourcing import NEVER_PASSED, WANTED, Supplier, Template


class PathTemplate(Kind[str]):
    """How a source's path is made."""

    def __init__(self) -> None:
        super().__init__(WANTED, "path template")

    def read(self, value: object) -> str:
        if not isinstance(value, str) or len(value) > 255:
            raise ValueError(self.wanted)
        return Template(value).text

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": rf"^[!-~]{{1,255}}${OR_VARIABLE}"}


class Names(Kind[Selection]):
    """`none`, `all`, or a list of names."""

    def __init__(self, name: Text, *, any_case: bool = False) -> None:
        super().__init__(f"none, all or a list: {name.name}", f"`none`, `all`, list: {name.name}")
        self._name = name
        self._any_case = any_case

    def read(self, value: object) -> Selection:
        match value:
            case Selection():
                return value
            case "none" | "all":
                return Selection(Pick(value))
            case [_, *_]:
                names = [self._name.read(name) for name in value]
                names = [name.lower() for name in names] if self._any_case else names
                if len(set(names)) < len(names):
                    raise ValueError("each of them once")
                return Selection(Pick.ONLY, frozenset(names))
            case _:
                raise ValueError(self.wanted)

    def write(self, value: Selection) -> object:
        return sorted(value.names) if value.pick is Pick.ONLY else value.pick.value

    def schema(self) -> JsonSchema:
        word = {"type": "string", "pattern": f"^(?:none|all)${OR_VARIABLE}"}
        return {"anyOf": [word, {"type": "array", "minItems": 1, "items": self._name.schema()}]}


class PassedHeaderName(HeaderName):
    """The name of a header field that a source may get of a viewer's."""

    def __init__(self) -> None:
        super().__init__("the name of a header that may be passed on (Authorization and Cookie may not)")

    def read(self, value: object) -> str:
        name = super().read(value)
        if name.lower() in NEVER_PASSED:
            raise ValueError(self.wanted)
        return name


class Refreshing(Kind[float | None]):
    """`never`, `on-event`, or how often."""

    def __init__(self) -> None:
        super().__init__(
            "never, on-event or {every: ...} with a duration such as 1d",
            "`never`, `on-event`, `{every: ...}`",
        )
        self._every = Duration(above_zero=True)

    def read(self, value: object) -> float | None:
        match value:
            case None | "never":
                return None
            case "on-event":
                return ON_EVENT
            case {"every": every, **others} if not others:
                return self._every.read(every)
            case _:
                raise ValueError(self.wanted)

    def write(self, value: float | None) -> object:
        if value is None or value == ON_EVENT:
            return "never" if value is None else "on-event"
        return {"every": duration_text(value)}

    def schema(self) -> JsonSchema:
        every = {
            "type": "object",
            "properties": {"every": self._every.schema()},
            "required": ["every"],
            "additionalProperties": False,
        }
        return {"anyOf": [{"type": "string", "pattern": f"^(never|on-event)${OR_VARIABLE}"}, every]}


_PARAMETER = Text(r"[!-%\'-<>-~]+", "the name of a query parameter", "parameter")
_REDIRECT_HOST = Text(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.\-]{0,251}[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?",
    "a host such as cdn.example.com, or with its port where that is not the usual one",
    "host",
)
_MEDIA_TYPE = Text(
    r"(?:\*|[A-Za-z0-9!#$&^_.+\-]{1,127})/(?:\*|[A-Za-z0-9!#$&^_.+\-]{1,127})",
    "a media type such as image/* or application/pdf",
    "media type",
)


class Breaker(Section):
    """When a source that is down is left alone."""

    failures: Annotated[int, Whole(1, 1_000)] = 5
    """Faults in a row (no connection, a timeout, a cut, a 5xx) after which its jobs wait."""
    rest: SecondsAboveZero = 30.0
    """How long they do; then one job tries it, and the others follow if it is well."""


class BackfillSource(Section):
    """A way to get objects."""

    origin: Name
    """One of `origins`."""
    path: Annotated[str, PathTemplate()] = "{rest}"
    """The path to ask for, perhaps with a query: `{path}` is the viewer's path, `{rest}` what `strip_prefix`
    leaves of it, `{key}` the object's key without a slash in front: `/originals{rest}`, `/make?of={key}`."""
    strip_prefix: Annotated[
        str,
        PathText(is_path_prefix, 'a path such as /img, with "/" in front and none at the end', "path"),
    ] = ""
    """What is taken from the front of the path for `{rest}`, such as `/img`; a path without it stays."""
    query: Annotated[Selection, Names(_PARAMETER)] = Selection()
    """Query parameters of the viewer's that are sent; only those on which the object does not depend."""
    pass_headers: Annotated[Selection, Names(PassedHeaderName(), any_case=True)] = Selection()
    """Fields of the viewer's that are sent; never `Authorization` and `Cookie`, nor what belongs to one
    message or connection."""
    block_headers: Annotated[tuple[Annotated[str, HeaderName()], ...], EachOnceInAnyCase] = ()
    """Fields that are not sent though `pass_headers` is `all`."""
    set_headers: dict[Annotated[str, CustomHeaderName()], Annotated[str, HEADER_VALUE]] = Field(
        default={}, repr=False
    )
    """Fields that are set, over the viewer's and below the origin's `custom_headers`. Values count as
    secrets."""
    follow_redirects: Annotated[int, Whole(0, 10)] = 0
    """How many redirects are followed for one object, to the origin's own host."""
    redirect_hosts: Annotated[tuple[Annotated[str, _REDIRECT_HOST], ...], EachOnceInAnyCase] = ()
    """Other hosts that redirects may lead to; not into this machine or its link unless the origin is there,
    nor from https to http unless `:80` is given. They get none of the fields that are set or passed."""
    rate: Annotated[float, Decimal(0, 100_000, digits=3, such_as="12.5")] | None = None
    """Requests a second at most; without it as many as `concurrency` makes."""
    bandwidth: Annotated[int, Size(2**10, 2**40)] | None = None
    """Bytes a second at most."""
    breaker: Breaker = Breaker()
    """What it takes for its jobs to wait because it is down."""

    _stand_once = field_validator("set_headers")(stand_once)

    @field_validator("rate")
    @classmethod
    def _lets_some_through(cls, value: float | None) -> float | None:
        if value == 0:
            raise ValueError("a number above 0 such as 12.5")
        return value

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.redirect_hosts and not self.follow_redirects:
            raise refused("redirect_hosts", "follow_redirects beside it")
        if self.block_headers and self.pass_headers.pick is not Pick.ALL:
            raise refused("block_headers", "pass_headers: all beside it")
        if self.strip_prefix and not re.search(r"\{rest\}", self.path):
            raise refused("strip_prefix", "{rest} in the path beside it")
        return self

    def value(self, name: str) -> Supplier:
        """The source as the rules take it."""
        return Supplier(
            name=name,
            origin=self.origin,
            path=Template(self.path),
            strip_prefix=self.strip_prefix,
            query=self.query,
            passed=self.pass_headers,
            blocked=frozenset(header.lower() for header in self.block_headers),
            fields=Headers(self.set_headers.items()),
            redirects=self.follow_redirects,
            redirect_hosts=frozenset(host.lower() for host in self.redirect_hosts),
            rate=self.rate,
            bandwidth=self.bandwidth,
            failures=self.breaker.failures,
            rest_s=self.breaker.rest,
        )


class BackfillRule(Section):
    """Which objects are copied into the bucket."""

    path_pattern: PathPattern = "*"
    """Paths that the rule covers; the first rule that matches decides."""
    mode: Literal["queue", "generate", "redirect"] = "queue"
    """`queue`: the viewer gets the full origin's answer, and the object is copied later. `generate`: a source
    makes it while the viewer waits, who gets it. `redirect`: a source's object is stored while the viewer
    waits, who is then sent to the same address again."""
    sources: Annotated[tuple[Name, ...], EachOnce] = ()
    """Where objects come from, by their names in `backfill.sources`, in order: the next is asked when one has
    it not, refuses or fails. Empty: the secondary of the group."""
    on_status: Annotated[
        frozenset[Annotated[int, OneOf(MISSING_STATUSES)]], Field(min_length=1), EachOnce
    ] = frozenset({403, 404})
    """What the bucket has to say of the missing object."""
    methods: Annotated[tuple[Literal["GET", "HEAD"], ...], Field(min_length=1), EachOnce] = ("GET", "HEAD")
    """Methods of viewers that lead to a copy."""
    content_types: Annotated[tuple[Annotated[str, _MEDIA_TYPE], ...], EachOnceInAnyCase] = ()
    """Types that are copied, such as `image/*`; empty = all."""
    min_object: Bytes = 0
    """Smallest object that is copied."""
    max_object: Bytes = 5 * 2**40
    """Largest object that is copied."""
    refresh: Annotated[float | None, Refreshing()] = None
    """When it is looked whether an object has changed at its source: `never`; `on-event`, when its path is
    purged, or somebody says so; `{every: 1d}`, also when a viewer gets it, once in that time."""
    enabled: Bool = True
    """`false` leaves these paths out."""

    @model_validator(mode="after")
    def _has_sizes(self) -> Self:
        if self.min_object > self.max_object:
            raise refused("min_object", "at most max_object")
        return self

    def value(self) -> Rule:
        """The rule as the rules take it."""
        return Rule(
            Pattern(self.path_pattern),
            self.on_status,
            self.max_object,
            self.enabled,
            methods=frozenset(self.methods),
            content_types=tuple(kind.lower() for kind in self.content_types),
            min_object_bytes=self.min_object,
            mode=Mode(self.mode),
            sources=self.sources,
            refresh_s=self.refresh,
        )


_QUEUE_URL = Text(
    r"https?://[^\s/?#@]+/[^\s?#]*[A-Za-z0-9_\-]{1,80}(?:\.fifo)?",
    "the URL of a queue, such as https://sqs.eu-west-1.amazonaws.com/123456789012/fill",
    "URL",
)


class Sqs(Section):
    """A queue of Amazon SQS, or of a server that speaks as it does."""

    url: Annotated[str, _QUEUE_URL] | None = None
    """URL of the queue, such as `https://sqs.eu-west-1.amazonaws.com/123456789012/fill`; says also where the
    server is, and on AWS the region."""
    name: (
        Annotated[
            str,
            Text(
                r"[A-Za-z0-9_\-]{1,80}(?:\.fifo)?",
                'the name of a queue: 1 to 80 letters, digits, "-" and "_", and .fifo',
                "queue name",
            ),
        ]
        | None
    ) = None
    """Name of the queue, instead of its URL."""
    region: Annotated[str, REGION] | None = None
    """Region, also for the signature; that of `url` where it has one, else us-east-1."""
    endpoint: Annotated[str, BaseUrl()] | None = None
    """Where the server is, such as `http://127.0.0.1:9324`; else what `url` says, else AWS."""
    credentials: Annotated[
        Annotated[Literal["default"], Tag("<word>")] | Annotated[Credentials, Tag("<keys>")],
        Discriminator(
            shape_of_credentials,
            custom_error_type="shape",
            custom_error_message="default or {access_key_id: ..., secret_access_key: ...}",
        ),
    ] = "default"
    """Keys; or `default`, which asks the AWS provider chain (environment, profile, role)."""
    dead_letter_url: Annotated[str, _QUEUE_URL] | None = None
    """URL of the queue that gets what cannot be done; where none is given, the queue's redrive policy says
    what becomes of it, and without one such messages are deleted."""
    wait: Annotated[float, Duration(above_zero=True)] = 20.0
    """How long a request for messages waits for one, in whole seconds, up to 20s."""
    group: Name | None = None
    """The origin group, or the bucket alone, that is meant by messages that name none; the only one with a
    bucket, where there is but one."""

    @field_validator("wait")
    @classmethod
    def _is_whole(cls, value: float) -> float:
        if value > 20 or not value.is_integer():
            raise ValueError("whole seconds, from 1s to 20s")
        return value

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        """Either of them says which queue."""
        if self.url is not None and self.name is not None:
            raise refused("name", "url or name, not both")
        return self


class Backfill(Section):
    """Filling the bucket behind the viewer's back with what the full origin gave."""

    sources: dict[Name, BackfillSource] = Field(default={})
    """Ways to get objects, by name, for `rules` to speak of."""
    rules: tuple[BackfillRule, ...] = ()
    """Rules in order; without any, nothing is copied."""
    queue: Literal["memory", "sqlite", "sqs"] = "memory"
    """Where jobs wait. `sqlite`: in a file in `state.folder`, which outlives the process and which several
    share; so it is, where nothing is given, wherever there is a `state.folder`. `sqs`: in a queue of Amazon
    SQS, which gateways and workers on many machines share."""
    sqs: Sqs | None = None
    """The queue of SQS."""
    concurrency: Annotated[int, Whole(0, 256)] = 4
    """Jobs at work at once; each holds up to `parts_at_once` + 1 parts in memory. 0: this process takes
    jobs in and leaves all work to `edgeproxy worker` processes."""
    queue_size: Annotated[int, Whole(1, 10_000_000)] = 10_000
    """Jobs that may wait or be at work; a full queue refuses more, viewers never wait for it. Of a queue of
    SQS: that wait to be sent there."""
    attempts: Annotated[int, Whole(1, 100)] = 5
    """How often a job is tried."""
    backoff_base: SecondsAboveZero = 1.0
    """Step before the second attempt; it doubles each time and is jittered."""
    backoff_cap: SecondsAboveZero = 60.0
    """Longest step between attempts."""
    lease: SecondsAboveZero = 30.0
    """How long a job belongs to a process that says nothing more, such as one that was killed; then others
    may take it."""
    make_concurrency: Annotated[int, Whole(1, 256)] = 16
    """Objects that are made at once while viewers wait, beside those jobs; each holds one more part in
    memory than they do. More wait for their turn."""
    make_timeout: SecondsAboveZero = 60.0
    """How long a viewer waits where the rule's mode is `generate` or `redirect`; then it gets what the bucket
    said, and the object is made all the same."""
    missing_for: Seconds = 60.0
    """How long an object that the full origin said it has not (404, 410) is not queued again."""
    history: Annotated[int, Whole(0, 10_000_000)] = 10_000
    """Jobs that have ended and are remembered, for 30 days at most; the oldest go first. What `missing_for`
    is about is among them. Of a queue of SQS: each process remembers those that it had itself."""
    part_size: Annotated[int, Size(5 * 2**20, 5 * 2**30)] = 8 * 2**20
    """Objects above this size are uploaded in parts of it."""
    parts_at_once: Annotated[int, Whole(1, 16)] = 2
    """Parts of one object that are on their way at once; a job holds one more of them in memory."""
    write_timeout: SecondsAboveZero = 120.0
    """How long the bucket may take over one request: an object in one piece, or a part."""
    tombstone_for: Seconds = 86_400.0
    """How long an object that was deleted through the gateway is not copied again."""

    def suppliers(self) -> dict[str, Supplier]:
        """The sources as the rules take them, by name."""
        return {name: section.value(name) for name, section in self.sources.items()}

    def rule_values(self) -> tuple[Rule, ...]:
        """The rules as the rules of `core` take them, in order."""
        return tuple(rule.value() for rule in self.rules)
