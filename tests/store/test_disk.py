"""The disk cache under both tiers: what happens at the same time, and what fails in the middle."""

import asyncio
import os
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edgeproxy.core.errors import EdgeError
from edgeproxy.core.invalidation import invalidation
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.storing import Stored
from edgeproxy.store.catalog import Catalog, CatalogError
from edgeproxy.store.disk import DiskCache
from edgeproxy.store.folder import DiskError, Folder
from edgeproxy.store.memory import Entry, MemoryCache
from edgeproxy.store.spool import Spool
from edgeproxy.store.tiers import Tiers

MIB = 2**20
KEY = CacheKey("GET", "/a.jpg")


class Faults(list[str]):
    """What the operator hears."""


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
async def disk(tmp_path: Path, faults: Faults) -> AsyncIterator[DiskCache]:
    folder = Folder(tmp_path / "cache")
    folder.take(4 * MIB)
    disk = DiskCache(folder, 4 * MIB, 2 * MIB, writer=0, now=lambda: 100.0, on_fault=faults.append)
    await disk.open()
    yield disk
    await disk.close()
    folder.release()


@pytest.fixture
def cache(disk: DiskCache) -> Tiers:
    return Tiers(MemoryCache(MIB, 64 * 1024), disk)


def stored(*fields: tuple[str, str], at: float = 0.0) -> Stored:
    return Stored(Head(200, Headers(fields)), 60, 0, at)


def entry(body: bytes, *fields: tuple[str, str], at: float = 0.0) -> Entry:
    return Entry(stored(*fields, at=at), body)


async def found(cache: Tiers, key: CacheKey = KEY) -> Stored | None:
    below, _ = await cache.find_below(key, Headers, None)
    return below.stored if below is not None else None


async def body(cache: Tiers, key: CacheKey = KEY) -> bytes | None:
    """Of one that is small enough for memory."""
    below, _ = await cache.find_below(key, Headers, None)
    return below.body if isinstance(below, Entry) else None


@contextmanager
def changes_held_up(disk: DiskCache) -> Iterator[None]:
    """Whatever is to be changed has to wait, as behind another process's transaction."""
    gate = threading.Event()
    disk._threads.change_later(gate.wait)  # type: ignore[arg-type]
    try:
        yield
    finally:
        gate.set()


@pytest.mark.parametrize("how", ["/a.jpg", "/*", "#one", "discard"])
async def test_what_is_brought_up_while_it_is_invalidated_does_not_stay(
    cache: Tiers, disk: DiskCache, how: str
) -> None:
    """The purge waits for the disk; meanwhile a viewer comes for what only the disk has."""
    await disk.keep(KEY, stored(("cache-tag", "one")), b"old")
    with changes_held_up(disk):
        purge = asyncio.ensure_future(
            cache.discard(KEY) if how == "discard" else cache.invalidate(invalidation(how))
        )
        await asyncio.sleep(0)
        assert await body(cache) == b"old"
        assert cache.find(KEY, Headers)[0] is not None
    await purge
    assert cache.find(KEY, Headers)[0] is None
    assert await found(cache) is None


