"""Calls to an engine: bounded in size where there are pictures, and scores believed only near 0..1."""

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.gateway.asking import ASK, indices, scores
from tests.gateway.conftest import Serve
from tests.gateway.made import film
from tests.gateway.serving import LocalServer
from tests.gateway.tokenizer import qwen_like, save
from tests.stub_engine import StubEngine, answer

TOKENIZER = qwen_like()


@pytest.fixture
async def vision(serve: Serve, engine: StubEngine, tmp_path: Path) -> httpx.AsyncClient:
    engine.tokenizer = TOKENIZER
    folder = save(TOKENIZER, tmp_path)
    return await serve(model={"family": "qwen3-vl-reranker", "tokenizer": str(folder), "max_tokens": 4096})


def picture(shade: int) -> str:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (shade, shade, shade)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def video(shade: int) -> str:
    return base64.b64encode(film([Image.new("RGB", (64, 64), (shade, shade, shade))] * 8)).decode()


async def lengths(client: httpx.AsyncClient, engine: StubEngine, documents: list[dict[str, Any]]) -> list[int]:
    """The sizes of the calls that these documents make."""
    answer = await client.post("/v2/rerank", json={"query": "q", "documents": documents})
    assert len(indices(answer)) == len(documents)
    return [len(call) for call in engine.calls]


async def test_pairs_with_one_picture_reach_the_engine_in_calls_of_a_bounded_number(
    vision: httpx.AsyncClient, engine: StubEngine
) -> None:
    red = picture(9)
    documents = [{"text": f"number {number}", "image": red} for number in range(33)]
    assert await lengths(vision, engine, documents) == [16, 16, 1]


async def test_pairs_with_pictures_of_their_own_reach_the_engine_in_calls_of_a_bounded_weight(
    vision: httpx.AsyncClient, engine: StubEngine
) -> None:
    documents = [{"image": picture(shade)} for shade in range(19)]
    assert await lengths(vision, engine, documents) == [9, 9, 1]  # of up to 7 MB each, 64 MB in all


@pytest.mark.parametrize("kind", ["image", "image_url"])
async def test_a_picture_may_be_a_part_of_either_name(vision: httpx.AsyncClient, engine: StubEngine, kind: str) -> None:
    await lengths(vision, engine, [{"content": [{"type": kind, kind: picture(0)}]}])
    assert engine.prompts[0][1].startswith("64x64")


@pytest.mark.parametrize("kind", ["video", "video_url"])
async def test_a_video_may_be_a_part_of_either_name(vision: httpx.AsyncClient, engine: StubEngine, kind: str) -> None:
    await lengths(vision, engine, [{"content": [{"type": kind, kind: {"url": video(0)}}]}])
    assert "frames 64x64" in engine.prompts[0][1]


async def test_the_time_that_loading_took_is_told_first(vision: httpx.AsyncClient) -> None:
    def stages(response: httpx.Response) -> list[str]:
        return [stage.split(";")[0] for stage in response.headers["server-timing"].split(", ")]

    ask = {"query": "q", "documents": [{"image": picture(1)}, "text"]}
    assert stages(await vision.post("/v2/rerank", json=ask)) == ["parse", "media", "cache", "engine", "total", "cached"]
    broken = {"query": "q", "documents": [{"image": "!"}]}
    assert (await vision.post("/v2/rerank", json=broken)).status_code == 400


async def test_videos_weigh_more_than_pictures(vision: httpx.AsyncClient, engine: StubEngine) -> None:
    documents = [{"video": video(30 * number)} for number in range(7)]
    assert await lengths(vision, engine, documents) == [3, 3, 1]  # of up to 20 MB each


async def test_a_picture_that_stands_in_all_of_them_weighs_once_a_call(
    vision: httpx.AsyncClient, engine: StubEngine
) -> None:
    ask = {"query": {"image": picture(200)}, "documents": [{"image": picture(shade)} for shade in range(17)]}
    assert len(indices(await vision.post("/v2/rerank", json=ask))) == 17
    assert [len(call) for call in engine.calls] == [8, 8, 1]


@pytest.mark.parametrize(
    ("logit", "score"), [(0, 0.5), (800.0, 1.0), (1e300, 1.0), (-800.0, 0.0), (-1e300, 0.0), (math.log(3), 0.75)]
)
async def test_a_score_is_the_sigmoid_of_the_logit(
    client: httpx.AsyncClient, engine: StubEngine, logit: float, score: float
) -> None:
    engine.always_activates = True  # these are logits as they are
    engine.distort = lambda honest: [logit] * len(honest)
    assert scores(await client.post("/v2/rerank", json=ASK)) == pytest.approx([score] * 3, abs=1e-15)


async def test_the_engine_is_sent_json_of_a_known_length_one_query_once_and_no_model(serve: Serve) -> None:
    heads: list[dict[str, str]] = []
    bodies: list[bytes] = []

    async def other(http: Request) -> Response:
        return answer({})

    async def engine(http: Request) -> Response:
        if b"capital of France" in await http.body() or b"csv file" in await http.body():
            return answer({"data": []})  # an examination, which it fails
        heads.append({**http.headers, "path": http.url.path})
        bodies.append(await http.body())
        count = len(json.loads(bodies[-1])["text_2"])
        return answer({"data": [{"index": index, "score": 0.5} for index in range(count)]})

    routes = [Route("/score", engine, methods=["POST"]), Route("/{path:path}", other)]
    server = LocalServer(Starlette(routes=routes))
    await server.start()
    client = await serve(model={"engine": server.url}, scoring="warn")
    long = "a" * 600_000  # sent in pieces
    for documents in (["a", "b"], [long]):
        assert scores(await client.post("/v2/rerank", json={"query": "q", "documents": documents}))
    await server.stop()
    assert [json.loads(body) for body in bodies] == [
        {"text_1": "q", "text_2": ["a", "b"], "use_activation": False},
        {"text_1": "q", "text_2": [long], "use_activation": False},
    ]
    for head, body in zip(heads, bodies, strict=True):
        assert head["content-type"] == "application/json"
        assert head["content-length"] == str(len(body))
