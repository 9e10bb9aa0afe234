"""Short videos as a model reads them: frames by time, upright, scaled, in a lossless clip that keeps their times."""

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
from gateway.media.images import decoding, place_for, scaled, thumbnail
from gateway.media.sniff import mime_of
from gateway.media.vision import MediaOptions

# Named, since a demuxer that FFmpeg guesses (a playlist's) may open files and addresses that the video names.
DEMUXERS = {"video/mp4": "mov", "video/quicktime": "mov", "video/webm": "matroska"}
CODECS = ("h264", "hevc", "av1", "vp9", "vp8", "mpeg4")
MAX_FRAME_PIXELS = 4096 * 2304
# Opening would decode the first frames, to learn things that nobody asks here.
OPTIONS = {"skip_frame": "all"}
# FFmpeg allocates 72 bytes for each sample that a file declares. Hours of video have so many.
MAX_SAMPLES = 1_000_000
MAX_FRAMES_PER_S = 240
MAX_DECODE_S = 60.0
# Decoders of one video, and threads for all of them. FFmpeg's own threads wait for each other's frames too much.
SHARES = 2
THREADS = 2
# A video of larger frames may take 1 GB, so they are read one at a time.
ALONE_FROM_PIXELS = 4_000_000
# Raised by PyAV and its decoders over broken files.
DECODER_ERRORS = (
    av.FFmpegError,
    ValueError,
    OverflowError,
    MemoryError,
    ZeroDivisionError,
    TypeError,
    AttributeError,
)

Size = tuple[int, int]
GroupOfPictures = list["av.Packet[VideoStream]"]


