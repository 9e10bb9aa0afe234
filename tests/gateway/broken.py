"""Files that are no picture or video, only seem to be, or cost more than any: by name, with the message for each."""

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from PIL import Image

from tests.gateway.made import film, heic, png, tiff
from tests.gateway.test_videos import BOMBS, WHOLE


class Broken(NamedTuple):
    """A file sent as a picture or a video. reason: a regular expression of the message behind the field."""

    name: str
    kind: str
    data: bytes
    reason: str


def files() -> list[Broken]:
    return [
        *_others(),
        *_pictures_cut(),
        *_pictures_that_lie(),
        *_pictures_without_content(),
        *_large_pictures(),
        *_videos(),
    ]


PICTURE = Image.effect_noise((160, 128), 90).convert("RGB")
KINDS = {kind: f"image/{kind.lower()}" for kind in ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")}
CUT = r"the picture \({}\) is cut off or broken"
SIGNATURES = {"PNG": 8, "JPEG": 4, "WEBP": 16, "GIF": 6, "AVIF": 32, "BMP": 2, "TIFF": 8, "HEIC": 24}


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noise(count: int) -> bytes:
    return random.Random(count).randbytes(count)


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", bytes(5_000_000))
    return out.getvalue()


OTHERS = {
    "one byte": (b"\x01", "unknown data"),
    "zeros": (bytes(5000), "unknown data"),
    "noise": (b"\0" + noise(5000), "unknown data"),
    "text": (b"a red mug, seen from above", "text"),
    "json": (b'{"error": "not found"}', "text"),
    "a page": (b"<!DOCTYPE html><html><body><img src='a.png'></body></html>", "text/html"),
    "a page with a mark before it": (b"\xef\xbb\xbf\n <html>", "text/html"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', r"image/svg\+xml"),
    "svg in xml": (b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "aaaa">]><svg>&a;</svg>', "XML"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(/etc/passwd) run\n", "text"),
    "pdf": (b"%PDF-1.7\n1 0 obj", "application/pdf"),
    "zip": (zipped(), "application/zip"),
    "gzip": (gzip.compress(bytes(5_000_000)), "application/gzip"),
    "a program": (b"\x7fELF" + bytes(200), "a program"),
    "a program for windows": (b"MZ" + bytes(200), "a program"),
    "mp3": (b"ID3\x04" + bytes(500), "audio/mpeg"),
    "flac": (b"fLaC" + bytes(500), "audio/flac"),
    "wav": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(30), "audio/wav"),
    "ogg": (b"OggS" + bytes(100), "an Ogg stream"),
    "xbm": (b"#define a_width 64\n#define a_height 64\nstatic char a_bits[] = {0x00};", "text"),
    "ppm": (b"P6\n60000 60000\n255\n" + bytes(100), "unknown data"),
    "photoshop": (b"8BPS\0\1" + bytes(500), "unknown data"),
    "icon": (b"\0\0\1\0\1\0" + bytes(500), "unknown data"),
    "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(500), "unknown data"),
}


def _others() -> Iterator[Broken]:
    for name, (data, mime) in OTHERS.items():
        yield Broken(name, "image", data, rf"not a picture \(got {mime}\)")
    for name in ("zeros", "a page", "zip", "mp3"):
        yield Broken(name, "video", OTHERS[name][0], rf"not a video \(got {OTHERS[name][1]}\)")
    yield Broken("a video", "image", WHOLE["mp4"], r"not a picture \(got video/mp4\)")
    yield Broken("a webm", "image", WHOLE["webm"], r"not a picture \(got video/webm\)")
    for kind in ("GIF", "WEBP"):
        frames = saved(PICTURE, kind, save_all=True, append_images=[PICTURE.rotate(90)])
        yield Broken(f"a moving {kind}", "video", frames, rf"not a video \(got {KINDS[kind]}\)")


def _pictures_cut() -> Iterator[Broken]:
    whole = {kind: saved(PICTURE, kind) for kind in KINDS} | {"HEIC": heic(PICTURE)}
    for kind, data in whole.items():
        reason = CUT.format((KINDS | {"HEIC": "image/heic"})[kind])
        yield Broken(f"{kind}, half of it", "image", data[: len(data) // 2], reason)
        yield Broken(f"{kind}, its signature alone", "image", data[: SIGNATURES[kind]], reason)
        yield Broken(f"{kind}, garbage after it", "image", data[: SIGNATURES[kind]] + noise(3000), reason)


def patched(data: bytes, place: int, kind: str, *numbers: int) -> bytes:
    new = struct.pack(kind, *numbers)
    return data[:place] + new + data[place + len(new) :]


def _pictures_that_lie() -> Iterator[Broken]:
    """Files of few bytes, with a header that promises more."""
    of = {kind: saved(PICTURE, kind) for kind in KINDS}
    large = r"\d+ x \d+ pixels: at most 64 megapixels are read"
    jpeg, avif = of["JPEG"], of["AVIF"]
    yield Broken("PNG of 3.6 gigapixels", "image", png(60000, 60000, depth=8, color_type=6, rows=b"\0"), large)
    yield Broken("PNG, the largest there is", "image", png(2**31 - 1, 2**31 - 1, depth=1, color_type=0, rows=b""), "")
    yield Broken(
        "JPEG of 4.3 gigapixels", "image", patched(jpeg, jpeg.index(b"\xff\xc0") + 5, ">HH", 65500, 65500), large
    )
    yield Broken("GIF of 4.3 gigapixels", "image", patched(of["GIF"], 6, "<HH", 65535, 65535), large)
    frame = of["GIF"].index(b"\x2c\0\0\0\0\xa0\0")
    yield Broken("GIF, its frame of 4.3 gigapixels", "image", patched(of["GIF"], frame + 5, "<HH", 65535, 65535), large)
    yield Broken("BMP of 3.6 gigapixels", "image", patched(of["BMP"], 18, "<ii", 60000, 60000), large)
    yield Broken("TIFF of 10 gigapixels", "image", tiff(width=10**5, height=10**5, bits=8, strip=512), large)
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + b"\xff\xff\xff" * 2 + b"ALPH\4\0\0\0" + bytes(4)
    webp = b"RIFF" + struct.pack("<I", 4 + len(extended)) + b"WEBP" + extended
    yield Broken("WebP of 281 terapixels", "image", webp, CUT.format("image/webp"))
    lossless = saved(PICTURE, "WEBP", lossless=True)
    size = lossless.index(b"VP8L") + 9
    yield Broken("WebP of 268 megapixels", "image", patched(lossless, size, "<I", 0x0FFFFFFF), large)
    size = avif.index(b"ispe") + 8
    yield Broken(
        "AVIF of 225 megapixels",
        "image",
        patched(avif, size, ">II", 15000, 15000),
        f"{large}|{CUT}".format("image/avif"),
    )
    yield Broken(
        "HEIC of 3.6 gigapixels", "image", heic(PICTURE, claims=(60000, 60000)), f"{large}|{CUT}".format("image/heic")
    )


def _pictures_without_content() -> Iterator[Broken]:
    """Files of few bytes that are right at their start, and lack what must follow."""
    of = {kind: saved(PICTURE, kind) for kind in ("PNG", "GIF", "JPEG")}
    for name, data in {
        "PNG without pixels": png(64, 64, depth=8, color_type=2, rows=b""),
        "PNG of no height": png(64, 0, depth=8, color_type=2, rows=b""),
        "PNG with a wrong sum": patched(of["PNG"], 29, ">I", 1),
        "PNG with a note of 100 MB": png(
            64,
            64,
            depth=1,
            color_type=0,
            rows=bytes(9 * 64),
            chunks=[(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8), 9))],
        ),
    }.items():
        yield Broken(name, "image", data, CUT.format("image/png"))
    yield Broken("GIF without a frame", "image", of["GIF"][:13] + b";", CUT.format("image/gif"))
    scanless = of["JPEG"][: of["JPEG"].index(b"\xff\xda")] + b"\xff\xd9"
    yield Broken("JPEG without a scan", "image", scanless, CUT.format("image/jpeg"))
    thin = saved(Image.new("RGB", (2, 602)), "PNG")
    yield Broken("a thread", "image", thin, "2 x 602 pixels: one side is over 200 times as long as the other")


def _large_pictures() -> Iterator[Broken]:
    """Files of few bytes and truly many pixels. Those within the limit are read up to where they break."""
    large = r"\d+ x \d+ pixels: at most 64 megapixels are read"
    cut = png(8000, 8000, depth=8, color_type=6, rows=bytes(8000 * (8000 * 4 + 1)))[:-1000]
    yield Broken("PNG of 64 megapixels, cut at its end", "image", cut, CUT.format("image/png"))
    yield Broken(
        "PNG of 625 megapixels", "image", png(25000, 25000, depth=1, color_type=0, rows=bytes(3126 * 25000)), large
    )
    tile = zlib.compress(bytes(10**8), 9)
    names = {"bits": 8, "compression": 8, "color": 1, "samples": 1, "tile": 512, "tile_bytes": len(tile)}
    data = tiff(tile, width=64, height=64, tile_width=30000, tile_height=30000, **names)
    yield Broken("TIFF of 64 pixels a side and one tile of 900 megapixels", "image", data, large)
    strip = {"bits": 8, "compression": 8, "color": 1, "samples": 1, "rows": 2**31, "strip": 512}
    data = tiff(tile, width=8000, height=7900, strip_bytes=2**31, **strip)
    yield Broken("TIFF, its strip of 2 GB", "image", data, CUT.format("image/tiff"))
    data = saved(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xc4", 0, data.rindex(b"\xff\xda"))
    yield Broken(
        "JPEG of 500 scans",
        "image",
        data[:last] + data[last:-2] * 500,
        r"the picture \(image/jpeg\) has too many scans",
    )


def _videos() -> Iterator[Broken]:
    cut = r"the video \(video/(mp4|quicktime|webm)\) is cut off( or broken)?"
    for kind, data in WHOLE.items():
        yield Broken(f"{kind}, half of it", "video", data[: len(data) // 2], cut)
        yield Broken(f"{kind}, its signature alone", "video", data[:32], cut)
        yield Broken(f"{kind}, garbage after it", "video", data[:32] + noise(3000), cut)
    for name, (data, reason) in BOMBS.items():
        yield Broken(name, "video", data, reason.strip("^$"))
    yield Broken("too long", "video", film(63, rate=2), r"lasts 31\.5 s: at most 30 s are read")
    yield Broken("sound", "video", film(0, sound="aac"), "there is no video in it")
    yield Broken("frames overwritten", "video", overwritten(WHOLE["mp4"]), "the video .*is cut off or broken")
    yield Broken("a playlist", "video", b"#EXTM3U\nhttp://127.0.0.1/\n", r"not a video \(got text\)")


def overwritten(mp4: bytes) -> bytes:
    """The file with noise for its frames, and otherwise whole."""
    start = mp4.index(b"mdat") + 4
    end = mp4.index(b"moov") - 4
    return mp4[:start] + noise(end - start) + mp4[end:]
