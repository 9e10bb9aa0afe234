"""A model's rules for pictures and video, and the way a request's media are read under them.

A gateway whose models read text only imports this, so it loads neither Pillow nor PyAV.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from gateway.domain import ScoringOptions
from gateway.errors import BadMedia, BadRequest, Field
from gateway.settings import ModelSettings

# vLLM takes every frame of a clip only well below its own 30 frames a second; faster clips lose frames there.
MAX_CLIP_FPS = 15.0


class Prepared(NamedTuple):
    """A picture or clip as the engine is sent it, in a data URL.

    width, height: in pixels. seconds: the moment of each frame of a clip; a picture has none.
    """

    url: str
    width: int
    height: int
    seconds: tuple[float, ...] = ()


class Frame(NamedTuple):
    """A frame of a clip, or a picture at second 0, as a data URL of a small JPEG."""

    seconds: float
    image: str


@dataclass(frozen=True, slots=True)
class VisionProfile:
    """Everything about pictures and video that is the model's own. All pixel counts are width times height.

    token_side: pixels per side of the square that becomes one token.
    min_pixels, max_pixels: of a picture. max_side_ratio: a longer and thinner picture is refused.
    fps: frames taken per second unless the request asks for others. min_frames: taken of a clip that has so many.
    min_frame_pixels, max_frame_pixels: of a frame. max_clip_pixels: of all frames of a clip together.
    frames_per_patch: consecutive frames that are merged into one step in time.
    step_label: text before each step, with its second. image_marks, video_marks: tokens around a picture or step, and
    around a whole video.
    max_frames, max_video_s: what a request may ask for; the operator may set both, and max_pixels.
    """

    token_side: int
    min_pixels: int
    max_pixels: int
    max_side_ratio: int
    fps: float
    min_frames: int
    min_frame_pixels: int
    max_frame_pixels: int
    max_clip_pixels: int
    frames_per_patch: int
    step_label: str
    image_marks: int
    video_marks: int
    max_frames: int
    max_video_s: float
    max_fps: float = MAX_CLIP_FPS

    def narrowed(self, model: ModelSettings) -> "VisionProfile":
        """The profile with the limits that the operator set; those left at None stay the model's own."""
        return replace(
            self,
            max_pixels=model.max_pixels or self.max_pixels,
            max_frames=model.max_frames or self.max_frames,
            max_video_s=model.max_video_s or self.max_video_s,
        )

    def options(self, asked: ScoringOptions) -> "MediaOptions":
        """The way this request's media are read. Raises BadRequest for more than the limits."""
        for name, value, limit in (
            ("fps", asked.fps, self.max_fps),
            ("max_frames", asked.max_frames, self.max_frames),
            ("max_pixels", asked.max_pixels, self.max_pixels),
        ):
            if value is not None and value > limit:
                raise BadRequest(f"at most {limit:g}", field=Field(name))
        return MediaOptions(
            self,
            max_pixels=asked.max_pixels or self.max_pixels,
            fps=asked.fps or self.fps,
            max_frames=asked.max_frames or self.max_frames,
        )

    def tokens(self, prepared: Prepared, count: Callable[[str], int]) -> int:
        """Tokens of one image or video: patches plus start and end markers; frames are merged, each step with its time.

        count: the number of tokens of a text.
        """
        image = prepared.width * prepared.height // self.token_side**2 + self.image_marks
        if not prepared.seconds:
            return image
        size, seconds = self.frames_per_patch, prepared.seconds
        # The last frame is repeated until it fills a step.
        full = [*seconds, *[seconds[-1]] * (-len(seconds) % size)]
        steps = [(full[first] + full[first + size - 1]) / 2 for first in range(0, len(full), size)]
        return self.video_marks + sum(image + count(self.step_label.format(second)) for second in steps)

    def scaled_size(self, width: int, height: int, *, min_pixels: int, max_pixels: int) -> tuple[int, int]:
        """Width and height as qwen-vl-utils' smart_resize gives them.

        Both are multiples of `token_side`, their product is within the budget, and their ratio stays about the same.
        https://github.com/QwenLM/Qwen3-VL/blob/main/qwen-vl-utils/src/qwen_vl_utils/vision_process.py
        Raises BadMedia for a shape that it refuses.
        """
        if max(width, height) > self.max_side_ratio * min(width, height):
            raise BadMedia(
                f"{width} x {height} pixels: one side is over {self.max_side_ratio} times as long as the other"
            )
        unit = self.token_side
        wide, high = (max(unit, round(side / unit) * unit) for side in (width, height))
        if wide * high > max_pixels:
            shrink = math.sqrt(width * height / max_pixels)
            wide, high = (max(unit, math.floor(side / shrink / unit) * unit) for side in (width, height))
        elif wide * high < min_pixels:
            grow = math.sqrt(min_pixels / (width * height))
            wide, high = (math.ceil(side * grow / unit) * unit for side in (width, height))
        return wide, high


@dataclass(frozen=True, slots=True)
class MediaOptions:
    """The way in which a request's pictures and videos are read, by the rules of one model.

    max_pixels: of a picture or a frame. fps, max_frames: frames of a video per second, and at most.
    """

    profile: VisionProfile
    max_pixels: int
    fps: float
    max_frames: int

    def picture_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a picture as the model reads it. Raises BadMedia for a shape that it refuses."""
        return self.profile.scaled_size(width, height, min_pixels=self.profile.min_pixels, max_pixels=self.max_pixels)

    def frame_size(self, width: int, height: int, *, frames: int) -> tuple[int, int]:
        """Width and height of each of a clip's frames, which share the clip's pixels. Raises BadMedia."""
        profile = self.profile
        limit = min(self.max_pixels, profile.max_frame_pixels, profile.max_clip_pixels // frames)
        least = profile.min_frame_pixels
        return profile.scaled_size(width, height, min_pixels=least, max_pixels=max(limit, least))
