"""What happened to one request: the value behind the log line, the counters and the lab's console."""

from collections import Counter
from dataclasses import dataclass, field

from edgeproxy.core.answering import Report, XCache
from edgeproxy.core.failover import Attempt
from edgeproxy.core.reason import Reason


@dataclass(slots=True)
class Record:
    """Filled in as the request goes its way. Durations are seconds."""

    id: str
    method: str
    target: str
    viewer: str
    started_at: float
    """POSIX seconds."""
    started: float
    """The monotonic clock's seconds."""
    status: int = 0
    report: Report | None = None
    trail: tuple[Attempt, ...] = ()
    backfill: str = ""
    """"queued", or the Reason why not; empty where nobody asked."""
    compression: str = ""
    """The coding that was made here, or the Reason why none was; empty where nobody asked."""
    fault: str = ""
    """The cause of a failure, for the log alone."""
    sent_bytes: int = 0
    received_bytes: int | None = None
    """What the viewer sent after the head, where it was let through unread."""
    first_byte_s: float = 0.0
    duration_s: float = 0.0
    is_cut: bool = False
    """The answer could not be finished: the viewer left, or the origin cut the body."""
    reason: Reason | None = None

    @property
    def upstream(self) -> Attempt | None:
        """The node of a pool that gave the answer, if one did."""
        last = self.trail[-1] if self.trail else None
        return last if last is not None and last.node and last.reason is None else None

    def fields(self) -> dict[str, object]:
        """The record as plain values, for JSON."""
        report, upstream = self.report, self.upstream
        took_s = upstream.took_s if upstream is not None else None
        return {
            "time": round(self.started_at, 3),
            "id": self.id,
            "viewer": self.viewer,
            "method": self.method,
            "target": self.target,
            "status": self.status,
            "x_cache": str(report.x_cache) if report is not None else None,
            "forward": str(report.forward) if report is not None and report.forward is not None else None,
            "reason": str(self.reason) if self.reason is not None else None,
            "origins": [str(attempt) for attempt in self.trail],
            "upstream": upstream.node if upstream is not None else None,
            "upstream_ms": round(took_s * 1000, 3) if took_s is not None else None,
            "backfill": self.backfill or None,
            "compression": self.compression or None,
            "fault": self.fault or None,
            "bytes": self.sent_bytes,
            "received": self.received_bytes,
            "cut": self.is_cut,
            "first_byte_ms": round(self.first_byte_s * 1000, 3),
            "duration_ms": round(self.duration_s * 1000, 3),
        }


@dataclass(slots=True)
class Tally:
    """Counters over all records since the start."""

    requests: int = 0
    sent_bytes: int = 0
    cut: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    by_x_cache: Counter[str] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)
    by_origin: Counter[str] = field(default_factory=Counter)
    hits: Counter[int] = field(default_factory=Counter)
    """By status: those that `hit` counted, of which there is no more to tell."""
    hit_bytes: int = 0
    websockets: int = 0
    """Those that were granted."""
    open_websockets: int = 0
    """Those of them that have not ended."""

    def add(self, record: Record) -> None:
        """Count one request that has ended."""
        self.requests += 1
        self.sent_bytes += record.sent_bytes
        self.cut += record.is_cut
        self.by_status[record.status] += 1
        if record.report is not None:
            self.by_x_cache[record.report.x_cache] += 1
        if record.reason is not None:
            self.by_reason[record.reason] += 1
        for attempt in record.trail:
            self.by_origin[str(attempt)] += 1

    def hit(self, status: int, sent_bytes: int) -> None:
        """Count a whole answer from the cache."""
        self.hits[status] += 1
        self.hit_bytes += sent_bytes

    def fields(self) -> dict[str, object]:
        """The counters as plain values, for JSON."""
        hits = self.hits.total()
        return {
            "requests": self.requests + hits,
            "sent_bytes": self.sent_bytes + self.hit_bytes,
            "cut": self.cut,
            "by_status": {str(status): n for status, n in sorted((self.by_status + self.hits).items())},
            "by_x_cache": dict(sorted((self.by_x_cache + Counter({str(XCache.HIT): hits})).items())),
            "by_reason": dict(sorted(self.by_reason.items())),
            "by_origin": dict(sorted(self.by_origin.items())),
        }
