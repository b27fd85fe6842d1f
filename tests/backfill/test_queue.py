"""The contract of every queue: no job twice at a time, none lost, never more than it may hold."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from edgeproxy.backfill import sqlite
from edgeproxy.backfill.job import Ending, Lease, Lost, State, Wanted
from edgeproxy.backfill.ledger import Ledger, Settling
from edgeproxy.backfill.memory import MemoryQueue
from edgeproxy.backfill.queue import QueueError, Terms
from edgeproxy.backfill.rows import Moment
from edgeproxy.backfill.sqlite import SqliteQueue
from edgeproxy.core.reason import Reason
from tests.backfill.conftest import AGAIN, MISSING, STORED, TERMS, Hand, Made, Make, job


@pytest.fixture
async def opened(tmp_path: Path, clock: Hand) -> AsyncIterator[Make]:
    """Opens queues on one file, as several processes do."""
    async with AsyncExitStack() as stack:

        async def make(
            terms: Terms = TERMS, groups: frozenset[str] = frozenset({"media"}), its_clock: Hand = clock
        ) -> Made:
            refused: list[Reason] = []
            faults: list[str] = []
            path = tmp_path / "state" / "backfill.sqlite"
            queue = SqliteQueue(
                path, terms, its_clock, groups, on_fault=faults.append, on_refused=refused.append
            )
            await queue.open()
            stack.push_async_callback(queue.close)
            return Made(queue, refused, faults)

        yield make


@pytest.fixture(params=["memory", "sqlite", "sqs"])
def make(request: pytest.FixtureRequest, opened: Make, clock: Hand) -> Make:
    if request.param == "sqlite":
        return opened
    if request.param == "sqs":
        made: Make = request.getfixturevalue("remote")
        return made

    async def in_memory(terms: Terms = TERMS) -> Made:
        return Made(MemoryQueue(terms, clock))

    return in_memory


async def test_what_is_offered_is_leased_once_and_as_it_was(make: Make) -> None:
    made = await make()
    assert await made.put(job("a"), job("b")) == [None, None]
    assert (await made.taken()).job == replace(job("a"), attempt=1)
    assert (await made.taken()).job.key == b"b"
    assert await made.leased() is None
    assert await made.counts() == {"leased": 2}


async def test_all_who_ask_at_once_get_another_job(make: Make) -> None:
    made = await make()
    if not made.knows_all:
        pytest.skip("what lies in SQS is asked for by one who waits")
    await made.put(*(job(name) for name in "abc"))
    leases = await asyncio.gather(*(made.queue.lease() for _ in range(5)))
    assert [lease.job.key for lease in leases if isinstance(lease, Lease)] == [b"a", b"b", b"c"]
    held = [lease for lease in leases if isinstance(lease, Lease)]
    await made.queue.release(held[2])
    stored = Ending(State.STORED, size=1)
    settled = (made.queue.settle(lease, stored, 0.1) for lease in held)
    *told, again = await asyncio.gather(*settled, made.queue.lease())
    assert told == [True, True, False]
    assert isinstance(again, Lease)
    assert again.job == replace(job("c"), attempt=1)
    assert await made.counts() == {"leased": 1, "stored": 2}


async def test_one_live_job_a_key(make: Make) -> None:
    made = await make()
    assert await made.put(job("a"), job("a")) == [None, Reason.QUEUED_ALREADY]
    lease = await made.taken()
    assert await made.put(job("a")) == [Reason.QUEUED_ALREADY]
    assert await made.queue.settle(lease, STORED, 0.5)
    assert await made.put(job("a")) == [None]
    assert await made.counts() == {"queued": 1, "stored": 1}


async def test_the_same_key_of_another_group_is_another_job(make: Make) -> None:
    made = await make()
    assert await made.put(job("a"), job("a", "other")) == [None, None]


async def test_it_holds_no_more_than_it_may(make: Make) -> None:
    made = await make()
    if not made.knows_all:
        pytest.skip("what was sent is no burden to this process")
    assert await made.put(*map(job, "abcd")) == [None, None, None, Reason.QUEUE_FULL]
    lease = await made.taken()
    assert await made.put(job("d")) == [Reason.QUEUE_FULL]
    await made.queue.settle(lease, STORED, 0)
    assert await made.put(job("d")) == [None]


async def test_many_at_once_are_bounded_too(make: Make) -> None:
    made = await make()
    said = [made.queue.offer(job(name)) for name in "abcd"]
    assert said == [None, None, None, Reason.QUEUE_FULL]
    await made.queue.written()
    assert await made.counts() == {"queued": 3}


async def test_a_lease_that_runs_out_is_another_ones(make: Make, clock: Hand) -> None:
    made = await make()
    await made.put(job("a"))
    first = await made.taken()
    clock.time += 29
    assert await made.leased() is None
    clock.time += 1
    second = await made.taken()
    assert (second.number, second.job.attempt) == (first.number, 2)
    assert await made.queue.extend([first, second]) == [first]
    assert not await made.queue.settle(first, STORED, 1)
    await made.queue.release(first)
    assert await made.counts() == {"leased": 1}
    assert await made.queue.settle(second, STORED, 1)
    assert await made.counts() == {"stored": 1}


async def test_what_is_given_back_for_a_while_has_lost_nothing(make: Make, clock: Hand) -> None:
    made = await make()
    await made.put(job("a"))
    lease = await made.taken()
    await made.queue.release(lease, 20, Reason.SOURCE_DOWN)
    (entry,) = await made.queue.entries(Wanted())
    assert (entry.state, entry.reason, entry.job.attempt) == (State.QUEUED, Reason.SOURCE_DOWN, 0)
    clock.time += 19
    assert await made.leased() is None
    clock.time += 1
    again = await made.taken()
    assert again.job.attempt == 1
    await made.queue.release(again)
    (entry,) = await made.queue.entries(Wanted())
    assert (entry.state, entry.job.attempt) == (State.QUEUED, 0)
    assert (await made.taken()).job.key == b"a"


async def test_a_lease_that_is_extended_holds(make: Make, clock: Hand) -> None:
    made = await make()
    await made.put(job("a"))
    lease = await made.taken()
    for _ in range(3):
        clock.time += 20
        assert await made.queue.extend([lease]) == []
        assert await made.leased() is None
    assert await made.queue.settle(lease, STORED, 60)


async def test_a_job_that_its_workers_do_not_survive_is_dead(make: Make, clock: Hand) -> None:
    made = await make()
    await made.put(job("a"), job("b"))
    for _ in range(2):
        assert (await made.taken()).job.key == b"a"
        assert (await made.taken()).job.key == b"b"
        clock.time += 30
    assert await made.queue.take(job("a")) is Reason.RETRY_LATER, "it killed whoever was at it"
    for name in "ab":
        assert await made.leased() == Lost(replace(job(name), attempt=2))
    assert await made.leased() is None
    assert await made.counts() == {"dead": 2}


async def test_what_is_wanted_now_is_taken_whether_it_waits_or_is_new(make: Make) -> None:
    made = await make()
    await made.put(job("a"), job("b"))
    assert not await made.queue.is_held(job("b"))
    b, c = await made.took(replace(job("b"), query="v=2")), await made.took(job("c"))
    assert (b.job.attempt, b.job.query, c.job.attempt) == (1, "v=2", 1)
    assert await made.queue.is_held(job("b"))
    assert await made.queue.take(job("b")) is Reason.QUEUED_ALREADY
    assert (await made.taken()).job.key == b"a"
    assert await made.leased() is None
    assert await made.queue.settle(b, STORED, 1)
    assert await made.queue.settle(c, STORED, 1)
    assert not await made.queue.is_held(job("b"))
    assert await made.counts() == {"leased": 1, "stored": 2}


async def test_what_was_taken_by_one_who_died_is_another_ones(make: Make, clock: Hand) -> None:
    made = await make()
    first = await made.took(job("a"))
    clock.time += 29
    assert await made.queue.extend([first]) == []
    clock.time += 29
    assert await made.queue.take(job("a")) is Reason.QUEUED_ALREADY
    clock.time += 1
    assert not await made.queue.is_held(job("a"))
    second = await made.took(job("a"))
    assert (second.number, second.job.attempt) == (first.number, 2)
    assert not await made.queue.settle(first, STORED, 1)
    assert await made.queue.settle(second, STORED, 1)


async def test_what_is_not_taken(make: Make, clock: Hand) -> None:
    made = await make()
    await made.queue.settle(await made.took(job("missing")), MISSING, 0)
    assert await made.queue.take(job("missing")) is Reason.SOURCE_STATUS
    assert await made.queue.settle(await made.took(job("a")), AGAIN, 1, 10)
    assert await made.queue.take(job("a")) is Reason.RETRY_LATER
    clock.time += 10
    await made.took(job("a"))
    await made.put(job("b"), job("c"))
    if made.knows_all:
        assert await made.queue.take(job("d")) is Reason.QUEUE_FULL
    await made.queue.pause(True)
    assert await made.queue.take(job("b")) is Reason.PAUSED
    # In SQS the one that was to be tried again waits as a message, too.
    queued = 2 if made.knows_all else 3
    assert await made.counts() == {"queued": queued, "leased": 1, "skipped": 1}


async def test_what_is_cancelled_is_done_no_more(make: Make, clock: Hand) -> None:
    made = await make(replace(TERMS, capacity=9, history=9))
    if not made.knows_all:
        pytest.skip("what lies in SQS is on nobody's list; test_sqs.py has what can be cancelled")
    names = ("stored", "extended", "retried", "released", "lost", "waits", "delayed")
    leases = {name: await made.took(job(name)) for name in names[:5]}
    await made.put(job("waits"))
    assert await made.queue.settle(await made.took(job("delayed")), AGAIN, 1, 10)
    await made.took(job("kept"))
    assert await made.queue.cancel(Wanted(prefix=b"none")) == 0
    done = [await made.queue.cancel(Wanted(prefix=name.encode(), group="media")) for name in names]
    assert done == [1] * 7
    assert await made.queue.cancel(Wanted(prefix=b"lost")) == 0, "it is already"
    assert await made.counts() == {"leased": 6, "skipped": 2}
    assert await made.queue.settle(leases["stored"], STORED, 1), "that cannot be undone"
    assert await made.queue.extend([leases["extended"]]) == [leases["extended"]]
    assert await made.queue.settle(leases["retried"], AGAIN, 1, 10)
    await made.queue.release(leases["released"])
    assert await made.leased() is None
    assert await made.queue.take(job("lost")) is Reason.QUEUED_ALREADY
    clock.time += 30
    assert await made.queue.take(job("lost")) is Reason.RETRY_LATER
    assert (await made.taken()).job.key == b"kept"
    assert await made.counts() == {"leased": 1, "stored": 1, "skipped": 6}
    ended = await made.queue.entries(Wanted(frozenset({State.SKIPPED})))
    assert {entry.reason for entry in ended} == {Reason.CANCELLED}
    assert await made.queue.retry(Wanted(prefix=b"waits")) == 1
    again = await made.taken()
    assert await made.queue.extend([again]) == [], "what is wanted again is not cancelled any more"


@pytest.mark.parametrize("kept_in", ["memory", "sqs"])
async def test_the_jobs_of_several_workers_have_each_a_number_of_its_own(
    kept_in: str, clock: Hand, remote: Make
) -> None:
    if kept_in == "sqs":
        made = [await remote(first=number, step=2) for number in (1, 2)]
    else:
        made = [Made(MemoryQueue(TERMS, clock, first=number, step=2)) for number in (1, 2)]
    numbers = [[(await one.took(job(name))).number for name in "ab"] for one in made]
    assert numbers == [[1, 3], [2, 4]]


async def test_what_is_to_be_tried_again_waits(make: Make, clock: Hand) -> None:
    made = await make()
    await made.put(job("a"))
    assert await made.queue.settle(await made.taken(), AGAIN, 1, 10)
    await made.put(job("b"))
    assert (await made.taken()).job.key == b"b"
    clock.time += 9.9
    assert await made.leased() is None
    clock.time += 0.1
    again = await made.taken()
    assert (again.job.key, again.job.attempt) == (b"a", 2)


async def test_an_attempt_that_is_given_back_does_not_count(make: Make) -> None:
    made = await make()
    await made.put(job("a"))
    for _ in range(3):
        lease = await made.taken()
        assert lease.job.attempt == 1
        await made.queue.release(lease)
    assert await made.counts() == {"queued": 1}


async def test_what_its_source_has_not_is_left_alone_for_a_while(make: Make, clock: Hand) -> None:
    made = await make()
    await made.put(job("a"))
    await made.queue.settle(await made.taken(), MISSING, 0)
    clock.time += 59
    assert await made.put(job("a"), job("b")) == [Reason.SOURCE_STATUS, None]
    clock.time += 2
    assert await made.put(job("a")) == [None]


async def test_ended_jobs_are_remembered_but_not_all(make: Make) -> None:
    made = await make()
    for name in "abcde":
        await made.put(job(name))
        await made.queue.settle(await made.taken(), Ending(State.DEAD, Reason.ORIGIN_CUT), 0)
    assert await made.counts() == {"dead": 2}


async def test_jobs_are_listed_and_those_that_ended_badly_tried_again(make: Make, clock: Hand) -> None:
    made = await make(replace(TERMS, history=10))
    endings = {
        "a": STORED,
        "b": Ending(State.DEAD, Reason.ORIGIN_CUT, "cut"),
        "ba": MISSING,
        "c": Ending(State.FAILED, Reason.WRITE_FAILED, "denied"),
        "d": Ending(State.DEAD, Reason.ORIGIN_CUT),
    }
    for name, ending in endings.items():
        await made.put(job(name, "media"))
        await made.queue.settle(await made.taken(), ending, 1.5)
    await made.put(job("d"))
    if not made.knows_all:
        await made.taken()

    async def listed(wanted: Wanted) -> list[str]:
        return [entry.job.key.decode() for entry in await made.queue.entries(wanted)]

    assert await listed(Wanted()) == ["d", "d", "c", "ba", "b", "a"]
    assert await listed(Wanted(limit=2)) == ["d", "d"]
    assert await listed(Wanted(prefix=b"b", group="media")) == ["ba", "b"]
    assert await listed(Wanted(group="other")) == []
    assert await listed(Wanted(frozenset({State.DEAD}))) == ["d", "b"]
    (b,) = await made.queue.entries(Wanted(number=2))
    assert (b.job.key, b.job.attempt, b.reason, b.message, b.size, b.took_s) == (
        *(b"b", 1, Reason.ORIGIN_CUT, "cut"),
        *(None, 1.5),
    )
    assert b.fields()["state"] == "dead"
    assert await made.queue.retry(Wanted(number=1)) == 0, "it is stored"
    assert await made.queue.retry(Wanted(frozenset({State.DEAD}))) == 1, "the other one is queued already"
    assert await made.queue.retry(Wanted(prefix=b"ba")) == 1, "though its source had it not"
    if not made.knows_all:
        return
    assert await made.queue.retry(Wanted()) == 0, "there is no room"
    assert await made.counts() == {"queued": 3, "stored": 1, "failed": 1, "dead": 1}
    assert {((lease := await made.taken()).job.key, lease.job.attempt) for _ in range(3)} == {
        *((b"b", 1), (b"ba", 1), (b"d", 1)),
    }


async def test_many_are_tried_again_a_few_at_a_time(
    opened: Make, monkeypatch: pytest.MonkeyPatch, clock: Hand
) -> None:
    """Others wait for the end of each transaction; what fails again meanwhile is not tried twice."""
    monkeypatch.setattr(sqlite, "_AT_ONCE", 2)
    made = await opened(replace(TERMS, capacity=7, history=10))
    for name in "abcdea":
        await made.put(job(name))
        await made.queue.settle(await made.taken(), Ending(State.DEAD, Reason.ORIGIN_CUT), 1.0)
    batches: list[int] = []
    retry = Ledger.retry

    def counted(self: Ledger, wanted: Wanted, at: Moment, below: int) -> tuple[int, int]:
        done, rest = retry(self, wanted, at, below)
        batches.append(done)
        (lease,) = self.turn([], 1, frozenset({"media"}), at).leased
        assert isinstance(lease, Lease)
        self.turn([Settling(lease, Ending(State.DEAD, Reason.ORIGIN_CUT), 1.0, 0.0)], 0, frozenset(), at)
        return done, rest

    monkeypatch.setattr(Ledger, "retry", counted)
    assert await made.queue.retry(Wanted(frozenset({State.DEAD}), limit=10**9)) == 5
    assert batches == [2, 2, 1]


async def test_while_it_is_paused_no_job_is_leased(make: Make) -> None:
    made = await make()
    await made.queue.pause(True)
    assert await made.put(job("a")) == [None]
    assert await made.queue.is_paused()
    assert await made.leased() is None
    await made.queue.pause(False)
    assert (await made.taken()).job.key == b"a"
    assert not await made.queue.is_paused()


async def test_who_waits_for_a_job_is_woken(make: Make) -> None:
    made = await make()
    assert await made.leased() is None
    waiting = asyncio.ensure_future(made.queue.arrival())
    await asyncio.sleep(0)
    assert not waiting.done()
    await made.put(job("a"))
    await waiting
    await made.taken()


async def test_several_processes_never_have_the_same_job(opened: Make, clock: Hand) -> None:
    one, other = await opened(replace(TERMS, capacity=50)), await opened(replace(TERMS, capacity=50))
    await asyncio.gather(*(made.put(*(job(str(n)) for n in range(40))) for made in (one, other)))
    assert await one.counts() == await other.counts() == {"queued": 40}

    async def all_of(made: Made) -> list[bytes]:
        keys = []
        while isinstance(lease := await made.queue.lease(), Lease):
            keys.append(lease.job.key)
        return keys

    ours, theirs = await asyncio.gather(all_of(one), all_of(other))
    assert sorted(ours + theirs) == sorted(str(n).encode() for n in range(40))
    assert await one.put(job("0")) == [Reason.QUEUED_ALREADY]


async def test_whoever_opens_a_new_file_waits_for_who_is_doing_so(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "backfill.sqlite", TERMS)
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    preparing = asyncio.ensure_future(asyncio.to_thread(ledger.prepare, Moment(0, 0)))
    done, _ = await asyncio.wait([preparing], timeout=0.1)
    assert not done
    os.close(fd)
    await preparing
    ledger.close()


async def test_another_process_knows_what_was_there(opened: Make, clock: Hand) -> None:
    first = await opened()
    await first.put(*map(job, "abc"))
    held = await first.taken()
    await first.queue.settle(await first.taken(), AGAIN, 1, 10)
    second = await opened()
    assert second.queue.offer(job("d")) is Reason.QUEUE_FULL
    assert (await second.taken()).job.key == b"c"
    assert await second.queue.lease() is None
    clock.time += 30
    assert {(await second.taken()).job.key for _ in range(2)} == {b"a", b"b"}
    assert not await first.queue.settle(held, STORED, 0)


async def test_a_date_that_is_set_ends_no_lease(opened: Make, clock: Hand) -> None:
    made = await opened()
    await made.put(job("a"))
    lease = await made.taken()
    for years in (10, -20):
        clock.date += years * 365 * 86_400
        assert await made.queue.lease() is None
    assert await made.queue.settle(lease, STORED, 0)


async def test_a_machine_that_was_started_anew_holds_nothing(opened: Make) -> None:
    made = await opened()
    await made.put(job("a"), job("b"))
    await made.taken()
    await made.queue.settle(await made.taken(), AGAIN, 0, 3600)
    after = await opened(its_clock=Hand(time=5.0))
    assert {(await after.taken()).job.key for _ in range(2)} == {b"a", b"b"}


async def test_jobs_of_groups_that_are_not_configured_wait(opened: Make) -> None:
    made = await opened()
    await made.put(job("a", "gone"), job("b"))
    assert (await made.taken()).job.key == b"b"
    assert await made.queue.lease() is None
    other = await opened(groups=frozenset({"gone", "it's"}))
    assert (await other.taken()).job.key == b"a"


@pytest.mark.parametrize(
    "told", ["", '{"v": 2}', '{"v": 1, "uri": "/a b"}', "[" * 100_000], ids=["", "v", "uri", "deep"]
)
async def test_a_job_that_cannot_be_read_keeps_no_other_from_being_done(
    opened: Make, tmp_path: Path, told: str
) -> None:
    queue = (await opened(TERMS)).queue
    assert isinstance(await queue.take(job("a")), Lease)
    await queue.release(Lease(1, 1, job("a")))
    db = sqlite3.connect(tmp_path / "state" / "backfill.sqlite")
    db.execute("UPDATE job SET told = ?", (told,))
    db.commit()
    db.close()
    assert queue.offer(job("b")) is None
    await queue.written()
    assert [entry.job.key for entry in await queue.entries(Wanted())] == [b"b", b"a"]
    lease = await queue.lease()
    assert isinstance(lease, Lease)
    assert lease.job.key == b"b"
    (bad,) = await queue.entries(Wanted(states=frozenset({State.FAILED})))
    assert (bad.job.group, bad.job.key, bad.reason) == ("media", b"a", Reason.INTERNAL)
    assert bad.message.startswith("the job cannot be read: ")


async def test_a_disk_that_is_full_loses_no_job_and_ends_no_lease_wrongly(opened: Make, clock: Hand) -> None:
    made = await opened(replace(TERMS, capacity=500))
    assert isinstance(made.queue, SqliteQueue)
    db = made.queue._ledger._db
    await made.put(job("first"))
    lease = await made.taken()

    async def limit(pages: int) -> None:
        await asyncio.to_thread(db.execute, f"PRAGMA max_page_count = {pages}")

    # SQLite says of this what it says of a full disk.
    await limit(1)
    names = [f"{number:0200}" for number in range(100)]
    for name in names:
        assert made.queue.offer(job(name)) is None
    assert await made.queue.written() > 0, "what the file did not take waits in memory"
    assert "database or disk is full" in made.faults[0]
    assert "jobs wait in memory" in made.faults[0]
    assert (await made.counts())["leased"] == 1
    await limit(10_000)
    while await made.queue.written():
        await asyncio.sleep(0.01)
    assert await made.queue.settle(lease, STORED, 0)
    assert await made.counts() == {"stored": 1, "queued": len(names)}
    assert {(await made.taken()).job.key for _ in names} == {name.encode() for name in names}


async def test_a_lease_costs_the_same_however_many_jobs_wait(opened: Make) -> None:
    made = await opened(replace(TERMS, capacity=5000))
    assert isinstance(made.queue, SqliteQueue)
    steps: list[int] = []
    made.queue._ledger._db.set_progress_handler(lambda: steps.append(1), 100)
    costs = []
    for part in range(2):
        for n in range(2000):
            made.queue.offer(job(f"{part}-{n}"))
            made.queue.offer(job(f"{part}-{n}", "gone"))
            if n == 9 or n == 1999:
                await made.queue.written()
                steps.clear()
                lease = await made.taken()
                await made.queue.settle(lease, AGAIN, 0, 60)
                await made.put(job("one more"))
                await made.queue.settle(await made.taken(), STORED, 0)
                costs.append(len(steps))
    assert max(costs) < 3 * min(costs)


async def test_a_file_that_is_locked_loses_nothing(opened: Make, tmp_path: Path, clock: Hand) -> None:
    made = await opened()
    await made.put(job("a"))
    lease = await made.taken()
    assert isinstance(made.queue, SqliteQueue)
    made.queue._ledger._db.execute("PRAGMA busy_timeout = 0")
    with sqlite3.connect(tmp_path / "state" / "backfill.sqlite", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert made.queue.offer(job("b")) is None
        assert await made.queue.written() == 1
        assert await made.queue.extend([lease]) == []
        assert made.queue.faults == 2
        (told,) = made.faults
        assert told.endswith("database is locked (1 faults so far, 1 jobs wait in memory)")
        other.execute("ROLLBACK")
    other.close()
    await made.queue.close()
    assert await (await opened()).counts() == {"leased": 1, "queued": 1}


@pytest.mark.parametrize("what", ["no database", "another version", "no folder"])
async def test_what_cannot_be_used_is_left_as_it_is(opened: Make, tmp_path: Path, what: str) -> None:
    folder = tmp_path / "state"
    if what == "no folder":
        folder.write_text("")
        wanted = f"{folder}/backfill.sqlite: {folder}: File exists"
    else:
        folder.mkdir()
        file = folder / "backfill.sqlite"
        if what == "no database":
            file.write_bytes(b"something else" * 1000)
            wanted = f"{file}: file is not a database"
        else:
            with sqlite3.connect(file) as db:
                db.execute("PRAGMA user_version = 7")
            db.close()
            wanted = f"{file}: is of version 7, and this edgeproxy knows 1"
    with pytest.raises(QueueError) as caught:
        await opened()
    assert str(caught.value) == wanted
