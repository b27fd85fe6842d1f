"""The catalogue of the disk: what is found, what goes, and that it never holds more than it may."""

import sqlite3
from pathlib import Path

import pytest

from edgeproxy.core.invalidation import invalidation, of_object
from edgeproxy.core.key import CacheKey
from edgeproxy.core.message import Head, Headers
from edgeproxy.core.storing import Stored
from edgeproxy.store.catalog import Catalog, CatalogError

UNIT = 1_000_000
"""What an entry itself takes in the catalogue is next to nothing of it."""
MAX = 100 * UNIT + UNIT // 2


def kept(*fields: tuple[str, str], language: str | None = None, received_at: float = 0) -> Stored:
    vary = () if language is None else ("accept-language",)
    return Stored(
        Head(200, Headers(fields)), 60, 0, received_at, vary, () if language is None else (language,)
    )


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path / "catalog.sqlite", MAX)
    catalog.prepare()
    return catalog


def add(catalog: Catalog, path: str, size: int, now: float, stored: Stored | None = None) -> list[int]:
    """Store one; gives the numbers of all that had to go."""
    number, gone = catalog.reserve(CacheKey("GET", path), stored or kept(), size * UNIT, 0, now)
    assert number is not None
    return gone + catalog.finish(number, size, size * UNIT)


def held(catalog: Catalog) -> int:
    return catalog.total().bytes // UNIT


def paths(catalog: Catalog, *candidates: str) -> list[str]:
    return [path for path in candidates if catalog.find(CacheKey("GET", path))]


def test_what_is_stored_is_found_as_it_was(catalog: Catalog) -> None:
    key = CacheKey("GET", "/é?", "q=1&q=\udcff", (("accept-encoding", None), ("x-a", "ü")), "a=1; b=2")
    stored = Stored(
        Head(404, Headers([("X-A", "1"), ("X-A", "\u20ac")])), 1.5, 0.25, 12.0, ("x-b",), (None,), False, 9
    )
    number, _ = catalog.reserve(key, stored, 10 * UNIT, 3, 0)
    assert number is not None
    assert catalog.find(key) == []
    catalog.finish(number, 7, 8 * UNIT)
    (row,) = catalog.find(key)
    assert (row.number, row.stored, row.length) == (number, stored, 7)
    assert (catalog.total().entries, held(catalog)) == (1, 8)
    assert catalog.find(CacheKey("GET", "/é?")) == []


def test_the_least_recently_used_go(catalog: Catalog) -> None:
    for now, path in enumerate(("/a", "/b", "/c")):
        add(catalog, path, 30, now)
    catalog.touch([(1, 9.0)])
    assert len(add(catalog, "/d", 50, 10)) == 2
    assert paths(catalog, "/a", "/b", "/c", "/d") == ["/a", "/d"]
    assert held(catalog) == 80


def test_what_is_being_written_counts_and_stays(catalog: Catalog) -> None:
    number, _ = catalog.reserve(CacheKey("GET", "/a"), kept(), 60 * UNIT, 0, 0)
    assert number is not None
    assert catalog.reserve(CacheKey("GET", "/b"), kept(), 60 * UNIT, 0, 1) == (None, [])
    add(catalog, "/c", 30, 2)
    assert catalog.grow(number, 101 * UNIT) == (False, [])
    assert paths(catalog, "/c") == ["/c"]
    has_room, gone = catalog.grow(number, 100 * UNIT)
    assert (has_room, len(gone), held(catalog)) == (True, 1, 100)
    catalog.finish(number, 10, 20 * UNIT)
    assert held(catalog) == 20


def test_a_variant_takes_the_place_of_its_like(catalog: Catalog) -> None:
    for language in ("en", "de", "en"):
        add(catalog, "/a", 10, 0, kept(language=language))
    assert [row.stored.variant for row in catalog.find(CacheKey("GET", "/a"))] == [("en",), ("de",)]
    add(catalog, "/a", 10, 1, kept())
    assert [row.stored.vary for row in catalog.find(CacheKey("GET", "/a"))] == [()]
    assert held(catalog) == 10


