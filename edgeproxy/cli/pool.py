"""`edgeproxy pool`: see the nodes of the pools, and take them out or put them back."""

import json
import time
from pathlib import Path
from typing import Any

import click

from edgeproxy.cli.common import CONFIG, printable, steered

_COLUMNS = (
    ("node", "name"),
    ("rank", "rank"),
    ("tier", "tier"),
    ("weight", "weight"),
    ("ewma", "ewma_ms"),
    ("p50", "p50_ms"),
    ("p99", "p99_ms"),
    ("ping", "ping_ms"),
    ("in flight", "in_flight"),
    ("requests", "requests"),
    ("failed", "failures"),
    ("health", "health"),
    ("duty", "duty"),
    ("why", "why"),
)


@click.group()
def pool() -> None:
    """See and steer the nodes of the running gateway's pools."""


@pool.command()
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--watch", is_flag=True, help="Again and again, until interrupted.")
@click.option(
    "--every", default=1.0, show_default=True, type=click.FloatRange(0.1), help="With --watch, seconds."
)
def ls(path: Path, as_json: bool, watch: bool, every: float) -> None:
    """List pools with their nodes. Durations are milliseconds, until the first byte."""
    while True:
        answer = steered(path, "/pools", {})
        if watch and not as_json:
            click.clear()
        click.echo(json.dumps(answer, indent=None if watch else 2) if as_json else table(answer["pools"]))
        if not watch:
            return
        time.sleep(every)


def table(pools: list[dict[str, Any]]) -> str:
    """The pools for people."""
    blocks = []
    for one in pools:
        rows = [[title for title, _ in _COLUMNS]]
        rows += [[_cell(node[field]) for _, field in _COLUMNS] for node in one["nodes"]]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        blocks.append("\n".join([f"{one['name']} ({one['algorithm']})", *lines]))
    return "\n\n".join(blocks) or "there are no pools"


def _cell(value: object) -> str:
    return "-" if value is None else printable(f"{value:g}" if isinstance(value, float) else str(value))


def _steering(name: str, about: str) -> None:
    @pool.command(name, help=about)
    @CONFIG
    @click.option("--pool", "of", help="The pool; where not given, the only one that there is.")
    @click.argument("node")
    def command(path: Path, of: str | None, node: str) -> None:
        answer = steered(path, f"/pools/{name}", {"node": node, **({"pool": of} if of else {})}, {})
        click.echo(_told(answer["node"]))


def _told(node: dict[str, Any]) -> str:
    """One line about a node."""
    parts = [f"{node['name']}: {node['duty']}, {node['health']}"]
    if node["ping_ms"] is not None:
        parts.append(f"last ping {node['ping_ms']:g} ms")
    if node["ping_failure"]:
        parts.append(f"last ping failed ({node['ping_failure']})")
    if node["in_flight"]:
        parts.append(f"{node['in_flight']} in flight")
    if node["why"]:
        parts.append(f"not asked ({node['why']})")
    return printable(", ".join(parts))


_steering("cordon", "Send nothing at all to NODE any more; what is under way ends.")
_steering("drain", "Send no new requests to NODE; it is still checked.")
_steering("uncordon", "Let NODE be asked again, after cordon or drain.")
_steering("ping", "Ask NODE now whether it is well.")
