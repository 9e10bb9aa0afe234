"""/readyz says in words why an engine's scores cannot be trusted, and that they can as soon as they can."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from tokenizers import Tokenizer

from tests.gateway.asking import ASK, indices
from tests.gateway.conftest import Serve
from tests.gateway.tokenizer import qwen_like, save
from tests.stub_engine import StubEngine, answer, failure

TOKENIZER = qwen_like()


@pytest.fixture
async def reranker(serve: Serve, engine: StubEngine, tmp_path: Path) -> httpx.AsyncClient:
    engine.tokenizer = TOKENIZER
    engine.bluffs = False
    model = {"family": "qwen3-reranker", "tokenizer": str(save(TOKENIZER, tmp_path)), "hub": "org/name"}
    return await serve(model=model)


async def checks(client: httpx.AsyncClient, *, ready: bool) -> dict[str, dict[str, Any]]:
    """The details of /readyz, by the name of the check."""
    response = await client.get("/readyz")
    assert response.status_code == (200 if ready else 503), response.text
    assert ("retry-after" in response.headers) is not ready
    (model,) = response.json()["models"]
    assert (response.json()["ready"], model["name"], model["ready"]) == (ready, "words", ready)
    for check in model["checks"]:
        assert set(check) == {"check", "passed", "detail"}
        assert check["detail"]
    assert all(check["passed"] for check in model["checks"]) is ready
    return {check["check"]: check for check in model["checks"]}


async def failed(client: httpx.AsyncClient) -> dict[str, str]:
    """The details of the checks that failed, by name."""
    return {name: check["detail"] for name, check in (await checks(client, ready=False)).items() if not check["passed"]}


async def test_a_healthy_reranker_is_ready(reranker: httpx.AsyncClient) -> None:
    assert set(await checks(reranker, ready=True)) == {
        *("engine", "version", "start", "token ids", "scores", "activation")
    }


async def test_a_healthy_cross_encoder_is_ready_whatever_its_version(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    engine.version = None
    await checks(client, ready=True)


async def test_once_passed_the_deep_checks_cost_nothing(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    await checks(reranker, ready=True)
    calls = len(engine.calls)
    await checks(reranker, ready=True)
    assert len(engine.calls) == calls


async def test_an_engine_that_is_gone_or_starting_is_not_ready(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.health_status = 503
    assert "not ready" in (await failed(reranker))["engine"]
    await engine.stop()
    assert "does not answer" in (await failed(reranker))["engine"]
    await engine.start()
    engine.health_status = 200
    await checks(reranker, ready=True)


async def test_another_tokenizer_than_the_engines_is_told(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    other = Tokenizer.from_str(TOKENIZER.to_str())
    other.add_tokens(["Judge whether"])
    engine.tokenizer = other
    assert "tokenizer is not the gateway's" in (await failed(reranker))["token ids"]


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_an_engine_that_does_not_tokenize_is_told(
    reranker: httpx.AsyncClient, engine: StubEngine, status: int
) -> None:
    engine.tokenize_status = status
    assert (await failed(reranker))["token ids"]


@pytest.mark.parametrize(
    ("version", "ready"), [("0.15.0", False), ("0.9.2", False), ("0.15.1", True), ("0.32.0+cpu", True), ("1.0.0", True)]
)
async def test_a_vllm_too_old_for_token_ids_is_told(
    reranker: httpx.AsyncClient, engine: StubEngine, version: str, ready: bool
) -> None:
    engine.version = version
    if ready:
        await checks(reranker, ready=True)
    else:
        assert version in (await failed(reranker))["version"]


async def test_scores_that_are_all_alike_are_not_a_rerankers(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.distort = lambda scores: [0.5] * len(scores)
    assert "0.000 above an unrelated one" in (await failed(reranker))["scores"]


async def test_scores_the_wrong_way_round_are_told(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.distort = lambda scores: [1 - score for score in scores]
    assert "override or template" in (await failed(reranker))["scores"]


async def test_a_model_nobody_knows_need_not_find_paris(client: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.distort = lambda scores: [0.5] * len(scores)
    await checks(client, ready=True)  # no hub id: perhaps a model of random weights


async def test_a_server_without_the_override_is_told(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.instead = lambda: failure(404, "Not Found")
    assert "classification override" in (await failed(reranker))["scores"]


async def test_a_server_with_the_wrong_number_of_classes_is_told(
    reranker: httpx.AsyncClient, engine: StubEngine
) -> None:
    engine.instead = lambda: answer({"data": [{"index": 0, "probs": [0.4, 0.6]}, {"index": 1, "probs": [0.4, 0.6]}]})
    assert "several classes" in (await failed(reranker))["scores"]


async def test_scores_that_move_with_the_place_in_a_batch_are_told(
    reranker: httpx.AsyncClient, engine: StubEngine
) -> None:
    def moving(scores: Sequence[float]) -> list[float]:
        return [score - 0.05 * place for place, score in enumerate(scores)]

    engine.distort = moving
    assert "its place in a batch" in (await failed(reranker))["scores"]


async def test_scores_that_move_from_call_to_call_are_told(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    calls = count()

    def drifting(scores: Sequence[float]) -> list[float]:
        shift = 0.05 * next(calls)
        return [max(0.0, score - shift) for score in scores]

    engine.distort = drifting
    assert "score moves by" in (await failed(reranker))["scores"]


async def test_scores_that_move_by_a_rounding_are_fine(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.distort = lambda scores: [max(0.0, score - 0.005 * place) for place, score in enumerate(scores)]
    await checks(reranker, ready=True)


async def test_an_engine_that_came_back_is_checked_again(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    await checks(reranker, ready=True)
    await engine.stop()
    assert (await reranker.post("/v2/rerank", json=ASK)).status_code == 503
    engine.instead = lambda: failure(404, "Not Found")  # started by hand, without the override
    await engine.start()
    assert "classification override" in (await failed(reranker))["scores"]
    engine.instead = lambda: None
    await checks(reranker, ready=True)
    assert indices(await reranker.post("/v2/rerank", json=ASK)) == [1, 2, 0]


async def test_one_model_not_ready_is_the_gateway_not_ready(serve: Serve, engine: StubEngine) -> None:
    models = {
        "well": {"family": "cross-encoder", "engine": engine.url},
        "gone": {"family": "cross-encoder", "engine": "http://127.0.0.1:9"},
    }
    response = await (await serve(models=models)).get("/readyz")
    assert response.status_code == 503
    assert {model["name"]: model["ready"] for model in response.json()["models"]} == {"well": True, "gone": False}


async def test_readyz_holds_no_address(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    for fault in (failure(500, engine.url), failure(400, engine.url), answer(engine.url)):
        engine.instead = lambda fault=fault: fault  # type: ignore[misc]
        assert engine.url.rpartition(":")[2] not in (await reranker.get("/readyz")).text
    await engine.stop()
    assert engine.url.rpartition(":")[2] not in (await reranker.get("/readyz")).text
