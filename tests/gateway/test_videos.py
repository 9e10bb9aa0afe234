"""Videos reach the model in every codec, with frames by time, upright and whole; bombs and broken files do not."""

import io
import struct
from dataclasses import replace
from typing import Any

import av
import pytest
from PIL import Image

from gateway.domain import ScoringOptions
from gateway.errors import BadMedia
from gateway.families.qwen3_vl import VISION
from gateway.media import videos
from gateway.media.vision import Prepared
from tests.gateway.made import BITS, RATE, SIDE, film
from tests.gateway.test_pictures import B, G, R, Y, corners, near, quarters


def prepared(data: bytes, *, max_video_s: float = 30.0, **asked: Any) -> videos.Clip:
    """The clip that the model sees, by the official rules unless asked for otherwise."""
    profile = replace(VISION, max_video_s=max_video_s)
    return videos.prepare(data, profile.options(ScoringOptions(**asked)))


def number_of(image: Image.Image) -> int:
    bars = image.convert("L").resize((SIDE, SIDE)).tobytes()
    return sum(1 << bit for bit in range(BITS) if bars[SIDE * 32 + bit * 8 + 4] > 128)


def frames(clip: videos.Clip) -> list[Image.Image]:
    with av.open(io.BytesIO(clip.avi), "r", format="avi") as container:
        rate = container.streams.video[0].average_rate or 1
        images: list[Image.Image] = [frame.to_image() for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]
    assert clip.seconds == pytest.approx([float(place / rate) for place in range(len(images))])
    assert {image.size for image in images} == {(clip.width, clip.height)}
    return images


def seen(data: bytes, **how: Any) -> tuple[list[int], list[float]]:
    """The numbers of the frames that the model sees, and the second of each."""
    clip = prepared(data, **how)
    return [number_of(image) for image in frames(clip)], [round(second, 3) for second in clip.seconds]


@pytest.mark.parametrize(
    ("codec", "kind"),
    [
        *(("libx264", kind) for kind in ("mp4", "mov", "matroska")),
        *(("libx265", kind) for kind in ("mp4", "mov")),
        *(("libsvtav1", kind) for kind in ("mp4", "webm")),
        *(("libvpx-vp9", kind) for kind in ("mp4", "webm")),
        *(("libvpx", "webm"), ("mpeg4", "mp4")),
    ],
)
def test_every_codec_is_read_at_the_right_moments(codec: str, kind: str) -> None:
    assert seen(film(codec=codec, kind=kind)) == ([0, 10, 20, 30], [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("fps", "numbers", "seconds"),
    [
        (1, [0, 10, 20, 30], [0, 1, 2, 3]),
        (2, [0, 5, 10, 15, 20, 25, 30, 35], [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]),
        (1.25, [0, 8, 16, 24, 32], [0, 0.8, 1.6, 2.4, 3.2]),
        (0.1, [0, 10, 20, 30], [0, 1, 2, 3]),  # four frames at least, as the official recipe takes
        (10, list(range(40)), [place / 10 for place in range(40)]),
    ],
)
def test_frames_are_taken_by_time_at_any_rate(fps: float, numbers: list[int], seconds: list[float]) -> None:
    assert seen(film(), fps=fps) == (numbers, seconds)


def test_no_more_frames_than_asked_for_are_spread_over_all_of_it() -> None:
    assert seen(film(), fps=8, max_frames=5) == ([0, 8, 16, 24, 32], [0, 0.8, 1.6, 2.4, 3.2])


def test_a_variable_frame_rate_counts_by_the_clock_and_not_by_frames() -> None:
    """Phones in the dark and screens that rarely change are recorded like that."""
    times = [0, 100, 200, 300, 1500, 1600, 1700, 3900]
    numbers, seconds = seen(film(len(times), times_ms=times))
    assert (numbers[:4], seconds[:4]) == ([0, 3, 6, 6], [0, 1, 2, 3])
    numbers, _ = seen(film(len(times), times_ms=times, kind="webm", codec="libvpx-vp9"), fps=2)
    assert numbers[:8] == [0, 3, 3, 4, 6, 6, 6, 6]


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"x264-params": "keyint=8:bframes=3:b-adapt=0:open-gop=1:b-pyramid=normal"}),
        ("libx264", {"x264-params": "keyint=1"}),
        ("libx264", {"x264-params": "keyint=500:bframes=8:b-adapt=0"}),
        ("libx265", {"x265-params": "log-level=none:keyint=8:bframes=3:b-adapt=0:open-gop=1"}),
        ("libvpx-vp9", {"lag-in-frames": "10", "auto-alt-ref": "1", "deadline": "good"}),
    ],
)
def test_the_right_frames_come_out_of_every_order_of_coding(codec: str, options: dict[str, str]) -> None:
    data = film(30, codec=codec, options=options)
    assert seen(data, fps=RATE)[0] == list(range(30))
    assert seen(data, fps=5)[0] == list(range(0, 30, 2))


