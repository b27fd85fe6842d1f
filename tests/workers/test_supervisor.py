"""The supervisor: a place that is empty is filled, also when that cannot be done at once."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from edgeproxy.backfill.memory import MemoryQueue
from edgeproxy.backfill.queue import Terms
from edgeproxy.clock import SystemClock
from edgeproxy.config.load import parse
from edgeproxy.workers import supervisor
from edgeproxy.workers.channel import Channel
from edgeproxy.workers.supervisor import Slot, Supervisor

CONFIG = "origins: {site: {type: http, url: 'http://localhost'}}\ndefault_behavior: {target_origin: site}"


async def test_a_worker_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when there are too many processes, or open files, for a while."""
    monkeypatch.setattr(supervisor, "_LONGEST_REST_S", 0.0)
    monkeypatch.setattr(supervisor, "_SHORTEST_REST_S", 0.0)
    said: list[str] = []
    queue = MemoryQueue(Terms(1, 1, 1, 1, 1), SystemClock())
    one = Supervisor(parse(CONFIG, {}), [[]], queue, said.append)
    faults = [None, OSError(11, "Resource temporarily unavailable"), None]
    far: list[Channel] = []

    async def answers(what: str, value: Any) -> None:
        return None

    async def born(slot: Slot) -> tuple[Any, Channel]:
        fault = faults.pop(0)
        if fault is not None:
            raise fault
        ends = [Channel(end, answers) for end in socket.socketpair()]
        for end in ends:
            await end.open()
        far.append(ends[1])
        running.append(asyncio.ensure_future(ends[1].run()))
        return SimpleNamespace(pid=7, exitcode=-9, join=lambda: None), ends[0]

    monkeypatch.setattr(one, "_born", born)
    running: list[asyncio.Future[Any]] = []
    keeping = asyncio.ensure_future(one._keep(one._slots[0]))
    assert await one._slots[0].ask("ping") is None
    far[0].close()
    while len(far) < 2:
        await asyncio.sleep(0)
        assert not keeping.done()
    assert await one._slots[0].ask("ping") is None
    assert said == [
        "worker 0 (pid 7) was killed by SIGKILL; another one is started",
        "worker 0 cannot be started (Resource temporarily unavailable); it is tried again",
    ]
    one.is_draining = True
    far[1].close()
    await asyncio.gather(keeping, *running)
