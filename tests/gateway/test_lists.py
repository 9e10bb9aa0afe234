"""A model that ranks whole lists: a score belongs to a document among the others, in their order."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import httpx
import pytest

from tests.gateway.asking import DOCUMENTS, QUERY, message_of, scores
from tests.gateway.conftest import Serve
from tests.gateway.serving import DEADLINE_S
from tests.gateway.tokenizer import qwen_like, save
from tests.stub_engine import StubEngine


@pytest.fixture
async def listwise(serve: Serve, tmp_path: Path) -> httpx.AsyncClient:
    return await serve(model={"family": "jina-reranker-v3", "tokenizer": str(save(qwen_like(), tmp_path))})


async def ask(client: httpx.AsyncClient, documents: list[str], **more: object) -> httpx.Response:
    return await client.post("/v2/rerank", json={"query": QUERY, "documents": documents, **more})


def by_index(response: httpx.Response) -> list[float]:
    assert response.status_code == 200, response.text
    results = sorted(response.json()["results"], key=lambda result: result["index"])
    return [result["relevance_score"] for result in results]


def cached(response: httpx.Response) -> int:
    number: int = response.json()["meta"]["cached_pairs"]
    return number


async def test_a_score_is_half_of_one_and_the_cosine_in_this_list(listwise: httpx.AsyncClient) -> None:
    cosines = (0 - 0.003, 1 - 0.004, 2 / 3 - 0.005)
    assert by_index(await ask(listwise, DOCUMENTS)) == pytest.approx([(1 + cosine) / 2 for cosine in cosines])


async def test_a_list_is_known_as_a_whole_and_in_its_order_only(
    listwise: httpx.AsyncClient, engine: StubEngine
) -> None:
    first = await ask(listwise, DOCUMENTS)
    async with asyncio.timeout(DEADLINE_S):
        while cached(again := await ask(listwise, DOCUMENTS)) != 3:
            pass
    assert scores(again) == scores(first)
    for other in (DOCUMENTS[::-1], DOCUMENTS[:2], [*DOCUMENTS, "new"], [DOCUMENTS[0], *DOCUMENTS]):
        calls = len(engine.calls)
        answer = await ask(listwise, other)
        assert cached(answer) == 0
        assert engine.calls[calls:] == [[(QUERY, document) for document in other]]


async def test_a_list_of_which_a_score_was_forgotten_is_scored_whole(
    serve: Serve, engine: StubEngine, tmp_path: Path
) -> None:
    model = {"family": "jina-reranker-v3", "tokenizer": str(save(qwen_like(), tmp_path))}
    file = tmp_path / "scores.db"
    client = await serve(model=model, cache=f"sqlite://{file}?timeout_s=20")
    first = by_index(await ask(client, DOCUMENTS))
    async with asyncio.timeout(DEADLINE_S):
        while cached(await ask(client, DOCUMENTS)) != 3:
            pass
    calls = len(engine.calls)
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute(
            "DELETE FROM scores WHERE key ="
            " (SELECT key FROM scores WHERE stored_s = (SELECT max(stored_s) FROM scores) LIMIT 1)"
        )
    assert by_index(await ask(client, DOCUMENTS)) == first
    assert engine.calls[calls:] == [[(QUERY, document) for document in DOCUMENTS]]


async def test_a_document_twice_in_a_list_has_two_scores(listwise: httpx.AsyncClient) -> None:
    found = by_index(await ask(listwise, ["red", "red"]))
    assert found[0] > found[1]


async def test_callers_of_one_list_share_one_call(listwise: httpx.AsyncClient, engine: StubEngine) -> None:
    await listwise.get("/readyz")
    engine.gate.clear()
    asking = [asyncio.create_task(ask(listwise, DOCUMENTS)) for _ in range(3)]
    await engine.asked()
    engine.gate.set()
    assert len({tuple(by_index(answer)) for answer in await asyncio.gather(*asking)}) == 1
    assert len(engine.calls) == 1


async def test_spans_are_not_given_since_a_sentence_alone_has_another_score(
    listwise: httpx.AsyncClient, engine: StubEngine
) -> None:
    body = (await ask(listwise, DOCUMENTS, relevant_spans={"mode": "enabled"})).json()
    assert len(engine.calls) == 1
    assert any("beside the others of its list" in warning for warning in body["meta"]["warnings"])


@pytest.mark.parametrize("count", [126, 129, 300])
async def test_more_documents_than_one_list_holds_are_refused(listwise: httpx.AsyncClient, count: int) -> None:
    response = await ask(listwise, [f"document {number}" for number in range(count)])
    assert "at most 125 documents" in message_of(response, 400)
    assert response.json()["code"] == "too_many_documents"


async def test_the_studio_is_told_that_a_list_must_not_be_asked_for_in_parts(listwise: httpx.AsyncClient) -> None:
    (engine,) = (await listwise.get("/v1/engines")).json()["engines"]
    assert engine["listwise"] is True