def test_variants_are_few(catalog: Catalog) -> None:
    for number in range(40):
        add(catalog, "/a", 1, number, kept(language=str(number)))
    rows = catalog.find(CacheKey("GET", "/a"))
    assert [row.stored.variant for row in rows] == [(str(number),) for number in range(39, 23, -1)]


def test_a_new_head_for_the_same_body(catalog: Catalog) -> None:
    add(catalog, "/a", 10, 0, kept(language="en"))
    add(catalog, "/a", 10, 0, kept(language="de"))
    new = kept(("ETag", '"2"'), language="en", received_at=50)
    catalog.refresh(CacheKey("GET", "/a"), kept(language="en"), new)
    rows = {row.stored.variant: row.stored for row in catalog.find(CacheKey("GET", "/a"))}
    assert rows == {("en",): new, ("de",): kept(language="de")}


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ("/a/1", ["/a/12", "/b", "/a/é"]),
        ("/a/*", ["/b"]),
        ("/a/1*", ["/b", "/a/é"]),
        ("/a/é", ["/a/1", "/a/12", "/b"]),
        ("/*", []),
        ("#news", ["/a/1", "/a/é"]),
        ("/c", ["/a/1", "/a/12", "/b", "/a/é"]),
    ],
)
def test_what_is_invalidated_goes(catalog: Catalog, what: str, left: list[str]) -> None:
    all_paths = ("/a/1", "/a/12", "/b", "/a/%C3%A9")
    for path in all_paths:
        tag = ("Cache-Tag", "News, x") if path in ("/a/12", "/b") else ("X-A", "1")
        add(catalog, path, 10, 0, kept(tag))
    covered = catalog.covered(invalidation(what.replace("é", "%C3%A9")))
    catalog.remove(number for number, _ in covered)
    assert [path.replace("%C3%A9", "é") for path in paths(catalog, *all_paths)] == left
    assert (len(covered), catalog.total().entries) == (4 - len(left), len(left))


def test_an_object_goes_under_all_its_spellings(catalog: Catalog) -> None:
    all_paths = ("/a/(1)", "/a/%281%29", "/a%2F(1)", "/a/(12)", "/a")
    for path in all_paths:
        add(catalog, path, 10, 0)
    one = of_object(b"a/(1)")
    assert one is not None
    covered = catalog.covered(one)
    catalog.remove(number for number, _ in covered)
    assert (len(covered), paths(catalog, *all_paths)) == (3, ["/a/(12)", "/a"])


def test_what_is_invalidated_while_it_is_written_is_never_found(catalog: Catalog) -> None:
    number, _ = catalog.reserve(CacheKey("GET", "/a"), kept(), 10 * UNIT, 0, 0)
    assert number is not None
    ((covered, _),) = catalog.covered(invalidation("/a"))
    assert covered == number
    catalog.remove([covered])
    assert catalog.finish(number, 10, 10 * UNIT) == [number]
    assert paths(catalog, "/a") == []


def test_what_a_process_was_writing_is_known(catalog: Catalog) -> None:
    mine, _ = catalog.reserve(CacheKey("GET", "/a"), kept(), 10 * UNIT, 1, 0)
    other, _ = catalog.reserve(CacheKey("GET", "/b"), kept(), 10 * UNIT, 2, 0)
    add(catalog, "/c", 10, 0)
    assert catalog.unfinished(1) == [mine]
    assert catalog.unfinished() == [other]
    assert paths(catalog, "/a", "/b", "/c") == ["/c"]


def test_another_version_starts_empty(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "catalog.sqlite") as db:
        db.execute("CREATE TABLE entry (id INTEGER, more TEXT)")
        db.execute("PRAGMA user_version = 7")
    catalog = Catalog(tmp_path / "catalog.sqlite", MAX)
    catalog.prepare()
    add(catalog, "/a", 10, 0)
    catalog.close()
    again = Catalog(tmp_path / "catalog.sqlite", MAX)
    again.prepare()
    assert paths(again, "/a") == ["/a"]


def test_sqlites_errors_do_not_come_out(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(CatalogError, match="file is not a database"):
        Catalog(tmp_path / "catalog.sqlite", MAX).prepare()