class Clip(NamedTuple):
    """A lossless AVI (UtVideo) of the chosen frames, whose rate is theirs: frame i was shown at `seconds[i]`.

    An AVI because vLLM's own form for chosen frames, `data:video/jpeg`, has no rate: all times would be wrong.
    """

    avi: bytes
    seconds: tuple[float, ...]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Index:
    """Packet index: presentation timestamps (sorted, in ticks) and total duration.

    gops: groups of pictures, each decodable without the others. pixels: of a frame.
    """

    timestamps: Sequence[int]
    tick_s: Fraction
    duration_s: float
    gops: int
    pixels: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The frames to decode, by their timestamps in ticks.

    size: that of a scaled frame, from its width and height. deadline_s: by `time.monotonic`.
    """

    timestamps: frozenset[int]
    size: Callable[[int, int], Size]
    deadline_s: float


def prepare(data: bytes, options: MediaOptions) -> Clip:
    """The frames that the model sees. Raises BadMedia: not a video, cut off, too long, too large."""
    deadline_s = time.monotonic() + MAX_DECODE_S
    with decoding("video", data, DECODER_ERRORS):
        _check_claims(data)
        with _opened(data) as container:
            index = _indexed(container, options.profile.max_video_s)
        rate, chosen = _chosen(index, options)
        wanted = _Wanted(frozenset(chosen), partial(options.frame_size, frames=len(chosen)), deadline_s)
        with place_for(index.pixels, ALONE_FROM_PIXELS):
            frames = _decoded(data, wanted, SHARES if index.gops >= SHARES else 1)
            if len(frames) < len(wanted.timestamps):  # an open GOP's first frames need the GOP before
                frames = _share(data, wanted, 1, 0, everything=True)
        if len(frames) < len(wanted.timestamps):
            raise BadMedia("the video is cut off or broken")
        size = frames[chosen[0]].size
        # Frames differ in size if the video changes midway.
        same = {timestamp: scaled(image, size) for timestamp, image in frames.items()}
        avi = _written([same[timestamp] for timestamp in chosen], rate)
    return Clip(avi, tuple(float(place / rate) for place in range(len(chosen))), *size)


def thumbnails(avi: bytes) -> Iterator[bytes]:
    """A small JPEG of each frame of a prepared clip."""
    with av.open(io.BytesIO(avi), "r", format="avi") as container:
        for frame in container.decode(video=0):
            image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
            yield thumbnail(image)


def plain(width: int, height: int, *, frames: int, fps: float) -> Clip:
    """A clip of one color."""
    rate = Fraction(fps)
    avi = _written([Image.new("RGB", (width, height), "green")] * frames, rate)
    return Clip(avi, tuple(float(place / rate) for place in range(frames)), width, height)


def _check_claims(data: bytes) -> None:
    """Refuses a file by its kind, its declared samples and its length, before a demuxer allocates for them."""
    kind = mime_of(data)
    demuxer = DEMUXERS.get(kind)
    if demuxer is None:
        raise BadMedia(f"not a video (got {kind})")
    if demuxer == "mov" and containers.mp4_samples(data) > MAX_SAMPLES:
        raise BadMedia(f"claims to have over {MAX_SAMPLES} frames or samples of sound", code="media_too_large")
    if not (containers.mp4_is_whole(data) if demuxer == "mov" else containers.webm_is_whole(data)):
        raise BadMedia(f"the video ({kind}) is cut off")


@contextmanager
def _opened(data: bytes) -> Iterator[av.container.InputContainer]:
    """The demuxer of a video whose codec and declared frame size are accepted. Raises BadMedia."""
    demuxer = DEMUXERS[mime_of(data)]
    with av.open(io.BytesIO(data), "r", format=demuxer, metadata_errors="ignore", options=OPTIONS) as container:
        if not container.streams.video:
            raise BadMedia("there is no video in it")
        stream = container.streams.video[0]
        context = stream.codec_context
        if context.name not in CODECS and context.codec.canonical_name not in CODECS:
            raise BadMedia(f"video in {context.codec.canonical_name}: {', '.join(CODECS)} are read")
        _check_frame(context.width, context.height)
        yield container


def _check_frame(width: int, height: int) -> None:
    """Raises BadMedia for a frame that is too large, or has no size."""
    if not 0 < width * height <= MAX_FRAME_PIXELS:
        raise BadMedia(f"frames of {width} x {height} pixels are too large", code="media_too_large")


def _indexed(container: av.container.InputContainer, max_seconds: float) -> _Index:
    """The index, from a pass over all packets. None is decoded: a minute of video takes some ms. Raises BadMedia."""
    stream = container.streams.video[0]
    tick_s = stream.time_base or Fraction(1, 1000)
    most = int(max_seconds * MAX_FRAMES_PER_S) + 1
    timestamps: list[int] = []
    last_ticks = gops = 0
    for packet in container.demux(stream):
        if packet.size == 0:
            continue  # the flush at the end
        if packet.is_corrupt or packet.pts is None:
            raise BadMedia("the video is cut off or broken")
        if packet.is_discard:
            continue  # before the first shown frame, or after the last, by the file's edit list
        timestamps.append(packet.pts)
        gops += packet.is_keyframe
        if len(timestamps) > most or (packet.pts - timestamps[0]) * tick_s > max_seconds + 1:
            break
        last_ticks = packet.duration or last_ticks
    if not timestamps:
        raise BadMedia("the video has no frames")
    first = timestamps[0]
    timestamps.sort()
    if len(timestamps) > 1 and not last_ticks:
        last_ticks = (timestamps[-1] - timestamps[0]) // (len(timestamps) - 1)
    duration_s = float((timestamps[-1] - timestamps[0] + last_ticks) * tick_s)
    index = _Index(timestamps, tick_s, duration_s, gops, stream.codec_context.width * stream.codec_context.height)
    _check_length(container, index, first, max_seconds)
    return index


def _check_length(container: av.container.InputContainer, index: _Index, first: int, max_seconds: float) -> None:
    """Raises BadMedia for a video that is too long, or shorter than it declares.

    first: the timestamp of the first packet.
    """
    stream, frames, duration_s = container.streams.video[0], len(index.timestamps), index.duration_s
    declared_s = _declared_s(container)
    if duration_s > max_seconds * (1 + 1e-3) + 0.1:
        longest_s = max(duration_s, declared_s)
        raise BadMedia(f"lasts {longest_s:.1f} s: at most {max_seconds:g} s are read", code="video_too_long")
    if frames > int(max_seconds * MAX_FRAMES_PER_S) + 1:
        raise BadMedia(f"over {MAX_FRAMES_PER_S} frames a second", code="media_too_large")
    before_s = float((index.timestamps[0] - min(first, 0)) * index.tick_s)
    is_short = declared_s - duration_s - before_s > max(1.0, duration_s / 20)
    if is_short or stream.frames > frames + max(2, stream.frames // 20):
        raise BadMedia("the video is cut off")


def _declared_s(container: av.container.InputContainer) -> float:
    """The duration that the file declares, of the video or else of everything in it; 0 if it declares none."""
    stream = container.streams.video[0]
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _chosen(index: _Index, options: MediaOptions) -> tuple[Fraction, list[int]]:
    """The frame rate of the clip, and for each of its moments the timestamp of the frame then shown.

    There are at least as many as the model merges into one step; a shorter video repeats frames.
    """
    profile, fps, max_frames = options.profile, options.fps, options.max_frames
    seconds = max(index.duration_s, 1e-3)
    count = math.ceil(seconds * fps - 1e-6)
    rate = Fraction(fps).limit_denominator(1000)
    enough = max(profile.frames_per_patch, min(profile.min_frames, len(index.timestamps), max_frames))
    if not enough <= count <= max_frames:
        count = min(max(count, enough), max_frames)
        rate = min(Fraction(count / seconds).limit_denominator(1000), Fraction(profile.max_fps))
    start = index.timestamps[0]
    moments = [start + place / rate / index.tick_s for place in range(count)]
    return rate, [_shown_at(moment, index.timestamps) for moment in moments]


def _shown_at(moment: Fraction, timestamps: Sequence[int]) -> int:
    """The timestamp of the frame that is on the screen at a moment, both in ticks."""
    return timestamps[max(0, bisect.bisect_right(timestamps, moment + Fraction(1, 2)) - 1)]


def _decoded(data: bytes, wanted: _Wanted, shares: int) -> dict[int, Image.Image]:
    """The wanted frames by timestamp, each share of the GOPs decoded in a thread of its own."""
    with ThreadPoolExecutor(shares) as threads:
        parts = threads.map(partial(_share, data, wanted, shares), range(shares))
    return {timestamp: image for part in parts for timestamp, image in part.items()}


def _share(
    data: bytes, wanted: _Wanted, shares: int, number: int, *, everything: bool = False
) -> dict[int, Image.Image]:
    """Decode the wanted frames of every GOP assigned to worker `number` of `shares`.

    GOPs without a wanted frame and unreferenced frames are skipped. everything: decode all of the video as one GOP.
    """
    found: dict[int, Image.Image] = {}
    with _opened(data) as container:
        context = container.streams.video[0].codec_context
        context.thread_type, context.thread_count = "AUTO", THREADS // shares
        context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}  # in the frames themselves, whatever the file says
        for place, gop in enumerate(_gops(container, everything=everything)):
            left = {packet.pts for packet in gop} & wanted.timestamps
            if not left or place % shares != number:
                continue
            context.flush_buffers()
            for packet in [*gop, None]:
                if time.monotonic() > wanted.deadline_s:
                    raise BadMedia("the video takes too long to decode", code="media_too_large")
                if packet is not None:
                    context.skip_frame = "DEFAULT" if everything or packet.pts in wanted.timestamps else "NONREF"
                for frame in context.decode(packet):
                    if (timestamp := frame.pts) is not None and timestamp in left:
                        found[timestamp] = _upright(frame, wanted.size)
                        left.discard(timestamp)
                if not left:
                    break
    return found


def _gops(container: av.container.InputContainer, *, everything: bool) -> Iterator[GroupOfPictures]:
    """Yield the packets from one key frame to before the next. everything: as one GOP."""
    gop: GroupOfPictures = []
    for packet in container.demux(container.streams.video[0]):
        if packet.size == 0:
            continue
        if packet.is_keyframe and gop and not everything:
            yield gop
            gop = []
        gop.append(packet)
    if gop:
        yield gop


def _upright(frame: av.VideoFrame, size: Callable[[int, int], Size]) -> Image.Image:
    """A decoded frame as RGB, turned as the video's header says, and scaled."""
    _check_frame(frame.width, frame.height)
    plane: Any = frame.reformat(format="rgb24").planes[0]
    # `to_image` gives the same and takes twice as long: it copies once more.
    image = Image.frombuffer("RGB", (frame.width, frame.height), plane, "raw", "RGB", plane.line_size, 1)
    if frame.rotation:
        image = image.rotate(frame.rotation, expand=True)
    return scaled(image, size(*image.size))


def _written(images: Sequence[Image.Image], rate: Fraction) -> bytes:
    """An AVI of these frames; all have one size."""
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
