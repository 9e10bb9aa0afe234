"""Pictures made byte by byte, since no library writes such files, and videos of numbered frames."""

import io
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
from PIL import Image


def png(
    width: int, height: int, *, depth: int, color_type: int, rows: bytes, chunks: Sequence[tuple[bytes, bytes]] = ()
) -> bytes:
    """rows: the samples of each row, behind its filter byte. color_type: 0 gray, 2 RGB, 3 palette, 4 LA, 6 RGBA."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def heic(image: Image.Image, *, quarter_turns: int = 0, claims: tuple[int, int] | None = None) -> bytes:
    """A HEIC like a phone's: one HEVC picture.

    quarter_turns: by so many a viewer turns it against the clock. claims: the size in its header, if not the picture's.
    """
    context = av.CodecContext.create("libx265", "w")
    context.width, context.height = image.size
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1)
    context.options = {"x265-params": "log-level=none:repeat-headers=1:info=0", "crf": "4", "preset": "ultrafast"}
    frame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]
    stream = b"".join(map(bytes, [*context.encode(frame), *context.encode(None)]))
    units = [unit.rstrip(b"\0") for unit in stream.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]
    kinds: dict[int, list[bytes]] = {}
    for unit in units:
        kinds.setdefault(unit[0] >> 1 & 63, []).append(unit)
    arrays = [(kind, kinds[kind]) for kind in (32, 33, 34)]  # VPS, SPS, PPS
    slices = b"".join(struct.pack(">I", len(unit)) + unit for kind in kinds if kind < 32 for unit in kinds[kind])
    config = b"\1\1\x60\0\0\0\x90\0\0\0\0\0\x3c\xf0\0\xfc\xfd\xf8\xf8\0\0\x0f" + bytes([len(arrays)])
    for kind, members in arrays:
        config += struct.pack(">BH", 0x80 | kind, len(members))
        config += b"".join(struct.pack(">H", len(unit)) + unit for unit in members)
    width, height = claims or image.size
    properties = _box(b"hvcC", config) + _box(b"ispe", struct.pack(">III", 0, width, height))
    properties += _box(b"irot", bytes([quarter_turns])) if quarter_turns else b""
    used = [0x81, 2, 0x83][: 3 if quarter_turns else 2]
    head = _box(b"ftyp", b"heic\0\0\0\0mif1heic")

    def meta(offset: int) -> bytes:
        return _box(
            b"meta",
            b"\0\0\0\0"
            + _box(b"hdlr", b"\0\0\0\0\0\0\0\0pict" + bytes(13))
            + _box(b"pitm", b"\0\0\0\0\0\1")
            + _box(b"iinf", b"\0\0\0\0\0\1" + _box(b"infe", b"\2\0\0\0\0\1\0\0hvc1\0"))
            + _box(b"iloc", b"\0\0\0\0\x44\0\0\1\0\1\0\0\0\1" + struct.pack(">II", offset, len(slices)))
            + _box(
                b"iprp",
                _box(b"ipco", properties) + _box(b"ipma", b"\0\0\0\0\0\0\0\1\0\1" + bytes([len(used), *used])),
            ),
        )

    return head + meta(len(head) + len(meta(0)) + 8) + _box(b"mdat", slices)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def tiff(data: bytes = b"", **tags: int) -> bytes:
    """A TIFF of one directory with these tags (their names are in TIFF_TAGS), of 32 bits each, and the data at 512."""
    entries = sorted((TIFF_TAGS[name], value) for name, value in tags.items())
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in entries)
    return (b"II*\0\x08\0\0\0" + directory).ljust(512, b"\0") + data


TIFF_TAGS = {
    "width": 256,
    "height": 257,
    "bits": 258,
    "compression": 259,
    "color": 262,
    "strip": 273,
    "samples": 277,
    "rows": 278,
    "strip_bytes": 279,
    "tile_width": 322,
    "tile_height": 323,
    "tile": 324,
    "tile_bytes": 325,
}

SIDE = 64
RATE = 10
BITS = 8
SETTINGS = {
    "libx264": {"preset": "veryfast"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
    "libvpx-vp9": {"cpu-used": "8", "deadline": "realtime"},
    "libvpx": {"cpu-used": "8", "deadline": "realtime"},
}


def numbered(number: int) -> Image.Image:
    """A picture that any codec leaves readable: the number's bits as bars, the lowest first."""
    image = Image.new("RGB", (SIDE, SIDE))
    for bit in range(BITS):
        image.paste("white" if number >> bit & 1 else "black", (bit * 8, 0, bit * 8 + 8, SIDE))
    return image


def film(
    images: Sequence[Image.Image] | int = 40,
    *,
    codec: str = "libx264",
    kind: str = "mp4",
    rate: int = RATE,
    times_ms: Sequence[int] = (),
    sound: str = "",
    muxer: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> bytes:
    """A video of so many numbered frames, or of these. times_ms: the moment of each, if not every 1 / rate s."""
    images = [numbered(place) for place in range(images)] if isinstance(images, int) else images
    out = io.BytesIO()
    with av.open(out, "w", format=kind, options=muxer or {}) as container:
        stream: Any = None
        if images:
            settings = SETTINGS.get(codec, {}) | (options or {})
            stream = container.add_stream(codec, rate=rate, options=settings)
            stream.width, stream.height = images[0].size
            stream.pix_fmt = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le"}.get(codec, "yuv420p")
            stream.codec_context.thread_count = 1
            if times_ms:
                stream.codec_context.time_base = Fraction(1, 1000)
        voice: Any = container.add_stream(sound, rate=48000, layout="mono") if sound else None
        for place, image in enumerate(images):
            frame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]
            frame.pts = times_ms[place] if times_ms else place
            frame.time_base = Fraction(1, 1000 if times_ms else rate)
            container.mux(stream.encode(frame))
        for place in range(50 if voice else 0):
            samples = av.AudioFrame(format=voice.format.name, layout="mono", samples=voice.frame_size or 960)
            for plane in samples.planes:
                plane.update(bytes(plane.buffer_size))
            samples.sample_rate, samples.pts = 48000, place * samples.samples
            container.mux(voice.encode(samples))
        for one in filter(None, (stream, voice)):
            container.mux(one.encode())
    return out.getvalue()
