"""A real `edgeproxy serve` or `worker` in a process of its own, to be signalled and measured."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Served:
    """The process, and where it listens."""

    process: asyncio.subprocess.Process
    port: int
    admin: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory_bytes(self, line: str = "VmRSS") -> int:
        """Resident memory now, or its peak (`VmHWM`)."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{line}:\s+(\d+) kB", text)
        assert found is not None
        return int(found[1]) * 1024

    async def ended(self) -> tuple[int, list[str]]:
        """Exit status, and what it said on its way out."""
        assert self.process.stderr is not None
        said = (await self.process.stderr.read()).decode().splitlines()
        return await self.process.wait(), said


@asynccontextmanager
async def working(
    folder: Path, text: str, *options: str, name: str = "worker"
) -> AsyncIterator[asyncio.subprocess.Process]:
    """An `edgeproxy worker` of the configuration `text`, at work until the context ends."""
    path = folder / f"{name}.yaml"
    path.write_text(text)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edgeproxy", "worker", "--config", str(path), *options),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        line = (await process.stderr.readline()).decode()
        assert line.startswith("edgeproxy works at jobs of "), line + (await process.stderr.read()).decode()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def served(folder: Path, text: str, *, before: str = "") -> AsyncIterator[Served]:
    """Serve the configuration `text` until the context ends; killed then if it still runs.

    `before` is what a shell does first, such as setting a limit.
    """
    path = folder / "config.yaml"
    if "server:" not in text:
        text += "\nserver: {listen: '127.0.0.1:0'}"
    path.write_text(text + "\nadmin: {listen: '127.0.0.1:0'}")
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'{before}\nexec "$@"', "sh"),
        *(sys.executable, "-m", "edgeproxy", "serve", "--config", str(path)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        line = (await process.stderr.readline()).decode()
        ports = re.fullmatch(
            r"edgeproxy serves http://127\.0\.0\.1:(\d+) \(admin on http://127\.0\.0\.1:(\d+)\)\n", line
        )
        assert ports is not None, line + (await process.stderr.read()).decode()
        yield Served(process, int(ports[1]), int(ports[2]))
    finally:
        if process.returncode is None:
            process.kill()
        # Its workers, which have the same standard error, may take a moment more.
        if process.stderr is not None:
            await process.stderr.read()
        await process.wait()
