"""TEMP stub until the media helper's file is merged."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from gateway.domain import ScoringOptions
from gateway.errors import BadRequest, Field
from gateway.settings import ModelSettings


@dataclass(frozen=True, slots=True)
class MediaOptions:
    max_pixels: int
    fps: float
    max_frames: int
    max_video_s: float


class Prepared(NamedTuple):
    url: str
    width: int
    height: int
    seconds: tuple[float, ...] = ()


class Frame(NamedTuple):
    seconds: float
    image: str


@dataclass(frozen=True, slots=True)
class VisionProfile:
    max_pixels: int = 1800 * 1024
    max_frames: int = 64
    max_video_s: float = 30.0
    video_marks: int = 2

    def narrowed(self, model: ModelSettings) -> "VisionProfile":
        return VisionProfile(
            model.max_pixels or self.max_pixels,
            model.max_frames or self.max_frames,
            model.max_video_s or self.max_video_s,
        )

    def options(self, options: ScoringOptions) -> MediaOptions:
        for name, limit in (("fps", 15.0), ("max_frames", self.max_frames), ("max_pixels", self.max_pixels)):
            asked = getattr(options, name)
            if asked is not None and asked > limit:
                raise BadRequest(f"at most {limit:g}", field=Field(name))
        return MediaOptions(
            options.max_pixels or self.max_pixels,
            options.fps or 1.0,
            options.max_frames or self.max_frames,
            self.max_video_s,
        )

    def tokens(self, made: Prepared, count: Callable[[str], int]) -> int:
        squares = made.width * made.height // 1024
        if not made.seconds:
            return squares + 2
        seconds = [*made.seconds, *made.seconds[-1:]][: (len(made.seconds) + 1) // 2 * 2]
        times = [(first + last) / 2 for first, last in zip(seconds[::2], seconds[1::2], strict=True)]
        return 2 + sum(squares + 2 + count(f"<{time_s:.1f} seconds>") for time_s in times)


QWEN3_VL_VISION = VisionProfile()
