"""Calls to an engine: bounded in size where there are pictures, and scores believed only near 0..1."""

import base64
import io
from pathlib import Path

import httpx
import pytest
from PIL import Image

from gateway.engines.media import MEGABYTES, MEGABYTES_PER_CALL, PAIRS_PER_CALL
from tests.gateway.asking import ASK, indices, message_of, scores
from tests.gateway.conftest import Serve
from tests.gateway.tokenizer import qwen_like, save
from tests.stub_engine import StubEngine

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


async def lengths(client: httpx.AsyncClient, engine: StubEngine, documents: list[dict[str, str]]) -> list[int]:
    """The sizes of the calls that these documents make."""
    answer = await client.post("/v2/rerank", json={"query": "q", "documents": documents})
    assert len(indices(answer)) == len(documents)
    return [len(call) for call in engine.calls]


async def test_pairs_with_one_picture_reach_the_engine_in_calls_of_a_bounded_number(
    vision: httpx.AsyncClient, engine: StubEngine
) -> None:
    red = picture(9)
    documents = [{"text": f"number {number}", "image": red} for number in range(2 * PAIRS_PER_CALL + 1)]
    assert await lengths(vision, engine, documents) == [PAIRS_PER_CALL, PAIRS_PER_CALL, 1]


async def test_pairs_with_pictures_of_their_own_reach_the_engine_in_calls_of_a_bounded_weight(
    vision: httpx.AsyncClient, engine: StubEngine
) -> None:
    most = MEGABYTES_PER_CALL // MEGABYTES["image"]
    documents = [{"image": picture(shade)} for shade in range(2 * most + 1)]
    assert await lengths(vision, engine, documents) == [most, most, 1]


@pytest.mark.parametrize(("raw", "read"), [(1.009, 1.0), (1.01, 1.0), (-0.3, 0.0), (-1.01, 0.0), (0.999, 0.999)])
async def test_a_score_a_rounding_beyond_its_bounds_is_the_bound(
    client: httpx.AsyncClient, engine: StubEngine, raw: float, read: float
) -> None:
    engine.distort = lambda honest: [raw] * len(honest)
    assert scores(await client.post("/v2/rerank", json=ASK)) == [read] * 3


@pytest.mark.parametrize("raw", [1.02, 1.5, 2.0, -1.02, -2.0])
async def test_a_score_further_beyond_is_no_score(client: httpx.AsyncClient, engine: StubEngine, raw: float) -> None:
    engine.distort = lambda _: [0.5, raw, 0.5]
    assert "outside 0..1" in message_of(await client.post("/v2/rerank", json=ASK), 502)
