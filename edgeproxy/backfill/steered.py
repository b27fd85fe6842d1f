"""What an operator may ask of the jobs of a process, whatever else it does."""

from edgeproxy.backfill.filler import Asked, Filler
from edgeproxy.backfill.job import Wanted
from edgeproxy.backfill.worker import Worker


class Steered:
    """A process with a worker: that part of `Operated` which concerns it."""

    def __init__(self, worker: Worker, filler: Filler) -> None:
        self._worker = worker
        self._filler = filler

    async def jobs(self, wanted: Wanted) -> tuple[bool, list[dict[str, object]]]:
        """Whether the backfill is paused, and these jobs of it as plain values.  Raises `QueueError`."""
        entries = await self._worker.queue.entries(wanted)
        return await self._worker.queue.is_paused(), [entry.fields() for entry in entries]

    async def retry_jobs(self, wanted: Wanted) -> int:
        """Queue these jobs again; gives how many.  Raises `QueueError`."""
        return await self._worker.queue.retry(wanted)

    async def cancel_jobs(self, wanted: Wanted) -> int:
        """Let these jobs be done no more; gives how many.  Raises `QueueError`."""
        return await self._worker.cancel(wanted)

    async def refresh_objects(self, asked: Asked) -> dict[str, int]:
        """Look at the sources of these objects; gives how many jobs are queued, or not for which reason."""
        return dict(self._filler.refresh(asked.paths, self._filler.among(asked)))

    async def bury_objects(self, asked: Asked) -> int:
        """Do not fill these objects; gives how many tombstones there are.  Raises `QueueError`."""
        return await self._filler.bury(asked.paths, asked.for_s, self._filler.among(asked))

    async def pause_jobs(self, is_paused: bool) -> None:
        """Begin no more jobs, or go on.  Raises `QueueError`."""
        await self._worker.queue.pause(is_paused)
