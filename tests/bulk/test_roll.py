"""The roll: each object once, whatever names it; what a run leaves behind for the next."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgeproxy.backfill.job import Ending, State
from edgeproxy.bulk.collecting import Collector, Files, inputs_of
from edgeproxy.bulk.judging import Item, Judge
from edgeproxy.bulk.roll import Roll, Sum
from edgeproxy.cli.main import main
from edgeproxy.config import parse
from edgeproxy.core.reason import Reason

TEXT = """
origins:
  bucket: {type: s3, bucket: assets, endpoint: 'http://127.0.0.1:1', credentials: anonymous}
  site: {type: http, url: 'http://127.0.0.1:1'}
origin_groups: {media: {members: [bucket, site], failover_on: [404]}}
cache_policies: {keyed: {min_ttl: 0, query: all}}
behaviors: [{path_pattern: /keyed/*, target_origin: media, cache_policy: keyed}]
default_behavior: {target_origin: media}
backfill: {rules: [{}]}
"""
CONFIG = parse(TEXT, {})
DONE = Ending(State.STORED, size=7)


@pytest.fixture
def roll(tmp_path: Path) -> Iterator[Roll]:
    roll = Roll(tmp_path / "roll.sqlite")
    roll.open(False)
    yield roll
    roll.close()


def judge(only: str | None = None) -> Judge:
    return Judge(
        CONFIG.behavior_values(),
        tuple(rule.value() for rule in CONFIG.backfill.rules),
        {"media": ""},
        only=only,
    )


def item(path: str, reason: Reason | None = None) -> tuple[Item, int | None]:
    return Item("media", path[1:].encode(), path, reason), None


def states(roll: Roll) -> dict[str, int]:
    return {one.state: one.objects for one in roll.sums()}


def test_what_is_wanted_under_one_name_is_wanted(roll: Roll) -> None:
    roll.add(
        [item("/a", Reason.QUERY_IN_KEY), item("/a"), item("/a", Reason.VARIES), item("/b", Reason.VARIES)]
    )
    assert [row.path for row in roll.open_items(0, 10)] == ["/a"]
    assert states(roll) == {"open": 1, "refused": 1}


def test_a_run_that_ended_early_is_gone_on_with_and_one_that_did_not_tries_again(roll: Roll) -> None:
    roll.begin()
    roll.add([item(path) for path in ("/a", "/b", "/c", "/d")], ("listing:media:", "all"))
    ends = (DONE, Ending(State.SKIPPED, Reason.EXISTS), Ending(State.DEAD, Reason.SOURCE_STATUS, "500"))
    roll.end([(row.id, end) for row, end in zip(roll.open_items(0, 3), ends, strict=True)])
    assert [row["path"] for row in roll.absent()] == ["/c", "/d"]
    assert roll.begin() == 3
    assert [row.path for row in roll.open_items(0, 10)] == ["/d"]
    assert roll.mark("listing:media:") == "all"
    roll.finish()
    assert roll.begin() == 2
    assert [row.path for row in roll.open_items(0, 10)] == ["/c", "/d"]
    # What the source has may be more by now.
    assert roll.mark("listing:media:") == ""


@pytest.mark.parametrize(
    ("state", "reason", "is_left"),
    [
        ("open", None, True),
        ("stored", None, False),
        ("queued", None, False),
        ("skipped", Reason.EXISTS, False),
        ("skipped", Reason.SOURCE_STATUS, False),
        ("skipped", Reason.TOO_LARGE, True),
        ("skipped", Reason.TYPE_NOT_COPIED, False),
        ("refused", Reason.NO_RULE, False),
        ("refused", Reason.QUERY_IN_KEY, True),
        ("failed", Reason.SOURCE_STATUS, True),
        ("dead", Reason.ORIGIN_TIMEOUT, True),
    ],
)
def test_what_is_left(state: str, reason: Reason | None, is_left: bool) -> None:
    assert Sum(state, reason, 1, 0, 0).is_left is is_left


def collected(roll: Roll, *names: str, are_logs: bool = False) -> Collector:
    said: list[str] = []
    collector = Collector(roll, judge(), said.append, lambda: False)
    files = Files(names, are_logs)
    collector.read(files, inputs_of(files, roll.path.parent, lambda: False))
    return collector


def test_keys_and_paths_of_one_object_are_one(roll: Roll, tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("/a%20b\na b\n/a b?x=1\n/%61%20b\n/keyed/a?x=1\n")
    assert collected(roll, str(path)).lines == 5
    assert [row.path for row in roll.open_items(0, 10)] == ["/a%20b"]
    assert states(roll) == {"open": 1, "refused": 1}


def test_a_file_is_read_again_when_it_has_changed(roll: Roll, tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("/a\n/%zz\n")
    first, again = collected(roll, str(path)), collected(roll, str(path))
    assert [(one.lines, one.bad) for one in (first, again)] == [(2, 1), (0, 1)]
    path.write_text("/a\n/%zz\n/b\n")
    assert collected(roll, str(path)).lines == 3
    assert states(roll) == {"open": 2}


def test_two_hundred_thousand_lines_take_little_memory(roll: Roll, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with path.open("w") as file:
        for number in range(200_000):
            row = (
                f'192.0.2.7 - - [21/Nov/2026:10:00:00 +0000] "GET /img/{number % 10_000}.jpg HTTP/1.1" 200 9'
            )
            file.write(f"{row}\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    collector = collected(roll, str(path), are_logs=True)
    assert (collector.lines, collector.bad, states(roll)) == (200_000, 0, {"open": 10_000})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "drain: want --list, --from-log or --prefix, and only one of them"),
        (("--list", "a", "--prefix", ""), "drain: want --list, --from-log or --prefix, and only one of them"),
        (
            ("--prefix", "img/"),
            "--prefix: site is plain HTTP and cannot be listed, want --list or --from-log",
        ),
        (("--list", "a", "--group", "site"), '--group: got "site", want one of media'),
        (("--list", "a", "--enqueue"), "--enqueue: the queue is in the memory of each process, want a"),
        (("--list", "a\x1b"), "a\\x1b: no such file or directory"),
        (("--list", "a", "--bandwidth", "0"), 'got "0", want more'),
        (("--list", "a", "--bandwidth", "5"), 'got "5", want a size with its unit such as'),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(TEXT)
    answer = CliRunner().invoke(main, ["backfill", "drain", "-c", str(path), *words])
    assert (answer.exit_code, message in answer.output) == (2, True), answer.output
