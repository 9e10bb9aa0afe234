"""An engine whose scores would be wrong gives none: a wrong start, another prompt, an activation of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.engines import readiness
from tests.gateway.asking import ASK, FRESH, QUERY, indices, message_of
from tests.gateway.conftest import Serve
from tests.gateway.tokenizer import bert_like, qwen_like, save
from tests.stub_engine import MODEL, StubEngine

TOKENIZER = qwen_like()


@pytest.fixture
def qwen3(engine: StubEngine, tmp_path: Path) -> dict[str, Any]:
    engine.tokenizer = TOKENIZER
    return {"family": "qwen3-reranker", "tokenizer": str(save(TOKENIZER, tmp_path))}


async def reason(client: httpx.AsyncClient) -> str:
    """The failed checks of /readyz in words, after a look at what a caller gets: a refusal that says the same."""
    message = message_of(refused := await client.post("/v2/rerank", json=ASK), 503)
    assert refused.json()["code"] == "engine_untrusted"
    assert refused.headers["retry-after"]
    response = await client.get("/readyz")
    assert response.status_code == 503
    failed = [check["detail"] for check in response.json()["models"][0]["checks"] if not check["passed"]]
    assert message == f"no score is given, since it would be wrong: {failed[0]}"
    return "; ".join(failed)


async def test_a_folder_whose_engine_does_not_tell_its_flags_gives_no_score(
    serve: Serve, engine: StubEngine, qwen3: dict[str, Any]
) -> None:
    engine.names = [MODEL]
    assert "with which flags it was started" in await reason(await serve(model=qwen3))
    assert engine.calls == []


async def test_known_weights_that_separate_need_no_flags_told(
    serve: Serve, engine: StubEngine, qwen3: dict[str, Any]
) -> None:
    engine.names = [MODEL]
    client = await serve(model={**qwen3, "hub": "org/name"})
    assert indices(await client.post("/v2/rerank", json=ASK)) == [1, 2, 0]


@pytest.mark.parametrize("family", ["zerank", "mxbai-rerank-v2"])
async def test_a_family_whose_flags_nobody_sees_needs_them_told_though_the_weights_are_known(
    serve: Serve, engine: StubEngine, qwen3: dict[str, Any], family: str
) -> None:
    engine.names = [MODEL]
    assert "with which flags" in await reason(await serve(model={**qwen3, "family": family, "hub": "org/name"}))


async def test_an_engine_started_for_another_family_gives_no_score(
    serve: Serve, engine: StubEngine, qwen3: dict[str, Any]
) -> None:
    engine.names = [MODEL, "recipe:zerank:0123456789ab"]
    assert "started for the family zerank" in await reason(await serve(model=qwen3))


async def test_an_engine_that_ignores_use_activation_gives_no_score(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    engine.bluffs = False
    engine.always_activates = True
    assert "ignores use_activation" in await reason(client)


async def test_an_engine_whose_own_scores_are_not_those_of_its_logits_gives_no_score(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    """vLLM before 0.31 leaves out layers of some heads when it is asked for logits."""
    engine.bluffs = False
    engine.activation = lambda score: score**3
    assert "not the sigmoids of its logits" in await reason(client)


async def test_scores_may_be_given_with_a_warning_and_are_not_kept(serve: Serve, engine: StubEngine) -> None:
    engine.bluffs = False
    engine.always_activates = True
    client = await serve(scoring="warn")
    for _ in range(2):
        body = (await client.post("/v2/rerank", json=ASK)).json()
        assert body["meta"]["cached_pairs"] == 0
        assert [result["index"] for result in body["results"]] == [1, 2, 0]
        (warning,) = body["meta"]["warnings"]
        assert warning.startswith("model: its scores may be wrong: the engine was asked for logits")
    assert (await client.get("/readyz")).status_code == 503


@pytest.mark.parametrize("adds", [-1, 1])
async def test_a_prompt_of_other_tokens_than_counted_gives_no_score_and_is_told(
    serve: Serve, engine: StubEngine, qwen3: dict[str, Any], adds: int
) -> None:
    """An engine that passed, and then reads something else: a template, a cut, another tokenizer for some texts."""
    client = await serve(model=qwen3)
    assert (await client.get("/readyz")).status_code == 200
    engine.adds_tokens = adds
    refused = await client.post("/v2/rerank", json={"query": QUERY, "documents": ["red"]})
    assert refused.json()["code"] == "engine_untrusted"
    assert "where the gateway counted" in message_of(refused, 503)
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["models"][0]["checks"][-1]["check"] == "tokens"
    engine.adds_tokens = 0
    assert indices(await client.post("/v2/rerank", json=ASK)) == [1, 2, 0]  # and nothing was kept
    assert (await client.get("/readyz")).status_code == 200


async def test_texts_are_counted_too_where_the_tokenizer_is_known(
    serve: Serve, engine: StubEngine, tmp_path: Path
) -> None:
    engine.tokenizer = bert_like()
    client = await serve(model={"tokenizer": str(save(engine.tokenizer, tmp_path)), "max_tokens": 512})
    assert indices(await client.post("/v2/rerank", json=FRESH)) == [1, 2, 0]
    engine.adds_tokens = 9  # a template
    assert (await client.post("/v2/rerank", json=FRESH)).json()["code"] == "engine_untrusted"


async def test_an_engine_put_right_is_trusted_again(
    client: httpx.AsyncClient, engine: StubEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "DOUBT_S", 0.0)
    engine.bluffs = False
    engine.distort = lambda given: [score / (1 + place) for place, score in enumerate(given)]
    assert "its place in a batch" in await reason(client)
    await engine.stop()
    engine.distort = list
    await engine.start()
    assert indices(await client.post("/v2/rerank", json=ASK)) == [1, 2, 0]


async def test_a_wrong_engine_is_not_examined_for_each_caller(client: httpx.AsyncClient, engine: StubEngine) -> None:
    def moving(given: Sequence[float]) -> Sequence[object]:
        return [score / (1 + place) for place, score in enumerate(given)]

    engine.bluffs = False
    engine.distort = moving
    message_of(await client.post("/v2/rerank", json=ASK), 503)
    calls = len(engine.calls)
    for _ in range(5):
        message_of(await client.post("/v2/rerank", json=ASK), 503)
    assert len(engine.calls) == calls
