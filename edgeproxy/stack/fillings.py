"""Which behaviours get which function: the backfill rules laid over the behaviours.

CloudFront has functions by behaviour, so a rule for a part of a behaviour's paths makes another one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from edgeproxy.backfill.message import MAX_OBJECT_BYTES
from edgeproxy.config import Config
from edgeproxy.config.backfill import BackfillRule, BackfillSource
from edgeproxy.config.mistakes import Mistake, Place, dotted
from edgeproxy.config.origins import HttpOrigin, S3Origin
from edgeproxy.config.schema import BehaviorSection
from edgeproxy.core.backfilling import Mode
from edgeproxy.core.key import Pick, Selection
from edgeproxy.stack.covering import meet, within
from edgeproxy.stack.errors import mistake


@dataclass(frozen=True, slots=True)
class Filling:
    """What a function fills: a bucket, from a source. Origins by their names."""

    mode: Mode
    bucket: str
    origin: str
    source: BackfillSource | None
    """None: the origin as it is."""
    max_object: int

    @property
    def settings(self) -> dict[str, str]:
        """What its function is told of the source, beside the addresses."""
        told = {"max_object_bytes": str(self.max_object)} if self.max_object < MAX_OBJECT_BYTES else {}
        if self.source is not None:
            told["source_path"] = self.source.path
            if self.source.strip_prefix:
                told["strip_prefix"] = self.source.strip_prefix
            told["pass_query"] = _names(self.source.query)
            told["pass_headers"] = _names(self.source.pass_headers)
        return {name: value for name, value in told.items() if value != "none"}


def _names(selection: Selection) -> str:
    return ",".join(sorted(selection.names)) if selection.pick is Pick.ONLY else selection.pick.value


@dataclass(frozen=True, slots=True)
class Cell:
    """A behaviour of the distribution. `section` and `place` are those of the configuration's."""

    pattern: str | None
    """None: the default behaviour."""
    section: BehaviorSection
    place: Place
    filling: Filling | None
    statuses: tuple[int, ...] = ()
    """What the rule takes for "the bucket has it not"."""


def cells(config: Config) -> tuple[list[Cell], list[Mistake]]:
    """The distribution's behaviours, the default one last, and what cannot be one."""
    found: list[Cell] = []
    mistakes: list[Mistake] = []
    sections = [*config.behaviors, config.default_behavior]
    patterns = [*(section.path_pattern for section in config.behaviors), "*"]
    for index, (pattern, section) in enumerate(zip(patterns, sections, strict=True)):
        is_default = index == len(config.behaviors)
        place: Place = ("default_behavior",) if is_default else ("behaviors", index)
        # What behaviours above take never comes here.
        taken = patterns[:index]
        rest: Cell | None = None
        for number, rule in enumerate(config.backfill.rules):
            covered = rule.path_pattern
            if not meet(covered, pattern) or any(within(covered, other) for other in taken):
                continue
            filling, wrong = _filling(config, section, rule, number)
            mistakes += [one for one in wrong if one not in mistakes]
            statuses = tuple(sorted(rule.on_status))
            if within(pattern, covered):
                rest = Cell(None if is_default else pattern, section, place, filling, statuses)
                break
            if not within(covered, pattern):
                seen = f'got "{covered}", which covers a part of "{pattern}" in {dotted(place)}'
                wanted = "one of the two within the other"
                mistakes.append(Mistake(f"backfill.rules[{number}].path_pattern", seen, wanted))
                continue
            taken.append(covered)
            found.append(Cell(covered, section, place, filling, statuses))
        found.append(rest or Cell(None if is_default else pattern, section, place, None))
    if len(found) > 76:
        mistakes.append(Mistake("behaviors", f"got {len(found) - 1} with those of the rules", "at most 75"))
    return found, [*mistakes, *_at_odds(config, found)]


def _filling(
    config: Config, section: BehaviorSection, rule: BackfillRule, number: int
) -> tuple[Filling | None, list[Mistake]]:
    """What the rule does there; None where the gateway would do nothing either."""
    group = config.origin_groups.get(section.target_origin)
    primary, secondary = group.members if group is not None else (section.target_origin, None)
    if not rule.enabled or not isinstance(config.origins[primary], S3Origin):
        return None, []
    if rule.mode == "queue" and (group is None or rule.on_status.isdisjoint(group.failover_on)):
        return None, []
    source = config.backfill.sources[rule.sources[0]] if rule.sources else None
    origin = source.origin if source is not None else secondary
    if origin is None:
        return None, []
    filling = Filling(Mode(rule.mode), primary, origin, source, rule.max_object)
    if not isinstance(config.origins[origin], HttpOrigin):
        place = ("backfill", "rules", number, "sources" if rule.sources else "mode")
        value = list(rule.sources) if rule.sources else rule.mode
        kind = config.origins[origin].type
        wanted = f"a source with an http origin, as functions ask no other ({origin} is {kind})"
        return filling, [mistake(place, value, wanted)]
    return filling, []


def _at_odds(config: Config, found: list[Cell]) -> Iterator[Mistake]:
    """One queue has one consumer, and one zip for the edge has one set of settings."""
    for mode, what in (
        (Mode.QUEUE, "the one queue has one consumer"),
        (Mode.GENERATE, "the function at the edge has its settings in its zip"),
    ):
        several = fillings(found, mode)
        if len(several) > 1:
            seen = f"got {len(several)} of mode {mode} that differ in bucket, source or max_object"
            yield Mistake("backfill.rules", seen, f"the same in all of them: {what}")


def fillings(there: list[Cell], mode: Mode) -> list[Filling]:
    """What is filled in this mode, each once, in order."""
    found: list[Filling] = []
    for cell in there:
        if cell.filling is not None and cell.filling.mode is mode and cell.filling not in found:
            found.append(cell.filling)
    return found
