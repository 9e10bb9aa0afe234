"""Drawings of the examples: pictures, and the video of a running dog. `python -m ui.examples.draw` makes the files."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil, copysign, cos, pi, sin
from pathlib import Path

import av
from PIL import Image, ImageDraw, ImageFilter

SIZE = WIDTH, HEIGHT = 640, 427
FILM, FRAMES_PER_S, SECONDS = (640, 360), 25, 5
# Pictures are drawn this many times as large, and shrunk so that their edges are smooth.
_SCALE = 3
_HORIZON, _SHORE = 250, 318
# Depths of the snow line, from right to left.
_TEETH = (1, 1.12, 0.72, 1.12, 0.72, 1.12, 0.72, 1.12, 1)
_Point = tuple[float, float]


def main(folder: Path) -> None:
    for name, picture in PICTURES.items():
        picture().save(folder / name, quality=88, optimize=True)
    film(folder / "dog_beach.mp4")


def film(file: Path) -> None:
    """Write the video in which the dog runs to and fro, once in five seconds."""
    background = _sunset()
    top = HEIGHT - FILM[1]
    with av.open(str(file), "w", options={"movflags": "faststart"}) as out:
        # With one thread the bytes do not depend on the machine's cores.
        options = {"crf": "25", "preset": "slow", "threads": "1"}
        stream = out.add_stream("libx264", rate=FRAMES_PER_S, options=options)
        stream.width, stream.height, stream.pix_fmt = *FILM, "yuv420p"
        for number in range(SECONDS * FRAMES_PER_S):
            turn = 2 * pi * (number / (SECONDS * FRAMES_PER_S) + 0.1)
            way = 140 * cos(turn)
            pen = _Pen(background.copy())
            _foam(pen, turn)
            _woman(pen.at(100, 398, 1.2), wave=sin(4 * turn))
            _dog(pen.at(395 - way, 398, 1.2, facing=copysign(1, sin(turn))), gait=way / 17)
            picture = pen.done().crop((0, top, WIDTH, HEIGHT))
            frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def beach() -> Image.Image:
    pen = _Pen(_sunset())
    _foam(pen, 0)
    _woman(pen.at(200, 406, 1.55), wave=0)
    _dog(pen.at(432, 406, 1.55, facing=-1), gait=0.4)
    return pen.done()


def _sunset() -> Image.Image:
    pen = _Pen(_gradient("#4b3f86", "#c65f8c", "#ff8f6b", "#ffc27a", "#ffc27a"))
    dice = random.Random(7)
    for x, y, width in ((120, 70, 95), (205, 84, 70), (520, 58, 110), (455, 120, 60), (610, 110, 60), (30, 130, 60)):
        for part in range(4):
            pen.oval("#f0907f" if y < 100 else "#ffa877", x + (part - 1.5) * width / 3, y + part % 2 * 4, width / 3, 6)
    pen.soft("#fff0b0", (330, 226), (120, 100), strength=0.75)
    pen.oval("#fff3c4", 330, 222, 44, 44)
    pen.image.paste(_gradient("#e8836f", "#7d5a94", "#35427f", "#2c4a80", height=200), (0, _HORIZON * _SCALE))
    for _ in range(190):
        down = dice.random() ** 1.4
        near = dice.gauss(0, 22 + 50 * down)
        colour = "#ffe2a0" if abs(near) < 40 else "#f4a07c"
        pen.oval(colour, 330 + near, _HORIZON + 2 + down * 66, 5 + 13 * dice.random(), 0.6 + down)
    for x, y, wing in ((468, 150, 9), (492, 138, 7), (440, 166, 6), (150, 165, 7), (172, 156, 6)):
        for side in (-1, 1):
            pen.line("#5a3a62", 1.6, (x, y), (x + side * wing * 0.5, y - wing * 0.5), (x + side * wing, y - wing * 0.3))
    return pen.image


def _foam(pen: "_Pen", turn: float) -> None:
    def edge(offset: float) -> list[_Point]:
        return [(x, _SHORE + offset + 5 * sin(x / 58 + turn) + 3 * sin(x / 23 - turn)) for x in range(-20, 680, 12)]

    for colour, offset in (("#fff1de", -3), ("#b9886f", 2), ("#d9a878", 11 + 2 * sin(turn)), ("#e9bd86", 18)):
        pen.shape(colour, (-20, 450), *edge(offset), (660, 450), smooth=False)
    dice = random.Random(3)
    for _ in range(150):
        pen.oval("#d8a671", dice.uniform(0, WIDTH), dice.uniform(346, HEIGHT), 1.6, 0.7)


def _woman(pen: "_Pen", wave: float) -> None:
    """Draw a woman of height 130 with her feet at the origin. She waves to the right."""
    skin, hair, dress = "#b26a47", "#3b1f22", "#f7f1ea"
    pen.soft("#7a4a3c", (6, 1), (42, 5), strength=0.55)
    pen.shape(hair, (-7, -125), (-17, -112), (-24, -92), (-30, -80), (-14, -82), (-4, -92), (3, -110))
    pen.line("#96553a", 8, (-5, -42), (-10, -20), (-9, -3), (-3, -1))
    pen.line(skin, 8, (5, -42), (9, -21), (8, -2), (15, 0))
    pen.line("#96553a", 6, (-7, -92), (-19, -76), (-12, -62))
    pen.shape("#e0d5d2", (-9, -94), (-8, -70), (-24, -36), (0, -31), (8, -60))
    pen.shape(dress, (-9, -97), (-6, -72), (-18, -38), (4, -33), (22, -40), (9, -72), (9, -97), (0, -99))
    pen.line("#e2574c", 4, (-7, -72), (9, -72))
    pen.line(skin, 6, (6, -93), (24, -99 + 2 * wave), (38 + 2 * wave, -117 + 4 * wave))
    pen.oval(skin, 40 + 2 * wave, -120 + 4 * wave, 4, 5)
    pen.line(skin, 7, (0, -99), (1, -106))
    pen.oval(skin, 3, -114, 10, 12)
    pen.shape(skin, (11, -116), (15.5, -111), (11, -109))
    pen.shape(hair, (11, -122), (3, -129), (-8, -124), (-11, -110), (-8, -100), (-3, -104), (-1, -113), (3, -120))
    pen.oval("#2a1416", 8.5, -115, 1.3, 1.6)
    pen.line("#7d2c2c", 1.4, (7, -107.5), (9.5, -107), (11.5, -108.5))


def _dog(pen: "_Pen", gait: float) -> None:
    """Draw a dog of length 110 that runs to the right. Its middle is above the origin."""
    coat, shade, light = "#d8923f", "#b06f2a", "#f0bf78"
    pen.soft("#7a4a3c", (0, 0), (56, 6), strength=0.55)
    pen = pen.at(0, -2 - 3 * abs(sin(gait)), 1)
    for colour, lag in ((shade, 0.7), (coat, 0.0)):
        for x, hip, knee in ((-27, -28, -0.5), (24, -27, 0.6)):
            swing = 0.75 * sin(gait + lag + (pi * 0.8 if x < 0 else 0))
            bend = knee * (1 + 0.6 * cos(gait + lag))
            middle = (x + 16 * sin(swing), hip + 16 * cos(swing))
            foot = (middle[0] + 16 * sin(swing + bend - knee), middle[1] + 16 * cos(swing + bend - knee))
            pen.line(colour, 9, (x, hip), middle)
            pen.line(colour, 6.5, middle, foot, (foot[0] + 4, foot[1] + 1))
        if colour == shade:
            wag = 5 * sin(2 * gait)
            pen.shape(coat, (-36, -42), (-52, -50), (-68, -60 + wag), (-78, -58 + wag), (-70, -46 + wag), (-48, -36))
            back = ((-42, -40), (-28, -50), (0, -48), (22, -52), (36, -46))
            pen.shape(coat, *back, (36, -30), (20, -20), (-8, -24), (-32, -22))
    pen.shape(light, (20, -34), (34, -44), (38, -30), (22, -19), (4, -22))
    pen.shape(coat, (16, -48), (30, -66), (44, -70), (46, -54), (36, -38), (24, -36))
    pen.line("#d23b3b", 4.5, (28, -60), (40, -49))
    pen.shape(coat, (32, -72), (42, -79), (54, -75), (60, -68), (72, -64), (72, -58), (58, -56), (44, -56), (34, -62))
    pen.shape("#e8788a", (60, -57), (68, -57), (66, -48), (60, -49))
    pen.shape(shade, (36, -76), (45, -74), (44, -60), (36, -54), (30, -62))
    pen.oval("#2b1a16", 53, -69, 2, 2.2)
    pen.oval("#2b1a16", 72, -63, 3.4, 2.8)


def city() -> Image.Image:
    pen = _Pen(_gradient("#0b1238", "#232163", "#6a3a86", "#d2668a", "#d2668a"))
    dice, water = random.Random(11), 330
    for _ in range(130):
        pen.oval("#e8e6ff", dice.uniform(0, WIDTH), dice.uniform(0, 190) * dice.random(), *[dice.uniform(0.5, 1.1)] * 2)
    pen.soft("#fff4d0", (505, 74), (70, 70), strength=0.4)
    pen.oval("#fff6dc", 505, 74, 27, 27)
    for colour, low, high, lit, window in (
        ("#5b3a80", 80, 250, 0.12, "#9a6a9c"),
        ("#2f2760", 70, 210, 0.3, "#f2a65a"),
        ("#13132f", 30, 125, 0.4, "#ffdf8e"),
    ):
        x = -10.0
        while x < WIDTH:
            width = dice.randint(24, 54)
            # Tallest left of the middle: a town grows around its centre.
            height = low + (high - low) * max(0.1, 1 - abs(x - 270) / 380) * dice.uniform(0.45, 1)
            _house(pen.at(x, water, 1), colour, width, height)
            for row in range(int((height - 12) // 11)):
                for column in range(int((width - 7) // 9)):
                    if dice.random() < lit:
                        pen.box(window, x + 5 + column * 9, water - height + 8 + row * 11, 4.5, 6)
            x += width + dice.choice((0, 2, 8))
    pen.mirror(water, "#141a4a")
    return pen.done()


def _house(pen: "_Pen", colour: str, width: float, height: float) -> None:
    pen.box(colour, 0, -height, width, height)
    if height > 80 and width < 42:
        pen.box(colour, width * 0.15, -height - 10, width * 0.7, 11)
        pen.box(colour, width * 0.3, -height - 20, width * 0.4, 11)
        pen.line(colour, 1.8, (width / 2, -height - 18), (width / 2, -height - 46))
        pen.oval("#ff5a5f", width / 2, -height - 46, 1.6, 1.6)
    elif width > 46:
        pen.box(colour, width * 0.2, -height - 9, width * 0.6, 10)


def mountain() -> Image.Image:
    pen = _Pen(_gradient("#4f9be0", "#8cc4ef", "#d5ecfa", "#fbeee0", "#fbeee0"))
    lake, dice = 300, random.Random(5)
    pen.soft("#ffffff", (500, 95), (90, 90), strength=0.7)
    for x, y, width in ((110, 70, 80), (160, 82, 60), (560, 132, 80)):
        for part in range(4):
            pen.oval("#f6fbff", x + (part - 1.5) * width / 3, y - part % 2 * 7, width / 3, 9)
    ridge = [(x, 215 - 30 * sin(x / 70) - 14 * sin(x / 31 + 1)) for x in range(-10, 660, 10)]
    pen.shape("#a9c3dc", (-10, lake), *ridge, (660, lake), smooth=False)
    for x, top, half, rock, dark in (
        (130, 120, 190, "#7f93b0", "#64789a"),
        (520, 140, 180, "#8095b2", "#667a9c"),
        (325, 48, 230, "#6c7f9f", "#4f617f"),
    ):
        peak, right = (x, top), (x + half, lake)
        pen.shape(rock, (x - half, lake), peak, right, smooth=False)
        pen.shape(dark, peak, (x + 14, top + 60), (x - 8, top + 110), (x + 26, lake), right, smooth=False)
        snow, wide = (lake - top) * 0.42, half * 0.42
        teeth = [(x + wide * k / 4, top + snow * deep) for k, deep in zip(range(4, -5, -1), _TEETH, strict=True)]
        pen.shape("#ffffff", peak, *teeth, smooth=False)
        pen.shape("#cfdcec", peak, *teeth[:4], (x + 4, top + snow * 0.72), (x + 12, top + snow * 0.45), smooth=False)
    pen.shape("#4d7f63", (-10, lake), *[(x, lake - 16 - 8 * sin(x / 47)) for x in range(-10, 660, 10)], (660, lake))
    for _ in range(90):
        place = dice.uniform(0, WIDTH)
        _tree(
            pen, place, lake, 14 + 20 * abs(place - 320) / 320 + 8 * dice.random(), dice.choice(("#2f6350", "#3a7058"))
        )
    pen.mirror(lake, "#4f93c4")
    pen.shape("#5e9c54", (-10, 440), (-10, 372), (120, 384), (260, 410), (400, 412), (540, 386), (660, 370), (660, 440))
    for x, y, height in ((38, 412, 150), (92, 424, 100), (598, 414, 165), (548, 426, 105)):
        _tree(pen, x, y, height, "#1f4d3d")
    return pen.done()


def _tree(pen: "_Pen", x: float, y: float, height: float, colour: str) -> None:
    pen.box("#5b4232", x - height * 0.03, y - height * 0.15, height * 0.06, height * 0.15)
    for part in range(4):
        low, wide = y - height * (0.1 + 0.2 * part), height * (0.24 - 0.045 * part)
        pen.shape(colour, (x - wide, low), (x, low - height * 0.36), (x + wide, low), smooth=False)


def headphones() -> Image.Image:
    pen = _Pen(_gradient("#eef1f6", "#e4e8ef", "#d3d9e3"))
    pen.soft("#7c8596", (320, 388), (190, 16), strength=0.7)
    for colour, radius, width in (("#17181c", 140, 30), ("#3c3f47", 149, 5), ("#2a2c32", 128, 10)):
        arc = [(320 - radius * cos(k * pi / 90), 212 - radius * 1.12 * sin(k * pi / 90)) for k in range(91)]
        pen.line(colour, width, *arc)
    for side in (-1, 1):
        cup = pen.at(320 + side * 143, 290, 1, side)
        cup.line("#8b909b", 9, (-1, -86), (6, -60), (8, -20))
        cup.shape("#0f1013", (-44, -70), (-20, -84), (2, -72), (6, 0), (2, 72), (-20, 84), (-44, 70), (-50, 0))
        cup.shape("#2c2e35", (-42, -56), (-30, -66), (-24, 0), (-30, 66), (-42, 56), (-46, 0))
        cup.shape("#1d1e23", (-6, -80), (24, -74), (44, -40), (48, 0), (44, 40), (24, 74), (-6, 80), (-12, 0))
        cup.shape("#33363e", (24, -62), (36, -38), (41, 0), (36, 38), (24, 62), (33, 36), (36, 0), (33, -36))
    pen.oval("#4aa8ff", 476, 338, 3, 3)
    return pen.done()


def mug() -> Image.Image:
    pen = _Pen(_gradient("#f6e9d8", "#f3dfc6", "#ecd0ae"))
    pen.image.paste(_gradient("#b57f50", "#9a653b", height=127), (0, 300 * _SCALE))
    for y in (318, 346, 384):
        pen.line("#8a5932", 1.4, (0, y), (WIDTH, y + 3))
    pen.soft("#5a3519", (330, 372), (150, 15), strength=0.8)
    for colour, width, radius in (("#a81c20", 26, 70), ("#d93a36", 9, 66)):
        handle = [(388 + radius * cos(k * pi / 60), 238 + radius * sin(k * pi / 60)) for k in range(-33, 34)]
        pen.line(colour, width, *handle)
    foot = [(310 + 78 * cos(k * pi / 40), 352 + 20 * sin(k * pi / 40)) for k in range(41)]
    pen.shape("#c9262a", (400, 128), *foot, (220, 128), smooth=False)
    pen.shape("#ab1c21", (400, 128), *foot[:13], (366, 128), smooth=False)
    pen.shape("#ee6a60", (240, 172), (254, 176), (256, 250), (262, 320), (250, 318), (242, 250))
    pen.oval("#e2453f", 310, 128, 90, 22)
    pen.oval("#8f1519", 310, 129, 82, 17)
    pen.oval("#4b2a18", 310, 134, 75, 12)
    pen.oval("#6d4126", 300, 133, 48, 6)
    for x, phase in ((270, 0.0), (310, 1.6), (350, 3.0)):
        steam = [(x + 9 * sin(k / 5 + phase), 108 - k * 3) for k in range(24)]
        pen.line("#fbf4ea", 5, *steam)
    return pen.done()


class _Pen:
    """A pen in a coordinate system with its own origin and scale."""

    def __init__(self, image: Image.Image, origin: _Point = (0, 0), x: float = 1, y: float = 1) -> None:
        self.image, self._origin, self._x, self._y = image, origin, x, y
        self._draw = ImageDraw.Draw(image)

    def at(self, x: float, y: float, size: float, facing: float = 1) -> "_Pen":
        return _Pen(self.image, self._to(x, y), self._x * size * facing, self._y * size)

    def shape(self, colour: str, *points: _Point, smooth: bool = True) -> None:
        self._draw.polygon(self._canvas(_rounded(points) if smooth else points), fill=colour)

    def line(self, colour: str, width: float, *points: _Point) -> None:
        """Draw a line with round ends and joints."""
        width *= self._y * _SCALE
        corners = self._canvas(points)
        self._draw.line(corners, fill=colour, width=round(width), joint="curve")
        for x, y in corners:
            self._draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=colour)

    def box(self, colour: str, x: float, y: float, width: float, height: float) -> None:
        self.shape(colour, (x, y), (x + width, y), (x + width, y + height), (x, y + height), smooth=False)

    def oval(self, colour: str, x: float, y: float, rx: float, ry: float) -> None:
        self.shape(colour, *[(x + rx * cos(k * pi / 24), y + ry * sin(k * pi / 24)) for k in range(48)], smooth=False)

    def soft(self, colour: str, middle: _Point, radii: _Point, *, strength: float) -> None:
        """A glow or a shadow, which fades out towards its edge."""
        (rx, ry), ((left, top),) = radii, self._canvas([middle])
        size = (ceil(abs(2 * rx * self._x) * _SCALE), ceil(2 * ry * self._y * _SCALE))
        # PIL's is black in the middle.
        fading = Image.radial_gradient("L").point(lambda far: round(255 * strength * max(0, 1 - far / 181) ** 1.5))
        self.image.paste(colour, (round(left - size[0] / 2), round(top - size[1] / 2)), fading.resize(size))

    def mirror(self, level: float, tint: str) -> None:
        """Draw water below `level`: the picture above it upside down, half as high, tinted and rippled."""
        width, height = self.image.size
        top = round(level * _SCALE)
        above = self.image.crop((0, 3 * top - 2 * height, width, top)).resize((width, height - top))
        flipped = above.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        water = Image.blend(flipped, Image.new("RGB", above.size, tint), 0.35).filter(ImageFilter.GaussianBlur(3))
        self.image.paste(water, (0, top))
        for y in range(height - top):
            shift = round(_SCALE * (1.6 * sin(y / 4) + 1.2 * sin(y / 11)) * (0.3 + y / 250))
            self.image.paste(water.crop((0, y, width, y + 1)), (shift, top + y))

    def done(self) -> Image.Image:
        return self.image.resize(SIZE, Image.Resampling.BOX)

    def _to(self, x: float, y: float) -> _Point:
        return self._origin[0] + x * self._x, self._origin[1] + y * self._y

    def _canvas(self, points: Iterable[_Point]) -> list[_Point]:
        return [(x * _SCALE, y * _SCALE) for x, y in (self._to(*point) for point in points)]


def _rounded(points: Sequence[_Point]) -> Iterator[_Point]:
    """Points of a closed Catmull-Rom curve through the given ones."""
    count = len(points)
    for k in range(count):
        a, b, c, d = (points[(k + n) % count] for n in (-1, 0, 1, 2))
        for step in range(10):
            t = step / 10
            x, y = (
                0.5 * (2 * q + (r - p) * t + (2 * p - 5 * q + 4 * r - s) * t**2 + (3 * q - p - 3 * r + s) * t**3)
                for p, q, r, s in zip(a, b, c, d, strict=True)
            )
            yield x, y


def _gradient(*colours: str, height: int = HEIGHT) -> Image.Image:
    strip = Image.new("RGB", (1, len(colours)))
    for y, colour in enumerate(colours):
        strip.paste(colour, (0, y, 1, y + 1))
    return strip.resize((WIDTH * _SCALE, height * _SCALE), Image.Resampling.BILINEAR)


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "beach.jpg": beach,
    "city.jpg": city,
    "mountain.jpg": mountain,
    "headphones.jpg": headphones,
    "mug.jpg": mug,
}

if __name__ == "__main__":
    main(Path(__file__).parent)
