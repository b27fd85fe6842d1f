"""`edgeproxy canary`: check the nodes of the pools, for those who serve."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from edgeproxy.cli.common import CONFIG, fail, loaded, printable
from edgeproxy.config import Config
from edgeproxy.core.balancing.findings import Finding
from edgeproxy.core.balancing.health import Verdict


@click.command(short_help="Check the nodes of all pools, for all who serve.")
@CONFIG
@click.option("--once", is_flag=True, help="Check every node once, and print what was found.")
@click.option("--json", "as_json", is_flag=True, help="With --once, as JSON.")
def canary(path: Path, once: bool, as_json: bool) -> None:
    """Check the nodes of all pools that have checks, and tell those who share `health.board`.

    Gateways that find a check of the last interval there do not ask the node themselves. Runs until SIGTERM
    or SIGINT. With --once the exit status is 1 if a node is down, or the board did not take what was found.
    """
    config = loaded(path)
    if not _is_checked(config):
        fail(f"{path}: origins: there is no pool with checks")
    if config.health.board == "memory" and not once:
        fail(f"{path}: health.board: got memory, want one that others can read: sqlite, redis or dynamodb")
    from edgeproxy.health.board import BoardError

    try:
        sys.exit(_once(config, as_json) if once else _running(config))
    except BoardError as error:
        fail(f"{path}: health: {error}", status=1)


def _is_checked(config: Config) -> bool:
    from edgeproxy.config.renewing import pools_of

    return any(pool.checks is not None for pool in pools_of(config).values())


def _once(config: Config, as_json: bool) -> int:
    from edgeproxy.assembly.health import check_once
    from edgeproxy.serve import run

    faults: list[str] = []
    checked = run(check_once(config, faults.append))
    found = checked.found
    for line in faults:
        click.echo(printable(line), err=True)
    click.echo(json.dumps([asdict(one) for one in found.values()], indent=2) if as_json else table(found))
    is_well = all(one.health.verdict is Verdict.UP for one in found.values())
    return 0 if is_well and checked.is_shared else 1


def _running(config: Config) -> int:
    from edgeproxy.assembly.health import canary_alone
    from edgeproxy.serve import run, until_signal

    def say(line: str) -> None:
        click.echo(printable(line), err=True)

    async def work() -> str:
        async with canary_alone(config, say) as alone:
            alone.start()
            say(f"edgeproxy checks nodes, and tells those who share the board ({config.health.board})")
            return await until_signal()

    say(f"{run(work())}: done")
    return 0


def table(found: Mapping[str, Finding]) -> str:
    """What was found, for people. Durations are milliseconds."""
    rows = [["node", "health", "ping", "head", "why"]]
    for one in found.values():
        took = f"{one.took_s * 1000:.4g}" if one.took_s is not None else "-"
        head = str(one.head) if one.head is not None else "-"
        rows.append([one.node, one.health.verdict.value, took, head, one.why or "-"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(printable("  ".join(map(str.ljust, row, widths)).rstrip()) for row in rows)
