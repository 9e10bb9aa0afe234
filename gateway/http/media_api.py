"""`POST /v1/preview`: a picture or video as the model sees it."""

from typing import Annotated

import msgspec
from starlette.responses import Response

from gateway.domain import Blob, Kind, ScoringOptions
from gateway.errors import BadMedia, BadRequest, Field
from gateway.http.base import Call, Route, decoded, json_reply, read_body, while_connected
from gateway.media.loader import Media
from gateway.models import Models

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class PreviewBody(msgspec.Struct):
    """A picture or a video, as in a rerank request."""

    image: str | None = None
    video: str | None = None
    fps: Annotated[float, msgspec.Meta(gt=0)] | None = None
    max_frames: AtLeastOne | None = None
    max_pixels: AtLeastOne | None = None
    model: str | None = None


class FrameInfo(msgspec.Struct):
    """A frame as a small JPEG in a data URL, and the second at which it is shown."""

    seconds: float
    image: str


class Preview(msgspec.Struct):
    """The frames that the model sees, and their size in pixels."""

    frames: list[FrameInfo]
    width: int
    height: int


class MediaApi:
    """For models that see; others answer 400."""

    def __init__(self, models: Models, media: Media, *, max_body_bytes: int) -> None:
        self._models = models
        self._media = media
        self._max_body_bytes = max_body_bytes

    @property
    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/v1/preview",
                "Frames of a picture or video as the model sees them, as small JPEGs",
                self.preview,
                takes=PreviewBody,
                gives=Preview,
                refusals={400: "What the caller must change; the message names the field"},
            )
        ]

    async def preview(self, call: Call) -> Response:
        asked = decoded(await read_body(call.http, self._max_body_bytes), PreviewBody)
        given: list[tuple[Kind, str]] = []
        if asked.image is not None:
            given.append(("image", asked.image))
        if asked.video is not None:
            given.append(("video", asked.video))
        if len(given) != 1:
            raise BadRequest("expected either image or video")
        ((kind, url),) = given
        try:
            return json_reply(await while_connected(call.http, self._preview(asked, kind, url)))
        except BadMedia as error:
            raise BadRequest(str(error), code=error.code, field=Field(kind)) from None

    async def _preview(self, asked: PreviewBody, kind: Kind, url: str) -> Preview:
        engine = self._models.seeing(asked.model, Field(kind)).engine
        profile, preprocessor = engine.family.multimodal, engine.preprocessor
        assert profile is not None
        assert preprocessor is not None
        options = ScoringOptions(fps=asked.fps, max_frames=asked.max_frames, max_pixels=asked.max_pixels)
        prepared = await preprocessor.prepare(Blob(kind, await self._media.load(url)), profile.options(options))
        frames = [FrameInfo(frame.seconds, frame.image) for frame in await preprocessor.thumbnails(prepared)]
        return Preview(frames, prepared.width, prepared.height)
