"""Each worker gets its part."""

from edgeproxy.config import parse
from edgeproxy.workers.sharing import share

TEXT = """
server: {workers: 4, max_connections: 1000}
cache: {memory: 64MiB, max_object: 32MiB}
origins: {site: {type: http, url: "http://127.0.0.1:9", max_connections: 3}}
default_behavior: {target_origin: site}
backfill:
  concurrency: 8
  queue_size: 100
  sources: {slow: {origin: site, rate: 10, bandwidth: 1MiB}, fast: {origin: site}}
"""


def test_a_quarter_of_everything_and_one_at_least() -> None:
    whole = parse(TEXT, {})
    part = share(whole)
    assert (part.cache.memory, part.cache.max_object) == (16 * 2**20, 16 * 2**20)
    assert (part.server.max_connections, part.origins["site"].max_connections) == (250, 1)
    assert (part.backfill.concurrency, part.backfill.queue_size) == (2, 25)
    assert part.backfill.make_concurrency == 4
    slow, fast = part.backfill.sources["slow"], part.backfill.sources["fast"]
    assert (slow.rate, slow.bandwidth, fast.rate, fast.bandwidth) == (2.5, 2**18, None, None)
    assert whole == parse(TEXT, {})


def test_a_queue_in_a_file_is_one_for_all() -> None:
    part = share(parse(TEXT + "state: {folder: /x}\n", {}))
    assert (part.backfill.queue, part.backfill.queue_size) == ("sqlite", 100)


def test_none_of_what_nobody_is_to_have() -> None:
    part = share(parse(TEXT.replace("concurrency: 8", "concurrency: 0") + "state: {folder: /x}\n", {}))
    assert part.backfill.concurrency == 0


def test_the_rest_is_the_same_for_all() -> None:
    part, whole = share(parse(TEXT, {})), parse(TEXT, {})
    assert part.default_behavior == whole.default_behavior
    assert part.server.listen == whole.server.listen
    assert part.cache.disk == whole.cache.disk
