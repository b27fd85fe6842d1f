"""PNG pictures from arithmetic: no image library, no binary files in the repository.

Pixels are painted in whole columns and rows, because one slice assignment costs what a loop over its
pixels does not: all pictures of the lab together take a tenth of a second.
"""

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import cos, pi, sin

Color = tuple[int, int, int]

# Indices into a scene's palette: the sky from its zenith down, then the rings of the disc, then the hills.
_SKY = 208
_RINGS = 12
_HILLS = 5
_STAR = _SKY + _RINGS + _HILLS
_SHADES = 32


@dataclass(frozen=True, slots=True)
class Scene:
    """A landscape: hills under a sky with a sun or a moon."""

    sky: tuple[Color, ...]
    """Colours from the zenith down to the horizon."""
    disc: Color
    """The sun or the moon; its glow is a mixture with the sky."""
    disc_at: tuple[float, float]
    """Where the disc is, as parts of width and height."""
    disc_radius: float
    """Its radius as a part of the height."""
    hills: tuple[Color, Color]
    """The farthest and the nearest hill; those between are mixtures."""
    stars: int = 0
    """How many stars."""


DAWN = Scene(((24, 28, 74), (126, 66, 124), (240, 128, 92), (255, 214, 150)), (255, 244, 214), (0.64, 0.6),
             0.1, ((196, 108, 112), (26, 18, 46)))  # fmt: skip
NIGHT = Scene(((4, 6, 22), (12, 22, 58), (30, 56, 104), (74, 110, 150)), (236, 240, 250), (0.26, 0.24),
              0.07, ((44, 72, 112), (6, 10, 24)), stars=420)  # fmt: skip
AUTUMN = Scene(((88, 142, 178), (160, 196, 204), (236, 222, 178), (250, 196, 110)), (255, 250, 226),
               (0.42, 0.34), 0.085, ((222, 150, 78), (92, 30, 24)))  # fmt: skip


def landscape(scene: Scene, width: int = 960, height: int = 540) -> bytes:
    """`scene` as a PNG with a palette."""
    pixels = bytearray(width * height)
    sky = bytes(y * (_SKY - 1) // height for y in range(height))
    for x in range(width):
        pixels[x::width] = _column(scene, sky, x, width)
    for x, y in _star_places(scene.stars, width, height // 2):
        if pixels[y * width + x] < _SKY:
            pixels[y * width + x] = _STAR
    return png(width, height, bytes(pixels), palette=_palette(scene))


def aurora(width: int = 960, height: int = 540) -> bytes:
    """Northern lights as a true-colour PNG of about 1 MiB.

    The size comes from a film grain in the low bits of every byte, which no compression removes.
    """
    curtain = bytes(round(255 * (0.5 + 0.5 * sin(x / 61) * sin(x / 17)) ** 1.6) for x in range(3 * width))
    shades = [bytes(value * shade // _SHADES for value in range(256)) for shade in range(_SHADES + 1)]
    pixels = bytearray(3 * width * height)
    for y in range(height):
        depth = y / height
        sway = width + round(width * (0.25 * sin(3 * depth + 1) + 0.05 * sin(19 * depth)))
        light = curtain[sway : sway + width]
        row = 3 * width * y
        for channel, strength in enumerate(_aurora_light(depth)):
            pixels[row + channel : row + 3 * width : 3] = light.translate(shades[round(_SHADES * strength)])
    return png(width, height, _with_grain(pixels, mask=0x0F))


def png(width: int, height: int, pixels: bytes, palette: bytes = b"") -> bytes:
    """A PNG file of rows without gaps: one palette index a pixel, or R, G and B if there is no palette.

    PNG Specification (W3C), §5, §11.2.
    """
    stride = len(pixels) // height
    # Filter type 0 in front of every row: the bytes as they are.
    rows = b"".join(b"\0" + pixels[start : start + stride] for start in range(0, len(pixels), stride))
    header = struct.pack(">IIBBBBB", width, height, 8, 3 if palette else 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 3)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(name, data) for name, data in chunks if data or name == b"IEND"
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def mixed(stops: Sequence[Color], part: float) -> Color:
    """The colour at `part` (0 to 1) of the way along `stops`, which are evenly spaced."""
    place = min(max(part, 0.0), 1.0) * (len(stops) - 1)
    index = min(int(place), len(stops) - 2)
    share = place - index
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(*stops[index : index + 2], strict=True))
    return red, green, blue


def _column(scene: Scene, sky: bytes, x: int, width: int) -> bytes:
    """One column of palette indices, from the top."""
    height = len(sky)
    column = bytearray(sky)
    across = abs(x - scene.disc_at[0] * width)
    middle = round(scene.disc_at[1] * height)
    for ring in range(_RINGS):  # from the outermost of the glow to the disc itself
        radius = height * scene.disc_radius * (1 + 0.16 * (_RINGS - 1 - ring))
        if across < radius:
            half = int((radius**2 - across**2) ** 0.5)
            top, bottom = max(middle - half, 0), min(middle + half, height)
            column[top:bottom] = bytes([_SKY + ring]) * (bottom - top)
    ridges = [_ridge(hill, x / width, height) for hill in range(_HILLS)]
    for hill, (top, _) in enumerate(pairwise((*ridges, height))):
        column[top:] = bytes([_SKY + _RINGS + hill]) * (height - top)
    return bytes(column)


def _ridge(hill: int, across: float, height: int) -> int:
    """Where a hill begins, in pixels from the top; the nearer, the lower and the rougher."""
    base = 0.62 + 0.075 * hill
    swell = 0.055 * sin(2 * pi * across * (1.1 + 0.5 * hill) + 1.9 * hill)
    rough = 0.014 * cos(2 * pi * across * (5 + 2.3 * hill) + hill) + 0.004 * sin(
        2 * pi * across * 37 + 3 * hill
    )
    return round(height * (base + swell + rough))


def _palette(scene: Scene) -> bytes:
    sky = [mixed(scene.sky, index / (_SKY - 1)) for index in range(_SKY)]
    behind = mixed(scene.sky, scene.disc_at[1])
    rings = [mixed((behind, scene.disc), (ring / (_RINGS - 1)) ** 2) for ring in range(_RINGS)]
    hills = [mixed(scene.hills, hill / (_HILLS - 1)) for hill in range(_HILLS)]
    return b"".join(bytes(color) for color in (*sky, *rings, *hills, (255, 255, 255)))


def _star_places(count: int, width: int, height: int) -> list[tuple[int, int]]:
    """Scattered places, the same ones every time."""
    noise = hashlib.shake_128(b"stars").digest(8 * count)
    return [(x % width, y % height) for x, y in struct.iter_unpack(">II", noise)]


def _aurora_light(depth: float) -> tuple[float, float, float]:
    """How strongly red, green and blue shine at `depth` (0 = top): violet above green above the dark."""
    rise = sin(pi * min(depth / 0.85, 1.0)) ** 1.2
    violet = max(0.0, 1 - depth / 0.45)
    return 0.55 * rise * violet, 0.95 * rise * (1 - 0.6 * violet), 0.2 + 0.5 * rise * (0.5 + 0.5 * violet)


def _with_grain(pixels: bytes | bytearray, mask: int) -> bytes:
    """`pixels` with noise in the bits of `mask`: one operation on one very large number."""
    noise = hashlib.shake_128(b"grain").digest(len(pixels))
    grain = int.from_bytes(noise, "big") & int.from_bytes(bytes([mask]) * len(pixels), "big")
    return (int.from_bytes(pixels, "big") ^ grain).to_bytes(len(pixels), "big")
