"""Any short video as the model reads it: frames by time, upright, scaled, in a lossless clip that keeps their times."""

import bisect
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import av
from av.video.stream import VideoStream
from PIL import Image

from gateway.errors import BadMedia
from gateway.media import containers
from gateway.media.images import place_for, scaled, small_jpeg
from gateway.media.sniff import what
from gateway.media.vision import MediaOptions

# Named, since a demuxer that FFmpeg would guess (a playlist) may open files and addresses that the video names.
DEMUXERS = {"video/mp4": "mov", "video/quicktime": "mov", "video/webm": "matroska"}
CODECS = ("h264", "hevc", "av1", "vp9", "vp8", "mpeg4")
MAX_FRAME_PIXELS = 4096 * 2304
# Opening would decode the first frames, for things that nobody asks here.
OPTIONS = {"skip_frame": "all"}
# A demuxer takes 72 bytes for each that a file claims to have. Hours of video have so many.
MAX_SAMPLES = 1_000_000
MAX_FRAMES_PER_S = 240
MAX_DECODE_S = 60.0
SHARES = 2
THREADS = 2
# A video of larger frames may take 1 GB, so they come one after the other.
ALONE_FROM_PIXELS = 4_000_000


class Clip(NamedTuple):
    """A lossless AVI (UtVideo) of the chosen frames, whose rate is theirs: frame i was shown at `seconds[i]`.

    An AVI because vLLM's own form for chosen frames, `data:video/jpeg`, has no rate and would give all times wrong.
    """

    avi: bytes
    seconds: tuple[float, ...]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Index:
    """What a look at every packet tells: when each frame is shown, in ticks, sorted, and how long all of them take.

    groups: how many stretches of it can be decoded without the others.
    """

    shown: Sequence[int]
    tick_s: Fraction
    duration_s: float
    groups: int
    pixels: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Ticks of the frames to decode, the size of each from its width and height, and a deadline (`time.monotonic`)."""

    ticks: frozenset[int]
    size: Callable[[int, int], tuple[int, int]]
    deadline_s: float


def prepare(data: bytes, options: MediaOptions) -> Clip:
    """Raises BadMedia: not a video, cut off, too long, too large."""
    deadline_s = time.monotonic() + MAX_DECODE_S
    with _translated(data):
        _check_claims(data)
        with _opened(data) as container:
            index = _indexed(container, options.profile.max_video_s)
        rate, ticks = _chosen(index, options)
        wanted = _Wanted(frozenset(ticks), partial(options.frame_size, frames=len(ticks)), deadline_s)
        with place_for(index.pixels, ALONE_FROM_PIXELS):
            frames = _decoded(data, wanted, SHARES if index.groups >= SHARES else 1)
            if len(frames) < len(wanted.ticks):  # an open group's first frames need the group before
                frames = _share(data, wanted, 1, 0, everything=True)
        if len(frames) < len(wanted.ticks):
            raise BadMedia("the video is cut off or broken")
        size = frames[ticks[0]].size
        same = {tick: scaled(image, size) for tick, image in frames.items()}  # they differ if the video changes midway
        avi = _written([same[tick] for tick in ticks], rate)
    return Clip(avi, tuple(float(place / rate) for place in range(len(ticks))), *size)


def small_jpegs(avi: bytes) -> Iterator[bytes]:
    """Each frame of a clip of ours, for a person's eye."""
    with av.open(io.BytesIO(avi), "r", format="avi") as container:
        for frame in container.decode(video=0):
            image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
            yield small_jpeg(image)


def plain(width: int, height: int, *, frames: int, fps: float) -> Clip:
    """A clip of one color; both sides multiples of 32."""
    rate = Fraction(fps)
    avi = _written([Image.new("RGB", (width, height), "green")] * frames, rate)
    return Clip(avi, tuple(float(place / rate) for place in range(frames)), width, height)


