"""The invalidations that were asked for: those in progress, and as many of the others as are remembered."""

from dataclasses import replace

from edgeproxy.core.batch import ApiError, Batch, Page, Recorded, Status, check_progress, invalid

_MAX_ENDED = 1_000
_MAX_CHARS = 4 * 2**20
"""What the paths of those that are remembered may take together."""


class History:
    """Invalidations by id and by the reference of who asked. Outlives no restart."""

    def __init__(self) -> None:
        self._by_id: dict[str, Recorded] = {}
        """The oldest first."""
        self._ids: dict[str, str] = {}
        self._chars = 0

    def begin(self, batch: Batch, new_id: str, created: str) -> tuple[Recorded, bool]:
        """What `batch` is recorded as, and whether it is new: sent again, it is what it was.

        Raises `ApiError`: `InvalidationBatchAlreadyExists`, `TooManyInvalidationsInProgress`.
        """
        known = self._ids.get(batch.reference)
        if known is not None:
            recorded = self._by_id[known]
            if not recorded.batch.is_same(batch):
                said = f"{known} has the CallerReference {batch.reference} and other paths"
                raise ApiError(
                    "InvalidationBatchAlreadyExists", 409, f"The reference was used before: {said}."
                )
            return recorded, False
        check_progress(batch, (r.batch for r in self._by_id.values() if r.status is Status.IN_PROGRESS))
        recorded = Recorded(new_id, batch, created)
        self._by_id[new_id] = recorded
        self._ids[batch.reference] = new_id
        self._chars += _chars(batch)
        return recorded, True

    def complete(self, number: str) -> Recorded:
        """All of it is done."""
        recorded = self._by_id[number] = replace(self._by_id[number], status=Status.COMPLETED)
        self._forget_oldest()
        return recorded

    def drop_unfinished(self, number: str) -> None:
        """Unless it is done: whoever asks again shall find no trace of it."""
        recorded = self._by_id.get(number)
        if recorded is not None and recorded.status is Status.IN_PROGRESS:
            self._drop(number)

    def _drop(self, number: str) -> None:
        recorded = self._by_id.pop(number)
        del self._ids[recorded.batch.reference]
        self._chars -= _chars(recorded.batch)

    def find(self, number: str) -> Recorded:
        """The invalidation with this id.  Raises `ApiError`: `NoSuchInvalidation`."""
        recorded = self._by_id.get(number)
        if recorded is None:
            raise ApiError("NoSuchInvalidation", 404, "The specified invalidation does not exist.")
        return recorded

    def page(self, marker: str, max_items: int) -> Page:
        """At most `max_items`, the newest first; those after `marker` if it is not "".

        Raises `ApiError`: `InvalidArgument`.
        """
        newest = list(reversed(self._by_id.values()))
        start = 0
        if marker:
            if marker not in self._by_id:
                raise invalid(f"Marker: got {marker}, want the id of an invalidation")
            start = next(i for i, recorded in enumerate(newest, start=1) if recorded.id == marker)
        rest = newest[start:]
        return Page(tuple(rest[:max_items]), marker, max_items, len(rest) > max_items)

    def _forget_oldest(self) -> None:
        ended = [r.id for r in self._by_id.values() if r.status is Status.COMPLETED]
        # The last one stays, whatever its size: somebody is about to ask for it.
        for place, number in enumerate(ended[:-1]):
            if len(ended) - place <= _MAX_ENDED and self._chars <= _MAX_CHARS:
                break
            self._drop(number)


def _chars(batch: Batch) -> int:
    return len(batch.reference) + sum(map(len, batch.paths))
