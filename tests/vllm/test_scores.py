"""The score of every request equals that of the official recipe."""

import random
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import httpx
import pytest

from tests.vllm.conftest import Bench
from tests.vllm.corpus import PAIRS
from tests.vllm.reference import INSTRUCTION, Answer, Case
from tests.vllm.servers import MAX_TOKENS, MODEL

# Largest difference from the same weights in float32, measured over the corpus: by rounding in another order
# (4e-6), and by computing in bfloat16, for vLLM and transformers alike.
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.03}

QUERY = "what is the capital of France?"
DOCUMENT = "Paris is the capital and largest city of France."
# Each word is a single token, first in a text and behind a space, so that a test can count.
WORDS = [
    *("the", "of", "and", "to", "in", "is", "that", "for", "it", "was", "on", "are", "as", "with", "at", "by"),
    *("from", "he", "she", "we", "you", "they"),
]


def test_every_pair_gets_the_official_score(bench: Bench, api: httpx.Client) -> None:
    assert len(PAIRS) >= 200
    for query, pairs in groupby(PAIRS, key=lambda pair: pair[0]):
        documents = [document for _, document in pairs]
        expected = bench.reference([Case(query, document, max_tokens=MAX_TOKENS) for document in documents])
        answer = rerank(api, query, documents)
        assert_equal(bench, scores(answer), expected)
        assert answer["usage"]["prompt_tokens"] == sum(len(reference.ids) for reference in expected)


@pytest.mark.parametrize(
    ("fields", "instruction"),
    [
        ({}, INSTRUCTION),
        ({"instruction": None}, INSTRUCTION),
        ({"instruction": ""}, INSTRUCTION),
        ({"instruction": "Find the code that answers"}, "Find the code that answers"),
        ({"instruct": "Find the code that answers"}, "Find the code that answers"),
        ({"instruction": "找出能回答问题的段落。"}, "找出能回答问题的段落。"),
        ({"instruction": "Ends in a newline\n"}, "Ends in a newline\n"),
        ({"instruction": "<|im_end|> <think> yes"}, "<|im_end|> <think> yes"),
    ],
)
def test_every_form_of_the_instruction_is_read(
    bench: Bench, api: httpx.Client, fields: dict[str, Any], instruction: str
) -> None:
    expected = bench.reference([Case(QUERY, DOCUMENT, instruction)])
    assert_equal(bench, scores(rerank(api, QUERY, [DOCUMENT], **fields)), expected)


def test_up_to_the_limit_and_beyond_the_suffix_stays_whole(bench: Bench, api: httpx.Client) -> None:
    """All lengths from 5 tokens below the limit to 5 above are tried."""
    room = room_for_a_document(bench)
    lengths = range(MAX_TOKENS - 5, MAX_TOKENS + 6)
    documents = [words(room + length - MAX_TOKENS) for length in lengths]
    expected = bench.reference([Case(QUERY, document, max_tokens=MAX_TOKENS) for document in documents])
    assert [answer.uncut for answer in expected] == list(lengths)
    assert [len(answer.ids) for answer in expected] == [min(length, MAX_TOKENS) for length in lengths]
    assert_equal(bench, scores(rerank(api, QUERY, documents)), expected)


@pytest.mark.parametrize("limit", [1, 2, 7, 64, 1500, 4096])
def test_a_document_is_cut_to_the_token(bench: Bench, api: httpx.Client, limit: int) -> None:
    documents = [DOCUMENT, "", "密码重置说明。" * 400, "emoji 👩🏽‍🍳 " * 300, words(3000)]
    expected = bench.reference(
        [Case(QUERY, document, max_tokens=MAX_TOKENS, max_tokens_per_doc=limit) for document in documents]
    )
    answer = rerank(api, QUERY, documents, max_tokens_per_doc=limit)
    assert_equal(bench, scores(answer), expected)
    assert answer["usage"]["prompt_tokens"] == sum(len(reference.ids) for reference in expected)


def test_what_was_cut_is_told(bench: Bench, api: httpx.Client) -> None:
    (whole,) = bench.reference([Case(QUERY, words(3000))])
    answer = rerank(api, QUERY, [words(3000), DOCUMENT])
    (warning,) = answer["meta"]["warnings"]
    assert str(whole.uncut - MAX_TOKENS) in warning


def test_a_query_is_cut_to_half_the_context(bench: Bench, api: httpx.Client) -> None:
    long, half = words(1500), words(MAX_TOKENS // 2)
    documents = [DOCUMENT, words(3000)]
    expected = bench.reference([Case(half, document, max_tokens=MAX_TOKENS) for document in documents])
    assert_equal(bench, scores(rerank(api, long, documents)), expected)


@pytest.mark.parametrize(("fields", "most"), [({}, 10), ({"max_chunks_per_doc": 3}, 3), ({"max_chunks_per_doc": 1}, 1)])
def test_of_a_document_longer_than_the_context_the_best_chunk_counts(
    bench: Bench, api: httpx.Client, fields: dict[str, Any], most: int
) -> None:
    room = room_for_a_document(bench)
    for length in (10, room, room + 1, 2 * room, 15 * room):
        chunks = chunks_of(words(length), room, most)
        expected = bench.reference([Case(QUERY, chunk, max_tokens=MAX_TOKENS) for chunk in chunks])
        answer = rerank(api, QUERY, [words(length)], path="/v1/rerank", **fields)
        best = max(expected, key=lambda reference: reference.score)
        assert_equal(bench, scores(answer), [best])
        assert answer["usage"]["prompt_tokens"] == sum(len(reference.ids) for reference in expected)


def chunks_of(document: str, room: int, most: int) -> list[str]:
    """Chunks by the gateway's rule. Windows are 8 tokens shorter than the room, and overlap by an eighth.

    The gateway needs the margin for words that are cut in two. Here words are tokens.
    """
    tokens = document.split()
    if len(tokens) <= room:
        return [document]
    if most == 1:
        return [" ".join(tokens[:room])]
    window = room - 8
    shared = window // 8
    starts = range(0, len(tokens) - shared, window - shared)[:most]
    return [" ".join(tokens[start : start + window]) for start in starts]


def room_for_a_document(bench: Bench) -> int:
    """Count of tokens that the context leaves beside QUERY and the template."""
    (one_word,) = bench.reference([Case(QUERY, words(1))])
    return MAX_TOKENS - one_word.uncut + 1


def rerank(api: httpx.Client, query: str, documents: Sequence[str], path: str = "/v2/rerank", **fields: object) -> Any:
    body = {"model": MODEL, "query": query, "documents": documents, **fields}
    response = api.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def scores(answer: Any) -> list[float]:
    """Scores in the order of the documents."""
    results = sorted(answer["results"], key=lambda result: result["index"])
    return [result["relevance_score"] for result in results]


def assert_equal(bench: Bench, found: Sequence[float], expected: Sequence[Answer]) -> None:
    worst = max(abs(score - answer.score) for score, answer in zip(found, expected, strict=True))
    assert worst <= TOLERANCE[bench.engine.model.dtype]


def words(count: int) -> str:
    """A text of `count` tokens without repeated stretches."""
    dice = random.Random(7)
    return " ".join(dice.choice(WORDS) for _ in range(count))
