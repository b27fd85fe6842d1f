"""The files of the lab's full origin: real ones, made on the spot, the same every time."""

import json
import struct
from pathlib import Path

from edgeproxy.lab.picture import AUTUMN, DAWN, NIGHT, aurora, landscape

CLIP_FRAMES = 288
_CLIP_WIDTH, _CLIP_HEIGHT, _CLIP_RATE = 320, 240, 24

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>edgeproxy lab</title>
<link rel="icon" href="/images/mark.svg">
<style>
  body { margin: 3rem auto; max-width: 62rem; padding: 0 1rem; font: 1.05rem/1.6 Georgia, serif; color: #222 }
  h1 { font-weight: normal }
  code { font-size: .9em; background: #f2efe9; padding: .1em .3em; white-space: nowrap }
  .pictures { display: grid; grid-template-columns: repeat(2, 1fr); gap: 1rem }
  figure { margin: 0 } img { width: 100%; display: block } figcaption { font-size: .85rem; color: #777 }
</style>
<h1>It works</h1>
<p>The pictures below came through the gateway. The first time the full origin served them; meanwhile they
were copied into the bucket, and from now on they come from the cache. Reload, and look at the terminal, or at
the <code>X-Cache</code> and <code>Cache-Status</code> fields in the network tab.</p>
<div class="pictures">
PICTURES
</div>
<p>Also here: <a href="/text/story.txt">a text</a>, <a href="/data/pictures.json">some JSON</a>,
<a href="/video/clip.avi">a video</a> of 63 MiB, and <a href="/api/time">an API</a> that is never cached.</p>
</html>
"""

_STORY = """\
A request came to the edge at night and asked for a picture.

"I have not seen it," said the cache, "but I shall remember that you asked." So the request was sent on to
the bucket, which is large and quiet, and keeps what it is given. "There is no such key," said the bucket, and
being polite it said so in XML.

Then the request went all the way to the full origin, which was old and busy and far away, and knew
everything. It gave the picture at once. On the way back the cache took a look and kept a copy; and behind
everybody's back somebody carried the same bytes to the bucket, counted them twice, and put them where the
next night's request would find them.

Since then nobody has asked the full origin for that picture. It is said to be grateful.
"""

_MARK = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">
<circle cx="32" cy="32" r="30" fill="#1b2a49"/>
<path d="M14 38a18 18 0 0 1 36 0" fill="none" stroke="#ffd696" stroke-width="5"/>
<path d="M8 44h48" stroke="#f0805c" stroke-width="5"/></svg>
"""

_FIGURE = '  <figure><img src="/{path}" alt=""><figcaption>{path}, {size:,} bytes</figcaption></figure>'


def make_site(folder: Path) -> list[str]:
    """Write the files into `folder`; gives their paths, as in a URL before escaping, sorted."""
    pictures = {
        "images/dawn.png": landscape(DAWN),
        "images/night.png": landscape(NIGHT),
        "images/autumn.png": landscape(AUTUMN),
        "images/aurora.png": aurora(),
    }
    figures = (_FIGURE.format(path=path, size=len(picture)) for path, picture in pictures.items())
    files: dict[str, bytes] = {
        **pictures,
        # A space and a letter outside ASCII: keys like this one have to come through unharmed.
        "images/grüner Hügel.png": landscape(DAWN, 320, 180),
        "images/mark.svg": _MARK.encode(),
        "index.html": _PAGE.replace("PICTURES", "\n".join(figures)).encode(),
        "text/story.txt": _STORY.encode(),
        "data/pictures.json": json.dumps({path: len(picture) for path, picture in pictures.items()}).encode(),
    }
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    _write_clip(folder / "video" / "clip.avi")
    return sorted([*files, "video/clip.avi"])


def _write_clip(place: Path) -> None:
    """A real video of 63 MiB: uncompressed AVI, a bar that wanders through a dusk, 12 seconds.

    Microsoft, "AVI RIFF File Reference".
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    row_bytes = _CLIP_WIDTH * 3
    frame_bytes = row_bytes * _CLIP_HEIGHT
    # Rows stand bottom up and pixels are BGR in this format.
    rows = [
        bytes((80 + y // 2, 40 + y // 3, min(255, 60 + 2 * y // 3))) * _CLIP_WIDTH
        for y in range(_CLIP_HEIGHT)
    ]
    dusk = b"".join(reversed(rows))
    bar = b"\xe6\xf4\xff" * 8
    header = _riff_list(b"hdrl", _avi_header(frame_bytes) + _riff_list(b"strl", _stream_headers(frame_bytes)))
    movie_bytes = 4 + CLIP_FRAMES * (8 + frame_bytes)
    index_bytes = 16 * CLIP_FRAMES
    with place.open("wb") as file:
        total = 4 + len(header) + 8 + movie_bytes + 8 + index_bytes
        file.write(b"RIFF" + struct.pack("<I", total) + b"AVI " + header)
        file.write(b"LIST" + struct.pack("<I", movie_bytes) + b"movi")
        for number in range(CLIP_FRAMES):
            frame = bytearray(dusk)
            left = 3 * (number * (_CLIP_WIDTH - 8) // CLIP_FRAMES)
            for y in range(_CLIP_HEIGHT // 4, _CLIP_HEIGHT // 2):
                start = y * row_bytes + left
                frame[start : start + len(bar)] = bar
            file.write(b"00db" + struct.pack("<I", frame_bytes))
            file.write(frame)
        file.write(b"idx1" + struct.pack("<I", index_bytes))
        for number in range(CLIP_FRAMES):
            file.write(b"00db" + struct.pack("<III", 0x10, 4 + number * (8 + frame_bytes), frame_bytes))


def _riff(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content


def _riff_list(name: bytes, content: bytes) -> bytes:
    return _riff(b"LIST", name + content)


def _avi_header(frame_bytes: int) -> bytes:
    fields = (1_000_000 // _CLIP_RATE, frame_bytes * _CLIP_RATE, 0, 0x10, CLIP_FRAMES, 0, 1, frame_bytes)
    return _riff(b"avih", struct.pack("<14I", *fields, _CLIP_WIDTH, _CLIP_HEIGHT, 0, 0, 0, 0))


def _stream_headers(frame_bytes: int) -> bytes:
    timing = struct.pack("<8I", 0, 1, _CLIP_RATE, 0, CLIP_FRAMES, frame_bytes, 0xFFFFFFFF, 0)
    header = b"vidsDIB " + struct.pack("<IHHI", 0, 0, 0, 0) + timing[4:]
    header += struct.pack("<4H", 0, 0, _CLIP_WIDTH, _CLIP_HEIGHT)
    picture = struct.pack("<IiiHHIIiiII", 40, _CLIP_WIDTH, _CLIP_HEIGHT, 1, 24, 0, frame_bytes, 0, 0, 0, 0)
    return _riff(b"strh", header) + _riff(b"strf", picture)
