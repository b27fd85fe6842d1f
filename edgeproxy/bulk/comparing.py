"""Which objects of the roll are in their bucket already, with as few questions as that takes."""

from collections.abc import Awaitable, Callable

from edgeproxy.backfill.job import Ending, State
from edgeproxy.core.reason import Reason
from edgeproxy.origins.listing import Page

THERE = Ending(State.SKIPPED, Reason.EXISTS)

Lists = Callable[[bytes], Awaitable[Page]]
"""Gives the objects behind a key."""


class Comparison:
    """Walks the bucket's listing and the wanted keys side by side; both ascend.

    What lies between one wanted key and the next is leapt over: it takes hardly more questions than there
    are wanted keys, and never more than the bucket has pages.
    """

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._known = b""
        """The page tells of all keys from where it began up to this one."""
        self._page: dict[bytes, int] = {}
        self._is_last = False

    async def has(self, key: bytes) -> bool:
        """Whether the bucket has `key`, which is greater than any that was asked for before.

        Raises `OriginError` when it may not be listed, `ValueError` when its listing does not ascend.
        """
        while not self._is_last and key > self._known:
            page = await self._lists(max(self._known, _before(key)))
            keys = [name for name, _ in page.objects]
            if keys != sorted(keys):
                raise ValueError("the listing is not in order")
            self._page, self._is_last = dict(page.objects), page.is_last
            self._known = keys[-1] if keys else self._known
        return key in self._page


def _before(key: bytes) -> bytes:
    """A key that is smaller, with little between the two."""
    text = key.decode()
    last = ord(text[-1]) - 1
    # Control characters and surrogates stand in no key.
    return (text[:-1] + (chr(last) if 0x20 < last < 0xD800 or last >= 0xE000 else "")).encode()
