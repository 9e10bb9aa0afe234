"""Any picture as the model reads it: upright, RGB on white, scaled as the official recipe scales it."""

import io
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import pi_heif
from PIL import Image, ImageOps

from gateway.errors import BadMedia
from gateway.sniff import what

Image.init()  # every plug-in now: `open` would look for a format's by a KeyError, from several threads
pi_heif.register_heif_opener(thumbnails=False)
# Pillow's own guard warns once a process and knows no limit of ours: `_opened` looks at the size before any pixel.
Image.MAX_IMAGE_PIXELS = None

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "HEIF")
MAX_SOURCE_PIXELS = 64_000_000
STRIPS_FROM_PIXELS = 4_000_000
STRIPS = 4
SHOWN_PIXELS = 480
# Patches of 16 pixels, merged two by two: a token is a square of 32.
PIXELS_PER_SIDE = 32
MAX_RATIO = 200


class Picture(NamedTuple):
    """An uncompressed BMP, both sides multiples of 32: an engine's own resize leaves it as it is.

    BMP because PNG takes 60 times as long to write (118 ms against 2 for 1800 tokens), and JPEG would change scores.
    """

    bmp: bytes
    width: int
    height: int


def prepare(data: bytes, *, min_pixels: int, max_pixels: int) -> Picture:
    """Raises BadMedia: not a picture, cut off, too large. Takes up to some 300 MB for the largest it reads."""
    with _translated(data), _opened(data) as image:
        image.seek(0)
        ImageOps.exif_transpose(image, in_place=True)
        rgb = _on_white(image)
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
    edges = [height * strip // STRIPS for strip in range(STRIPS + 1)]
    narrow = Image.new("RGB", (size[0], height))

    def scale_rows(top: int, bottom: int) -> None:
        box = (0, top, width, bottom)
        narrow.paste(image.resize((size[0], bottom - top), Image.Resampling.BICUBIC, box), (0, top))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(scale_rows, edges, edges[1:]))
    return narrow.resize(size, Image.Resampling.BICUBIC)


def _picture(image: Image.Image) -> Picture:
    out = io.BytesIO()
    image.save(out, "BMP")
    return Picture(out.getvalue(), *image.size)


def _on_white(image: Image.Image) -> Image.Image:
    """As RGB, what is transparent white."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I;16"):
        # Pillow's own conversion would clip at 255 what goes to 65535.
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L").convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", rgba.size, (255, 255, 255))
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image.convert("RGB")


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:  # a dozen kinds, and each means that it is none of the formats or its header is broken
        raise BadMedia(f"not a picture (got {what(data)})") from None
    with image:
        width, height = image.size
        if width * height > MAX_SOURCE_PIXELS:
            raise BadMedia(f"{width} x {height} pixels: at most {MAX_SOURCE_PIXELS // 1_000_000} megapixels are read")
        yield image


@contextmanager
def _translated(data: bytes) -> Iterator[None]:
    """Pillow and its plug-ins raise whatever their decoders do; the header was read, so the rest is broken."""
    try:
        yield
    except BadMedia:
        raise
    except Exception:
        raise BadMedia(f"the picture ({what(data)}) is cut off or broken") from None
