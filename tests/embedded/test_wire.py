"""The embedded engine reads every spelling of vLLM's requests and words answers and errors like vLLM."""

import json
import math
import re
from typing import Any

import httpx
import pytest

from tests.embedded.engine_process import Engine

QUERY = "how to reset a password"
DOCUMENTS = ["The museum is closed on Mondays.", "Click 'Forgot password' on the sign-in page."]


def posted(engine: Engine, path: str, body: Any) -> httpx.Response:
    return httpx.post(engine.url + path, content=body if isinstance(body, bytes) else json.dumps(body))


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
@pytest.mark.parametrize(
    "body",
    [
        {"text_1": QUERY, "text_2": DOCUMENTS},
        {"text_1": [QUERY], "text_2": DOCUMENTS},
        {"text_1": [QUERY, QUERY], "text_2": DOCUMENTS},
        {"queries": QUERY, "documents": DOCUMENTS},
        {"data_1": QUERY, "data_2": DOCUMENTS, "model": "all-MiniLM-L6-v2", "unknown": {"is": "ignored"}},
    ],
)
def test_score_takes_every_spelling(engine: Engine, path: str, body: dict[str, Any]) -> None:
    answer = posted(engine, path, body).raise_for_status().json()
    assert [entry["index"] for entry in answer["data"]] == [0, 1]
    assert {entry["object"] for entry in answer["data"]} == {"score"}
    assert [entry["score"] for entry in answer["data"]] == engine.scores(QUERY, *DOCUMENTS)
    assert (answer["object"], answer["model"]) == ("list", "all-MiniLM-L6-v2")


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_rerank_sorts_and_echoes(engine: Engine, path: str) -> None:
    answer = posted(engine, path, {"query": QUERY, "documents": DOCUMENTS}).raise_for_status().json()
    low, high = engine.scores(QUERY, *DOCUMENTS)
    assert answer["results"] == [
        {"index": 1, "document": {"text": DOCUMENTS[1], "multi_modal": None}, "relevance_score": high},
        {"index": 0, "document": {"text": DOCUMENTS[0], "multi_modal": None}, "relevance_score": low},
    ]
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(("top_n", "results"), [(0, 2), (1, 1), (9, 2)])
def test_top_n_limits_and_zero_means_all(engine: Engine, top_n: int, results: int) -> None:
    answer = posted(engine, "/rerank", {"query": QUERY, "documents": DOCUMENTS, "top_n": top_n}).json()
    assert len(answer["results"]) == results


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/score", {"text_1": QUERY, "text_2": []}, 400, "At least one text_pair element must be given"),
        ("/score", {"text_1": ["a", "b"], "text_2": ["c"]}, 400, "1:1, 1:N or N:N"),
        ("/score", {"text_1": ["a", "b"], "text_2": ["c", "d", "e"]}, 400, "1:1, 1:N or N:N"),
        ("/score", {"text_1": QUERY}, 400, "text_2"),
        ("/score", {"text_1": QUERY, "text_2": ["a", 3]}, 400, "body.text_2[1]"),
        ("/score", b"{", 400, "validation error"),
        ("/score", b'{"text_1": "a", "text_2": "\\ud800"}', 400, "validation error"),
        ("/score", b"\xff", 400, "validation error"),
        ("/rerank", {"query": QUERY, "documents": []}, 400, "At least one"),
        ("/rerank", {"documents": DOCUMENTS}, 400, "query"),
        ("/rerank", {"query": QUERY, "documents": DOCUMENTS, "top_n": -1}, 400, "top_n"),
        ("/rerank", {"query": QUERY, "documents": DOCUMENTS, "model": "nope"}, 404, "The model `nope` does not exist."),
        ("/tokenize", {"prompt": None}, 400, "body.prompt"),
        ("/nowhere", {}, 404, "Not Found"),
        ("/health", {}, 405, "Method Not Allowed"),
    ],
)
def test_errors_have_vllms_body(engine: Engine, path: str, body: Any, status: int, says: str) -> None:
    answer = posted(engine, path, body)
    error = answer.json()["error"]
    assert answer.status_code == error["code"] == status
    assert says in error["message"]
    assert set(error) == {"message", "type", "param", "code"}


def test_tokenize_shows_the_models_own_tokens(engine: Engine) -> None:
    body = {"model": "all-MiniLM-L6-v2", "prompt": "Hello wörld", "return_token_strs": True}
    assert posted(engine, "/tokenize", body).json() == {
        "count": 4,
        "max_model_len": 512,
        "tokens": [101, 7592, 2088, 102],
        "token_strs": ["[CLS]", "hello", "world", "[SEP]"],
    }
    bare = posted(engine, "/tokenize", {"prompt": "Hello wörld", "add_special_tokens": False}).json()
    assert (bare["tokens"], bare["token_strs"]) == ([7592, 2088], None)


def test_it_tells_what_it_is(engine: Engine) -> None:
    models = httpx.get(f"{engine.url}/v1/models").json()["data"]
    assert [model["id"] for model in models] == [
        "all-MiniLM-L6-v2",
        "sentence-transformers/all-MiniLM-L6-v2",
        "minilm-e5-small",
    ]
    precision = "u?int8|float32"
    for model in models:
        assert re.fullmatch(
            f"all-MiniLM-L6-v2@53aa5117:({precision})\\+multilingual-e5-small@1571fc98:({precision})/2", model["root"]
        )
        assert model["max_model_len"] == 512
    assert httpx.get(f"{engine.url}/version").json()["version"]
    assert httpx.get(f"{engine.url}/ping").status_code == httpx.get(f"{engine.url}/health").status_code == 200


def test_metrics_count_what_was_scored(engine: Engine) -> None:
    engine.scores("a", "b")
    text = httpx.get(f"{engine.url}/metrics").text
    assert "vllm:prompt_tokens_total{" in text
    assert "vllm:e2e_request_latency_seconds_bucket{" in text


def test_without_activation_a_score_is_the_logit_of_the_score(engine: Engine) -> None:
    documents = [*DOCUMENTS, QUERY, "", "密码"]
    body = {"text_1": QUERY, "text_2": documents, "use_activation": False}
    logits = [entry["score"] for entry in posted(engine, "/score", body).raise_for_status().json()["data"]]
    scores = engine.scores(QUERY, *documents)
    assert [1 / (1 + math.exp(-logit)) for logit in logits] == pytest.approx(scores, abs=1e-15)
    assert min(logits) < 0 < max(logits)
    answer = posted(engine, "/rerank", {"query": QUERY, "documents": DOCUMENTS, "use_activation": False}).json()
    assert [entry["relevance_score"] for entry in answer["results"]] == sorted(logits[:2], reverse=True)
