"""What is remembered of answers that were for one viewer alone."""

from edgeproxy.core.key import CacheKey
from edgeproxy.gateway import passes
from edgeproxy.gateway.passes import Passes


def key(path: str) -> CacheKey:
    return CacheKey("GET", path)


def test_a_key_is_remembered_for_a_while_and_for_as_long_as_it_goes_on() -> None:
    known = Passes()
    known.add(key("/a"), 100.0)
    assert known.has(key("/a"), 109.0)
    assert not known.has(key("/b"), 109.0)
    known.add(key("/a"), 109.0)
    assert known.has(key("/a"), 115.0)
    assert not known.has(key("/a"), 140.0)


def test_a_key_is_forgotten_at_once_when_it_is_for_all_again() -> None:
    known = Passes()
    for path in ("/a", "/b"):
        known.add(key(path), 100.0)
    known.drop(key("/a"))
    assert not known.has(key("/a"), 100.0)
    assert known.has(key("/b"), 100.0)
    known.clear()
    assert not known.has(key("/b"), 100.0)


def test_a_stranger_cannot_make_it_grow() -> None:
    known = Passes()
    for number in range(3 * passes._MAX_KEYS):
        known.add(key(f"/{number}"), 100.0)
    assert len(known._young) + len(known._old) <= 2 * passes._MAX_KEYS
    assert known.has(key(f"/{3 * passes._MAX_KEYS - 1}"), 100.0)
