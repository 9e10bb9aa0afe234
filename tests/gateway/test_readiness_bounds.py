"""Readiness to the letter and to the bound: what is still fine, what is not any more, and what is said of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.conftest import Serve
from tests.gateway.tokenizer import qwen_like, save
from tests.stub_engine import StubEngine, failure

TOKENIZER = qwen_like()
MAX_TOKENS = 400


@pytest.fixture
async def reranker(serve: Serve, engine: StubEngine, tmp_path: Path) -> httpx.AsyncClient:
    engine.tokenizer = TOKENIZER
    engine.bluffs = False
    folder = str(save(TOKENIZER, tmp_path))
    return await serve(
        model={"family": "qwen3-reranker", "tokenizer": folder, "hub": "org/name", "max_tokens": MAX_TOKENS}
    )


async def details(client: httpx.AsyncClient) -> dict[str, tuple[bool, str]]:
    (model,) = (await client.get("/readyz")).json()["models"]
    return {check["check"]: (check["passed"], check["detail"]) for check in model["checks"]}


def scoring(engine: StubEngine, related: Sequence[float], unrelated: Sequence[float]) -> None:
    """The engine gives the related text these scores, one after the other, and the unrelated one those."""

    def distort(honest: Sequence[float]) -> list[float]:
        return [next(high) if score > 0.2 else next(low) if score else 0.0 for score in honest]

    high, low = _again(related), _again(unrelated)
    engine.distort = distort


def _again(values: Sequence[float]) -> Iterator[float]:
    yield from values
    while True:
        yield values[0]


async def test_a_healthy_engine_is_told_in_full(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    scoring(engine, [0.9], [0.1])
    found = await details(reranker)
    assert all(passed for passed, _ in found.values())
    said = {name: detail for name, (_, detail) in found.items()}
    assert said["engine"] == "answers"
    assert said["version"] == "0.32.0"
    assert said["token ids"].endswith(" of a rendered prompt are equal")
    assert int(said["token ids"].split()[0]) > 20
    assert said["scores"] == "stable within 0.0000, related above unrelated by 0.800"


async def test_a_healthy_cross_encoder_is_told_in_full(client: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.version = None
    found = await details(client)
    assert found["version"] == (True, "not told")
    assert found["token ids"] == (True, "the engine writes this model's prompt")


async def test_an_engine_is_examined_with_plain_sentences_in_changing_places(
    client: httpx.AsyncClient, engine: StubEngine
) -> None:
    await details(client)
    related = ("what is the capital of France", "Paris is the capital and the largest city of France.")
    unrelated = ("what is the capital of France", "Add two eggs and the flour, then stir until smooth.")
    chinese = ("如何重置密码？", "打开设置，选择安全，然后点击重置。")
    code = ("read a csv file", "with open(path) as file:\n    rows = list(csv.reader(file))")
    assert engine.examinations == [
        [related, unrelated, chinese, code],
        [code, unrelated, related],
        [related],
        [chinese, unrelated, unrelated],
        [related, unrelated, chinese, code],  # and once as the engine's own scores
    ]


async def test_a_version_that_is_no_number_is_told_and_believed(
    reranker: httpx.AsyncClient, engine: StubEngine
) -> None:
    engine.version = "nightly"
    assert (await details(reranker))["version"] == (True, "nightly")


async def test_a_version_too_old_is_told_with_the_one_needed(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.version = "0.14.99"
    assert (await details(reranker))["version"] == (
        False,
        "vLLM 0.14.99 cannot read this family's prompts: it takes 0.15.1 or newer",
    )


@pytest.mark.parametrize(
    ("version", "passed"), [("0.21.9", False), ("0.22.0", True), ("0.22.1", True), ("0.15.1", False)]
)
async def test_pictures_need_the_newer_of_the_versions_of_their_prompts(
    serve: Serve, engine: StubEngine, tmp_path: Path, version: str, passed: bool
) -> None:
    engine.tokenizer = TOKENIZER
    engine.version = version
    client = await serve(model={"family": "qwen3-vl-reranker", "tokenizer": str(save(TOKENIZER, tmp_path))})
    found = await details(client)
    assert found["version"][0] is passed
    assert found["pictures"] == (True, "tokens of 4 pictures and videos are equal")


@pytest.mark.parametrize(("most", "passed"), [(MAX_TOKENS - 1, False), (MAX_TOKENS, True), (MAX_TOKENS + 1, True)])
async def test_an_engine_must_read_all_that_it_is_sent(
    reranker: httpx.AsyncClient, engine: StubEngine, most: int, passed: bool
) -> None:
    engine.max_tokens = most
    found = (await details(reranker))["token ids"]
    assert found[0] is passed
    if not passed:
        assert found[1] == f"the engine reads {most} tokens (--max-model-len), max_tokens says {MAX_TOKENS}"


@pytest.mark.parametrize(
    ("related", "unrelated", "passed"),
    [
        ([1.0], [0.0, 0.0299], True),
        ([1.0], [0.0, 0.0301], False),
        ([1.0], [0.0, 0.0, 0.0, 0.0301], False),
        ([1.0, 1.0, 0.9699], [0.0], False),
        ([1.0, 0.98], [0.0, 0.02], True),
        ([0.1001], [0.0], True),
        ([0.0999], [0.0], False),
        ([0.6], [0.51], False),
        ([0.11], [0.0, 0.02], True),
        ([0.11], [0.02, 0.0], False),
    ],
)
async def test_scores_are_stable_and_apart_up_to_the_bound(
    reranker: httpx.AsyncClient, engine: StubEngine, related: list[float], unrelated: list[float], passed: bool
) -> None:
    scoring(engine, related, unrelated)
    assert (await details(reranker))["scores"][0] is passed


async def test_a_score_that_moves_is_told_with_how_far(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    scoring(engine, [1.0, 0.9], [0.0])
    assert (await details(reranker))["scores"] == (
        False,
        "the same pair's score moves by 0.100 with its place in a batch",
    )


async def test_a_plain_pair_that_is_refused_is_told(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.instead = lambda: failure(400, "no")
    assert (await details(reranker))["scores"] == (
        False,
        "a plain pair of sentences: the engine refused to read it",
    )


async def test_what_passed_holds_until_the_engine_stops_answering(
    reranker: httpx.AsyncClient, engine: StubEngine
) -> None:
    async def asked() -> int:
        before = len(engine.calls)
        await details(reranker)
        return len(engine.calls) - before

    assert (await asked(), await asked()) == (5, 0)
    engine.health_status = 500  # it answers, so that it may still be the same
    assert await asked() == 0
    engine.health_status = 200
    assert await asked() == 0
    await engine.stop()
    assert await asked() == 0
    await engine.start()
    assert (await asked(), await asked()) == (5, 0)


async def test_what_failed_is_tried_again_each_time(reranker: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.version = "0.1.0"
    for _ in range(2):
        calls = len(engine.calls)
        assert not (await details(reranker))["version"][0]
        assert len(engine.calls) == calls + 5
    engine.version = "0.32.0"
    assert (await details(reranker))["version"] == (True, "0.32.0")


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_an_engines_address_may_end_as_openais_clients_want_it(
    serve: Serve, engine: StubEngine, suffix: str
) -> None:
    client = await serve(model={"engine": engine.url + suffix})
    assert all(passed for passed, _ in (await details(client)).values())


async def test_a_long_body_reaches_the_engine_whole(client: httpx.AsyncClient, engine: StubEngine) -> None:
    documents: list[Any] = [f"{n} " + "red " * size for n, size in enumerate((131_000, 131_072, 140_000, 400_000))]
    for document in documents:
        response = await client.post("/v2/rerank", json={"query": "red", "documents": [document]})
        assert response.json()["results"] == [{"index": 0, "relevance_score": 1.0}]
    assert [document for _, document in engine.prompts] == documents
