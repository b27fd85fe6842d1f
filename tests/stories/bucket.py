"""A bucket that does as the story says: what it was asked is written down, and it may refuse."""

from dataclasses import dataclass, field

from tests.conftest import Exchange


@dataclass
class Bucket:
    """Objects by path; `asked` has method and key of every request."""

    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    refuses: frozenset[str] = frozenset()
    """Methods that are answered 403."""
    lacks: int = 404
    """What is said of a missing object."""
    is_behind: bool = False
    """Nothing that was stored is to be seen."""

    async def __call__(self, exchange: Exchange) -> None:
        key = exchange.target.partition("?")[0].split("/", 2)[2]
        self.asked.append(f"{exchange.method} {key}")
        body = b""
        if exchange.method == "PUT":
            if exchange.field("expect") is not None:
                await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await exchange.reader.readexactly(int(exchange.field("content-length") or 0))
        if exchange.method in self.refuses:
            await exchange.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif exchange.method == "PUT":
            status = 412 if key in self.objects and exchange.field("if-none-match") == "*" else 200
            if status == 200:
                self.objects[key] = body
            await exchange.answer(status, b"")
        elif self.is_behind or key not in self.objects:
            await exchange.answer(self.lacks, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            await self._give(exchange, self.objects[key])

    async def _give(self, exchange: Exchange, body: bytes) -> None:
        first, _, last = (exchange.field("range") or "").removeprefix("bytes=").partition("-")
        if not first:
            await exchange.answer(200, body, etag='"e"')
            return
        if int(first) >= len(body):
            await exchange.answer(416, b"")
            return
        part = body[int(first) : int(last) + 1 if last else None]
        where = f"bytes {first}-{int(first) + len(part) - 1}/{len(body)}"
        await exchange.answer(206, part, content_range=where, etag='"e"')

    def count(self, line: str) -> int:
        """How often it was asked this."""
        return self.asked.count(line)
