"""What a run is to do, and whether it can be done with this configuration."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from edgeproxy.assembly.origins import buckets_of
from edgeproxy.bulk.collecting import Files, Input
from edgeproxy.config.effective import effective
from edgeproxy.config.origins import S3Origin
from edgeproxy.config.schema import Config

_MEANT = (
    *("origins", "origin_groups", "behaviors", "default_behavior"),
    *("cache_policies", "origin_request_policies"),
)
"""The sections that decide which objects are meant, besides the rules."""


class OrderError(Exception):
    """What is asked for cannot be done; the message says what is wanted."""


@dataclass(frozen=True, slots=True)
class Order:
    """`named` is files, or the prefix of keys in a source that is a bucket; None for `group` is all."""

    named: Files | str
    group: str | None = None
    is_dry: bool = False
    enqueue: bool = False
    restart: bool = False
    fetches_per_s: float | None = None
    bytes_per_s: int | None = None
    report: Path | None = None

    def checked(self, config: Config) -> None:
        """Raises `OrderError`."""
        prefixes = prefixes_of(config)
        if not prefixes:
            raise OrderError("origins: no bucket is anybody's target or primary, want one that can be filled")
        groups = ", ".join(sorted(prefixes))
        if self.group is not None and self.group not in prefixes:
            raise OrderError(f'--group: got "{self.group}", want one of {groups}')
        if not config.backfill.rules:
            raise OrderError("backfill.rules: there are none, want one that covers what is to be copied")
        if self.enqueue and config.backfill.queue == "memory":
            raise OrderError(
                "--enqueue: the queue is in the memory of each process, want a state.folder, or queue: sqs"
            )
        if isinstance(self.named, str):
            if self.group is None and len(prefixes) > 1:
                raise OrderError(f"--prefix: there are several groups, want --group with one of {groups}")
            group = config.origin_groups.get(self.group or groups)
            if group is None:
                raise OrderError(f"--prefix: {groups} has no secondary to list, want --list or --from-log")
            name = group.members[1]
            if not isinstance(config.origins[name], S3Origin):
                raise OrderError(
                    f"--prefix: {name} is plain HTTP and cannot be listed, want --list or --from-log"
                )

    def digest(self, config: Config, inputs: Sequence[Input]) -> str:
        """The same for the same objects under the same rules: whoever asks again goes on with it."""
        told = yaml.safe_load(effective(config))
        meant = [told.get(name) for name in _MEANT] + [
            told["backfill"][name] for name in ("rules", "sources")
        ]
        files = [one.name for one in inputs]
        statuses = sorted(self.named.statuses) if isinstance(self.named, Files) else self.named
        text = json.dumps([files, statuses, self.group, self.enqueue, meant])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def prefixes_of(config: Config) -> dict[str, str]:
    """The bucket's origin path of each target that has one to be filled.

    A bucket alone has no secondary: it can be filled where rules name sources.
    """
    has_sources = any(rule.sources for rule in config.backfill.rules)
    return {
        name: section.origin_path
        for name, section in buckets_of(config).items()
        if has_sources or name in config.origin_groups
    }


def primary_of(config: Config, target: str) -> str:
    """The name of the bucket of `target`."""
    group = config.origin_groups.get(target)
    return target if group is None else group.members[0]
