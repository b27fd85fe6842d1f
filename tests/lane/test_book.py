"""The map of heads stays within its bounds, and whoever sends new ones gains nothing."""

from edgeproxy.lane.book import Book


def test_the_oldest_goes_but_for_what_was_asked_for() -> None:
    book: Book[int] = Book(max_heads=3)
    for number in range(3):
        book.put(b"%d" % number, number)
    assert book.get(b"0") == 0
    book.put(b"3", 3)
    assert [book.get(b"%d" % n) for n in range(4)] == [0, None, 2, 3]


def test_long_heads_leave_less_room() -> None:
    book: Book[int] = Book(max_bytes=10 * (4_500 + 3 * 8_000))
    for number in range(100):
        book.put(b"%8000d" % number, number)
    assert len(book) == 10
    book.forget(b"%8000d" % 99)
    book.forget(b"not there")
    assert len(book) == 9
    book.clear()
    assert len(book) == 0


def test_all_asked_for_still_makes_room() -> None:
    book: Book[int] = Book(max_heads=2)
    for number in range(10):
        book.put(b"%d" % number, number)
        book.get(b"%d" % number)
    assert len(book) == 2


def test_what_comes_once_is_not_known_when_many_have_come_since() -> None:
    book: Book[int] = Book()
    assert not book.has_come_before(b"a")
    assert book.has_come_before(b"a")
    for number in range(20_000):
        book.has_come_before(b"%d" % number)
    assert not book.has_come_before(b"a")
    assert len(book._seen) <= 16_384
