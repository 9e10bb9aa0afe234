"""Whatever goes wrong, the answer is JSON that says who must act, and never what is inside."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.responses import Response

from tests.gateway.asking import ASK, FRESH, indices, message_of, scores
from tests.gateway.conftest import Serve
from tests.stub_engine import POISON, StubEngine, answer, failure

SECRET_QUERY, SECRET_DOCUMENT = "zebra-query-7431", "zebra-document-9926"
SECRET = {"query": SECRET_QUERY, "documents": [SECRET_DOCUMENT, f"{SECRET_DOCUMENT} more"]}


def asking(**changes: object) -> bytes:
    return json.dumps(ASK | changes).encode()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (asking(query=None), "query: "),
        (asking(query=5), "query: "),
        (asking(query=""), "query must not be empty"),
        (asking(query=" \n\t "), "query must not be empty"),
        (asking(query={"text": " "}), "query must not be empty"),
        (b'{"documents": ["a"]}', "query: required"),
        (b'{"query": "a"}', "documents: required"),
        (asking(documents=[]), "list of documents must not be empty"),
        (asking(documents=None), "documents: "),
        (asking(documents="a"), "documents: "),
        (asking(documents=["a", None]), "documents[1]: "),
        (asking(documents=["a", "b", 3]), "documents[2]: "),
        (asking(documents=["a", ["b"]]), "documents[1]: "),
        (asking(documents=[{"content": [{"type": "image_url"}]}]), "documents[0].content[0]: "),
        (asking(rank_fields=["title", 1]), "rank_fields[1]: "),
        (asking(top_n="many"), "top_n: "),
        (asking(top_n=1.5), "top_n: "),
        (asking(return_documents="perhaps"), "return_documents: "),
        (asking(max_tokens_per_doc=0), "max_tokens_per_doc: "),
        (asking(max_chunks_per_doc=-1), "max_chunks_per_doc: "),
        (asking(max_chunks_per_doc=9999), "max chunks"),
        (asking(model=["a"]), "model: "),
        (b"", "invalid json syntax"),
        (b"{", "invalid json syntax"),
        (b'{"query": "a",}', "invalid json syntax"),
        (asking() + b"}", "invalid json syntax"),
        (b"[]", "expected object"),
        (b"null", "expected object"),
        (b'{"query": "\\ud800", "documents": ["a"]}', "invalid json syntax"),
        (b'{"query": "a", "documents": ["\xff\xfe"]}', "not UTF-8"),
        (b'{"query": "a", "documents": ["b"], "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too deeply nested"),
        (b'{"query": "a", "documents": [{"deep": ' + b"[" * 200_000 + b"]" * 200_000 + b"}]}", "too deeply nested"),
        (b'{"query": "a", "documents": [{"deep": ' + b"[" * 900 + b"]" * 900 + b"}]}", "too deeply nested"),
    ],
)
async def test_what_the_caller_must_fix_is_400_and_named(client: httpx.AsyncClient, body: bytes, said: str) -> None:
    assert said in message_of(await client.post("/v2/rerank", content=body), 400)


async def test_a_body_over_the_limit_is_400_whether_its_length_is_declared_or_not(serve: Serve) -> None:
    client = await serve(limits={"max_body_bytes": 1000})
    small, large = asking(), asking(documents=["a" * 2_000_000])

    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    for body in (large, pieces(large)):
        assert "over 1000 bytes" in message_of(await client.post("/v2/rerank", content=body), 400)
        assert indices(await client.post("/v2/rerank", content=small)) == [1, 2, 0]
    assert indices(await client.post("/v2/rerank", content=pieces(small))) == [1, 2, 0]


async def test_a_large_body_is_read_like_a_small_one(client: httpx.AsyncClient) -> None:
    large = asking(documents=[*ASK["documents"], "word " * 200_000])
    assert indices(await client.post("/v2/rerank", content=large)) == [1, 2, 0, 3]
    assert "documents[1]" in message_of(
        await client.post("/v2/rerank", json={"query": "a", "documents": ["a" * 10**6, 1]}), 400
    )


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param([], id="no score"),
        pytest.param([0.1, 0.2], id="one score too few"),
        pytest.param([0.1, 0.2, 0.3, 0.4], id="one score too many"),
        pytest.param([0.1, float("nan"), 0.2], id="NaN"),
        pytest.param([0.1, float("inf"), 0.2], id="infinity"),
        pytest.param([0.1, None, 0.2], id="null"),
        pytest.param([0.1, "0.5", 0.2], id="a string"),
    ],
)
async def test_scores_no_reranker_gives_are_502(
    client: httpx.AsyncClient, engine: StubEngine, wrong: list[object]
) -> None:
    engine.distort = lambda _: wrong
    message_of(await client.post("/v2/rerank", json=ASK), 502)


@pytest.mark.parametrize(
    "reply",
    [
        Response("<html>hello</html>", media_type="text/html"),
        Response(""),
        Response(b"\xff\xfe"),
        Response(b"[" * 100_000),
        answer({"data": {}}),
        answer([]),
        answer({"data": [{"index": 0, "score": 1}, {"index": 0, "score": 1}, {"index": 1, "score": 1}]}),
        answer({"data": [{"index": 1, "score": 1}, {"index": 2, "score": 1}, {"index": 3, "score": 1}]}),
        failure(401, "Unauthorized"),
        failure(403, "Forbidden"),
        failure(404, "Not Found"),
        failure(405, "Method Not Allowed"),
        failure(409, "Conflict"),
        Response(status_code=302, headers={"location": "http://127.0.0.1:9/"}),
        Response(status_code=204),
    ],
    ids=lambda reply: f"{reply.status_code} {reply.body[:20]!r}",
)
async def test_an_answer_no_engine_gives_is_502(client: httpx.AsyncClient, engine: StubEngine, reply: Response) -> None:
    engine.instead = lambda: reply
    message_of(await client.post("/v2/rerank", json=ASK), 502)


def needs_patience(response: httpx.Response, status: int) -> None:
    message_of(response, status)
    assert 1 <= int(response.headers["retry-after"]) <= 60


@pytest.mark.parametrize("status", [429, 500, 502, 503, 507])
async def test_a_failing_engine_is_503(client: httpx.AsyncClient, engine: StubEngine, status: int) -> None:
    engine.instead = lambda: failure(status, "no")
    needs_patience(await client.post("/v2/rerank", json=ASK), 503)


async def test_an_engine_that_hangs_up_is_503(client: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.instead = engine.hang_up
    needs_patience(await client.post("/v2/rerank", json=ASK), 503)


async def test_an_engine_that_is_gone_is_503(client: httpx.AsyncClient, engine: StubEngine) -> None:
    await engine.stop()
    needs_patience(await client.post("/v2/rerank", json=ASK), 503)
    needs_patience(await client.post("/v1/tokenize", json={"text": "a"}), 503)


async def test_an_engine_killed_under_load_fails_what_it_had_and_nothing_hangs(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    engine.gate.clear()
    asked = [asyncio.create_task(client.post("/v2/rerank", json={**ASK, "query": f"car {n}"})) for n in range(8)]
    await engine.asked(4)
    await engine.stop()
    for response in await asyncio.gather(*asked):
        needs_patience(response, 503)


async def test_after_its_engine_came_back_no_request_fails(client: httpx.AsyncClient, engine: StubEngine) -> None:
    for _ in range(3):
        # Connections are kept on both sides; the engine's end of each is dead after the restart.
        for response in await asyncio.gather(*(client.post("/v2/rerank", json=FRESH) for _ in range(12))):
            assert indices(response) == [1, 2, 0]
        await engine.stop()
        await engine.start()


async def test_a_request_that_meets_a_dying_connection_is_sent_again(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    once = iter([engine.hang_up])
    engine.instead = lambda: next(once, lambda: None)()
    assert indices(await client.post("/v2/rerank", json=ASK)) == [1, 2, 0]
    assert len(engine.calls) == 2


async def test_an_engine_that_hangs_is_504(serve: Serve, engine: StubEngine) -> None:
    client = await serve(limits={"engine_timeout_s": 0.05})
    engine.gate.clear()
    message_of(await client.post("/v2/rerank", json=ASK), 504)
    engine.gate.set()
    assert indices(await client.post("/v2/rerank", json=ASK)) == [1, 2, 0]


async def test_one_bad_document_does_not_sink_the_other_99(client: httpx.AsyncClient) -> None:
    documents = [f"a red car {n}" if n % 3 else f"fast car {n}" for n in range(100)]
    without = await client.post("/v2/rerank", json={"query": "fast red car", "documents": documents})
    documents[41] = f"fast red car {POISON}"
    response = await client.post("/v2/rerank", json={"query": "fast red car", "documents": documents})
    assert indices(response) == [*(index for index in indices(without) if index != 41), 41]
    assert scores(response)[-1] == 0.0
    (warning,) = response.json()["meta"]["warnings"]
    assert warning.startswith("documents[41]: not scored")


async def test_a_document_too_long_for_the_engine_is_told_as_such(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    engine.max_tokens = 20
    response = await client.post("/v2/rerank", json={"query": "red", "documents": ["word " * 30, "red"]})
    assert indices(response) == [1, 0]
    assert response.json()["meta"]["warnings"] == ["documents[0]: not scored, too long for the model"]


async def test_many_bad_documents_are_counted_instead_of_listed(client: httpx.AsyncClient) -> None:
    documents = ["good", *(f"{POISON} {n}" for n in range(25))]
    response = await client.post("/v2/rerank", json={"query": "good", "documents": documents})
    assert indices(response) == list(range(26))
    warnings = response.json()["meta"]["warnings"]
    assert len(warnings) == 11
    assert warnings[-1] == "documents: 15 more were not scored"


async def test_a_strict_caller_gets_400_for_one_bad_document(client: httpx.AsyncClient) -> None:
    ask = {"query": "good", "documents": ["good", POISON], "strict": True}
    assert "documents[1]" in message_of(await client.post("/v2/rerank", json=ask), 400)


async def test_nothing_but_bad_documents_is_400(client: httpx.AsyncClient) -> None:
    ask = {"query": "good", "documents": [POISON, f"{POISON} too"]}
    assert "documents[0]" in message_of(await client.post("/v2/rerank", json=ask), 400)


@pytest.mark.parametrize("fault", ["refused", "garbage", "failing", "gone", "slow", "crowded", "wrong field"])
async def test_no_message_or_log_holds_the_engines_address_a_query_or_a_document(
    serve: Serve, engine: StubEngine, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    limits = {"engine_timeout_s": 0.05, "max_pairs_waiting": 1 if fault == "crowded" else 100}
    client = await serve(limits=limits)
    caplog.set_level(logging.WARNING)  # what the process writes
    ask: dict[str, object] = dict(SECRET)
    address = engine.url.removeprefix("http://")
    if fault == "refused":
        ask["documents"] = [f"{SECRET_DOCUMENT} {POISON}"]
    elif fault == "garbage":
        engine.instead = lambda: Response(f"{address} {SECRET_DOCUMENT}")
    elif fault == "failing":
        engine.instead = lambda: failure(500, f"{address} {SECRET_DOCUMENT}")
    elif fault == "gone":
        await engine.stop()
    elif fault == "slow":
        engine.gate.clear()
    elif fault == "wrong field":
        ask["documents"] = [SECRET_DOCUMENT, 5]
    response = await client.post("/v2/rerank", json=ask)
    assert response.is_error
    port = address.rpartition(":")[2]
    for secret in (port, SECRET_QUERY, SECRET_DOCUMENT):
        assert secret not in response.text
        assert secret not in str(response.headers)
        assert secret not in caplog.text


async def test_an_engine_that_goes_and_comes_is_logged_once_each(
    client: httpx.AsyncClient, engine: StubEngine, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        await engine.stop()
        for _ in range(3):
            await client.post("/v2/rerank", json=FRESH)
        await engine.start()
        for _ in range(3):
            await client.post("/v2/rerank", json=FRESH)
    said = [record.getMessage() for record in caplog.records if record.name == "gateway"]
    assert said == ["engine of words does not answer", "engine of words answers again"] * 2
