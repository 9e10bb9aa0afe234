"""Words and codes that clients rely on: Cohere's own sentences to the letter, and ours for what an engine does."""

import json
import logging
from pathlib import Path

import httpx
import pytest
from starlette.responses import Response

from gateway.dialects.cohere import V1, V2
from gateway.errors import BadRequest
from tests.gateway.asking import ASK
from tests.gateway.conftest import Serve
from tests.gateway.tokenizer import qwen_like, save
from tests.stub_engine import StubEngine, answer, failure

OVERRIDE = "it is served without the classification override, start it with `rerank engine`"


async def said(client: httpx.AsyncClient, **changes: object) -> tuple[int, str, str]:
    """Status, code and message of the error that this request gets."""
    response = await client.post("/v2/rerank", json=ASK | changes)
    body = response.json()
    return response.status_code, body["code"], body["message"]


async def test_coheres_own_words_are_given_to_the_letter(serve: Serve) -> None:
    client = await serve(unknown_model="error")
    invalid = "invalid request: "
    assert await said(client, query=" ") == (
        400,
        "query_empty",
        invalid + "query must not be empty or be only whitespace",
    )
    assert await said(client, documents=[]) == (
        400,
        "documents_empty",
        invalid + "list of documents must not be empty",
    )
    assert await said(client, model="no-such") == (
        404,
        "model_not_found",
        "model 'no-such' not found, make sure the correct model ID was used",
    )
    assert await said(client, max_chunks_per_doc=3334) == (
        400,
        "invalid_request",
        invalid + "number of total max chunks (number of documents * max chunks per doc) must be at most 10000",
    )
    response = await client.post("/v2/rerank", content=b"{")
    assert response.json()["code"] == "invalid_json"
    assert response.json()["message"].startswith("invalid json syntax: ")


async def test_a_field_at_fault_is_named_once_and_first(client: httpx.AsyncClient) -> None:
    for changes, message in (
        ({"max_frames": 0}, "max_frames: must be at least 1"),
        ({"max_pixels": 0}, "max_pixels: must be at least 1"),
        ({"max_tokens_per_doc": 0}, "max_tokens_per_doc: must be at least 1"),
        ({"fps": 0}, "fps: must be above 0"),
        ({"fps": -1}, "fps: must be above 0"),
        ({"relevant_spans": {"mode": "enabled", "threshold": 1.01}}, "relevant_spans.threshold: must be from 0 to 1"),
        ({"relevant_spans": {"mode": "enabled", "threshold": -0.01}}, "relevant_spans.threshold: must be from 0 to 1"),
        ({"relevant_spans": {"mode": "enabled", "max_spans": 0}}, "relevant_spans.max_spans: must be at least 1"),
    ):
        assert await said(client, **changes) == (400, "invalid_request", f"invalid request: {message}")


async def test_a_document_of_no_shape_we_know_is_named(client: httpx.AsyncClient) -> None:
    for part in ("text", 5, None, {"type": "text"}, {"type": "text", "text": 5}, {"text": "a"}, {}):
        assert await said(client, documents=["a", {"content": [{"type": "text", "text": "b"}, part]}]) == (
            400,
            "invalid_request",
            "invalid request: documents[1].content[1]: expected a text, image_url or video_url part",
        )
    sources: list[object] = [5, None, [], {}, {"url": 5}]
    for source in sources:
        for kind in ("image", "video", "image_url", "video_url"):
            assert await said(client, documents=[{"content": [{"type": kind, kind: source}]}]) == (
                400,
                "invalid_request",
                "invalid request: documents[0].content[0]: expected a data URL, base64 or an http(s) URL",
            )
    deep: object = "a"
    for _ in range(900):
        deep = [deep]
    assert await said(client, documents=["a", {"deep": deep}]) == (
        400,
        "invalid_request",
        "invalid request: documents: too deeply nested",
    )


