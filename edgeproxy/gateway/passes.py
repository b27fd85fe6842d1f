"""Keys of which the last answer was for one viewer alone.

Who asks for such an object gains nothing by waiting for whoever asked first, to be told to ask again. Varnish
calls this hit-for-miss.
"""

from edgeproxy.core.key import CacheKey

_KEPT_S = 10.0
"""How long a key is remembered at least, in seconds; twice as long at most."""
_MAX_KEYS = 65_536


class Passes:
    """Numbers of keys, not keys: two may have the same, and then one is fetched more often than need be.

    They are in two halves, of which the older is forgotten as a whole.
    """

    def __init__(self) -> None:
        self._young: set[int] = set()
        self._old: set[int] = set()
        self._turned_at = 0.0

    def add(self, key: CacheKey, now: float) -> None:
        """The answer to `key` was for one alone; `now` is of the monotonic clock."""
        if now - self._turned_at >= _KEPT_S or len(self._young) >= _MAX_KEYS:
            self._turn(now)
        self._young.add(hash(key))

    def has(self, key: CacheKey, now: float) -> bool:
        """Whether that was so a moment ago."""
        if not self._young and not self._old:
            return False
        if now - self._turned_at >= _KEPT_S:
            self._turn(now)
        number = hash(key)
        return number in self._young or number in self._old

    def drop(self, key: CacheKey) -> None:
        """It is not so any more."""
        self._young.discard(hash(key))
        self._old.discard(hash(key))

    def clear(self) -> None:
        """Nothing is known of any key."""
        self._young.clear()
        self._old.clear()

    def _turn(self, now: float) -> None:
        self._old = self._young if now - self._turned_at < 2 * _KEPT_S else set()
        self._young = set()
        self._turned_at = now

    def __repr__(self) -> str:
        return f"Passes({len(self._young) + len(self._old)} keys)"
