"""Filling the bucket: the sections of its rules, its queue and its work."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from edgeproxy.config.fields import Bool, Bytes, Name, PathPattern, Seconds, SecondsAboveZero
from edgeproxy.config.kinds import BaseUrl, OneOf, Text, Whole
from edgeproxy.config.origins import REGION, Credentials, shape_of_credentials
from edgeproxy.config.section import EachOnce, Section, refused
from edgeproxy.config.units import Duration, Size
from edgeproxy.core.backfilling import Rule
from edgeproxy.core.paths import Pattern


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
    """The origin group that is meant by messages that name none; the only one with a bucket, where there is
    but one."""

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

    rules: tuple[BackfillRule, ...] = ()
    """Rules in order; without any, nothing is copied."""
    queue: Literal["memory", "sqlite", "sqs"] = "memory"
    """Where jobs wait. `sqlite`: in a file in `state.folder`, which outlives the process and which several
    share; so it is, where nothing is given, wherever there is a `state.folder`. `sqs`: in a queue of Amazon
    SQS, which gateways and workers on many machines share."""
    sqs: Sqs | None = None
    """The queue of SQS."""
    concurrency: Annotated[int, Whole(0, 256)] = 4
    """Jobs at work at once; each holds up to one part in memory. 0: this process takes jobs in and leaves all
    work to `edgeproxy worker` processes."""
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
    missing_for: Seconds = 60.0
    """How long an object that the full origin said it has not (404, 410) is not queued again."""
    history: Annotated[int, Whole(0, 10_000_000)] = 10_000
    """Jobs that have ended and are remembered, for 30 days at most; the oldest go first. Of a queue of SQS:
    each process remembers those that it had itself."""
    part_size: Annotated[int, Size(5 * 2**20, 5 * 2**30)] = 8 * 2**20
    """Objects above this size are uploaded in parts of it."""
