"""`POST /v1/preview` shows a picture or a video as the model sees it."""

import base64
import io
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.gateway.asking import message_of
from tests.gateway.conftest import Serve
from tests.gateway.made import film
from tests.gateway.tokenizer import qwen_like, save


@pytest.fixture
async def client(serve: Serve, tmp_path: Path) -> httpx.AsyncClient:
    tokenizer = str(save(qwen_like(), tmp_path))
    return await serve(
        model={"family": "qwen3-vl-reranker", "tokenizer": tokenizer}, default_media_model="words", api_keys=["k"]
    )


def data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def picture(width: int, height: int) -> str:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    return data_url("image/png", out.getvalue())


def red_then_blue(seconds: int) -> str:
    """A video that is red for its first second."""
    images = [Image.new("RGB", (640, 320), "red" if place < 8 else "blue") for place in range(8 * seconds)]
    return data_url("video/mp4", film(images, rate=8))


def opened(url: str) -> Image.Image:
    head, data = url.split(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def is_red(image: Image.Image) -> bool:
    (red, _), _, (blue, _) = (band.getextrema() for band in image.split())
    return bool(red > blue)  # type: ignore[operator]


async def asked(client: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await client.post("/v1/preview", json=body, headers={"authorization": "Bearer k"})


async def test_a_video_is_shown_frame_by_frame_at_the_times_the_model_is_told(client: httpx.AsyncClient) -> None:
    body = (await asked(client, video=red_then_blue(3), fps=2)).json()
    assert (body["width"], body["height"]) == (640, 320)
    assert [frame["seconds"] for frame in body["frames"]] == [0, 0.5, 1, 1.5, 2, 2.5]
    images = [opened(frame["image"]) for frame in body["frames"]]
    assert [is_red(image) for image in images] == [True, True, False, False, False, False]
    assert {image.size for image in images} == {(480, 240)}


async def test_a_picture_is_shown_small_and_the_size_is_the_models(client: httpx.AsyncClient) -> None:
    body = (await asked(client, image=picture(3000, 1000))).json()
    assert body["width"] % 32 == body["height"] % 32 == 0
    (frame,) = body["frames"]
    assert (frame["seconds"], max(opened(frame["image"]).size)) == (0, 480)
    body = (await asked(client, image=picture(3000, 1000), max_pixels=64 * 1024)).json()
    assert body["width"] * body["height"] <= 64 * 1024


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        ({}, "expected either image or video"),
        ({"image": "data:,x", "video": "data:,x"}, "expected either image or video"),
        ({"image": data_url("text/html", b"<html>")}, "image: not a picture (got text/html)"),
        ({"video": picture(64, 64)}, "video: not a video (got image/png)"),
        ({"image": 5}, "image: expected str | null, got int"),
        ({"image": picture(64, 64), "fps": 0}, "fps: expected float > 0.0"),
        ({"image": picture(64, 64), "max_frames": 10**6}, "max_frames: at most "),
        ({"image": "http://127.0.0.1/x.png"}, "image: this gateway fetches no addresses"),
    ],
)
async def test_what_cannot_be_shown_is_400_and_says_why(
    client: httpx.AsyncClient, ask: dict[str, object], reason: str
) -> None:
    assert message_of(await asked(client, **ask), 400).startswith(f"invalid request: {reason}")


async def test_a_preview_needs_a_key_and_a_model_that_sees(client: httpx.AsyncClient, serve: Serve) -> None:
    message_of(await client.post("/v1/preview", json={"image": picture(64, 64)}), 401)
    blind = await serve()
    assert "read text only" in message_of(await blind.post("/v1/preview", json={"image": picture(64, 64)}), 400)
