"""Pictures as a model reads them: upright, RGB on white, scaled by the official recipe, in a lossless BMP."""

import io
import re
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import pi_heif
from PIL import Image

from gateway.errors import BadMedia
from gateway.media.sniff import mime_of
from gateway.media.vision import MediaOptions

Image.init()  # every plug-in now: `open` would look for a format's by a KeyError, from several threads
pi_heif.register_heif_opener(thumbnails=False)
# Pillow warns of faults in a caller's file: nobody who reads our log can act on them.
warnings.filterwarnings("ignore", module=r"PIL\.")
# Pillow's bomb check only warns, once per process; `_opened` enforces our limit.
Image.MAX_IMAGE_PIXELS = None

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "HEIF")
MAX_SOURCE_PIXELS = 64_000_000
# A picture larger than this may take 0.7 GB, so they are read one at a time.
ALONE_FROM_PIXELS = 16_000_000
# Pillow arena block size and blocks kept. Reusing blocks saves a fifth of a photo's time.
BLOCKS = (2 * 1024 * 1024, 32)
# For a large picture: blocks over 32 MB go back to the system as soon as they are free.
BLOCKS_ALONE = (64 * 1024 * 1024, 0)
# Each scan of a JPEG goes over all of its pixels and may take 20 bytes of the file: a small one could last an hour.
MAX_SCANNED_PIXELS = 20 * MAX_SOURCE_PIXELS
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# TIFF tags. A tile is decoded whole, so a small image with a huge tile is expensive.
TILE_WIDTH, TILE_HEIGHT = 322, 323
# Rows that are converted at once, so that no second picture of full size takes memory.
ROWS_PER_CONVERSION = 256
STRIPS_FROM_PIXELS = 4_000_000
STRIPS = 16
THUMBNAIL_SIDE = 480
# EXIF tag of the orientation, and what makes each of its values upright.
ORIENTATION = 0x0112
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
    """An uncompressed BMP whose sides are multiples of the model's squares: an engine's own resize leaves it as it is.

    BMP because PNG takes 60 times as long to write (118 ms against 2 for 1800 tokens), and JPEG would change scores.
    """

    bmp: bytes
    width: int
    height: int


def prepare(data: bytes, options: MediaOptions) -> Picture:
    """The picture as the model reads it. Takes up to some 0.7 GB for the largest.

    Raises BadMedia: not a picture, cut off, too large, too long and thin.
    """
    with (
        decoding("picture", data, (Exception,)),  # Pillow and its plug-ins raise whatever their decoders do
        _opened(data) as image,
        place_for(image.width * image.height, ALONE_FROM_PIXELS),
    ):
        image.seek(0)
        image.load()
        turn = _turn(image)
        rgb = _on_white(image)
        if rgb is not image:
            image.close()
        if turn is not None:
            rgb = rgb.transpose(turn)
        return _picture(scaled(rgb, options.picture_size(*rgb.size)))


def plain(width: int, height: int, color: str) -> Picture:
    """A picture of one color."""
    return _picture(Image.new("RGB", (width, height), color))


def thumbnail(picture: bytes | Image.Image) -> bytes:
    """A small JPEG of a prepared picture (its BMP) or frame: no side is over THUMBNAIL_SIDE."""
    image = Image.open(io.BytesIO(picture), formats=("BMP",)) if isinstance(picture, bytes) else picture
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


def scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """PIL's bicubic, as in qwen-vl-utils. A large picture goes in strips, two at once, to the very same pixels.

    PIL scales the rows first, each for itself, then the columns; so does this. A photo of 12 megapixels takes a fifth
    less time on two free cores, and a seventh more of their work.
    """
    if image.width * image.height < STRIPS_FROM_PIXELS:
        return image.resize(size, Image.Resampling.BICUBIC)
    narrow = Image.new("RGB", (size[0], image.height))
    small = Image.new("RGB", size)

    def scale_rows(top: int, bottom: int) -> None:
        # A copy, since with a `box` PIL would go over the columns too.
        strip = image.crop((0, top, image.width, bottom))
        narrow.paste(strip.resize((size[0], bottom - top), Image.Resampling.BICUBIC), (0, top))

    def scale_columns(left: int, right: int) -> None:
        strip = narrow.crop((left, 0, right, image.height))
        small.paste(strip.resize((right - left, size[1]), Image.Resampling.BICUBIC), (left, 0))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(scale_rows, *_strips(image.height)))
        list(threads.map(scale_columns, *_strips(size[0])))
    return small


