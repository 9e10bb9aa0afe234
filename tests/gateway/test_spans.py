"""`relevant_spans`: the sentences that make a document relevant, found by the engine itself."""

import base64
import io
from pathlib import Path

import httpx
import pytest
from PIL import Image

from gateway.domain import Span, SpanOptions
from gateway.steps import sentences as splitting
from gateway.steps.relevant_spans import MAX_SENTENCES, MAX_SENTENCES_PER_DOCUMENT
from gateway.steps.sentences import MAX_SENTENCE_CHARS, join_relevant
from tests.gateway.asking import ASK, message_of
from tests.gateway.conftest import Serve
from tests.gateway.tokenizer import bert_like, qwen_like, save
from tests.stub_engine import StubEngine, failure

DOCUMENT = "A red car stood there. It was fast. 🚗 Nobody knows why. Dr. Who drove the red one!"
ASK_SPANS = {"query": "red car", "documents": ["nothing here", DOCUMENT], "relevant_spans": {"mode": "enabled"}}


def picture() -> str:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


PICTURE = picture()


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in splitting.sentences(text, 10_000)[0]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("猫喜欢鱼。狗呢？“不喜欢。”真的！", ["猫喜欢鱼。", "狗呢？", "“不喜欢。”", "真的！"]),
        ("Dr. Smith met J. Doe, e.g. at No. 5. They left.", ["Dr. Smith met J. Doe, e.g. at No. 5.", "They left."]),
        ("It costs 3.14 at example.org today. Yes.", ["It costs 3.14 at example.org today.", "Yes."]),
        ('"Why?" he asked. Nobody said.', ['"Why?" he asked.', "Nobody said."]),
        ("A line that\nwas wrapped. Next\n\nTitle\nBody", ["A line that\nwas wrapped.", "Next", "Title", "Body"]),
        ("1. Wash it.\n2. Dry it.", ["1. Wash it.", "2. Dry it."]),
        ("  \n *** \n ", []),
        ("", []),
    ],
)
def test_a_text_is_read_sentence_by_sentence(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_a_sentence_without_end_is_read_in_pieces_cut_where_it_pauses() -> None:
    pieces = sentences("word " * 1000)
    assert max(map(len, pieces)) <= MAX_SENTENCE_CHARS
    assert set(" ".join(pieces).split()) == {"word"}
    assert max(map(len, sentences("字" * 5000))) == MAX_SENTENCE_CHARS


@pytest.mark.timeout(60)
@pytest.mark.parametrize("hostile", ["." * 10**6, "\n" * 10**6, "a.b" * 300_000, '."' * 500_000, " " * 10**6])
def test_no_text_makes_splitting_slow(hostile: str) -> None:
    assert len(splitting.sentences(hostile, 256)[0]) <= 256


def test_neighbours_are_one_span_with_the_better_score_and_the_best_comes_first() -> None:
    text = "One. Two. Three. Four."
    scored = list(zip(splitting.sentences(text, 9)[0], [0.3, 0.5, 0.1, 0.9], strict=True))
    assert join_relevant(text, scored, SpanOptions(0.1, None)) == [Span(17, 22, 0.9), Span(0, 9, 0.5)]
    assert join_relevant(text, scored, SpanOptions(0.1, 1)) == [Span(17, 22, 0.9)]


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_spans_are_code_points_of_the_document_above_the_threshold(
    client: httpx.AsyncClient, version: str
) -> None:
    best, other = (await client.post(f"/{version}/rerank", json=ASK_SPANS)).json()["results"]
    found = [(DOCUMENT[span["start"] : span["end"]], span["score"]) for span in best["relevant_spans"]]
    assert found == [("A red car stood there.", 1.0), ("Dr. Who drove the red one!", 0.5)]
    assert "relevant_spans" not in other


async def test_without_being_asked_nothing_is_scored_or_said_of_spans(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    for spans in (None, {"mode": "disabled"}):
        body = (await client.post("/v2/rerank", json={**ASK, "cache": "no-store", "relevant_spans": spans})).json()
        assert all(set(result) == {"index", "relevance_score"} for result in body["results"])
    assert len(engine.prompts) == 2 * len(ASK["documents"])


async def test_sentences_are_billed_once_and_only_of_the_documents_returned(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    documents = ["one. two. three.", DOCUMENT]
    ask = {**ASK_SPANS, "top_n": 1, "documents": documents}
    first = (await client.post("/v2/rerank", json=ask)).json()
    assert len(engine.prompts) == 2 + 4
    again = (await client.post("/v2/rerank", json=ask)).json()
    assert len(engine.prompts) == 2 + 4
    assert again["meta"]["cached_pairs"] == 6
    assert again["meta"]["tokens"] == first["meta"]["tokens"]
    words = sum(len(f"red car {text}".split()) for text in [*documents, *sentences(DOCUMENT)])
    assert first["usage"]["total_tokens"] == words
    many = {**ASK_SPANS, "documents": ["Red car. " * 100]}
    assert (await client.post("/v2/rerank", json=many)).json()["meta"]["billed_units"] == {"search_units": 2}


async def test_a_document_with_too_many_sentences_has_its_first_looked_at_and_a_warning(
    client: httpx.AsyncClient,
) -> None:
    documents = ["".join(f"Line {place} of it. " for place in range(300)) + "Red car."]
    body = (await client.post("/v2/rerank", json={**ASK_SPANS, "documents": documents})).json()
    assert "relevant_spans" not in body["results"][0]
    assert "more sentences than were looked at" in body["meta"]["warnings"][0]


@pytest.mark.parametrize(
    ("spans", "field"),
    [
        ({"mode": "some"}, "relevant_spans.mode"),
        ({}, "relevant_spans.mode"),
        ({"mode": "enabled", "threshold": 2}, "relevant_spans.threshold"),
        ({"mode": "enabled", "max_spans": 0}, "relevant_spans.max_spans"),
        ("enabled", "relevant_spans"),
    ],
)
async def test_a_wrong_wish_is_named(client: httpx.AsyncClient, spans: object, field: str) -> None:
    message = message_of(await client.post("/v2/rerank", json={**ASK, "relevant_spans": spans}), 400)
    assert message.startswith(f"invalid request: {field}: ")


async def test_sentences_have_the_caches_and_counts_of_all_pairs(serve: Serve) -> None:
    client = await serve()
    await client.post("/v2/rerank", json=ASK_SPANS)
    reply = await client.post("/v2/rerank", json=ASK_SPANS)
    assert 'cached;desc="7 of 7 pairs"' in reply.headers["server-timing"]
    assert 'rerank_pairs_total{model="words"} 14.0' in (await client.get("/metrics")).text


async def test_the_sentences_of_one_request_are_bounded_too(client: httpx.AsyncClient, engine: StubEngine) -> None:
    each = MAX_SENTENCES_PER_DOCUMENT
    count = MAX_SENTENCES // each + 2
    documents = ["".join(f"Line {place} of {number}. " for place in range(each)) for number in range(count)]
    body = (await client.post("/v2/rerank", json={**ASK_SPANS, "documents": documents})).json()
    assert len(engine.prompts) == count + MAX_SENTENCES
    assert "2 documents have more sentences than were looked at" in body["meta"]["warnings"][0]


async def test_a_limit_for_documents_neither_cuts_a_sentence_nor_scores_it_anew(
    serve: Serve, engine: StubEngine, tmp_path: Path
) -> None:
    engine.tokenizer = bert_like()
    client = await serve(model={"tokenizer": str(save(bert_like(), tmp_path)), "max_tokens": 512})
    ask = {**ASK_SPANS, "documents": [DOCUMENT]}
    await client.post("/v1/rerank", json={**ask, "max_tokens_per_doc": 4})
    assert [document for _, document in engine.prompts[1:]] == sentences(DOCUMENT)
    again = (await client.post("/v2/rerank", json={**ask, "max_tokens_per_doc": 5, "max_chunks_per_doc": 3})).json()
    assert again["meta"]["cached_pairs"] == len(sentences(DOCUMENT))


async def test_a_sentence_too_long_for_the_model_is_cut_and_not_read_in_chunks(
    serve: Serve, engine: StubEngine, tmp_path: Path
) -> None:
    engine.tokenizer = bert_like()
    client = await serve(model={"tokenizer": str(save(bert_like(), tmp_path)), "max_tokens": 40})
    sentence = "a red car " * 30 + "stood there."
    await client.post("/v1/rerank", json={"query": "red car", "documents": [sentence], "cache": "no-store"})
    chunks = len(engine.prompts)
    assert chunks > 2
    engine.calls.clear()
    ask = {**ASK_SPANS, "documents": [sentence]}
    body = (await client.post("/v1/rerank", json=ask)).json()
    assert len(engine.prompts) == chunks + 1
    assert [(span["start"], span["end"]) for span in body["results"][0]["relevant_spans"]] == [(0, len(sentence))]


async def test_documents_with_pictures_have_no_spans_and_a_warning(
    serve: Serve, engine: StubEngine, tmp_path: Path
) -> None:
    engine.tokenizer = qwen_like()
    client = await serve(
        model={"family": "qwen3-vl-reranker", "tokenizer": str(save(engine.tokenizer, tmp_path)), "max_tokens": 4096}
    )
    documents = [DOCUMENT, {"text": DOCUMENT, "image": PICTURE}]
    body = (await client.post("/v2/rerank", json={**ASK_SPANS, "documents": documents})).json()
    assert [result["index"] for result in body["results"] if "relevant_spans" in result] == [0]
    assert body["meta"]["warnings"] == ["relevant_spans: none looked for in 1 documents with pictures"]


async def test_the_time_that_spans_took_is_told(client: httpx.AsyncClient) -> None:
    def stages(response: httpx.Response) -> list[str]:
        return [stage.split(";")[0] for stage in response.headers["server-timing"].split(", ")]

    asked = await client.post("/v2/rerank", json=ASK_SPANS)
    assert stages(asked) == ["parse", "cache", "engine", "spans", "total", "cached"]
    assert "spans" not in stages(await client.post("/v2/rerank", json=ASK))


async def test_sentences_the_engine_refuses_are_no_spans_and_are_not_billed(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    ask = {**ASK_SPANS, "documents": [DOCUMENT], "cache": "no-store"}
    plain = (await client.post("/v2/rerank", json={**ask, "relevant_spans": None})).json()
    engine.calls.clear()
    engine.instead = lambda: failure(400, "cannot") if len(engine.calls) > 1 else None
    body = (await client.post("/v2/rerank", json=ask)).json()
    assert body["results"] == plain["results"]
    assert body["usage"] == plain["usage"]