def _check_claims(data: bytes) -> None:
    """Once, before any demuxer makes room for what the file says it holds."""
    kind = what(data)
    demuxer = DEMUXERS.get(kind)
    if demuxer is None:
        raise BadMedia(f"not a video (got {kind})")
    if demuxer == "mov" and containers.mp4_samples(data) > MAX_SAMPLES:
        raise BadMedia(f"claims to have over {MAX_SAMPLES} frames or samples of sound")
    if not (containers.mp4_is_whole(data) if demuxer == "mov" else containers.webm_is_whole(data)):
        raise BadMedia(f"the video ({kind}) is cut off")


@contextmanager
def _opened(data: bytes) -> Iterator[av.container.InputContainer]:
    demuxer = DEMUXERS[what(data)]
    with av.open(io.BytesIO(data), "r", format=demuxer, metadata_errors="ignore", options=OPTIONS) as container:
        if not container.streams.video:
            raise BadMedia("there is no video in it")
        stream = container.streams.video[0]
        context = stream.codec_context
        if context.name not in CODECS and context.codec.canonical_name not in CODECS:
            raise BadMedia(f"video in {context.codec.canonical_name}: {', '.join(CODECS)} are read")
        if not 0 < context.width * context.height <= MAX_FRAME_PIXELS:
            raise BadMedia(f"frames of {context.width} x {context.height} pixels are too large")
        yield container


def _indexed(container: av.container.InputContainer, max_seconds: float) -> _Index:
    """A pass over the packets, none decoded: a minute of video takes some ms."""
    stream = container.streams.video[0]
    tick_s = stream.time_base or Fraction(1, 1000)
    most = int(max_seconds * MAX_FRAMES_PER_S) + 1
    shown: list[int] = []
    last_ticks = groups = 0
    for packet in container.demux(stream):
        if packet.size == 0:
            continue  # the flush at the end
        if packet.is_corrupt or packet.pts is None:
            raise BadMedia("the video is cut off or broken")
        if packet.is_discard:
            continue  # before the first shown frame, or after the last, by the file's edit list
        shown.append(packet.pts)
        groups += packet.is_keyframe
        if len(shown) > most or (packet.pts - shown[0]) * tick_s > max_seconds + 1:
            break
        last_ticks = packet.duration or last_ticks
    if not shown:
        raise BadMedia("the video has no frames")
    first = shown[0]
    shown.sort()
    if len(shown) > 1 and not last_ticks:
        last_ticks = (shown[-1] - shown[0]) // (len(shown) - 1)
    duration_s = float((shown[-1] - shown[0] + last_ticks) * tick_s)
    if duration_s > max_seconds * (1 + 1e-3) + 0.1:
        declared_s = max(duration_s, _declared_s(container))
        raise BadMedia(f"lasts {declared_s:.1f} s: at most {max_seconds:g} s are read")
    if len(shown) > most:
        raise BadMedia(f"over {MAX_FRAMES_PER_S} frames a second")
    if _declared_s(container) - duration_s - float((shown[0] - min(first, 0)) * tick_s) > max(1.0, duration_s / 20):
        raise BadMedia("the video is cut off")
    if stream.frames > len(shown) + max(2, stream.frames // 20):
        raise BadMedia("the video is cut off")
    return _Index(shown, tick_s, duration_s, groups, stream.codec_context.width * stream.codec_context.height)


def _declared_s(container: av.container.InputContainer) -> float:
    stream = container.streams.video[0]
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _chosen(index: _Index, options: MediaOptions) -> tuple[Fraction, list[int]]:
    """The rate, and for each moment the tick of the frame then shown. There are enough for one step of the model."""
    profile, fps, max_frames = options.profile, options.fps, options.max_frames
    seconds = max(index.duration_s, 1e-3)
    count = math.ceil(seconds * fps - 1e-6)
    rate = Fraction(fps).limit_denominator(1000)
    enough = max(profile.frames_per_patch, min(profile.min_frames, len(index.shown), max_frames))
    if not enough <= count <= max_frames:
        count = min(max(count, enough), max_frames)
        rate = min(Fraction(count / seconds).limit_denominator(1000), Fraction(profile.max_fps))
    start = index.shown[0]
    moments = [start + place / rate / index.tick_s for place in range(count)]
    return rate, [
        index.shown[max(0, bisect.bisect_right(index.shown, moment + Fraction(1, 2)) - 1)] for moment in moments
    ]


def _decoded(data: bytes, wanted: _Wanted, shares: int) -> dict[int, Image.Image]:
    """As `_share`, every share in a thread of its own: FFmpeg's own threads wait for each other's frames too much."""
    with ThreadPoolExecutor(shares) as threads:
        parts = threads.map(partial(_share, data, wanted, shares), range(shares))
    return {tick: image for part in parts for tick, image in part.items()}


def _share(
    data: bytes, wanted: _Wanted, shares: int, number: int, *, everything: bool = False
) -> dict[int, Image.Image]:
    """The frames that can be decoded of each group whose turn it is among so many shares.

    What no wanted frame should need is left out unless `everything` is asked for: whole groups, unreferenced frames.
    """
    found: dict[int, Image.Image] = {}
    with _opened(data) as container:
        context = container.streams.video[0].codec_context
        context.thread_type, context.thread_count = "AUTO", THREADS // shares
        context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}  # in the frames themselves, whatever the file says
        for place, group in enumerate(_groups(container, everything=everything)):
            left = {packet.pts for packet in group} & wanted.ticks
            if not left or place % shares != number:
                continue
            context.flush_buffers()
            for packet in [*group, None]:
                if time.monotonic() > wanted.deadline_s:
                    raise BadMedia("the video takes too long to decode")
                if packet is not None:
                    context.skip_frame = "DEFAULT" if everything or packet.pts in wanted.ticks else "NONREF"
                for frame in context.decode(packet):
                    if (tick := frame.pts) is not None and tick in left:
                        found[tick] = _made(frame, wanted.size)
                        left.discard(tick)
                if not left:
                    break
    return found


