"""Code for Cohere works with the gateway after a change of one line, its base URL."""

from typing import Any

import pytest

from tests.gateway.conftest import MODEL, Serve
from tests.sdk.conftest import Ask
from tests.stub_engine import StubEngine

V1, V2 = ["Client", "AsyncClient"], ["ClientV2", "AsyncClientV2"]
CLIENTS = [*V1, *V2]
KEY = "test-key"
QUERY = "fast red car"
DOCUMENTS = ["slow green boat", "fast red car", "old red car"]
RERANK: dict[str, Any] = {"model": "rerank-v3.5", "query": QUERY, "documents": DOCUMENTS}


def call(client: str, base_url: object, method: str = "rerank", key: str = KEY, **arguments: Any) -> dict[str, Any]:
    base_url = str(base_url).rstrip("/")
    return {"client": client, "base_url": base_url, "key": key, "method": method, "arguments": arguments}


async def test_every_client_gets_the_ranking_whatever_the_base_url_ends_in(serve: Serve, ask: Ask) -> None:
    base = str((await serve(api_keys=[KEY])).base_url).rstrip("/")
    ends = ["", "/", "/v1", "/v2", "/v1/", "/api/x", "/v2/rerank"]
    came = await ask([call(client, base + end, **RERANK) for client in CLIENTS for end in ends])
    assert len(came) == 28
    for one in came:
        answer = one["answer"]
        assert [result["index"] for result in answer["results"]] == [1, 2, 0]
        assert [result["relevance_score"] for result in answer["results"]] == pytest.approx([1, 2 / 3, 0])
        assert answer["id"]
        assert answer["meta"]["billed_units"]["search_units"] == 1
    versions = [one["answer"]["meta"]["api_version"]["version"] for one in came]
    assert versions == ["1"] * 14 + ["2"] * 14


async def test_top_n_and_explicit_nones_are_understood(serve: Serve, ask: Ask) -> None:
    base = (await serve()).base_url
    came = await ask(
        [
            *(call(client, base, **RERANK, top_n=2) for client in CLIENTS),
            *(call(client, base, **RERANK, top_n=None, max_chunks_per_doc=None) for client in V1),
            *(call(client, base, **RERANK, top_n=10, max_tokens_per_doc=None) for client in V2),
        ]
    )
    lengths = [len(one["answer"]["results"]) for one in came]
    assert lengths == [2] * 4 + [3] * 4


async def test_documents_come_back_to_who_asks(serve: Serve, ask: Ask, engine: StubEngine) -> None:
    base = (await serve()).base_url
    documents = [{"text": "a boat", "year": "1987"}, {"text": QUERY, "year": "2001"}]
    came = await ask(
        [
            call(client, base, **(RERANK | {"documents": documents}), return_documents=True, rank_fields=["text"])
            for client in V1
        ]
    )
    for one in came:
        assert [result["document"]["text"] for result in one["answer"]["results"]] == [QUERY, "a boat"]
    assert {document for _, document in engine.prompts} == {"a boat", QUERY}
    for one in await ask([call(client, base, **RERANK) for client in CLIENTS]):
        assert all(result.get("document") is None for result in one["answer"]["results"])


async def test_errors_are_the_exceptions_that_the_sdk_documents(serve: Serve, ask: Ask) -> None:
    base = (await serve(api_keys=[KEY], unknown_model="error", limits={"max_pairs_waiting": 2})).base_url
    good = RERANK | {"model": MODEL}
    once: dict[str, Any] = {"request_options": {"max_retries": 0}}
    came = await ask(
        [
            one
            for client in CLIENTS
            for one in (
                call(client, base, **(good | {"documents": []})),
                call(client, base, **(good | {"query": " "})),
                call(client, base, key="wrong", **good),
                call(client, base, **RERANK),
                call(client, base, **good, **once),
            )
        ]
    )
    expected = [
        ("BadRequestError", 400, "list of documents must not be empty"),
        ("BadRequestError", 400, "query must not be empty"),
        ("UnauthorizedError", 401, "invalid api token"),
        ("NotFoundError", 404, "model 'rerank-v3.5' not found"),
        ("TooManyRequestsError", 429, "please try again later"),
    ] * len(CLIENTS)
    for one, (name, status, said) in zip(came, expected, strict=True):
        assert (one["error"], one["status"]) == (name, status)
        assert said in one["body"]["message"]


async def test_an_engine_that_is_gone_is_service_unavailable_after_a_retry(
    serve: Serve, ask: Ask, engine: StubEngine
) -> None:
    client = await serve()
    await engine.stop()
    (one,) = await ask([call("ClientV2", client.base_url, **RERANK, request_options={"max_retries": 1})])
    assert (one["error"], one["status"]) == ("ServiceUnavailableError", 503)
    metrics = (await client.get("/metrics")).text
    assert 'rerank_requests_total{dialect="cohere-v2",status="503"} 2.0' in metrics


async def test_models_are_listed_and_text_is_tokenized(serve: Serve, ask: Ask) -> None:
    base = (await serve(api_keys=[KEY])).base_url
    came = await ask(
        [
            *(call(client, base, "models.list", endpoint="rerank") for client in CLIENTS),
            *(call(client, base, "models.get", model=MODEL) for client in CLIENTS),
            # The first asks for the model's tokenizer, finds no URL of one, and falls back to the API.
            *(call(client, base, "tokenize", text=QUERY, model="rerank-v3.5") for client in CLIENTS),
            *(call(client, base, "tokenize", text=QUERY, model=MODEL, offline=False) for client in CLIENTS),
        ]
    )
    answers = [one["answer"] for one in came]
    assert [[model["name"] for model in answer["models"]] for answer in answers[:4]] == [[MODEL]] * 4
    assert [answer["endpoints"] for answer in answers[4:8]] == [["rerank"]] * 4
    assert [answer["token_strings"] for answer in answers[8:]] == [QUERY.split()] * 8
