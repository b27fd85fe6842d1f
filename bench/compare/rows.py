"""What is measured: each row is a value."""

from dataclasses import dataclass, field
from statistics import median

EDGEPROXY, LOGGING, TWO, NGINX, NGINX_TWO, VARNISH = (
    "edgeproxy",
    "edgeproxy, log on",
    "edgeproxy, 2 workers",
    "nginx",
    "nginx, 2 workers",
    "Varnish",
)
AIOBOTOCORE = "aiobotocore"
CACHES = (NGINX, VARNISH, EDGEPROXY)

# As many browsers as there are people: each request has a User-Agent and a cookie of its own.
VARIED = """
local number = 0
request = function()
  number = number + 1
  wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/" .. number
  wrk.headers["Cookie"] = "session=" .. number
  wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
  wrk.headers["Accept-Language"] = "en-US,en;q=0.5"
  return wrk.format("GET", wrk.path)
end
"""


@dataclass(frozen=True, slots=True)
class Row:
    """So many requests a second as can be had of each of `servers`."""

    name: str
    path: str
    servers: tuple[str, ...]
    fields: tuple[str, ...] = ()
    script: str = ""
    status: int = 200
    """What every answer has to be: asked for once before the load."""


ROWS = (
    Row("hit, 1 KiB", "/hit/1024", (NGINX, VARNISH, EDGEPROXY, LOGGING)),
    Row("hit, 10 KiB", "/hit/10240", CACHES),
    Row("hit, 1 MiB", "/hit/1048576", CACHES),
    Row("hit, 1 KiB, another head each time", "/hit/1024", (*CACHES, LOGGING), script=VARIED),
    Row("not modified (304)", "/hit/1024", CACHES, ('If-None-Match: "bench"',), status=304),
    Row("range, 1 KiB of 1 MiB", "/hit/1048576", CACHES, ("Range: bytes=4096-5119",), status=206),
    Row("hit, 1 KiB, two processes", "/hit/1024", (NGINX_TWO, TWO)),
    Row("miss to HTTP, 1 KiB", "/miss/1024", CACHES),
    Row("miss to S3, 1 KiB", "/s3/miss/1024", (NGINX, AIOBOTOCORE, EDGEPROXY)),
    Row("failover miss, 1 KiB", "/failover/miss/1024", (NGINX, EDGEPROXY)),
)


@dataclass(slots=True)
class Figures:
    """What came out of one row, by server: one number a round."""

    name: str
    unit: str
    is_more_better: bool = True
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, server: str, value: float) -> None:
        """One more round."""
        self.rounds.setdefault(server, []).append(value)

    def medians(self) -> dict[str, float]:
        """By server."""
        return {server: median(values) for server, values in self.rounds.items()}

    def ratio(self, server: str, other: str) -> float | None:
        """How much better `server` is than `other`: above 1 is better, whatever the unit."""
        medians = self.medians()
        one, two = medians.get(server), medians.get(other)
        if not one or not two:
            return None
        return one / two if self.is_more_better else two / one


def table(figures: list[Figures]) -> str:
    """Markdown: medians and, beside edgeproxy's, how many times better that is than the other."""
    lines = ["| Row | Unit | Server | Median | edgeproxy is better by |", "|---|---|---|---:|---:|"]
    for one in figures:
        for server, value in one.medians().items():
            ratio = None if server == EDGEPROXY else one.ratio(_ours(one), server)
            shown = f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
            better = f"{ratio:.2f}" if ratio is not None and not server.startswith(EDGEPROXY) else ""
            lines.append(f"| {one.name} | {one.unit} | {server} | {shown} | {better} |")
    return "\n".join(lines)


def _ours(figures: Figures) -> str:
    return EDGEPROXY if EDGEPROXY in figures.rounds else TWO
