"""Any picture as the model reads it: upright, RGB on white, scaled as the official recipe scales it."""

import io
import math
import re
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import pi_heif
from PIL import Image

from gateway.errors import BadMedia
from gateway.sniff import what

Image.init()  # every plug-in now: `open` would look for a format's by a KeyError, from several threads
pi_heif.register_heif_opener(thumbnails=False)
# Pillow warns of what is wrong with a caller's file: nobody who reads our log can act on it.
warnings.filterwarnings("ignore", module=r"PIL\.")
# Its own guard warns once a process and knows no limit of ours: `_opened` looks at the size before any pixel.
Image.MAX_IMAGE_PIXELS = None
# Beyond 32 MB the system has each piece back as it is freed; pieces of 16, Pillow's own size, stayed with every thread.
Image.core.set_block_size(64 * 1024 * 1024)  # type: ignore[attr-defined]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "HEIF")
MAX_SOURCE_PIXELS = 64_000_000
# A picture larger than this may take 0.7 GB, so they come one after the other.
ALONE_FROM_PIXELS = 16_000_000
# Each scan of a JPEG goes over all of its pixels and may have 20 bytes: a small file could take an hour.
MAX_SCANNED_PIXELS = 20 * MAX_SOURCE_PIXELS
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# Of a TIFF: each tile is read whole, however small the picture.
TILE_WIDTH, TILE_HEIGHT = 322, 323
WHITENED_ROWS = 256
BROKEN = "the picture ({}) is cut off or broken"
STRIPS_FROM_PIXELS = 4_000_000
STRIPS = 4
SHOWN_PIXELS = 480
# Patches of 16 pixels, merged two by two: a token is a square of 32.
PIXELS_PER_SIDE = 32
MAX_RATIO = 200
ORIENTATION = 0x0112
# By EXIF orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_one_large = threading.Lock()


class Picture(NamedTuple):
    """An uncompressed BMP, both sides multiples of 32: an engine's own resize leaves it as it is.

    BMP because PNG takes 60 times as long to write (118 ms against 2 for 1800 tokens), and JPEG would change scores.
    """

    bmp: bytes
    width: int
    height: int


def prepare(data: bytes, *, min_pixels: int, max_pixels: int) -> Picture:
    """Raises BadMedia: not a picture, cut off, too large. Takes up to some 0.7 GB for the largest it reads."""
    with _translated(data), _opened(data) as image, place_for(image.width * image.height, ALONE_FROM_PIXELS):
        image.seek(0)
        image.load()
        turn = _turn(image)
        rgb = _on_white(image)
        if rgb is not image:
            image.close()
        if turn is not None:
            rgb = rgb.transpose(turn)
        size = scaled_size(*rgb.size, min_pixels=min_pixels, max_pixels=max_pixels)
        return _picture(scaled(rgb, size))


def plain(width: int, height: int, color: str) -> Picture:
    """A picture of one color; both sides multiples of 32."""
    return _picture(Image.new("RGB", (width, height), color))


def small_jpeg(picture: bytes | Image.Image) -> bytes:
    """A picture of ours for a person's eye: no side over SHOWN_PIXELS."""
    image = Image.open(io.BytesIO(picture), formats=("BMP",)) if isinstance(picture, bytes) else picture
    image.thumbnail((SHOWN_PIXELS, SHOWN_PIXELS))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


