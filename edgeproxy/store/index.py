"""Which keys a path or a tag has, so that to invalidate one costs the same however full the cache is."""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain

from edgeproxy.core.invalidation import Invalidation, Reach
from edgeproxy.core.key import CacheKey
from edgeproxy.core.paths import object_path


class _Keys(dict[str, CacheKey | set[CacheKey]]):
    """Keys by name. Most names have one key, and a set for that one would take 216 bytes."""

    __slots__ = ()

    def put(self, name: str, key: CacheKey) -> None:
        held = self.setdefault(name, key)
        if isinstance(held, set):
            held.add(key)
        elif held != key:
            self[name] = {held, key}

    def take(self, name: str, key: CacheKey) -> None:
        held = self.get(name)
        if isinstance(held, set):
            held.discard(key)
            if len(held) == 1:
                self[name] = held.pop()
        elif held == key:
            del self[name]

    def of(self, name: str) -> Collection[CacheKey]:
        held = self.get(name)
        if held is None:
            return ()
        return held if isinstance(held, set) else (held,)

    def beginning_with(self, start: str) -> Iterator[CacheKey]:
        """The keys of all names that begin with `start`."""
        for name, held in self.items():
            if name.startswith(start):
                if isinstance(held, set):
                    yield from held
                else:
                    yield held


class Index:
    """Keys by path, by path and query, and by tag.

    Viewers choose queries: those of a path are apart from the path alone, so that to invalidate this,
    or one of them, is not to look through all of them.
    """

    def __init__(self) -> None:
        self._by_path = _Keys()
        """Those without a query."""
        self._by_query: dict[str, _Keys] = {}
        """The others: path, then query."""
        self._by_object = _Keys()
        """Those whose path is not the one spelling that stands for all of an object."""
        self._by_tag = _Keys()
        self._tags: dict[CacheKey, frozenset[str]] = {}

    def add(self, key: CacheKey, tags: frozenset[str]) -> None:
        """Note `key`, in place of what was noted of it."""
        self.remove(key)
        if key.query:
            self._by_query.setdefault(key.path, _Keys()).put(key.query, key)
        else:
            self._by_path.put(key.path, key)
        if (of_object := object_path(key.path)) != key.path:
            self._by_object.put(of_object, key)
        if tags:
            self._tags[key] = tags
        for tag in tags:
            self._by_tag.put(tag, key)

    def remove(self, key: CacheKey) -> None:
        """Forget `key`, if it is known."""
        if not key.query:
            self._by_path.take(key.path, key)
        elif (queries := self._by_query.get(key.path)) is not None:
            queries.take(key.query, key)
            if not queries:
                del self._by_query[key.path]
        if (of_object := object_path(key.path)) != key.path:
            self._by_object.take(of_object, key)
        for tag in self._tags.pop(key, ()):
            self._by_tag.take(tag, key)

    def covered(self, invalidation: Invalidation) -> list[CacheKey]:
        """The keys that are covered. Only a prefix is looked for among all paths."""
        path, _, query = invalidation.text.partition("?")
        candidates: Iterable[CacheKey]
        match invalidation.reach:
            case Reach.EXACT if query:
                candidates = self._by_query.get(path, _NONE).of(query)
            case Reach.EXACT:
                candidates = self._by_path.of(path)
            case Reach.PATH:
                candidates = self._at(path)
            case Reach.OBJECT:
                candidates = chain(self._at(path), self._by_object.of(path))
            case Reach.TAG:
                candidates = self._by_tag.of(invalidation.text)
            case Reach.PREFIX:
                candidates = self._beginning_with(path)
        return [key for key in candidates if invalidation.covers(key, self._tags.get(key, frozenset()))]

    def _at(self, path: str) -> Iterator[CacheKey]:
        yield from self._by_path.of(path)
        yield from self._by_query.get(path, _NONE).beginning_with("")

    def _beginning_with(self, start: str) -> Iterator[CacheKey]:
        yield from self._by_path.beginning_with(start)
        for path, keys in self._by_query.items():
            if path.startswith(start):
                yield from keys.beginning_with("")


_NONE = _Keys()
