"""Requests of Cohere's clients are understood, and every field that they read is there."""

import math
import re
from typing import Any

import httpx
import pytest

from tests.gateway.asking import ASK, DOCUMENTS, QUERY, indices, message_of, scores
from tests.gateway.conftest import MODEL, Serve
from tests.stub_engine import StubEngine, answer

VERSIONS = ["v1", "v2"]
OPTIONAL = [
    *("model", "top_n", "top_k", "rank_fields", "return_documents", "max_tokens_per_doc"),
    *("max_chunks_per_doc", "instruction", "instruct", "strict"),
]
CITY: dict[str, Any] = {"title": "Bern", "people": 134_000, "river": "Aare", "tags": ["capital", "old"]}


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_answer_has_what_every_client_reads_and_nothing_else(client: httpx.AsyncClient, version: str) -> None:
    body = (await client.post(f"/{version}/rerank", json=ASK)).json()
    assert set(body) == {"id", "results", "meta", "model", "object", "usage"}
    assert body["object"] == "list"
    assert [set(result) for result in body["results"]] == [{"index", "relevance_score"}] * 3
    assert set(body["meta"]) == {
        "api_version",
        "billed_units",
        "tokens",
        "served_by",
        "cached_pairs",
        "cached_tokens",
    }
    assert body["meta"]["api_version"] == {"version": version[1:], "is_experimental": False}
    assert body["meta"]["billed_units"] == {"search_units": 1}
    assert body["meta"]["served_by"] == MODEL


async def test_the_best_document_comes_first_with_the_engines_score(client: httpx.AsyncClient) -> None:
    response = await client.post("/v2/rerank", json=ASK)
    assert indices(response) == [1, 2, 0]
    assert scores(response) == pytest.approx([1, 2 / 3, 0])


async def test_usage_is_what_the_engine_counted(client: httpx.AsyncClient) -> None:
    body = (await client.post("/v2/rerank", json=ASK)).json()
    words = sum(len(f"{QUERY} {document}".split()) for document in DOCUMENTS)
    assert body["usage"] == {"prompt_tokens": words, "total_tokens": words}
    assert body["meta"]["tokens"] == {"input_tokens": words, "output_tokens": 0}


async def test_scores_carry_a_decimal_point_even_when_the_engine_sends_integers(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    engine.distort = lambda _: [0, 1, 1]
    text = (await client.post("/v2/rerank", json=ASK)).text
    assert re.findall(r'"relevance_score":([^,}]+)', text) == ["1.0", "1.0", "0.0"]


@pytest.mark.parametrize(("documents", "units"), [(1, 1), (100, 1), (101, 2), (250, 3)])
async def test_a_hundred_documents_are_one_search_unit_and_it_is_an_integer(
    client: httpx.AsyncClient, documents: int, units: int
) -> None:
    ask = {"query": QUERY, "documents": [f"number {n}" for n in range(documents)]}
    assert f'"search_units":{units}}}' in (await client.post("/v1/rerank", json=ask)).text


@pytest.mark.parametrize("version", VERSIONS)
async def test_documents_come_back_as_objects_and_only_when_asked_for(client: httpx.AsyncClient, version: str) -> None:
    ask = {
        "query": QUERY,
        "documents": ["a boat", {"text": QUERY, "year": 1987, "note": None}],
        "return_documents": True,
    }
    results = (await client.post(f"/{version}/rerank", json=ask)).json()["results"]
    assert [result["document"] for result in results] == [{"text": QUERY, "year": 1987}, {"text": "a boat"}]
    for refusal in (False, "false", None):
        answer = await client.post(f"/{version}/rerank", json={**ask, "return_documents": refusal})
        assert "document" not in answer.json()["results"][0]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("field", OPTIONAL)
async def test_null_is_the_same_as_absent(client: httpx.AsyncClient, version: str, field: str) -> None:
    headers = {"cache-control": "no-store"}
    plain = (await client.post(f"/{version}/rerank", json=ASK, headers=headers)).json()
    null = (await client.post(f"/{version}/rerank", json={**ASK, field: None}, headers=headers)).json()
    assert {**null, "id": 0} == {**plain, "id": 0}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        *((absent, 3) for absent in (None, 0, -1, "0", "null")),
        *((given, 2) for given in (2, "2", 2.0)),
        *((large, 3) for large in (3, 10, 10**30)),
    ],
)
@pytest.mark.parametrize("field", ["top_n", "top_k"])
async def test_top_n_is_clamped_and_everything_but_a_positive_number_means_all(
    client: httpx.AsyncClient, field: str, sent: object, expected: int
) -> None:
    response = await client.post("/v2/rerank", json={**ASK, field: sent})
    assert indices(response) == [1, 2, 0][:expected]


