"""Pictures and clips are made ready for an engine: in threads, each distinct one once, within a bounded memory."""

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor

from gateway.domain import Blob
from gateway.media import images, videos
from gateway.media.vision import Frame, MediaOptions, Prepared

# At once; the largest pictures and videos wait for one another in their modules.
WORKERS = 4
KEPT_BYTES = 192 * 1024 * 1024


class Preprocessor:
    """Keeps what it made last, so that a query's picture is prepared once for all slices of its documents."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="media")
        self._kept: OrderedDict[Hashable, asyncio.Future[Prepared]] = OrderedDict()
        self._kept_bytes = 0

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def prepare(self, blob: Blob, options: MediaOptions) -> Prepared:
        """The picture or video as the model reads it. Raises BadMedia."""
        key = (blob.digest, options)
        prepared = self._kept.get(key)
        if prepared is None:
            prepared = asyncio.get_running_loop().run_in_executor(self._threads, _prepare, blob, options)
            self._kept[key] = prepared
            prepared.add_done_callback(lambda done: self._keep(key, done))
        else:
            self._kept.move_to_end(key)
        # Shielded: a caller that leaves must not end what another waits for.
        return await asyncio.shield(prepared)

    async def thumbnails(self, prepared: Prepared) -> list[Frame]:
        """The picture, or each frame of the clip, small enough to be looked at."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _thumbnails, prepared)

    def _keep(self, key: Hashable, done: "asyncio.Future[Prepared]") -> None:
        """Counts the bytes of a result and drops the least recently used ones beyond KEPT_BYTES; forgets a failure."""
        if done.cancelled() or done.exception() is not None:
            self._kept.pop(key, None)
            return
        self._kept_bytes += len(done.result().url)
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            if not self._kept[oldest].done():
                break
            self._kept_bytes -= len(self._kept.pop(oldest).result().url)


def prepared_picture(picture: images.Picture) -> Prepared:
    """A picture in the form in which it is sent."""
    return Prepared(_data_url("image/bmp", picture.bmp), picture.width, picture.height)


def prepared_clip(clip: videos.Clip) -> Prepared:
    """A clip in the form in which it is sent."""
    return Prepared(_data_url("video/avi", clip.avi), clip.width, clip.height, clip.seconds)


def _prepare(blob: Blob, options: MediaOptions) -> Prepared:
    if blob.kind == "image":
        return prepared_picture(images.prepare(blob.data, options=options))
    return prepared_clip(videos.prepare(blob.data, options=options))


def _thumbnails(prepared: Prepared) -> list[Frame]:
    data = base64.b64decode(prepared.url.partition(",")[2])
    jpegs = videos.thumbnails(data) if prepared.seconds else [images.thumbnail(data)]
    return [
        Frame(second, _data_url("image/jpeg", jpeg))
        for second, jpeg in zip(prepared.seconds or (0.0,), jpegs, strict=True)
    ]


def _data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
