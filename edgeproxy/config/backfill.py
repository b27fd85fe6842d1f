"""Filling the bucket: the sections of its rules, its queue and its work."""

from typing import Annotated, Literal

from pydantic import Field

from edgeproxy.config.fields import Bool, Bytes, PathPattern, Seconds, SecondsAboveZero
from edgeproxy.config.kinds import OneOf, Whole
from edgeproxy.config.section import EachOnce, Section
from edgeproxy.config.units import Size
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


class Backfill(Section):
    """Filling the bucket behind the viewer's back with what the full origin gave."""

    rules: tuple[BackfillRule, ...] = ()
    """Rules in order; without any, nothing is copied."""
    queue: Literal["memory", "sqlite"] = "memory"
    """Where jobs wait. `sqlite`: in a file in `state.folder`, which outlives the process and which several
    share; so it is, where nothing is given, wherever there is a `state.folder`."""
    concurrency: Annotated[int, Whole(0, 256)] = 4
    """Jobs at work at once; each holds up to one part in memory. 0: this process takes jobs in and leaves all
    work to `edgeproxy worker` processes."""
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
