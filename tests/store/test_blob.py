"""Bodies in files: every part is what was written, and no damage gets through."""

import asyncio
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeproxy.core.errors import EdgeError
from edgeproxy.store.blob import BLOCK_BYTES, Blob, Sums, TornError, file_bytes

LENGTHS = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 4 * BLOCK_BYTES, 5 * BLOCK_BYTES + 7]


def written(folder: Path, body: bytes, *, steps: int = 10**9) -> Path:
    sums = Sums()
    for start in range(0, len(body), steps):
        sums.feed(body[start : start + steps])
    path = folder / "body"
    path.write_bytes(body + sums.ending())
    return path


def opened(path: Path, damages: list[str]) -> Blob:
    return Blob.opened(path, ThreadPoolExecutor(1), lambda: damages.append("damaged"))


async def read(blob: Blob, first: int, last: int) -> bytes:
    return b"".join([piece async for piece in blob.part(first, last)])


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("steps", [1000, BLOCK_BYTES, 100_000])
async def test_what_is_written_is_read(tmp_path: Path, length: int, steps: int) -> None:
    body = random.Random(length).randbytes(length)
    path = written(tmp_path, body, steps=steps)
    blob = opened(path, [])
    assert (len(blob), blob.whole(), await read(blob, 0, length - 1)) == (length, body, body)
    assert path.stat().st_size <= file_bytes(length)
    path.unlink()
    assert await read(blob, 0, length - 1) == body


@given(st.sampled_from(LENGTHS[1:]), st.data())
def test_any_part(length: int, data: st.DataObject) -> None:
    body = random.Random(length).randbytes(length)
    first = data.draw(st.integers(0, length - 1))
    last = data.draw(st.integers(first, length - 1))
    with tempfile.TemporaryDirectory() as folder:
        blob = opened(written(Path(folder), body), [])
        assert asyncio.run(read(blob, first, last)) == body[first : last + 1]


@given(st.sampled_from(LENGTHS), st.integers(0), st.integers(0, 255), st.sampled_from(["set", "cut", "add"]))
@example(BLOCK_BYTES, BLOCK_BYTES, 0, "set")
@example(0, 0, 0, "cut")
def test_no_damage_gets_through(length: int, place: int, byte: int, how: str) -> None:
    """Wherever a byte is changed, the file cut or more added: what is read is right, or is refused."""
    body = random.Random(length).randbytes(length)
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), body)
        data = path.read_bytes()
        at = place % len(data)
        changed = {
            "set": data[:at] + bytes([byte]) + data[at + 1 :],
            "cut": data[:at],
            "add": data[:at] + bytes([byte]) + data[at:],
        }[how]
        path.write_bytes(changed)
        damages: list[str] = []
        try:
            blob = opened(path, damages)
        except TornError:
            assert changed != data
            return
        try:
            assert asyncio.run(read(blob, 0, len(blob) - 1)) == body
        except EdgeError as error:
            damages.append(error.reason)
        assert damages in ([], ["damaged", "disk-damaged"])
