"""The cost of a photo and of a video before an engine sees them, and of a request with both."""

import base64
import io
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import av
import httpx
from PIL import Image

from bench.report import Report, Table, Target
from bench.serving import gateway, stub_engine, tokenizer
from gateway.domain import ScoringOptions
from gateway.families.qwen3_vl import VISION
from gateway.media import images, videos

OFFICIAL = VISION.options(ScoringOptions())
PHOTO = (4000, 3000)
PHOTO_WITHIN_MS = 80
VIDEO = (1280, 720)
VIDEO_S = 30
VIDEO_RATE = 30
VIDEO_WITHIN_S = 1.0
TIMES = {"photo": 15, "video": 7, "new": 5, "known": 30}
TEXTS, PHOTOS, VIDEOS = 40, 8, 2


def measure(report: Report) -> None:
    jpeg, mp4 = photo(PHOTO), film(VIDEO_S)
    photo_s = _seconds(lambda: images.prepare(jpeg, OFFICIAL), TIMES["photo"])
    video_s = _seconds(lambda: videos.prepare(mp4, OFFICIAL), TIMES["video"])
    new_s, known_s, body_bytes = _asked()
    photo_ms, video_best_s = min(photo_s) * 1e3, min(video_s)
    report.targets += [
        Target("a JPEG of 12 megapixels", f"≤ {PHOTO_WITHIN_MS} ms", f"{photo_ms:.0f} ms", photo_ms <= PHOTO_WITHIN_MS),
        Target(
            f"{VIDEO_S} s of 720p at 1 frame a second",
            f"≤ {VIDEO_WITHIN_S} s",
            f"{video_best_s:.2f} s",
            video_best_s <= VIDEO_WITHIN_S,
        ),
    ]
    rows = [
        (f"a JPEG of 12 megapixels, {len(jpeg) / 1e6:.1f} MB, decoded and scaled", *_best_and_median_ms(photo_s)),
        (f"{VIDEO_S} s of 720p, {len(mp4) / 1e6:.1f} MB, {VIDEO_S} frames of it", *_best_and_median_ms(video_s)),
        (f"a request of {body_bytes / 1e6:.1f} MB, all of it new", *_best_and_median_ms(new_s)),
        ("the same request again", *_best_and_median_ms(known_s)),
    ]
    note = (
        "Noise over gradients, so that the files are as large as a camera's; H.264 with B frames, a key frame in 250. "
        f"The request: {TEXTS} texts, {PHOTOS} photos of 3 megapixels, {VIDEOS} videos of 10 s, an engine that answers "
        "at once."
    )
    report.tables.append(Table("Pictures and video", ("", "best, ms", "median, ms"), rows, note))


def photo(size: tuple[int, int]) -> bytes:
    width, height = size
    grain = Image.effect_noise((width // 4, height // 4), 60).resize(size, Image.Resampling.BICUBIC)
    fall, ring = Image.linear_gradient("L").resize(size), Image.radial_gradient("L").resize(size)
    out = io.BytesIO()
    Image.merge("RGB", (grain, fall, Image.blend(grain, ring, 0.7))).save(out, "JPEG", quality=85)
    return out.getvalue()


def film(seconds: int) -> bytes:
    """A view that moves over a landscape of noise."""
    width, height = VIDEO
    land = Image.effect_noise((width + 320, height + 180), 50).convert("RGB")
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=VIDEO_RATE, options={"preset": "veryfast"})
        stream.width, stream.height = VIDEO
        stream.pix_fmt = "yuv420p"
        stream.thread_type = "FRAME"  # else a frame is several slices, unlike a camera's
        for place in range(seconds * VIDEO_RATE):
            left, top = place % 300, place % 150
            view = land.crop((left, top, left + width, top + height))
            container.mux(stream.encode(av.VideoFrame.from_image(view)))  # type: ignore[no-untyped-call]
        container.mux(stream.encode())
    return out.getvalue()


def _asked() -> tuple[list[float], list[float], int]:
    """Seconds of each request with new files, seconds of each that is known, and the bytes of a request."""
    jpeg, mp4 = photo((2000, 1500)), film(10)
    with (
        stub_engine() as engine,
        gateway({"m": {"family": "qwen3-vl-reranker", "engine": engine.url, "tokenizer": str(tokenizer())}}) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):

        def ask() -> dict[str, Any]:
            """A request of files that are new to the gateway: bytes behind a file make it another of the same cost."""
            texts: list[Any] = [f"passage {os.urandom(8).hex()} about a mug" for _ in range(TEXTS)]
            photos = [{"image": _another(jpeg)} for _ in range(PHOTOS)]
            clips = [{"video": _another(mp4)} for _ in range(VIDEOS)]
            return {"query": "a red mug", "documents": [*texts, *photos, *clips]}

        def post(body: dict[str, Any]) -> None:
            answer = client.post("/v2/rerank", json=body).raise_for_status().json()
            if warnings := answer["meta"].get("warnings"):
                raise RuntimeError(warnings[0])

        asks = [ask() for _ in range(TIMES["new"] + 1)]
        post(asks[0])
        new = [_seconds(lambda body=body: post(body), 1)[0] for body in asks[1:]]  # type: ignore[misc]
        known = _seconds(lambda: post(asks[-1]), TIMES["known"])
        return new, known, len(httpx.Request("POST", server.url, json=asks[0]).content)


def _another(data: bytes) -> str:
    free = b"\0\0\0\x10free" + os.urandom(8)  # an empty box to a video's reader, nothing to a picture's
    return base64.b64encode(data + free).decode()


def _seconds(work: Callable[[], object], times: int) -> list[float]:
    seconds = []
    for _ in range(times):
        started_s = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started_s)
    return seconds


def _best_and_median_ms(seconds: list[float]) -> tuple[str, str]:
    return f"{min(seconds) * 1e3:,.0f}", f"{statistics.median(seconds) * 1e3:,.0f}"
