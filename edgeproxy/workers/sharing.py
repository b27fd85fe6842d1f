"""What each of several workers gets of what the configuration allows to all of them together."""

from edgeproxy.config.backfill import BackfillSource
from edgeproxy.config.origins import Origin
from edgeproxy.config.pool import PoolOrigin
from edgeproxy.config.schema import Config


def share(config: Config) -> Config:
    """The configuration of one worker: its part of memory, of connections, of the backfill's work.

    At least one of everything that is counted and not 0, so that with more workers than connections
    there are more of those than was asked for.
    """
    workers = config.server.workers
    memory = config.cache.memory // workers

    def part(number: int) -> int:
        return max(1, number // workers) if number else 0

    return config.model_copy(
        update={
            "server": config.server.model_copy(
                update={"max_connections": part(config.server.max_connections)}
            ),
            "cache": config.cache.model_copy(
                update={"memory": memory, "max_object": min(config.cache.max_object, memory)}
            ),
            "origins": {
                name: origin.model_copy(update=_of_origin(origin, workers))
                for name, origin in config.origins.items()
            },
            "backfill": config.backfill.model_copy(
                update={
                    "concurrency": part(config.backfill.concurrency),
                    "make_concurrency": part(config.backfill.make_concurrency),
                    # A queue in a file is one for all.
                    "queue_size": config.backfill.queue_size
                    if config.backfill.queue == "sqlite"
                    else part(config.backfill.queue_size),
                    "sources": {
                        name: _part_of_source(source, workers)
                        for name, source in config.backfill.sources.items()
                    },
                }
            ),
        }
    )


def _of_origin(origin: Origin, workers: int) -> dict[str, int]:
    update = {"max_connections": max(1, origin.max_connections // workers)}
    return (
        update | {"held_bodies": origin.held_bodies // workers} if isinstance(origin, PoolOrigin) else update
    )


def _part_of_source(source: BackfillSource, workers: int) -> BackfillSource:
    rate, bandwidth = source.rate, source.bandwidth
    return source.model_copy(
        update={
            "rate": rate / workers if rate is not None else None,
            "bandwidth": max(1, bandwidth // workers) if bandwidth is not None else None,
        }
    )
