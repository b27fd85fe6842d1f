"""What a run has come to."""

from dataclasses import dataclass

from edgeproxy.bulk.roll import Sum


@dataclass(frozen=True, slots=True)
class Summary:
    """`sums` are of the whole roll, the rest is of this run."""

    sums: tuple[Sum, ...]
    is_dry: bool
    stopped: str
    """What ended the run early, such as "SIGINT"; empty if it came to its end."""
    stored: int
    stored_bytes: int
    took_s: float
    bad_lines: int

    @property
    def objects(self) -> int:
        """All that was named, each once."""
        return sum(one.objects for one in self.sums)

    @property
    def left(self) -> int:
        """Objects that should be in the bucket and are not."""
        return sum(one.objects for one in self.sums if one.is_left)

    def fields(self) -> dict[str, object]:
        """Plain values, for JSON."""
        outcomes: dict[str, dict[str, object]] = {}
        for one in self.sums:
            name = f"{one.state}-{one.reason}" if one.reason else one.state
            outcomes[name] = {"objects": one.objects, "bytes": one.bytes if one.sized else None}
        return {
            "dry_run": self.is_dry,
            "stopped": self.stopped or None,
            "objects": self.objects,
            "left": self.left,
            "outcomes": outcomes,
            "this_run": {
                "stored": self.stored,
                "stored_bytes": self.stored_bytes,
                "took_s": round(self.took_s, 3),
                "bad_lines": self.bad_lines,
            },
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; `total` is None while the inputs are being read."""

    phase: str
    done: int
    total: int | None
    bytes: int
    failed: int
    elapsed_s: float
    """Of this phase."""
    begun_at: int
    """How many were done when it began."""

    @property
    def per_s(self) -> float:
        """Objects a second in this phase."""
        return (self.done - self.begun_at) / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def rest_s(self) -> float | None:
        """Seconds until the end, if it goes on so; None where that cannot be said."""
        if self.total is None or not self.per_s:
            return None
        return (self.total - self.done) / self.per_s
