"""Pictures reach the model in every format, upright, on white, and scaled by the official recipe."""

import io
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image, ImageOps, features

from gateway.domain import ScoringOptions
from gateway.errors import BadMedia
from gateway.families.qwen3_vl import VISION
from gateway.media import images
from gateway.media.examples import examples
from gateway.media.vision import Prepared
from tests.gateway.made import heic, png

SIDE = 64
Color = tuple[int, int, int]
R, G, B, Y = (224, 32, 32), (32, 200, 32), (32, 32, 224), (220, 220, 40)
ORIENTATION = 274


def quarters(colors: Sequence[Color] = (R, G, B, Y), *, size: tuple[int, int] = (96, SIDE)) -> Image.Image:
    """Four colors: top left, top right, bottom left, bottom right."""
    image = Image.new("RGB", size)
    wide, high = size[0] // 2, size[1] // 2
    for place, color in enumerate(colors):
        left, top = place % 2 * wide, place // 2 * high
        image.paste(color, (left, top, left + wide, top + high))
    return image


def written(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def read(data: bytes) -> Image.Image:
    picture = images.prepare(data, VISION.options(ScoringOptions()))
    image = Image.open(io.BytesIO(picture.bmp), formats=["BMP"])
    assert (image.mode, image.size) == ("RGB", (picture.width, picture.height))
    return image


def corners(image: Image.Image) -> list[Color]:
    wide, high = image.size
    places = [(wide // 4, high // 4), (wide * 3 // 4, high // 4), (wide // 4, high * 3 // 4)]
    return [image.getpixel(place) for place in (*places, (wide * 3 // 4, high * 3 // 4))]  # type: ignore[misc]


def near(found: Sequence[Color], wanted: Sequence[Color], within: int) -> bool:
    return all(
        abs(one - two) <= within for a, b in zip(found, wanted, strict=True) for one, two in zip(a, b, strict=True)
    )


@pytest.mark.parametrize(
    ("data", "within"),
    [
        pytest.param(written(quarters(), "PNG"), 0, id="png"),
        pytest.param(written(quarters(), "WEBP", lossless=True), 0, id="webp lossless"),
        pytest.param(written(quarters(), "WEBP", quality=90), 8, id="webp"),
        pytest.param(written(quarters().convert("P", palette=Image.Palette.ADAPTIVE), "GIF"), 0, id="gif"),
        pytest.param(written(quarters(), "BMP"), 0, id="bmp"),
        *(
            pytest.param(written(quarters(), "TIFF", compression=how), 0, id=f"tiff {how}")
            for how in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")
        ),
        pytest.param(written(quarters(), "TIFF", compression="jpeg", quality=95), 6, id="tiff jpeg"),
        pytest.param(written(quarters(), "JPEG", quality=95), 6, id="jpeg"),
        pytest.param(written(quarters(), "JPEG", quality=95, progressive=True), 6, id="jpeg progressive"),
        pytest.param(written(quarters(), "MPO", save_all=True, append_images=[quarters((R, R, R, R))]), 8, id="mpo"),
        pytest.param(written(quarters(), "AVIF", quality=95), 8, id="avif"),
        pytest.param(heic(quarters()), 8, id="heic"),
    ],
)
def test_every_format_is_read(data: bytes, within: int) -> None:
    image = read(data)
    assert image.size == (96, SIDE)
    assert near(corners(image), (R, G, B, Y), within)


# EXIF orientations. After each: the side of the picture on which the file's first row lies, then its first column.
LYING = {
    1: (R, G, B, Y),  # top, left
    2: (G, R, Y, B),  # top, right
    3: (Y, B, G, R),  # bottom, right
    4: (B, Y, R, G),  # bottom, left
    5: (R, B, G, Y),  # left, top
    6: (G, Y, R, B),  # right, top
    7: (Y, G, B, R),  # right, bottom
    8: (B, R, Y, G),  # left, bottom
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", LYING)
def test_a_photo_is_held_as_its_exif_says(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    lying = quarters(LYING[orientation], size=(96, SIDE) if orientation < 5 else (SIDE, 96))
    image = read(written(lying, kind, exif=exif, **({"quality": 95} if kind in ("JPEG", "WEBP") else {})))
    assert image.size == (96, SIDE)
    assert near(corners(image), (R, G, B, Y), 10)


def test_a_heic_is_turned_once() -> None:
    image = read(heic(quarters(), quarter_turns=1))
    assert image.size == (SIDE, 96)
    assert near(corners(image), (G, Y, R, B), 8)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xffcut", b"\0" * 40])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_notes_that_cannot_be_read_do_not_spoil_a_picture(kind: str, exif: bytes) -> None:
    assert near(corners(read(written(quarters(), kind, exif=exif))), (R, G, B, Y), 12)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_is_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert corners(read(written(quarters(), "PNG", exif=exif))) == [R, G, B, Y]


def png16(*samples: int, color_type: int) -> bytes:
    row = b"\0" + struct.pack(f">{len(samples)}H", *samples) * SIDE
    return png(SIDE, SIDE, depth=16, color_type=color_type, rows=row * SIDE)


def plain(mode: str, color: Any) -> Image.Image:
    return Image.new(mode, (SIDE, SIDE), color)


def palette(*, transparent: bool) -> bytes:
    image = plain("P", 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    return written(image, "PNG", **({"transparency": b"\xff\x00"} if transparent else {}))


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        pytest.param(written(plain("RGBA", (255, 0, 0, 255)), "PNG"), (255, 0, 0), id="opaque"),
        pytest.param(written(plain("RGBA", (255, 0, 0, 0)), "PNG"), (255, 255, 255), id="transparent"),
        pytest.param(written(plain("RGBA", (255, 0, 0, 51)), "PNG"), (255, 204, 204), id="a fifth"),
        pytest.param(written(plain("RGBA", (255, 0, 0, 51)), "WEBP", lossless=True), (255, 204, 204), id="webp alpha"),
        pytest.param(written(plain("RGBA", (255, 0, 0, 51)), "TIFF"), (255, 204, 204), id="tiff alpha"),
        pytest.param(written(plain("LA", (100, 0)), "PNG"), (255, 255, 255), id="LA transparent"),
        pytest.param(written(plain("LA", (0, 51)), "PNG"), (204, 204, 204), id="LA a fifth"),
        pytest.param(palette(transparent=False), (0, 0, 255), id="palette"),
        pytest.param(palette(transparent=True), (255, 255, 255), id="palette transparent"),
        pytest.param(written(plain("P", 3), "GIF", transparency=3), (255, 255, 255), id="gif transparent"),
        pytest.param(written(plain("RGB", (1, 2, 3)), "PNG", transparency=(1, 2, 3)), (255, 255, 255), id="color key"),
        pytest.param(written(plain("L", 100), "PNG"), (100, 100, 100), id="L"),
        pytest.param(written(plain("L", 100), "PNG", transparency=100), (255, 255, 255), id="L key"),
        pytest.param(written(plain("1", 1), "PNG"), (255, 255, 255), id="1-bit white"),
        pytest.param(written(plain("1", 0), "TIFF"), (0, 0, 0), id="1-bit black"),
        pytest.param(written(plain("CMYK", (0, 255, 255, 0)), "TIFF"), (255, 0, 0), id="CMYK tiff"),
        pytest.param(written(plain("CMYK", (0, 255, 255, 0)), "JPEG", quality=100), (254, 0, 0), id="CMYK jpeg"),
        pytest.param(written(plain("CMYK", (0, 0, 0, 255)), "TIFF"), (0, 0, 0), id="CMYK black"),
        pytest.param(written(plain("I;16", 25700), "PNG"), (100, 100, 100), id="16-bit gray"),
        pytest.param(written(plain("I;16", 65535), "TIFF"), (255, 255, 255), id="16-bit tiff"),
        pytest.param(written(plain("I;16B", 25700), "TIFF"), (100, 100, 100), id="16-bit tiff, big end first"),
        pytest.param(png16(65535, 25700, 0, color_type=2), (255, 100, 0), id="16-bit RGB"),
        pytest.param(png16(65535, 0, 0, 13107, color_type=6), (255, 204, 204), id="16-bit RGBA"),
        pytest.param(png16(0, 13107, color_type=4), (204, 204, 204), id="16-bit LA"),
    ],
)
def test_every_kind_of_color_is_rgb_on_white(data: bytes, wanted: Color) -> None:
    (found,) = {pixel for _, pixel in read(data).getcolors() or []}
    assert near([found], [wanted], 1)  # type: ignore[list-item]


OFFICIAL, SMALLER, SMALLEST = 1800 * 32 * 32, 512 * 512, 4096
# Sizes by smart_resize of transformers 5, and of qwen-vl-utils for a side under 32 pixels, which the other refuses.
SIZES = [
    (OFFICIAL, {(1, 1): (64, 64), (1, 150): (32, 160), (16, 16): (64, 64), (31, 33): (64, 96), (32, 32): (64, 64)}),
    (OFFICIAL, {(47, 49): (64, 96), (48, 80): (64, 64), (80, 112): (64, 128), (100, 300): (96, 288)}),
    (OFFICIAL, {(333, 1777): (320, 1792), (640, 480): (640, 480), (1000, 1000): (992, 992), (2000, 10): (1984, 32)}),
    (OFFICIAL, {(1280, 720): (1280, 704), (1357, 1358): (1344, 1344), (1920, 1080): (1792, 992)}),
    (OFFICIAL, {(4000, 3000): (1536, 1152), (3024, 4032): (1152, 1536), (200, 20000): (128, 13568)}),
    (OFFICIAL, {(8000, 8000): (1344, 1344), (6000, 40): (6016, 32), (3000, 2000): (1632, 1088)}),
    (SMALLER, {(32, 32): (64, 64), (80, 112): (64, 128), (333, 1777): (192, 1152), (640, 480): (576, 416)}),
    (SMALLER, {(1000, 1000): (512, 512), (1357, 1358): (480, 512), (4000, 3000): (576, 416), (200, 20000): (32, 5120)}),
    (SMALLEST, {(80, 112): (32, 64), (333, 1777): (32, 128), (1000, 1000): (64, 64), (4000, 3000): (64, 32)}),
]


@pytest.mark.parametrize(
    ("max_pixels", "size", "wanted"),
    [(budget, size, wanted) for budget, sizes in SIZES for size, wanted in sizes.items()],
)
def test_sizes_are_the_official_ones(max_pixels: int, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert VISION.options(ScoringOptions(max_pixels=max_pixels)).picture_size(*size) == wanted


def test_a_model_with_squares_of_its_own_has_sizes_of_its_own() -> None:
    """Qwen2-VL's are patches of 14 pixels, merged two by two; here it reads at most 1280 of them."""
    profile = replace(VISION, token_side=28, min_pixels=4 * 28 * 28, max_pixels=1280 * 28 * 28)
    options = profile.options(ScoringOptions())
    sizes = {(640, 480): (644, 476), (4000, 3000): (1148, 840), (16, 16): (56, 56)}
    for size, wanted in sizes.items():
        picture = images.prepare(written(Image.new("RGB", size), "PNG"), options)
        assert (picture.width, picture.height) == wanted
        assert profile.tokens(Prepared("", *wanted), len) == wanted[0] * wanted[1] // 28**2 + 2
    for example in examples(profile):
        for blob, prepared in example.items():
            width, height = prepared.width, prepared.height
            if blob.kind == "image":
                assert options.picture_size(width, height) == (width, height)
            else:
                assert options.frame_size(width, height, frames=len(prepared.seconds)) == (width, height)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (640, 480), (300, 2000), (2000, 3001), (3001, 2000)])
def test_pixels_are_the_official_ones(size: tuple[int, int]) -> None:
    """qwen-vl-utils' fetch_image calls `Image.resize` over the whole picture; a large one is scaled in strips here."""
    image = Image.effect_noise(size, 80).convert("RGB")
    image.paste("red", (0, 0, max(1, size[0] // 2), size[1] // 3))
    found = read(written(image, "BMP"))
    assert found.tobytes() == image.resize(found.size).tobytes()


TURNED = Image.Exif()
TURNED[ORIENTATION] = 6


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"restart_marker_blocks": 8}, {"exif": TURNED}])
def test_a_large_photo_has_the_official_pixels_however_it_was_written(how: dict[str, Any]) -> None:
    data = written(Image.effect_noise((2400, 1800), 80).convert("RGB"), "JPEG", **how)
    found = read(data)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert found.tobytes() == upright.resize(found.size).tobytes()
    for share in (0.1, 0.5, 0.98):
        with pytest.raises(BadMedia, match=r"^the picture \(image/jpeg\) is cut off or broken$"):
            read(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    ("size", "refused"), [((1, 200), False), ((200, 1), False), ((1, 201), True), ((402, 2), True)]
)
def test_a_shape_that_the_recipe_refuses_is_named(size: tuple[int, int], *, refused: bool) -> None:
    data = written(Image.new("RGB", size), "PNG")
    if not refused:
        assert min(read(data).size) == 32
        return
    with pytest.raises(BadMedia, match=f"^{size[0]} x {size[1]} pixels: one side is over 200 times as long"):
        read(data)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_of_several_frames_the_first_is_seen(kind: str) -> None:
    frames = [quarters(), quarters((B, B, B, B)), quarters((Y, Y, Y, Y))]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    data = written(frames[0], kind, save_all=True, append_images=frames[1:], **lossless)
    assert near(corners(read(data)), (R, G, B, Y), 8)


def photo(kind: str, **options: Any) -> bytes:
    return written(Image.effect_noise((200, 160), 90).convert("RGB"), kind, **options)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
@pytest.mark.parametrize(
    "whole",
    [
        *(pytest.param(photo(kind), id=kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")),
        pytest.param(photo("JPEG", progressive=True), id="progressive"),
        pytest.param(photo("TIFF", compression="tiff_lzw"), id="tiff lzw"),
        pytest.param(heic(Image.effect_noise((192, 160), 90).convert("RGB")), id="HEIC"),
    ],
)
def test_a_picture_that_is_cut_off_is_refused(whole: bytes, share: float) -> None:
    assert read(whole)
    with pytest.raises(
        BadMedia, match=r"^the picture \(image/[a-z]+\) is cut off or broken$|^not a picture \(got unknown data\)$"
    ):
        read(whole[: int(len(whole) * share)])


def test_formats_that_need_a_library_have_it() -> None:
    assert all(features.check(name) for name in ("jpg", "zlib", "libtiff", "webp", "avif"))