def test_a_single_frame_is_seen_twice_since_the_model_reads_them_by_two() -> None:
    assert seen(film(1))[0] == [0, 0]


def test_every_two_frames_are_counted_with_their_mean_time_and_an_odd_one_with_itself() -> None:
    labels: list[str] = []

    def count(text: str) -> int:
        labels.append(text)
        return 10

    tokens = VISION.tokens(Prepared("", 64, 96, (0.0, 1.0, 2.0)), count)
    assert labels == ["<0.5 seconds>", "<2.0 seconds>"]
    assert tokens == 2 + 2 * (2 * 3 + 2 + 10)


# Matrices of the QuickTime format: a step to the right in the file, then a step down, as steps on the screen.
MATRICES = {
    "a quarter, with the clock": ((0, 1, -1, 0), (B, R, Y, G)),
    "half": ((-1, 0, 0, -1), (Y, B, G, R)),
    "a quarter, against the clock": ((0, -1, 1, 0), (G, Y, R, B)),
    "not": ((1, 0, 0, 1), (R, G, B, Y)),
}


def turned(data: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """The video with another matrix in the track's header, which is what phones write."""
    a, b, c, d = (value * 0x10000 for value in matrix)
    place = data.index(b"tkhd") + 44
    assert struct.unpack_from(">9i", data, place) == (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    return data[:place] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000) + data[place + 36 :]


@pytest.mark.parametrize("turn", MATRICES)
def test_a_video_is_held_as_its_header_says(turn: str) -> None:
    matrix, wanted = MATRICES[turn]
    clip = prepared(turned(film([quarters()] * 12), matrix))
    assert (clip.width, clip.height) == ((SIDE, 96) if "quarter" in turn else (96, SIDE))
    for image in frames(clip):
        assert near(corners(image), wanted, 12)


def test_pixels_are_those_of_the_official_recipe() -> None:
    """Every frame decoded, the one of the moment scaled by PIL's bicubic; the clip loses nothing of it."""
    noise = [Image.effect_noise((300, 200), 60).convert("RGB") for _ in range(20)]
    data = film(noise)
    with av.open(io.BytesIO(data), "r") as container:
        decoded = [frame.to_image() for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]
    found = frames(prepared(data, fps=5))
    assert [image.tobytes() for image in found] == [one.resize((288, 192)).tobytes() for one in decoded[::2]]


@pytest.mark.parametrize(("count", "wanted"), [(4, (1152, 640)), (12, (1056, 576)), (30, (672, 384))])
def test_all_frames_together_stay_within_the_official_budget(count: int, wanted: tuple[int, int]) -> None:
    """smart_resize of 1280 x 720 to 768 tokens, and to the share of a frame in 7680."""
    clip = prepared(film([Image.new("RGB", (1280, 720))] * count, rate=1))
    assert (len(clip.seconds), clip.width, clip.height) == (count, *wanted)


FASTSTART = film(muxer={"moov_size": "8192"})
WHOLE = {
    "mp4": film(),
    "mp4 with its index first": FASTSTART,
    "mp4 in fragments": film(muxer={"movflags": "frag_keyframe+empty_moov"}, options={"x264-params": "keyint=8"}),
    "mov": film(kind="mov"),
    "webm": film(kind="webm", codec="libvpx-vp9"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_video_that_is_cut_off_is_refused_wherever_it_ends(kind: str) -> None:
    whole = WHOLE[kind]
    assert seen(whole)[0] == [0, 10, 20, 30]
    for end in (*(int(len(whole) * share) for share in (0.02, 0.2, 0.5, 0.8, 0.95)), len(whole) - 1):
        with pytest.raises(BadMedia, match=r"cut off|^not a video \(got unknown data\)$|no frames"):
            prepared(whole[:end])


def test_a_recording_that_does_not_say_its_length_is_read() -> None:
    """Browsers' recorders write such files."""
    live = film(kind="webm", codec="libvpx-vp9", muxer={"live": "1"})
    assert seen(live)[0] == [0, 10, 20, 30]


def test_what_lasts_too_long_is_refused_with_both_lengths() -> None:
    assert len(seen(film(60, rate=2))[0]) == 30
    for data in (film(63, rate=2), film(63, rate=2, kind="webm", codec="libvpx-vp9")):
        with pytest.raises(BadMedia, match=r"^lasts 31\.5 s: at most 30 s are read$"):
            prepared(data)
    with pytest.raises(BadMedia, match=r"^lasts 4\.0 s: at most 2\.5 s are read$"):
        prepared(film(), max_video_s=2.5)


def claiming(data: bytes, size: tuple[int, int], *, instead_of: tuple[int, int]) -> bytes:
    """The video with another size in its headers than in its frames."""
    for kind, shift in ((">HH", 0), (">II", 16)):
        found, claimed = (struct.pack(kind, *(side << shift for side in one)) for one in (instead_of, size))
        data = data.replace(found, claimed)
    return data


def with_number(data: bytes, box: bytes, offset: int, number: int) -> bytes:
    place = data.index(box) + offset
    return data[:place] + struct.pack(">I", number) + data[place + 4 :]


def million_samples() -> bytes:
    """Samples of one byte each, so that no table need say where they are."""
    data = with_number(with_number(FASTSTART, b"stsz", 8, 1), b"stsz", 12, 50_000_000)
    return with_number(with_number(data, b"stsc", 16, 50_000_000), b"stts", 12, 50_000_000)


LARGE = film([Image.new("RGB", (4224, 2304))])
BOMBS = {
    "large frames": (LARGE, "^frames of 4224 x 2304 pixels are too large$"),
    "large frames behind a small header": (
        claiming(LARGE, (64, 64), instead_of=(4224, 2304)),
        "too large|cut off or broken",
    ),
    "50 million samples": (million_samples(), "claims to have over 1000000 frames"),
    "50 million samples in a fragment": (
        with_number(with_number(WHOLE["mp4 in fragments"], b"trun", 4, 0), b"trun", 8, 50_000_000),
        "claims to have over 1000000 frames",
    ),
    "compressed tables": (FASTSTART.replace(b"udta", b"cmov"), "claims to have over 1000000 frames"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_would_take_more_than_a_video_does_is_refused(bomb: str) -> None:
    data, reason = BOMBS[bomb]
    with pytest.raises(BadMedia, match=reason):
        prepared(data)


def test_more_frames_a_second_than_any_camera_takes_are_refused() -> None:
    with pytest.raises(BadMedia, match=r"^over 240 frames a second$"):
        prepared(film(400, rate=300), max_video_s=1.5)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(film(0, sound="aac"), r"^there is no video in it$", id="sound in mp4"),
        pytest.param(film(0, sound="libopus", kind="webm"), r"^there is no video in it$", id="sound in webm"),
        pytest.param(film(0, sound="aac", kind="ipod"), r"^not a video \(got audio/mp4\)$", id="m4a"),
        pytest.param(film(codec="mjpeg", kind="mov"), r"^video in mjpeg: h264, ", id="mjpeg"),
        pytest.param(film(codec="prores_ks", kind="mov"), r"^video in prores: h264, ", id="prores"),
        pytest.param(film(codec="mpeg4", kind="avi"), r"^not a video \(got video/avi\)$", id="avi"),
        pytest.param(b"#EXTM3U\nfile:///etc/passwd\n", r"^not a video \(got text\)$", id="a playlist"),
    ],
)
def test_what_holds_no_video_that_is_read_says_what_it_is(data: bytes, reason: str) -> None:
    with pytest.raises(BadMedia, match=reason):
        prepared(data)


def test_sound_beside_a_video_is_no_matter() -> None:
    assert seen(film(sound="aac")) == ([0, 10, 20, 30], [0, 1, 2, 3])