def scaled_size(width: int, height: int, *, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Width and height as qwen-vl-utils' smart_resize gives them: multiples of 32, within the budget, about the shape.

    https://github.com/QwenLM/Qwen3-VL/blob/main/qwen-vl-utils/src/qwen_vl_utils/vision_process.py
    Raises BadMedia for a shape that it refuses.
    """
    if max(width, height) > MAX_RATIO * min(width, height):
        raise BadMedia(f"{width} x {height} pixels: one side is over {MAX_RATIO} times as long as the other")
    unit = PIXELS_PER_SIDE
    wide, high = (max(unit, round(side / unit) * unit) for side in (width, height))
    if wide * high > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        wide, high = (max(unit, math.floor(side / shrink / unit) * unit) for side in (width, height))
    elif wide * high < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        wide, high = (math.ceil(side * grow / unit) * unit for side in (width, height))
    return wide, high


def scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """As qwen-vl-utils scales: PIL's bicubic. A large picture goes in strips, two at a time, to the very same pixels.

    PIL scales the rows first, each for itself, then the columns; it skips a side that keeps its length.
    """
    width, height = image.size
    if width * height < STRIPS_FROM_PIXELS:
        return image.resize(size, Image.Resampling.BICUBIC)
    narrow, small = Image.new("RGB", (size[0], height)), Image.new("RGB", size)

    def scale_rows(top: int, bottom: int) -> None:
        # A copy, since with a `box` PIL would go over the columns too.
        strip = image.crop((0, top, width, bottom)).resize((size[0], bottom - top), Image.Resampling.BICUBIC)
        narrow.paste(strip, (0, top))

    def scale_columns(left: int, right: int) -> None:
        strip = narrow.crop((left, 0, right, height)).resize((right - left, size[1]), Image.Resampling.BICUBIC)
        small.paste(strip, (left, 0))

    with ThreadPoolExecutor(2) as threads:
        for scale, length in ((scale_rows, height), (scale_columns, size[0])):
            edges = [length * strip // STRIPS for strip in range(STRIPS + 1)]
            list(threads.map(scale, edges, edges[1:]))
    return small


def _picture(image: Image.Image) -> Picture:
    out = io.BytesIO()
    image.save(out, "BMP")
    return Picture(out.getvalue(), *image.size)


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # notes that cannot be read are no reason not to look at the picture
        return None


def _on_white(image: Image.Image) -> Image.Image:
    """As RGB, what is transparent white; by rows, so that nothing between the two takes memory."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    white = Image.new("RGB", image.size, "white")
    for top in range(0, image.height, WHITENED_ROWS):
        rows = image.crop((0, top, image.width, min(top + WHITENED_ROWS, image.height)))
        if rows.mode.startswith("I;16"):
            # Pillow's own conversion would clip at 255 what goes to 65535.
            rows = rows.convert("I").point(lambda value: value * (1 / 257)).convert("L")
        if rows.has_transparency_data:
            rows = rows.convert("RGBA")
        white.paste(rows.convert("RGB"), (0, top), rows if rows.mode == "RGBA" else None)
    return white


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:  # a dozen kinds, and each means that it is none of the formats or its header is broken
        kind = what(data)
        broken = kind.startswith("image/") and kind != "image/svg+xml"
        raise BadMedia(BROKEN.format(kind) if broken else f"not a picture (got {kind})") from None
    with image:
        width, height = image.size if image.format != "TIFF" else _with_tile(image)
        if width * height > MAX_SOURCE_PIXELS:
            raise BadMedia(f"{width} x {height} pixels: at most {MAX_SOURCE_PIXELS // 1_000_000} megapixels are read")
        # The quick count first: it finds some in what is no picture too, as in the video that a phone puts behind it.
        most_scans = MAX_SCANNED_PIXELS // (width * height)
        if what(data) == "image/jpeg" and data.count(START_OF_SCAN) > most_scans and _scans(data) > most_scans:
            raise BadMedia("the picture (image/jpeg) has too many scans")
        yield image


def _with_tile(tiff: Any) -> tuple[int, int]:
    tags = tiff.tag_v2
    return max(tiff.width, tags.get(TILE_WIDTH, 0)), max(tiff.height, tags.get(TILE_HEIGHT, 0))


def _scans(jpeg: bytes) -> int:
    place = scans = 0
    while (marker := MARKER.search(jpeg, place + 2)) and marker[0] != END_OF_IMAGE:
        scans += marker[0] == START_OF_SCAN
        place = marker.end() - 2 + int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
    return scans


def place_for(pixels: int, alone_from_pixels: int) -> AbstractContextManager[object]:
    """Waits until no other large picture or video is being read."""
    return _one_large if pixels > alone_from_pixels else nullcontext()


@contextmanager
def _translated(data: bytes) -> Iterator[None]:
    """Pillow and its plug-ins raise whatever their decoders do; the header was read, so the rest is broken."""
    try:
        yield
    except BadMedia:
        raise
    except Exception:
        raise BadMedia(BROKEN.format(what(data))) from None