async def test_words_for_true_and_false_and_numbers_are_understood(client: httpx.AsyncClient) -> None:
    ask = {**ASK, "return_documents": "true", "top_n": "1", "max_tokens_per_doc": "512", "strict": "False"}
    (result,) = (await client.post("/v2/rerank", json=ask)).json()["results"]
    assert result == {"index": 1, "relevance_score": 1.0, "document": {"text": QUERY}}


async def test_unknown_fields_are_ignored(client: httpx.AsyncClient) -> None:
    extra = {"return_len": "true", "kwargs": "{}", "topN": 1, "priority": 5}
    assert indices(await client.post("/v2/rerank", json={**ASK, **extra})) == [1, 2, 0]


async def test_equal_scores_keep_the_order_of_the_request(client: httpx.AsyncClient) -> None:
    ask = {"query": "red", "documents": ["red a", "blue", "red b", "green", "red c"]}
    assert indices(await client.post("/v2/rerank", json=ask)) == [0, 2, 4, 1, 3]
    assert indices(await client.post("/v2/rerank", json={**ask, "top_n": 2})) == [0, 2]


@pytest.mark.parametrize(
    ("document", "rank_fields", "read"),
    [
        ("plain", None, "plain"),
        ("", None, ""),
        ("plain", ["title"], "plain"),
        ({"text": "the text", "title": "a title"}, None, "the text"),
        ({"text": ""}, None, ""),
        ({"text": 5}, None, "5"),
        ({"text": "the text", "title": "a title"}, ["title", "text"], "a title\nthe text"),
        ({"text": "the text", "title": None}, ["title", "text"], "the text"),
        ({"text": "the text"}, [], "the text"),
        (CITY, None, "title: Bern\npeople: 134000\nriver: Aare\ntags:\n- capital\n- old\n"),
        (CITY, ["river", "title", "mayor"], "Aare\nBern"),
        (CITY, ["people"], "134000"),
        ({"river": "Aare", "title": "Bern", "mayor": None}, None, "river: Aare\ntitle: Bern\n"),
        ({"名": "伯尔尼"}, None, "名: 伯尔尼\n"),
        ({}, None, ""),
        ({"content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}, None, "one\ntwo"),
    ],
)
async def test_a_document_is_read_as(
    client: httpx.AsyncClient, engine: StubEngine, document: object, rank_fields: list[str] | None, read: str
) -> None:
    ask = {"query": QUERY, "documents": [document], "rank_fields": rank_fields}
    assert indices(await client.post("/v1/rerank", json=ask)) == [0]
    assert engine.prompts == [(QUERY, read)]


async def test_kinds_of_documents_may_be_mixed(client: httpx.AsyncClient, engine: StubEngine) -> None:
    ask = {"query": QUERY, "documents": ["one", {"text": "two"}, {"title": "three"}, ""]}
    assert len(indices(await client.post("/v2/rerank", json=ask))) == 4
    assert [document for _, document in engine.prompts] == ["one", "two", "title: three\n", ""]


async def test_the_query_may_be_an_object(client: httpx.AsyncClient, engine: StubEngine) -> None:
    for query in ({"text": QUERY}, {"content": [{"type": "text", "text": QUERY}]}):
        assert indices(await client.post("/v2/rerank", json={**ASK, "query": query})) == [1, 2, 0]
    assert {query for query, _ in engine.prompts} == {QUERY}


@pytest.mark.parametrize("picture", [{"image": "data:,"}, {"text": "a", "image": "data:,"}, {"video": "data:,"}])
async def test_a_text_model_says_which_document_is_a_picture(
    client: httpx.AsyncClient, picture: dict[str, str]
) -> None:
    message = message_of(await client.post("/v2/rerank", json={**ASK, "documents": ["a", picture]}), 400)
    assert "documents[1]" in message
    assert "text only" in message


@pytest.mark.parametrize("name", [None, "", MODEL, MODEL.upper(), "small", "rerank-v3.5", "org/unheard-of"])
async def test_any_model_name_is_served_and_echoed(client: httpx.AsyncClient, name: str | None) -> None:
    body = (await client.post("/v2/rerank", json={**ASK, "model": name})).json()
    assert body["model"] == (name or MODEL)
    assert body["meta"]["served_by"] == MODEL


async def test_an_unknown_model_is_404_where_the_operator_wants_that(serve: Serve) -> None:
    client = await serve(unknown_model="error", model={"hub": "org/name"})
    message = message_of(await client.post("/v2/rerank", json={**ASK, "model": "rerank-v3.5"}), 404)
    assert message.startswith("model 'rerank-v3.5' not found")
    for known in (MODEL, "small", "org/name", None):
        assert indices(await client.post("/v2/rerank", json={**ASK, "model": known})) == [1, 2, 0]


async def test_each_model_is_asked_of_its_own_engine(serve: Serve, engine: StubEngine) -> None:
    other = StubEngine()
    await other.start()
    models = {
        "one": {"family": "cross-encoder", "engine": engine.url},
        "two": {"family": "cross-encoder", "engine": other.url},
    }
    client = await serve(models=models, default_model="two")
    assert (await client.post("/v2/rerank", json={**ASK, "model": "one"})).json()["meta"]["served_by"] == "one"
    assert (await client.post("/v2/rerank", json=ASK)).json()["meta"]["served_by"] == "two"
    assert (len(engine.calls), len(other.calls)) == (1, 1)
    await other.stop()


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; x"]
)
async def test_the_content_type_does_not_matter(client: httpx.AsyncClient, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    body = '{"query": "fast red car", "documents": ["fast red car"]}'
    assert scores(await client.post("/v2/rerank", content=body, headers=headers)) == [1.0]


async def test_an_instruction_a_model_cannot_take_is_reported(client: httpx.AsyncClient) -> None:
    body = (await client.post("/v2/rerank", json={**ASK, "instruction": "find boats"})).json()
    assert body["meta"]["warnings"] == [f"instruction: ignored, {MODEL} takes none"]


async def test_high_logits_that_float32_would_tie_keep_their_order(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    engine.always_activates = True  # these are logits as they are
    engine.distort = lambda _: [20.6, 20.5, 20.7]
    response = await client.post("/v2/rerank", json=ASK)
    assert indices(response) == [2, 0, 1]
    assert scores(response) == [1 / (1 + math.exp(-x)) for x in (20.7, 20.6, 20.5)]


async def test_scores_that_are_equal_keep_the_order_of_the_documents(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    engine.distort = lambda _: [1.0, 1.0, 0.0]
    response = await client.post("/v2/rerank", json=ASK)
    assert list(zip(indices(response), scores(response), strict=True)) == [(0, 1.0), (1, 1.0), (2, 0.0)]


async def test_each_document_gets_its_own_score_in_whatever_order_the_engine_lists_them(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    data = [{"index": 2, "score": -800.0}, {"index": 0, "score": 800.0}, {"index": 1, "score": 0.0}]
    engine.instead = lambda: answer({"data": data})
    response = await client.post("/v2/rerank", json=ASK)
    assert list(zip(indices(response), scores(response), strict=True)) == [(0, 1.0), (1, 0.5), (2, 0.0)]
