"""Which keys a path or a tag has, so that to invalidate one costs the same however full the cache is."""

from collections.abc import Iterable

from edgeproxy.core.invalidation import Invalidation, Reach
from edgeproxy.core.key import CacheKey


class Index:
    """Keys by path and by tag."""

    def __init__(self) -> None:
        self._by_path: dict[str, set[CacheKey]] = {}
        self._by_tag: dict[str, set[CacheKey]] = {}
        self._tags: dict[CacheKey, frozenset[str]] = {}

    def add(self, key: CacheKey, tags: frozenset[str]) -> None:
        """Note `key`, in place of what was noted of it."""
        self.remove(key)
        self._by_path.setdefault(key.path, set()).add(key)
        if tags:
            self._tags[key] = tags
        for tag in tags:
            self._by_tag.setdefault(tag, set()).add(key)

    def remove(self, key: CacheKey) -> None:
        """Forget `key`, if it is known."""
        _take_out(self._by_path, key.path, key)
        for tag in self._tags.pop(key, ()):
            _take_out(self._by_tag, tag, key)

    def covered(self, invalidation: Invalidation) -> list[CacheKey]:
        """The keys that are covered. Only a prefix is looked for among all paths."""
        candidates: Iterable[CacheKey]
        match invalidation.reach:
            case Reach.EXACT | Reach.PATH:
                candidates = self._by_path.get(invalidation.text.partition("?")[0], ())
            case Reach.TAG:
                candidates = self._by_tag.get(invalidation.text, ())
            case Reach.PREFIX:
                start = invalidation.text.partition("?")[0]
                candidates = (k for p, keys in self._by_path.items() if p.startswith(start) for k in keys)
        return [key for key in candidates if invalidation.covers(key, self._tags.get(key, frozenset()))]


def _take_out(sets: dict[str, set[CacheKey]], name: str, key: CacheKey) -> None:
    keys = sets.get(name)
    if keys is not None:
        keys.discard(key)
        if not keys:
            del sets[name]