def _groups(container: av.container.InputContainer, *, everything: bool) -> Iterator[list["av.Packet[VideoStream]"]]:
    """The packets from one key frame to before the next, decodable without the others; or everything as one group."""
    group: list[av.Packet[VideoStream]] = []
    for packet in container.demux(container.streams.video[0]):
        if packet.size == 0:
            continue
        if packet.is_keyframe and group and not everything:
            yield group
            group = []
        group.append(packet)
    if group:
        yield group


def _made(frame: av.VideoFrame, size: Callable[[int, int], tuple[int, int]]) -> Image.Image:
    """Upright, and scaled."""
    if frame.width * frame.height > MAX_FRAME_PIXELS:
        raise BadMedia(f"frames of {frame.width} x {frame.height} pixels are too large")
    plane: Any = frame.reformat(format="rgb24").planes[0]
    # As `to_image` does, in half the time: it copies once more.
    image = Image.frombuffer("RGB", (frame.width, frame.height), plane, "raw", "RGB", plane.line_size, 1)
    if frame.rotation:
        image = image.rotate(frame.rotation, expand=True)
    return scaled(image, size(*image.size))


def _written(images: Sequence[Image.Image], rate: Fraction) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="avi") as container:
        stream = container.add_stream("utvideo", rate=rate)
        stream.width, stream.height = images[0].size
        stream.pix_fmt = "gbrp"
        for place, image in enumerate(images):
            frame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]
            frame.pts = place
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


@contextmanager
def _translated(data: bytes) -> Iterator[None]:
    try:
        yield
    except BadMedia:
        raise
    except (av.FFmpegError, ValueError, OverflowError, MemoryError, ZeroDivisionError, TypeError, AttributeError):
        raise BadMedia(f"the video ({what(data)}) is cut off or broken") from None
