"""The examples are complete: every file exists, is small and readable, and equals the drawing of `draw`."""

from pathlib import Path

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from ui.examples import PRODUCTS, RERANK, draw, path
from ui.products import parse

FILES = [*draw.PICTURES, "dog_beach.mp4"]


def test_every_named_file_is_there_and_every_file_is_named() -> None:
    assert {name for example in RERANK for name in (*example.query_files, *example.media)} == set(FILES)
    assert all(Path(path(name)).is_file() for name in FILES)
    assert sum(Path(path(name)).stat().st_size for name in FILES) <= 250_000


@pytest.mark.parametrize("name", draw.PICTURES)
def test_a_picture_is_the_one_that_is_drawn(name: str) -> None:
    with Image.open(path(name)) as kept:
        drawn = draw.PICTURES[name]()
        assert (kept.format, kept.mode, kept.size) == ("JPEG", "RGB", drawn.size)
        # JPEG changes pixels a little. Another picture would differ a lot.
        assert max(ImageStat.Stat(ImageChops.difference(kept, drawn)).mean) < 6


def test_the_video_is_five_seconds_of_h264_that_plays_before_it_has_all_come(tmp_path: Path) -> None:
    draw.film(tmp_path / "drawn.mp4")
    for file in (Path(path("dog_beach.mp4")), tmp_path / "drawn.mp4"):
        data = file.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")
        with av.open(str(file)) as video:
            stream = video.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert (stream.width, stream.height, stream.frames) == (*draw.FILM, draw.SECONDS * draw.FRAMES_PER_S)
            assert stream.duration is not None
            assert stream.time_base is not None
            assert float(stream.duration * stream.time_base) == draw.SECONDS
            frames: list[Image.Image] = [frame.to_image() for frame in video.decode(stream)]  # type: ignore[no-untyped-call]
        for one, next_second in zip(frames[::25], frames[25::25], strict=False):
            assert max(ImageStat.Stat(ImageChops.difference(one, next_second)).mean) > 1


def test_each_example_has_something_to_rank() -> None:
    for example in RERANK:
        assert example.query
        assert len(example.texts) + len(example.media) >= 6
        assert len(set(example.texts)) == len(example.texts)
    for _label, query, pasted in PRODUCTS:
        assert query
        assert len(parse(pasted)) == 8
    assert parse(PRODUCTS[1][2])[2].text.endswith("category: Audio\nprice: 189.00")
