"""The process that a function runs in: one event loop and one client of each sort for all its calls.

Lambda freezes a process between two calls and wakes it for the next: what was opened in one loop is of
no use in another, and connections that were open may be gone.
"""

import asyncio
import atexit
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol, TypeAlias

from edgeproxy.aws import client as aws_client
from edgeproxy.lambdas import settings

_KEEPALIVE_S = 5
_MARGIN_S = 0.5
"""How long before Lambda ends a call it is ended in peace."""


class Context(Protocol):
    """What Lambda tells of a call."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the call is cut off."""
        ...


Main: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
Handler: TypeAlias = Callable[[Any, Context], Any]

_runner = asyncio.Runner()
opened = AsyncExitStack()
"""What is kept from call to call; closed with the process, where that is not just killed."""
_clients: dict[tuple[str, ...], Any] = {}


def handler_of(main: Main) -> Handler:
    """`main` as Lambda wants it: a plain function. What it started is over when it returns."""

    def handler(event: Any, context: Context) -> Any:
        return _runner.run(_in_time(main, event, context))

    return handler


async def _in_time(main: Main, event: Any, context: Context) -> Any:
    async with asyncio.timeout(max(0.1, remaining_s(context))):
        return await main(event, context)


def remaining_s(context: Context) -> float:
    """Seconds that may still be spent on this call."""
    return context.get_remaining_time_in_millis() / 1000 - _MARGIN_S


def working_s(context: Context, margin_s: float) -> float:
    """Seconds for work whose end is still to be told, which takes `margin_s`; of a short call the half."""
    left_s = remaining_s(context)
    return max(left_s / 2, left_s - margin_s, 0.1)


async def client(
    service: str, *, region: str | None = None, attempts: int = 3, timeout_s: float = 10.0
) -> Any:
    """The client of an AWS service, made at its first use; `endpoint_url_SERVICE` points it elsewhere."""
    endpoint = settings.text(f"endpoint_url_{service}", default="") or None
    key = (service, region or "", endpoint or "")
    if key not in _clients:
        config = {
            "connect_timeout": min(timeout_s, 5.0),
            "read_timeout": timeout_s,
            "retries": {"mode": "standard", "total_max_attempts": attempts},
            "connector_args": {"keepalive_timeout": _KEEPALIVE_S},
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        made = aws_client(service, region, endpoint, None, config)
        _clients[key] = await opened.enter_async_context(made)
    return _clients[key]


@atexit.register
def _end() -> None:
    _runner.run(opened.aclose())
    _runner.close()


def log(line: str) -> None:
    """One line for CloudWatch, whatever a viewer has put into it."""
    print("".join(char if char.isprintable() else ascii(char)[1:-1] for char in line), flush=True)
