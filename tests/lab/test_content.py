"""The lab's files are real: what they say of themselves is true."""

import struct
import zlib
from pathlib import Path

from edgeproxy.lab.content import CLIP_FRAMES, make_site


def test_the_files_are_the_same_every_time(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    files = make_site(one)
    assert make_site(two) == files
    assert all((one / path).read_bytes() == (two / path).read_bytes() for path in files)
    assert "images/grüner Hügel.png" in files


def test_the_pictures_are_whole_pngs(tmp_path: Path) -> None:
    for path in make_site(tmp_path):
        if not path.endswith(".png"):
            continue
        data = (tmp_path / path).read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        chunks, at = {}, 8
        while at < len(data):
            size, name = struct.unpack(">I4s", data[at : at + 8])
            body = data[at + 8 : at + 8 + size]
            assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(name + body)
            chunks[name] = chunks.get(name, b"") + body
            at += 12 + size
        width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
        channels = 3 if colour == 2 else 1
        assert depth == 8
        assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + channels * width)


def test_the_video_is_a_whole_avi(tmp_path: Path) -> None:
    make_site(tmp_path)
    data = (tmp_path / "video" / "clip.avi").read_bytes()
    kind, size, form = struct.unpack("<4sI4s", data[:12])
    assert (kind, size, form) == (b"RIFF", len(data) - 8, b"AVI ")
    assert 60 * 2**20 < len(data) < 70 * 2**20
    assert data.count(b"00db") == 2 * CLIP_FRAMES, "each frame stands in the movie and in the index"
    movie = data.index(b"movi")
    _, offset, length = struct.unpack("<III", data[data.index(b"idx1") + 12 :][:12])
    assert data[movie + offset : movie + offset + 8] == b"00db" + struct.pack("<I", length)
