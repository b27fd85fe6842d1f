"""`edgeproxy backfill`: see and steer the jobs that fill the bucket."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from edgeproxy.backfill.job import LIVE, State
from edgeproxy.bulk.summary import Progress
from edgeproxy.cli.common import CONFIG, fail, printable, steered
from edgeproxy.cli.drain import drain
from edgeproxy.cli.look import duration, size, watching
from edgeproxy.clock import SystemClock


@click.group(short_help="See and steer the jobs that fill the bucket; fill it in bulk.")
def backfill() -> None:
    """See and steer the jobs of the running gateway that fill the bucket; fill it in bulk."""


backfill.add_command(drain)


_LOOK_EVERY_S = 0.5

_FILTERS = (
    click.option(
        "--state",
        "states",
        multiple=True,
        type=click.Choice([state.value for state in State]),
        help="May be repeated.",
    ),
    click.option("--group", help="The origin group."),
    click.option("--prefix", help="What the key begins with."),
)


def _filtered(command: Any) -> Any:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def _filters(states: tuple[str, ...], group: str | None, prefix: str | None) -> dict[str, Any]:
    given = {"state": list(states), "group": group, "prefix": prefix}
    return {name: value for name, value in given.items() if value}


def _changed(path: Path, what: str, answer: str, numbers: tuple[int, ...], **filters: Any) -> int:
    """Have `what` done to the jobs that are meant; gives how many, which the gateway calls `answer`."""
    wanted = [{"number": number} for number in numbers] or [_filters(**filters)]
    if not any(wanted):
        fail(f"{what}: want NUMBERS, --state, --group or --prefix")
    everything = {"limit": 10**9}
    return sum(steered(path, f"/backfill/{what}", one | everything, {})[answer] for one in wanted)


@backfill.command(short_help="List jobs, the newest first.")
@CONFIG
@_filtered
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def ls(path: Path, as_json: bool, limit: int, **filters: Any) -> None:
    """List jobs, the newest first: number, state, attempts, bytes, duration, last change, object, reason.

    With backfill.queue: sqs these are the jobs that the gateway had itself: SQS lists none.
    """
    answer = steered(path, "/backfill", {**_filters(**filters), "limit": limit})
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if answer["paused"]:
        click.echo("paused: no job is begun until `edgeproxy backfill resume`", err=True)
    for job in answer["jobs"]:
        name = printable(f"{job['group']}:{job['key']}")
        told = f"{size(job['bytes']):>10}  {duration(job['took_s']):>9}  {job['changed_at'][:19]}Z"
        row = f"{job['number']:>7}  {job['state']:<7}  {job['attempts']:>2}  {told}"
        click.echo(f"{row}  {name}{'  ' + job['reason'] if job['reason'] else ''}")


@backfill.command()
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.argument("number", type=click.IntRange(1))
def show(path: Path, as_json: bool, number: int) -> None:
    """Print all that is known of the job NUMBER."""
    jobs = steered(path, "/backfill", {"number": number})["jobs"]
    if not jobs:
        fail(f"there is no job {number}", status=1)
    for job in jobs:
        if as_json:
            click.echo(json.dumps(job, indent=2))
        else:
            looks = {"bytes": size, "took_s": duration}
            told = {
                name: looks[name](value) if name in looks else value
                for name, value in job.items()
                if value not in (None, "")
            }
            click.echo("\n".join(f"{name:<10}  {printable(str(value))}" for name, value in told.items()))


@backfill.command(short_help="Queue jobs again, by number or filter.")
@CONFIG
@_filtered
@click.argument("numbers", nargs=-1, type=click.IntRange(1))
def retry(path: Path, numbers: tuple[int, ...], **filters: Any) -> None:
    """Queue jobs again: those with NUMBERS, or else all that the filters cover.

    Those that wait, are at work or are stored are left alone. `retry --state dead` takes up again all
    that were tried as often as they may be, such as after an outage of their source.
    """
    click.echo(f"queued again: {_changed(path, 'retry', 'queued', numbers, **filters)}")


@backfill.command(short_help="Let jobs be done no more, by number or filter.")
@CONFIG
@_filtered
@click.argument("numbers", nargs=-1, type=click.IntRange(1))
def cancel(path: Path, numbers: tuple[int, ...], **filters: Any) -> None:
    """Let jobs be done no more: those with NUMBERS, or else all that the filters cover.

    What is at work is given up soon, unless it ends before. `retry` queues them again. With backfill.queue:
    sqs those that the gateway has, or has put back: SQS lists none.
    """
    done = _changed(path, "cancel", "cancelled", numbers, **filters)
    click.echo(f"cancelled: {done}")


@backfill.command(short_help="Begin no more jobs; viewers' misses are still queued.")
@CONFIG
def pause(path: Path) -> None:
    """Begin no more jobs; those that are at work go on, and viewers' misses are still queued.

    With backfill.queue: sqs only this gateway does so: other gateways and workers go on.
    """
    steered(path, "/backfill/pause", {}, {})
    click.echo("paused")


@backfill.command(short_help="Begin jobs again.")
@CONFIG
def resume(path: Path) -> None:
    """Begin jobs again; with backfill.queue: sqs only this gateway."""
    steered(path, "/backfill/resume", {}, {})
    click.echo("resumed")


@backfill.command(short_help="Wait until no job waits or is at work.")
@CONFIG
def wait(path: Path) -> None:
    """Wait until no job waits or is at work, and show how far that is.

    Exit status: 0 none failed meanwhile, 1 some did.
    """
    clock = SystemClock()
    started, most, first = clock.elapsed(), 0, -1
    with watching() as watch:
        while True:
            jobs = steered(path, "/stats", {})["jobs"]
            live = sum(jobs[state] for state in LIVE)
            bad = jobs[State.FAILED] + jobs[State.DEAD]
            first = bad if first < 0 else first
            # More may come meanwhile.
            most = max(most, live)
            failed = max(0, bad - first)
            watch(Progress("waiting", most - live, most, 0, failed, clock.elapsed() - started, 0))
            if not live:
                break
            time.sleep(_LOOK_EVERY_S)
    click.echo(", ".join(f"{state.value}: {jobs[state]:,}" for state in State if state not in LIVE))
    sys.exit(1 if failed else 0)


_GROUP = click.option("--group", help="The origin group; all, where it is not given.")


@backfill.command(short_help="Replace the objects of PATHS that are new at the source.")
@CONFIG
@_GROUP
@click.argument("paths", nargs=-1, required=True)
def refresh(path: Path, group: str | None, paths: tuple[str, ...]) -> None:
    """See whether the sources of PATHS have something else by now, and if so replace the objects.

    Objects that somebody else has put into the bucket are left alone.
    """
    said = steered(path, "/backfill/refresh", {}, _objects(paths, group))["refresh"]
    click.echo(", ".join(f"{word}: {number}" for word, number in sorted(said.items())))


@backfill.command(short_help="Do not fill what was deleted on purpose, for a while.")
@CONFIG
@_GROUP
@click.option("--for", "lasting", default="1d", show_default=True, help="How long; 0s = fill them again.")
@click.argument("paths", nargs=-1, required=True)
def forget(path: Path, group: str | None, lasting: str, paths: tuple[str, ...]) -> None:
    """Do not fill the objects of PATHS, which were deleted on purpose, for a while."""
    asked = {**_objects(paths, group), "for": lasting}
    click.echo(f"tombstones: {steered(path, '/backfill/tombstones', {}, asked)['tombstones']}")


def _objects(paths: tuple[str, ...], group: str | None) -> dict[str, Any]:
    return {"paths": list(paths), **({"group": group} if group is not None else {})}
