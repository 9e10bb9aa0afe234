"""Makes pictures and clips ready for an engine: in threads, each distinct one once, within a bounded memory."""

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
    """Remembers the last things it made, so that a query's picture is made once for all slices of its documents."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="media")
        self._made: OrderedDict[Hashable, asyncio.Future[Prepared]] = OrderedDict()
        self._bytes = 0

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def prepare(self, blob: Blob, options: MediaOptions) -> Prepared:
        """Raises BadMedia."""
        key = (blob.digest, options)
        made = self._made.get(key)
        if made is None:
            made = asyncio.get_running_loop().run_in_executor(self._threads, make, blob, options)
            self._made[key] = made
            made.add_done_callback(lambda done: self._keep(key, done))
        else:
            self._made.move_to_end(key)
        # Shielded: a caller that leaves must not end what another waits for.
        return await asyncio.shield(made)

    async def thumbnails(self, ready: Prepared) -> list[Frame]:
        """What a person sees of it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, shown, ready)

    def _keep(self, key: Hashable, made: "asyncio.Future[Prepared]") -> None:
        if made.cancelled() or made.exception() is not None:
            self._made.pop(key, None)
            return
        self._bytes += len(made.result().url)
        while self._bytes > KEPT_BYTES and len(self._made) > 1:
            oldest = next(iter(self._made))
            if not self._made[oldest].done():
                break
            self._bytes -= len(self._made.pop(oldest).result().url)


def make(blob: Blob, options: MediaOptions) -> Prepared:
    """Raises BadMedia."""
    if blob.kind == "image":
        return prepared_picture(images.prepare(blob.data, options=options))
    return prepared_clip(videos.prepare(blob.data, options=options))


def prepared_picture(picture: images.Picture) -> Prepared:
    """A picture in the form in which it is sent."""
    return Prepared(_data_url("image/bmp", picture.bmp), picture.width, picture.height)


def prepared_clip(clip: videos.Clip) -> Prepared:
    """A clip in the form in which it is sent."""
    return Prepared(_data_url("video/avi", clip.avi), clip.width, clip.height, clip.seconds)


def shown(ready: Prepared) -> list[Frame]:
    """What a person sees of it."""
    data = base64.b64decode(ready.url.partition(",")[2])
    jpegs = videos.small_jpegs(data) if ready.seconds else [images.small_jpeg(data)]
    return [
        Frame(second, _data_url("image/jpeg", jpeg))
        for second, jpeg in zip(ready.seconds or (0.0,), jpegs, strict=True)
    ]


def _data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
