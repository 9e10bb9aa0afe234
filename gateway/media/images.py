"""Any picture as the model reads it: upright, RGB on white, scaled as the official recipe scales it."""

import io
import re
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import pi_heif
from PIL import Image

from gateway.errors import BadMedia
from gateway.media.sniff import what
from gateway.media.vision import MediaOptions

Image.init()  # every plug-in now: `open` would look for a format's by a KeyError, from several threads
pi_heif.register_heif_opener(thumbnails=False)
# Pillow warns of what is wrong with a caller's file: nobody who reads our log can act on it.
warnings.filterwarnings("ignore", module=r"PIL\.")
# Its own guard warns once a process and knows no limit of ours: `_opened` looks at the size before any pixel.
Image.MAX_IMAGE_PIXELS = None

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "HEIF")
MAX_SOURCE_PIXELS = 64_000_000
# A picture larger than this may take 0.7 GB, so they come one after the other.
ALONE_FROM_PIXELS = 16_000_000
# The size of a piece of Pillow's memory, and how many it keeps: fresh memory costs a fifth of a photo's time. What a
# large picture had goes back: pieces beyond 32 MB do so at once.
PIECES, PIECES_ALONE = (2 * 1024 * 1024, 32), (64 * 1024 * 1024, 0)
# Each scan of a JPEG goes over all of its pixels and may have 20 bytes: a small file could take an hour.
MAX_SCANNED_PIXELS = 20 * MAX_SOURCE_PIXELS
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# Of a TIFF: each tile is read whole, however small the picture.
TILE_WIDTH, TILE_HEIGHT = 322, 323
WHITENED_ROWS = 256
BROKEN = "the picture ({}) is cut off or broken"
STRIPS_FROM_PIXELS = 4_000_000
STRIPS = 16
SHOWN_PIXELS = 480
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


def prepare(data: bytes, options: MediaOptions) -> Picture:
    """Raises BadMedia: not a picture, cut off, too large. Takes up to some 0.7 GB for the largest it reads."""
    with _translated(data), _opened(data) as image, place_for(image.width * image.height, ALONE_FROM_PIXELS):
        image.seek(0)
        if _loads_by_rows(image):
            return _picture(_scaled_while_loading(image, options))
        image.load()
        turn = _turn(image)
        rgb = _on_white(image)
        if rgb is not image:
            image.close()
        if turn is not None:
            rgb = rgb.transpose(turn)
        return _picture(scaled(rgb, options.picture_size(*rgb.size)))


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


def scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """As qwen-vl-utils scales: PIL's bicubic. A large picture goes in strips, two at once, to the very same pixels."""
    if image.width * image.height < STRIPS_FROM_PIXELS:
        return image.resize(size, Image.Resampling.BICUBIC)
    with ThreadPoolExecutor(2) as threads:
        return _Strips(image, size, threads).scaled()


def _loads_by_rows(image: Image.Image) -> bool:
    """Whether it is a large photo that is read from its top to its bottom and seen like that."""
    large = image.width * image.height >= STRIPS_FROM_PIXELS
    return large and (image.format, image.mode) == ("JPEG", "RGB") and _turn(image) is None


def _scaled_while_loading(image: Image.Image, options: MediaOptions) -> Image.Image:
    size = options.picture_size(*image.size)
    with ThreadPoolExecutor(2) as threads:
        strips = _Strips(image, size, threads)
        image.fp.wanted = strips.begin  # type: ignore[attr-defined]  # it is a _File
        image.load()
        return strips.scaled()


class _File(io.BytesIO):
    """Tells when more of it is wanted: all that was read before is decoded then."""

    def wanted(self) -> None:
        pass

    def read(self, size: int | None = -1) -> bytes:
        self.wanted()
        return super().read(size)


class _Strips:
    """A large picture on its way to another size.

    PIL scales the rows first, each for itself, then the columns; it skips a side that keeps its length. So does this.
    """

    def __init__(self, image: Image.Image, size: tuple[int, int], threads: ThreadPoolExecutor) -> None:
        self._image, self._size, self._threads = image, size, threads
        self._narrow = Image.new("RGB", (size[0], image.height))
        self._small = Image.new("RGB", size)
        self._waiting = deque(_edges(image.height))
        self._begun: list[Future[None]] = []

    def begin(self) -> None:
        """With the strips that are decoded by now."""
        while self._waiting and self._is_decoded(self._waiting[0][1] - 1):
            self._begin_next()

    def scaled(self) -> Image.Image:
        """When everything is decoded."""
        while self._waiting:
            self._begin_next()
        for strip in self._begun:
            strip.result()
        list(self._threads.map(lambda columns: self._scale_columns(*columns), _edges(self._size[0])))
        return self._small

    def _is_decoded(self, row: int) -> bool:
        """A decoded pixel has 255 in its fourth byte, which no mode shows; a new image is all zeros."""
        return self._part(0, row, 1, row + 1).tobytes("raw", "RGBX")[3] == 255

    def _begin_next(self) -> None:
        self._begun.append(self._threads.submit(self._scale_rows, *self._waiting.popleft()))

    def _scale_rows(self, top: int, bottom: int) -> None:
        # A copy, since with a `box` PIL would go over the columns too.
        strip = self._part(0, top, self._image.width, bottom)
        self._narrow.paste(strip.resize((self._size[0], bottom - top), Image.Resampling.BICUBIC), (0, top))

    def _scale_columns(self, left: int, right: int) -> None:
        strip = self._narrow.crop((left, 0, right, self._image.height))
        self._small.paste(strip.resize((right - left, self._size[1]), Image.Resampling.BICUBIC), (left, 0))

    def _part(self, left: int, top: int, right: int, bottom: int) -> Image.Image:
        """As `crop`, which would load the image first, while it is being loaded."""
        return self._image._new(self._image.im.crop((left, top, right, bottom)))


def _edges(length: int) -> Iterator[tuple[int, int]]:
    return pairwise(length * strip // STRIPS for strip in range(STRIPS + 1))


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
        image = Image.open(_File(data), formats=FORMATS)
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


@contextmanager
def place_for(pixels: int, alone_from_pixels: int) -> Iterator[None]:
    """Waits until no other large picture or video is being read."""
    if pixels <= alone_from_pixels:
        yield
        return
    with _one_large:
        _use(*PIECES_ALONE)
        try:
            yield
        finally:
            _use(*PIECES)


def _use(piece_bytes: int, kept: int) -> None:
    """Of Pillow as a whole: whoever is at work beside just gets other pieces."""
    core: Any = Image.core  # type: ignore[attr-defined]
    core.set_block_size(piece_bytes)
    core.set_blocks_max(kept)


@contextmanager
def _translated(data: bytes) -> Iterator[None]:
    """Pillow and its plug-ins raise whatever their decoders do; the header was read, so the rest is broken."""
    try:
        yield
    except BadMedia:
        raise
    except Exception:
        raise BadMedia(BROKEN.format(what(data))) from None


_use(*PIECES)
