"""SIGHUP: the pools are read anew from the configuration, and no request is dropped."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from edgeproxy.config import ConfigError
from edgeproxy.config.renewing import needs_restart, pools_in_both, renewed
from edgeproxy.config.schema import Config

Reread: TypeAlias = Callable[[], Config]
"""The configuration as it is now.  Raises `ConfigError`."""


@contextmanager
def hangups(
    config: Config,
    reread: Reread | None,
    change: Callable[[Config], Awaitable[None]],
    say: Callable[[str], None],
) -> Iterator[None]:
    """Until the context ends, have `change` done at each SIGHUP, which is ignored from then on.

    A mistake changes nothing, and is told.
    """
    loop = asyncio.get_running_loop()
    lock = asyncio.Lock()
    tasks: set[asyncio.Task[None]] = set()
    running = config

    async def again() -> None:
        nonlocal running
        assert reread is not None
        async with lock:
            try:
                new = await asyncio.to_thread(reread)
            except ConfigError as error:
                say(f"{error}\nSIGHUP: nothing was changed")
                return
            names = pools_in_both(running, new)
            rest = "; other settings need a restart" if needs_restart(running, new) else ""
            running = renewed(running, new)
            try:
                await change(running)
            except Exception as error:  # told to the operator; requests go on
                say(f"SIGHUP: not everything was changed: {error}")
            else:
                say(f"SIGHUP: pools were read anew: {', '.join(names) or 'there are none'}{rest}")

    def hung_up() -> None:
        task = loop.create_task(again())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if reread is None:
        yield
        return
    loop.add_signal_handler(signal.SIGHUP, hung_up)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        # Who drains has no use for new pools, and is not to be killed by the wish for them.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for task in tasks:
            task.cancel()