@pytest.mark.parametrize("how", ["/a.jpg", "/*", "#one", "discard"])
async def test_what_is_being_looked_up_when_it_is_invalidated_is_looked_up_anew(
    cache: Tiers, disk: DiskCache, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await disk.keep(KEY, stored(("cache-tag", "one")), b"old")
    asked: list[CacheKey] = []
    find = disk.find

    async def late(key: CacheKey, *more: object) -> object:
        asked.append(key)
        answer = await find(key, *more)  # type: ignore[arg-type]
        if len(asked) == 1:
            await (cache.discard(key) if how == "discard" else cache.invalidate(invalidation(how)))
            await cache.discard(replace(key, path="/other"))
        return answer

    monkeypatch.setattr(disk, "find", late)
    assert await found(cache) is None
    assert asked == [KEY, KEY]
    assert cache.find(KEY, Headers)[0] is None
    assert not cache._climbs


async def test_invalidations_of_others_do_not_make_a_lookup_start_anew(
    cache: Tiers, disk: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    await disk.keep(KEY, stored(), b"x")
    find = disk.find

    async def late(*given: object) -> object:
        answer = await find(*given)  # type: ignore[arg-type]
        await cache.discard(replace(KEY, path="/other"))
        await cache.invalidate(invalidation("/other*"))
        return answer

    monkeypatch.setattr(disk, "find", late)
    assert await body(cache) == b"x"


async def test_a_head_is_not_put_on_another_body(cache: Tiers, disk: DiskCache) -> None:
    """The disk did not take the second body; a 304 about that one says nothing of the first."""
    first = entry(b"first", ("etag", '"1"'), at=1)
    second = entry(b"second", ("etag", '"2"'), at=2)
    await cache.keep_below(KEY, first)
    await cache.refresh_below(KEY, second.stored, replace(second.stored, received_at=3))
    assert await found(cache) == first.stored
    renewed = replace(first.stored, received_at=4)
    await cache.refresh_below(KEY, first.stored, renewed)
    assert await found(cache) == renewed


def on_disk(disk: DiskCache) -> list[Path]:
    return list(disk._folder.path.glob("bodies/*/*"))


async def entries(disk: DiskCache) -> object:
    return (await disk.state())["entries"]


async def test_nobody_else_may_read_it(cache: Tiers, disk: DiskCache) -> None:
    await cache.keep_below(KEY, entry(b"x", ("set-cookie", "a=b")))
    paths = [disk._folder.path, *disk._folder.path.rglob("*")]
    assert {path.name for path in paths} >= {"catalog.sqlite", "catalog.sqlite-wal", "1"}
    assert [path for path in paths if path.stat().st_mode & 0o077] == []


async def test_a_catalogue_that_others_could_read_is_theirs_no_more(tmp_path: Path) -> None:
    catalogue = tmp_path / "catalog.sqlite"
    catalogue.touch(0o644)
    Catalog(catalogue, MIB).prepare()
    assert catalogue.stat().st_mode & 0o077 == 0


async def test_files_that_are_not_ours_stay(tmp_path: Path) -> None:
    own, foreign = tmp_path / "bodies/07/7", [tmp_path / "bodies" / name for name in ("07/8", "07/x", "me/7")]
    for path in (own, *foreign):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    folder = Folder(tmp_path)
    folder.take(MIB)
    folder.release()
    assert [path.exists() for path in (own, *foreign)] == [False, True, True, True]


@pytest.mark.parametrize("what", ["finish", "remove", "both"])
async def test_a_catalogue_that_fails_in_the_middle_keeps_no_room(
    cache: Tiers, disk: DiskCache, faults: Faults, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """As when it is locked by another process, or the disk is full."""
    catalog = disk._catalog
    locked = sqlite3.OperationalError("database is locked")

    def fails(*given: object) -> None:
        raise CatalogError("no") from locked

    with monkeypatch.context() as broken:
        if what in ("finish", "both"):
            broken.setattr(catalog, "finish", fails)
        draft = await cache.draft(KEY, stored(), MIB)
        assert draft is not None
        await draft.append(b"x")
        if what in ("remove", "both"):
            changing = catalog._changing

            @contextmanager
            def fails_at_once() -> Iterator[sqlite3.Connection]:
                fails()
                with changing() as db:
                    yield db

            await cache.keep_below(KEY, entry(b"x"))
            broken.setattr(catalog, "_changing", fails_at_once)
            await cache.abandon(draft)
        else:
            await cache.keep_below(KEY, entry(b"x"))
            await cache.finish(draft)
        assert len(on_disk(disk)) == (1 if what == "remove" else 0)
    other = replace(KEY, path="/other")
    await cache.keep_below(other, entry(b"x"))
    assert await body(cache, other) == b"x"
    assert await entries(disk) == (2 if what == "remove" else 1)
    assert len(faults) == 1


async def test_a_file_that_cannot_be_deleted_costs_no_more_than_its_own_room(
    cache: Tiers, disk: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [replace(KEY, path=f"/{number}") for number in range(3)]
    for one in keys:
        await cache.keep_below(one, entry(bytes(1000)))
    unlink = Path.unlink

    def fails(path: Path, missing_ok: bool = False) -> None:
        if path.name == "1":
            raise OSError(5, "Input/output error")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", fails)
    disk._catalog._max_bytes = 3 * 4500
    assert await cache.draft(KEY, stored(), 2 * 4096) is None
    assert sorted(file.name for file in on_disk(disk)) == ["1"]
    assert await entries(disk) == 0


async def test_a_transaction_that_cannot_be_ended_shuts_nobody_out(disk: DiskCache) -> None:
    def change() -> None:
        with disk._catalog._changing() as db:
            db.execute("PRAGMA defer_foreign_keys = ON")
            db.execute("INSERT INTO tag VALUES (?, 999)", (b"x",))

    with pytest.raises(DiskError, match="FOREIGN KEY"):
        await disk._threads.change(change)
    await disk.keep(KEY, stored(), b"x")
    assert await entries(disk) == 1


async def test_what_cannot_fit_beside_transfers_under_way_evicts_nothing(
    cache: Tiers, disk: DiskCache
) -> None:
    """Nor is anything tried: with a hundred thousand entries that would take seconds, for nothing."""
    for number in range(100):
        await cache.keep_below(replace(KEY, path=f"/{number}"), entry(b"x"))
    draft = await cache.draft(KEY, stored(), 2 * MIB - 4096)
    told: list[str] = []
    await disk._threads.change(lambda: disk._catalog._db.set_trace_callback(told.append))
    assert await cache.draft(KEY, stored(), 2 * MIB) is None
    assert not [statement for statement in told if statement.startswith("DELETE")]
    assert await entries(disk) == 101
    assert draft is not None
    await cache.abandon(draft)


@pytest.mark.parametrize("column", ["stored", "key"])
async def test_a_row_that_is_damaged_is_a_miss_and_is_replaced(
    cache: Tiers, disk: DiskCache, faults: Faults, column: str
) -> None:
    await cache.keep_below(KEY, entry(b"x", ("cache-tag", "t")))

    def damage() -> None:
        with disk._catalog._changing() as db:
            db.execute(f"UPDATE entry SET {column} = '{{'")

    await disk._threads.change(damage)
    assert await found(cache) is None
    assert faults == (
        ["disk cache: the catalogue is damaged (1 faults so far)"] if column == "stored" else []
    )
    assert await cache.invalidate(invalidation("#t" if column == "stored" else "/*")) == 1
    await cache.keep_below(KEY, entry(b"y"))
    assert await body(cache) == b"y"


async def test_tags_may_hold_anything(cache: Tiers) -> None:
    await cache.keep_below(KEY, entry(b"x", ("cache-tag", "\udcff")))
    assert await cache.invalidate(invalidation("#\udcff")) == 1


async def test_a_file_that_has_shrunk_is_never_served(cache: Tiers, disk: DiskCache) -> None:
    """Cut at the end of a block, so that every block that is left is whole."""
    size = 128 * 1024
    await disk.keep(KEY, stored(), bytes(size))
    shelved, _ = await disk.find(KEY, Headers)
    assert shelved is not None
    (file,) = on_disk(disk)
    os.truncate(file, size // 2)
    assert await disk.whole(shelved) is None
    with pytest.raises(EdgeError, match="shorter"):
        assert [piece async for piece in shelved.body.part(0, size - 1)]
    draft = await cache.draft(KEY, stored(), size)
    assert draft is not None
    await draft.append(bytes(size))
    os.truncate(disk._folder.file(draft._id), 0)
    with pytest.raises(DiskError, match="shorter"):
        await draft.read(0, 100)
    await cache.abandon(draft)


async def test_a_large_purge_lets_others_have_their_turn(
    cache: Tiers, disk: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other processes wait for a transaction of this one: it must not be one of a hundred thousand rows."""
    monkeypatch.setattr("edgeproxy.store.disk._AT_ONCE", 10)
    disk._catalog._max_bytes = 64 * MIB
    for number in range(25):
        await cache.keep_below(replace(KEY, path=f"/{number}"), entry(b"x"))
    told: list[str] = []
    await disk._threads.change(lambda: disk._catalog._db.set_trace_callback(told.append))
    assert await cache.invalidate(invalidation("/*")) == 25
    turns = "\n".join(told).split("COMMIT")
    assert [len(set(re.findall(r"DELETE FROM entry WHERE id = \d+", turn))) for turn in turns] == [
        10,
        10,
        5,
        0,
    ]
    assert on_disk(disk) == []
    assert await entries(disk) == 0


async def test_the_catalogue_counts_too(cache: Tiers, disk: DiskCache) -> None:
    """Objects of no bytes to speak of: what they take is for the most part not in their files."""
    fields = [("x-long", "v" * 3000), ("cache-tag", ",".join(f"tag-{n}" for n in range(20)))]
    disk._catalog._max_bytes = 64 * MIB
    for number in range(100):
        await cache.keep_below(replace(KEY, path=f"/{number}/" + "p" * 500), entry(b"x", *fields))
    used = (await disk.state())["used_bytes"]
    await disk._threads.change(lambda: disk._catalog._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").close())
    files = [path for path in disk._folder.path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_blocks * 512 for path in files) <= int(str(used)) + 64 * 1024
    assert await cache.invalidate(invalidation("/*")) == 100
    assert (await disk.state())["used_bytes"] == 0


async def test_a_slow_reader_of_what_is_on_disk_holds_no_memory(cache: Tiers) -> None:
    """A body that is all on disk is read from there; before, each slow viewer of one held 1 MiB of it."""
    body = os.urandom(MIB)
    draft = await cache.draft(KEY, stored(), len(body))
    assert draft is not None
    spool = Spool()
    spool.move_to(draft)
    slow = spool.reader()
    released: list[str] = []
    for start in range(0, len(body), 100_000):
        spool.feed(body[start : start + 100_000])
        await spool.settle()
    assert spool.held_bytes == MIB
    await spool.settle(is_last=True)
    spool.end()
    spool.when_left(lambda: released.append("all"))
    assert (spool.held_bytes, released) == (0, ["all"])
    await cache.finish(draft)
    assert b"".join([piece async for piece in slow]) == body
    slow.close()
    assert released == ["all"]


def test_who_is_left_of_a_killed_owner_still_holds_the_folder(tmp_path: Path) -> None:
    """Its workers serve until they have drained: what they store must not be taken for the next one's."""
    owner, worker, other = Folder(tmp_path), Folder(tmp_path), Folder(tmp_path)
    owner.take(2**30)
    worker.join()
    owner.release()
    with pytest.raises(DiskError, match="another edgeproxy uses this folder"):
        other.take(2**30)
    worker.release()
    other.take(2**30)
    with pytest.raises(DiskError, match="another edgeproxy uses this folder"):
        owner.take(2**30)
    other.release()