async def test_the_least_and_the_most_that_a_field_may_hold_are_taken(client: httpx.AsyncClient) -> None:
    for changes in (
        {"max_frames": 1},
        {"max_pixels": 1},
        {"max_tokens_per_doc": 1},
        {"max_chunks_per_doc": 1},
        {"max_chunks_per_doc": 3333},
        {"fps": 0.001},
        {"relevant_spans": {"mode": "enabled", "threshold": 0}},
        {"relevant_spans": {"mode": "enabled", "threshold": 1, "max_spans": 1}},
    ):
        assert (await client.post("/v2/rerank", json=ASK | changes)).status_code == 200, changes


async def test_a_strict_callers_bad_document_is_told_without_invalid_request(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    engine.max_tokens = 7
    documents = ["red", "word " * 10]
    assert await said(client, documents=documents, strict=True) == (
        400,
        "prompt_refused",
        "documents[1]: too long for the model",
    )


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_an_engines_refusal_is_told_in_our_words(
    client: httpx.AsyncClient, engine: StubEngine, status: int
) -> None:
    engine.instead = lambda: failure(status, "I will not")
    assert await said(client) == (400, "prompt_refused", "documents[0]: the engine refused to read it")
    for theirs in ("This model's maximum context length is 5 tokens", "Input is longer than the model's"):
        engine.instead = lambda theirs=theirs: failure(status, theirs)  # type: ignore[misc]
        assert await said(client) == (400, "prompt_refused", "documents[0]: too long for the model")


@pytest.mark.parametrize(
    ("reply", "status", "code", "message"),
    [
        (failure(404, ""), 502, "engine_bad_response", "the engine does not serve /score"),
        (failure(405, ""), 502, "engine_bad_response", "the engine does not serve /score"),
        (failure(401, ""), 502, "engine_bad_response", "the engine wants a key: it must listen on loopback only"),
        (failure(403, ""), 502, "engine_bad_response", "the engine wants a key: it must listen on loopback only"),
        (failure(429, ""), 503, "engine_unavailable", "the engine is failing (status 429)"),
        (failure(500, ""), 503, "engine_unavailable", "the engine is failing (status 500)"),
        (failure(499, ""), 502, "engine_bad_response", "the engine answered with status 499"),
        (Response(status_code=302), 502, "engine_bad_response", "the engine answered with status 302"),
        (Response(b"{"), 502, "engine_bad_response", "the engine's answer is not the JSON of a score"),
        (answer({"data": []}), 502, "engine_bad_response", "the engine was asked for 3 scores and did not give each"),
    ],
    ids=lambda value: str(getattr(value, "status_code", value)),
)
async def test_an_engines_fault_is_told_in_our_words(
    client: httpx.AsyncClient, engine: StubEngine, reply: Response, status: int, code: str, message: str
) -> None:
    engine.instead = lambda: reply
    told = await said(client)
    assert told[:2] == (status, code)
    assert told[2].startswith(message)
    assert OVERRIDE not in told[2]


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 3333, 10_000])
def test_the_default_of_chunks_bends_to_what_is_allowed_in_all(count: int) -> None:
    body = json.dumps({"query": "q", "documents": ["d"] * count}).encode()
    assert V1.parse(body).options.max_chunks_per_doc == max(1, min(10, 10_000 // count))
    assert V2.parse(body).options.max_chunks_per_doc == 1


def test_chunks_asked_for_may_come_to_ten_thousand_in_all_and_not_to_one_more() -> None:
    def parsed(documents: int, chunks: int) -> int:
        body = {"query": "q", "documents": ["d"] * documents, "max_chunks_per_doc": chunks}
        return V1.parse(json.dumps(body).encode()).options.max_chunks_per_doc

    assert (parsed(2, 5000), parsed(1, 10_000)) == (5000, 10_000)
    for documents, chunks in ((2, 5001), (1, 10_001)):
        with pytest.raises(BadRequest, match="at most 10000"):
            parsed(documents, chunks)


@pytest.mark.parametrize(
    ("top_n", "top_k", "expected"),
    [(2, None, 2), (None, 2, 2), (1, 2, 1), (0, 2, None), (-1, None, None), (1, None, 1)],
)
def test_top_n_goes_before_top_k_and_what_is_not_positive_is_all(
    top_n: int | None, top_k: int | None, expected: int | None
) -> None:
    body = {"query": "q", "documents": ["d"], "top_n": top_n, "top_k": top_k}
    assert V2.parse(json.dumps(body).encode()).top_n == expected


def test_a_negative_priority_is_the_first_and_not_more() -> None:
    for given, expected in ((-3, 0), (0, 0), (1, 1), (None, 0)):
        body = {"query": "q", "documents": ["d"], "priority": given}
        assert V2.parse(json.dumps(body).encode()).priority == expected


async def test_a_search_unit_is_a_hundred_chunks_begun(client: httpx.AsyncClient) -> None:
    for count, units in ((1, 1), (100, 1), (101, 2), (200, 2)):
        response = await client.post("/v2/rerank", json={"query": "q", "documents": [f"d{n}" for n in range(count)]})
        assert response.json()["meta"]["billed_units"] == {"search_units": units}


async def test_ten_documents_not_scored_are_named_and_the_eleventh_is_counted(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    engine.max_tokens = 5
    for bad, warnings in ((10, 10), (11, 11)):
        documents = ["red", *(f"{n} " * 9 for n in range(bad))]
        told = (await client.post("/v2/rerank", json={"query": "red", "documents": documents})).json()
        assert len(told["meta"]["warnings"]) == warnings
    assert told["meta"]["warnings"][-1] == "documents: 1 more were not scored"
    assert told["meta"]["warnings"][-2] == "documents[10]: not scored, too long for the model"


async def test_the_engines_count_of_tokens_is_shared_out_to_the_last(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    data = [{"index": index, "score": 0.5} for index in range(3)]
    for usage, tokens in (
        ({"prompt_tokens": 11, "total_tokens": 99}, 11),
        ({"prompt_tokens": 0, "total_tokens": 10}, 10),
        ({"total_tokens": 7}, 7),
        ({}, 0),
        (None, 0),
    ):
        engine.instead = lambda usage=usage: answer({"data": data, "usage": usage})  # type: ignore[misc]
        body = (await client.post("/v2/rerank", json={**ASK, "cache": "no-store"})).json()
        assert body["usage"]["total_tokens"] == tokens


async def test_the_document_of_the_api_tells_how_each_version_reads_a_long_document(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert paths["/v1/rerank"]["post"]["summary"] == "Rank documents; a long one is read in up to 10 chunks"
    assert paths["/v2/rerank"]["post"]["summary"] == "Rank documents; a long one is cut"


async def test_a_text_or_an_instruction_that_cannot_be_read_is_told_without_invalid_request(
    serve: Serve, engine: StubEngine, tmp_path: Path
) -> None:
    model = {"family": "qwen3-reranker", "tokenizer": str(save(qwen_like(), tmp_path)), "max_tokens": 300}
    client = await serve(model=model)
    engine.tokenize_status = 400
    response = await client.post("/v1/tokenize", json={"text": "a"})
    assert (response.status_code, response.json()["code"]) == (400, "prompt_refused")
    assert response.json()["message"] == "text: the engine refused to read it"
    engine.tokenize_status, engine.tokenizer = 200, qwen_like()
    assert await said(client, instruction="find the river " * 200) == (
        400,
        "instruction_too_long",
        "instruction: too long, it leaves no room for a document",
    )


async def test_a_healthy_engine_is_no_news(
    client: httpx.AsyncClient, engine: StubEngine, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "gateway"):
        assert (await client.post("/v2/rerank", json=ASK)).status_code == 200
        assert not caplog.records
        await engine.stop()
        assert (await said(client, cache="no-store"))[:2] == (503, "engine_unavailable")
        await engine.start()
        assert (await client.post("/v2/rerank", json=ASK | {"cache": "no-store"})).status_code == 200
    assert [record.getMessage() for record in caplog.records] == [
        "engine of words does not answer",
        "engine of words answers again",
    ]