def _strips(length: int) -> tuple[list[int], list[int]]:
    """The first and the last edge of each strip of a side."""
    edges = [length * strip // STRIPS for strip in range(STRIPS + 1)]
    return edges[:-1], edges[1:]


@contextmanager
def decoding(noun: str, data: bytes, raised: tuple[type[Exception], ...]) -> Iterator[None]:
    """Raises BadMedia for what the decoders of `data` raise inside. noun: "picture" or "video", for the message."""
    try:
        yield
    except BadMedia:
        raise
    except raised:
        raise broken(noun, data) from None


def broken(noun: str, data: bytes) -> BadMedia:
    """The error for a file of a kind that is read, whose content cannot be."""
    return BadMedia(f"the {noun} ({mime_of(data)}) is cut off or broken")


@contextmanager
def place_for(pixels: int, alone_from_pixels: int) -> Iterator[None]:
    """Waits until no other large picture or video is being read."""
    if pixels <= alone_from_pixels:
        yield
        return
    with _one_large:
        _use(*BLOCKS_ALONE)
        try:
            yield
        finally:
            _use(*BLOCKS)


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """The picture with its header read and its size checked, no pixel decoded. Raises BadMedia."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:  # a dozen kinds, and each means that it is none of the formats or its header is broken
        kind = mime_of(data)
        if kind.startswith("image/") and kind != "image/svg+xml":
            raise broken("picture", data) from None
        raise BadMedia(f"not a picture (got {kind})") from None
    with image:
        width, height = image.size if image.format != "TIFF" else _with_tile(image)
        if width * height > MAX_SOURCE_PIXELS:
            limit = MAX_SOURCE_PIXELS // 1_000_000
            raise BadMedia(f"{width} x {height} pixels: at most {limit} megapixels are read", code="media_too_large")
        # The quick count first. It finds some outside the picture too, as in the video that a phone puts behind it.
        most_scans = MAX_SCANNED_PIXELS // (width * height)
        if mime_of(data) == "image/jpeg" and data.count(START_OF_SCAN) > most_scans and _scans(data) > most_scans:
            raise BadMedia("the picture (image/jpeg) has too many scans", code="media_too_large")
        yield image


def _with_tile(tiff: Any) -> tuple[int, int]:
    """Width and height of a TIFF or of its tiles, whichever is larger."""
    tags = tiff.tag_v2
    return max(tiff.width, tags.get(TILE_WIDTH, 0)), max(tiff.height, tags.get(TILE_HEIGHT, 0))


def _scans(jpeg: bytes) -> int:
    """The number of scans of a JPEG, by its markers."""
    place = scans = 0
    while (marker := MARKER.search(jpeg, place + 2)) and marker[0] != END_OF_IMAGE:
        scans += marker[0] == START_OF_SCAN
        place = marker.end() - 2 + int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
    return scans


def _turn(image: Image.Image) -> Image.Transpose | None:
    """The transposition that makes a picture upright, if it needs one."""
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # notes that cannot be read are no reason not to look at the picture
        return None


def _on_white(image: Image.Image) -> Image.Image:
    """The picture as RGB, over white where it is transparent."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    white = Image.new("RGB", image.size, "white")
    for top in range(0, image.height, ROWS_PER_CONVERSION):
        rows = image.crop((0, top, image.width, min(top + ROWS_PER_CONVERSION, image.height)))
        if rows.mode.startswith("I;16"):
            # Pillow's own conversion would clip at 255 what goes to 65535.
            rows = rows.convert("I").point(lambda value: value * (1 / 257)).convert("L")
        if rows.has_transparency_data:
            rows = rows.convert("RGBA")
        white.paste(rows.convert("RGB"), (0, top), rows if rows.mode == "RGBA" else None)
    return white


def _picture(image: Image.Image) -> Picture:
    out = io.BytesIO()
    image.save(out, "BMP")
    return Picture(out.getvalue(), *image.size)


def _use(block_bytes: int, kept: int) -> None:
    """Sets Pillow's arena for the whole process: a picture that is read meanwhile just gets other blocks."""
    core: Any = Image.core  # type: ignore[attr-defined]
    core.set_block_size(block_bytes)
    core.set_blocks_max(kept)


_use(*BLOCKS)
