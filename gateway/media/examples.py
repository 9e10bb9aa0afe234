"""Pictures and a clip with which an engine is examined before its scores are trusted."""

from gateway.domain import Blob
from gateway.media import images, videos
from gateway.media.preprocess import prepared_clip, prepared_picture
from gateway.media.vision import Prepared, VisionProfile


def examples(profile: VisionProfile) -> tuple[dict[Blob, Prepared], ...]:
    """Two small pictures that differ in color alone, one of the largest that the model reads, and a clip.

    An engine with other limits of pixels or frames than the profile's would scale them, and count other tokens.
    """
    side = profile.token_side
    red, blue = (images.plain(2 * side, 2 * side, color) for color in ("red", "blue"))
    largest = profile.scaled_size(5000, 3600, min_pixels=profile.min_pixels, max_pixels=profile.max_pixels)
    large = images.plain(*largest, "red")
    clip = videos.plain(12 * side, 12 * side, frames=20, fps=4)
    return (
        *({Blob("image", picture.bmp): prepared_picture(picture)} for picture in (red, blue, large)),
        {Blob("video", clip.avi): prepared_clip(clip)},
    )
