"""TEMP"""

from gateway.domain import Blob
from gateway.media import images, videos
from gateway.media.preprocess import _data_url
from gateway.media.vision import Prepared, VisionProfile


def examples(_: VisionProfile) -> tuple[dict[Blob, Prepared], ...]:
    """What an engine is examined with: two pictures that differ in color alone, a large one, and a clip.

    MediaOptions that any other limits of pixels or frames than the official ones would change, and so the tokens.
    """
    red, blue = (images.plain(64, 64, color) for color in ("red", "blue"))
    large = images.plain(1600, 1152, "red")
    clip = videos.plain(384, 384, frames=20, fps=4)
    return (
        *(
            {Blob("image", one.bmp): Prepared(_data_url("image/bmp", one.bmp), one.width, one.height)}
            for one in (red, blue, large)
        ),
        {Blob("video", clip.avi): Prepared(_data_url("video/avi", clip.avi), clip.width, clip.height, clip.seconds)},
    )
