"""A server in front of moto that fails as the test says: hangs, answers with errors, is not there."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.conftest import Exchange, closed

Mood = Callable[[str], int | str | None]
"""What becomes of an action, e.g. "SendMessageBatch": a status, an error's code, "hang"; None: it is done."""


def well(action: str) -> None:
    """Everything is done."""


@dataclass
class Moody:
    """The script of an origin (see `scripted`)."""

    upstream: str
    mood: Mood = well
    asked: list[str] = field(default_factory=list)

    async def __call__(self, exchange: Exchange) -> None:
        body = await exchange.reader.readexactly(int(exchange.field("content-length") or 0))
        action = (exchange.field("x-amz-target") or "").rpartition(".")[2]
        self.asked.append(action)
        mood = self.mood(action)
        if mood == "hang":
            await asyncio.Event().wait()
        elif isinstance(mood, int):
            await exchange.answer(mood, b"<html>", content_type="text/html")
        elif mood is not None:
            told = json.dumps({"__type": f"com.amazonaws.sqs#{mood}", "message": "as the test wants it"})
            await exchange.answer(400, told.encode(), content_type="application/x-amz-json-1.0")
        else:
            host, _, port = self.upstream.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(exchange.head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + body)
                await exchange.send(await reader.read())
            finally:
                await closed(writer)
            exchange.writer.close()
