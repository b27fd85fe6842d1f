"""`edgeproxy worker`: a process that only works at jobs."""

import sys
from pathlib import Path
from typing import Any

import click

from edgeproxy.cli.common import CONFIG, fail, loaded
from edgeproxy.config import Config
from edgeproxy.config.units import Address, address


@click.command(short_help="Work at the jobs that gateways and others queue.")
@CONFIG
@click.option("--admin", metavar="ADDRESS", help="Have an admin port there, such as 127.0.0.1:8082.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    help="Jobs at work at once, instead of backfill.concurrency.",
)
def worker(path: Path, admin: str | None, concurrency: int | None) -> None:
    """Work at the jobs that gateways and others queue, until SIGTERM or SIGINT, then drain.

    Answers no viewers. Any number of such processes may share one queue.
    """
    config = loaded(path)
    listen = None
    if admin is not None:
        try:
            listen = address(admin)
        except ValueError as error:
            fail(f'--admin: got "{admin}", want {error}')
    config = _changed(config, listen, concurrency)
    mistake = _mistake(config, listen)
    if mistake is not None:
        fail(f"{path}: {mistake}")
    from edgeproxy.backfill.queue import QueueError
    from edgeproxy.filling import fill
    from edgeproxy.serve import logged, run
    from edgeproxy.server.sockets import ListenError

    def say(line: str) -> None:
        click.echo(line, err=True)

    observers, log = logged(config, say)
    try:
        status = run(fill(config, observers, say, has_admin=listen is not None))
    except ListenError as error:
        fail(f"--admin: {error}")
    except QueueError as error:
        fail(f"{path}: {error}")
    finally:
        log.flush()
    sys.exit(status)


def _changed(config: Config, listen: Address | None, concurrency: int | None) -> Config:
    changes: dict[str, Any] = {}
    if listen is not None:
        changes["admin"] = config.admin.model_copy(update={"listen": listen})
    if concurrency is not None:
        changes["backfill"] = config.backfill.model_copy(update={"concurrency": concurrency})
    return config.model_copy(update=changes)


def _mistake(config: Config, listen: Address | None) -> str | None:
    """What makes no sense for a process of this sort."""
    from edgeproxy.assembly.origins import buckets_of

    if config.backfill.queue == "memory":
        return "backfill.queue: got memory, in which no other process puts jobs, want sqlite or sqs"
    if config.backfill.concurrency == 0:
        return "backfill.concurrency: got 0, want 1 or more, or --concurrency"
    if not config.backfill.rules:
        return "backfill.rules: there are none, want those of the gateways, without which no job is done"
    if not buckets_of(config):
        return "origins: no bucket is anybody's target or primary, want one that can be filled"
    if listen is not None and not listen.is_loopback and config.admin.token is None:
        return f"admin.token: is missing while --admin is {listen}, want a token, or a loopback address"
    return None
