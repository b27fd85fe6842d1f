"""`edgeproxy backfill drain`: finish a migration."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from edgeproxy.backfill.job import State
from edgeproxy.bulk.logs import SERVED
from edgeproxy.bulk.summary import Summary
from edgeproxy.cli.common import CONFIG, fail, loaded, printable
from edgeproxy.cli.look import duration, size, watching
from edgeproxy.config.units import Size

_WORDS = {State.STORED: "stored", State.QUEUED: "queued", "open": "not tried"}


class _Bytes(click.ParamType[int]):
    name = "SIZE"

    def convert(self, value: Any, param: Any, context: Any) -> int:
        try:
            return Size().read(value) or self.fail(f'got "{value}", want more', param, context)
        except ValueError as error:
            self.fail(f'got "{value}", want {error}', param, context)


@click.command(short_help="Copy all that lists, access logs or a listing name.")
@CONFIG
@click.option(
    "--list",
    "lists",
    multiple=True,
    metavar="FILE",
    help='A path ("/a%20b.jpg") or key ("a b.jpg") a line; - is standard input. May be repeated.',
)
@click.option(
    "--from-log",
    "logs",
    multiple=True,
    metavar="FILE",
    help="An access log: edgeproxy's, common, combined, or CloudFront's standard log. May be repeated.",
)
@click.option(
    "--prefix", metavar="PREFIX", help='All that a source that is a bucket has below it; "" is all.'
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.IntRange(200, 599),
    help="Statuses of requests in logs that count.  [default: 200, 206, 304]",
)
@click.option("--strict", is_flag=True, help="End at the first line that names nothing.")
@click.option("--group", metavar="NAME", help="Only objects of this origin group.")
@click.option(
    "--dry-run", is_flag=True, help="Only say what would be copied; the sources are not asked for objects."
)
@click.option("--enqueue", is_flag=True, help="Only put the jobs into the queue, for gateways and workers.")
@click.option("--restart", is_flag=True, help="Forget what an earlier run of the same has got done.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="At most so many fetches a second.")
@click.option("--bandwidth", type=_Bytes(), help="At most so many bytes a second, such as 10MiB.")
@click.option(
    "--concurrency", type=click.IntRange(1, 256), help="Jobs at once, instead of backfill.concurrency."
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what is not in the bucket into this file, a JSON object a line.",
)
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON.")
def drain(path: Path, **given: Any) -> None:
    """Copy into the bucket all that lists, access logs or a listing name, and is not there yet.

    The rules of the configuration hold: what no rule covers is skipped. It needs no running gateway. A run
    that was stopped or killed goes on where it was when it is started again (with a state.folder; without,
    what is there already is found to be so). One that has come to its end tries what is left once more.

    Exit status: 0 nothing is left, 1 something is, 2 it could not be begun.
    """
    from edgeproxy.backfill.queue import QueueError
    from edgeproxy.bulk.collecting import Files
    from edgeproxy.bulk.order import Order, OrderError
    from edgeproxy.bulk.reading import InputError
    from edgeproxy.bulk.roll import RollError
    from edgeproxy.bulk.run import Audience
    from edgeproxy.bulk.run import drain as draining
    from edgeproxy.clock import SystemClock
    from edgeproxy.core.errors import EdgeError
    from edgeproxy.serve import run, until_signal

    lists, logs, prefix = given["lists"], given["logs"], given["prefix"]
    if bool(lists) + bool(logs) + (prefix is not None) != 1:
        fail("drain: want --list, --from-log or --prefix, and only one of them")
    named = prefix
    if prefix is None:
        statuses = frozenset(given["statuses"]) or SERVED
        named = Files(lists or logs, bool(logs), statuses, given["strict"])
    config = loaded(path)
    if given["concurrency"]:
        backfill = config.backfill.model_copy(update={"concurrency": given["concurrency"]})
        config = config.model_copy(update={"backfill": backfill})
    order = Order(
        named,
        group=given["group"],
        is_dry=given["dry_run"],
        enqueue=given["enqueue"],
        restart=given["restart"],
        fetches_per_s=given["rate"],
        bytes_per_s=given["bandwidth"],
        report=given["report"],
    )
    try:
        with watching() as watch:
            audience = Audience(lambda line: click.echo(printable(line), err=True), watch, until_signal)
            summary = run(draining(config, order, audience, SystemClock()))
    except OrderError as error:
        fail(f"{path}: {error}")
    except InputError as error:
        fail(printable(str(error)))
    except (RollError, QueueError, EdgeError) as error:
        fail(str(error), status=1)
    click.echo(json.dumps(summary.fields(), indent=2) if given["as_json"] else told_of(summary, order.report))
    sys.exit(1 if summary.left and not summary.is_dry else 0)


def told_of(summary: Summary, report: Path | None = None) -> str:
    """The summary for people; `report` is the file that says more."""
    rows = [_row(one.state, one.reason, one.objects, one.bytes, one.sized, summary) for one in summary.sums]
    width = max((len(words) for words, *_ in rows), default=0)
    lines = [f"{summary.objects:,} objects named"]
    if summary.bad_lines:
        lines[0] += f"; lines that name none: {summary.bad_lines:,}"
    lines += [f"  {words:<{width}}  {number:>11,}  {told}".rstrip() for words, number, told in rows]
    if summary.is_dry:
        return "\n".join(lines)
    pace = f" ({size(round(summary.stored_bytes / summary.took_s))}/s)" if summary.stored_bytes else ""
    done = f"{summary.stored:,}, {size(summary.stored_bytes)} in {duration(summary.took_s)}{pace}"
    lines.append(f"this run stored {done}")
    if summary.stopped:
        lines.append(f"stopped, {summary.left:,} left: the same command goes on from here")
    elif summary.left:
        where = f"{report} tells which" if report is not None else "--report FILE tells which"
        lines.append(f"left: {summary.left:,}; {where}, the same command tries them again")
    else:
        lines.append("nothing is left")
    return "\n".join(lines)


def _row(
    state: str, reason: str | None, objects: int, octets: int, sized: int, summary: Summary
) -> tuple[str, int, str]:
    if reason == "exists":
        words = "there already"
    elif state == "open" and summary.is_dry:
        words = "would be copied"
    else:
        words = _WORDS.get(state, "skipped" if state == "refused" else state)
        words += f": {reason}" if reason else ""
    told = ""
    if sized:
        told = size(octets) + (f" ({objects - sized:,} of unknown size)" if sized < objects else "")
    return words, objects, told
