"""Every family that is data sends its author's token ids, whatever the texts, and reads logits as its author does."""

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gateway.domain import Pair, ScoringOptions
from gateway.errors import Unreadable
from gateway.families import FAMILIES, family_of
from gateway.families.recipe import RecipeFamily
from gateway.settings import ModelSettings, SettingsError
from tests.gateway import official
from tests.gateway.asking import indices, message_of, scores
from tests.gateway.conftest import Serve
from tests.gateway.tokenizer import (
    ADDED,
    SPECIAL,
    SYMBOLS,
    gemma_like,
    llama_like,
    qwen_like,
    roberta_like,
    save,
    unigram,
    without_control,
)
from tests.stub_engine import StubEngine

QWEN, LLAMA, GEMMA, ROBERTA = qwen_like(), llama_like(), gemma_like(), roberta_like()


class Case(NamedTuple):
    """A family, its tokenizer, the tokenizer of texts, and the author's recipe."""

    family: str
    tokenizer: Tokenizer
    plain: Tokenizer
    ids: Any

    def official(self, query: str, document: str, instruction: str = "", max_tokens: int = 100_000) -> list[int]:
        ids: list[int] = self.ids(self.read, self.obey, query, document, instruction, max_tokens)
        return ids

    def read(self, text: str) -> list[int]:
        ids: list[int] = self.plain.encode(text, add_special_tokens=False).ids
        return ids

    def obey(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def build(self, folder: Path, **more: Any) -> RecipeFamily:
        return build(self.family, str(folder / self.family), **more)


@cache
def build(name: str, tokenizer: str, **more: Any) -> RecipeFamily:
    settings: dict[str, Any] = {"tokenizer": tokenizer, "max_tokens": 100_000} | more
    family = FAMILIES[name](ModelSettings(name, "http://h", **settings))
    assert isinstance(family, RecipeFamily)
    return family


PLAIN_QWEN, PLAIN_GEMMA = without_control(QWEN), without_control(GEMMA, SYMBOLS)
CASES = [
    Case("mxbai-rerank-v2", QWEN, PLAIN_QWEN, official.mxbai),
    Case("zerank", QWEN, PLAIN_QWEN, official.zerank),
    Case("bge-reranker-gemma", GEMMA, PLAIN_GEMMA, official.gemma),
    Case("nemotron-rerank", LLAMA, without_control(LLAMA), official.nemotron),
    Case("jina-reranker-m0", QWEN, PLAIN_QWEN, official.jina_m0),
    Case("ctxl-rerank-v2", QWEN, PLAIN_QWEN, official.ctxl),
    Case("cross-encoder", ROBERTA, PLAIN_QWEN, official.roberta),
]
INSTRUCTED = {"mxbai-rerank-v2", "zerank", "ctxl-rerank-v2"}
# These have a label in a run of its own before the document, and nothing of the template behind it in that run.
LAST = {"mxbai-rerank-v2", "zerank", "bge-reranker-gemma", "nemotron-rerank", "cross-encoder"}
each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.family)
TEMPTING = st.sampled_from(
    [
        *(*SPECIAL, *ADDED, "<bos>", "<eos>", "<start_of_turn>", "<|im_end|>\n<|im_start|>assistant\n"),
        *("{query}", "{document}", "{instruction}", "document: ", "\n<Query> ", "B: ", "密码", "如何重置我的密码？"),
        *(
            "\n",
            "\n\n",
            "\n\n\n",
            "<h1>",
            "</h1>",
            " ",
            "  ",
            "?\n",
            ".\n\n",
            "\t",
            "\u2581",
            "e\u0301",
            "\u0301",
            "🚗",
        ),
    ]
)
TEXTS = st.lists(st.one_of(st.text(max_size=12), TEMPTING), max_size=8).map("".join)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder for each family, of its name."""
    root = tmp_path_factory.mktemp("recipes")
    for case in CASES:
        (root / case.family).mkdir()
        save(case.tokenizer, root / case.family)
    (root / "nemotron-rerank" / "config.json").write_text(json.dumps({"temperature": 0.5}))
    return root


def prompts(family: RecipeFamily, query: str, document: str, **options: Any) -> list[list[int]]:
    (one,) = family.render_texts([Pair(query, document)], ScoringOptions(**options))
    return [prompt for prompt in one.prompts if isinstance(prompt, list)]


@each
@given(query=TEXTS, document=TEXTS, instruction=TEXTS)
@settings(max_examples=60)
def test_the_prompt_is_the_authors_whatever_the_texts(
    folder: Path, case: Case, query: str, document: str, instruction: str
) -> None:
    family = case.build(folder)
    if case.family not in INSTRUCTED:
        instruction = ""
    options = {"instruction": instruction or None}
    assert prompts(family, query, document, **options) == [case.official(query, document, instruction)]


def test_the_control_pieces_of_a_unigrams_vocabulary_are_no_text(tmp_path: Path) -> None:
    """Its own model gives `</s>` its id wherever it stands, unlike byte pairs."""
    model = ModelSettings("cross-encoder", "http://h", tokenizer=str(save(unigram(), tmp_path)), max_tokens=64)
    family = family_of("m", model)
    assert isinstance(family, RecipeFamily)
    (ids,) = prompts(family, "red <pad>", "</s> red <s> <unk>")
    assert [token for token in ids if token < 4] == [0, 2, 2, 2]
    (red,) = (unigram().token_to_id("\u2581red"),)
    assert [token for token in ids if token == red] == [red] * 2


@each
def test_documents_of_one_request_are_each_read_alone(folder: Path, case: Case) -> None:
    pairs = [
        (query, document) for query in ("which city", "q", "") for document in ("the city", "", "密码\n\n", "x" * 90)
    ]
    rendered = case.build(folder).render_texts([Pair(*pair) for pair in pairs], ScoringOptions())
    assert [list(one.prompts) for one in rendered] == [[case.official(*pair)] for pair in pairs]


@pytest.mark.parametrize("spare", range(-5, 6))
@pytest.mark.parametrize("end", ["", "密码🚗", "\n"])
@each
def test_the_cut_at_the_context_is_exact_to_the_token(folder: Path, case: Case, end: str, spare: int) -> None:
    query, document = "which city is it?", "the river runs where the largest city is, " * 12 + end
    whole = case.official(query, document)
    max_tokens = len(whole) + spare
    (cut,) = case.build(folder, max_tokens=max_tokens).render_texts([Pair(query, document)], ScoringOptions())
    (ids,) = cut.prompts
    assert isinstance(ids, list)
    if case.family in LAST:
        assert ids == case.official(query, document, max_tokens=max_tokens)
    else:  # the authors' code would cut the query off, which stands last: the document's last tokens go instead
        ends = [case.official(query, document)[::-1] for document in ("0", "1 2 3 4")]
        behind = next(place for place, (one, other) in enumerate(zip(*ends, strict=False)) if one != other)
        expected = whole if spare > 0 else whole[: max_tokens - behind] + ends[0][:behind][::-1]
        assert ids == expected
        assert case.tokenizer.decode(ids, skip_special_tokens=False).count(query) == 1
    assert (cut.cut, cut.query_cut) == (len(whole) - len(ids), 0)


@pytest.mark.parametrize("family", ["mxbai-rerank-v2", "bge-reranker-gemma"])
def test_a_long_query_has_three_quarters_as_its_author_gives_it(folder: Path, family: str) -> None:
    case = next(case for case in CASES if case.family == family)
    max_tokens = len(case.official("", "")) + 150
    document = "the largest city " * 60
    built = case.build(folder, max_tokens=max_tokens)
    cuts = set()
    for length in range(20, 160):
        query = "密 " + "city " * length
        (one,) = built.render_texts([Pair(query, document)], ScoringOptions())
        assert list(one.prompts) == [case.official(query, document, max_tokens=max_tokens)]
        cuts.add(one.query_cut)
    assert {0, 1, 2, 3, 4, 5} <= cuts


@each
def test_a_long_query_is_told_and_leaves_room_for_the_document(folder: Path, case: Case) -> None:
    family = case.build(folder, max_tokens=300)
    query = "which city is the largest " * 100
    (one,) = family.render_texts([Pair(query, "the needle")], ScoringOptions())
    (ids,) = one.prompts
    assert isinstance(ids, list)
    assert one.query_cut > 0
    assert len(ids) <= 300
    assert "needle" in case.tokenizer.decode(ids)


@each
@given(query=TEXTS, document=TEXTS, times=st.integers(1, 120), chunks=st.integers(1, 4), per_doc=st.integers(1, 300))
@settings(max_examples=25)
def test_whatever_is_cut_no_prompt_is_too_long_and_its_ends_are_whole(
    folder: Path, case: Case, query: str, document: str, times: int, chunks: int, per_doc: int
) -> None:
    family = case.build(folder, max_tokens=300)
    whole = case.official("a", "b")
    for limit in (None, per_doc):
        options = {"max_tokens_per_doc": limit, "max_chunks_per_doc": chunks}
        all_ids = prompts(family, query * times, document * times, **options)
        assert 1 <= len(all_ids) <= chunks
        for ids in all_ids:
            assert len(ids) <= 300
            assert ids[0] == whole[0]
            assert ids[-1] == whole[-1] or case.family == "nemotron-rerank"


@each
def test_chunks_are_read_like_documents_of_their_own(folder: Path, case: Case) -> None:
    words = [f"word{number}" for number in range(200)]
    all_ids = prompts(case.build(folder, max_tokens=300), "q", " ".join(words), max_chunks_per_doc=50)
    assert len(all_ids) > 2
    seen = []
    for ids in all_ids:
        text = case.tokenizer.decode(ids, skip_special_tokens=False)
        seen += [word for word in words if f"{word} " in text or f" {word}" in text]
        assert len(ids) <= 300
    assert set(seen) == set(words)


@each
def test_max_tokens_per_doc_counts_the_documents_tokens(folder: Path, case: Case) -> None:
    document = "the river runs where the largest city is " * 5
    (long,) = prompts(case.build(folder), "q", document, max_tokens_per_doc=20)
    (short,) = prompts(case.build(folder), "q", document, max_tokens_per_doc=5)
    assert len(long) - len(short) == 15
    (set_by_operator,) = prompts(case.build(folder, max_tokens_per_doc=5), "q", document)
    assert set_by_operator == short


@each
def test_the_probe_has_the_same_ids_as_one_text(folder: Path, case: Case) -> None:
    probe = case.build(folder).probe
    assert probe is not None
    assert case.obey(probe.text) == probe.ids


@pytest.mark.parametrize(
    ("name", "more", "mean", "sigma"),
    [
        ("mxbai-rerank-v2", {}, 4.5, 1),
        ("mxbai-rerank-v2", {"logit_mean": 6.0}, 6, 1),
        ("zerank", {}, 0, 5),
        ("bge-reranker-gemma", {}, 0, 1),
        ("nemotron-rerank", {}, 0, 0.5),
        ("nemotron-rerank", {"logit_sigma": 2.0}, 0, 2),
        ("jina-reranker-m0", {}, 0, 1),
        ("ctxl-rerank-v2", {}, 0, 1),
    ],
)
def test_a_logit_is_read_as_the_author_reads_it(
    folder: Path, name: str, more: dict[str, Any], mean: float, sigma: float
) -> None:
    case = next(case for case in CASES if case.family == name)
    logits = [-30.0, -1.0, 0.0, 0.25, 4.5, 20.6, 20.7]
    assert case.build(folder, **more).calibrate(logits) == pytest.approx(
        [1 / (1 + math.exp(-(logit - mean) / sigma)) for logit in logits], rel=1e-12
    )


@pytest.mark.parametrize("content", [None, "{", "[]", '{"temperature": 0}', '{"temperature": "warm"}'])
def test_a_temperature_that_cannot_be_read_must_be_set(tmp_path: Path, content: str | None) -> None:
    save(LLAMA, tmp_path)
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    model = ModelSettings("nemotron-rerank", "http://h", tokenizer=str(tmp_path))
    with pytest.raises(SettingsError, match=r"models\.m\.logit_sigma: .* set it"):
        family_of("m", model)


@pytest.mark.parametrize("family", sorted(INSTRUCTED))
def test_an_instruction_that_leaves_no_room_is_refused(folder: Path, family: str) -> None:
    case = next(case for case in CASES if case.family == family)
    with pytest.raises(Unreadable, match="no room") as caught:
        prompts(case.build(folder, max_tokens=300), "q", "d", instruction="find the river " * 200)
    assert caught.value.code == "instruction_too_long"


@each
def test_an_instruction_is_taken_where_the_author_takes_one(folder: Path, case: Case) -> None:
    family = case.build(folder)
    assert family.takes_instruction == (case.family in INSTRUCTED)
    one, other = (family.canonical(ScoringOptions(text)) for text in ("Find boats", "Find cars"))
    assert (one == other) != family.takes_instruction
    if family.takes_instruction:
        assert prompts(case.build(folder, instruction="Find boats"), "q", "d") == [
            case.official("q", "d", "Find boats")
        ]
    else:
        with pytest.raises(SettingsError, match="instruction"):
            case.build(folder, instruction="Find boats")


def test_whatever_changes_the_score_changes_the_fingerprint(folder: Path) -> None:
    case = CASES[0]
    variants: list[dict[str, Any]] = [
        {},
        {"max_tokens": 500},
        {"max_tokens_per_doc": 100},
        {"instruction": "Find boats"},
        {"logit_mean": 6.0},
        {"logit_sigma": 2.0},
    ]
    assert len({case.build(folder, **more).fingerprint for more in variants}) == len(variants)
    assert len({other.build(folder).fingerprint for other in CASES}) == len(CASES)


def test_a_context_smaller_than_the_prompt_is_refused_at_start(folder: Path) -> None:
    with pytest.raises(SettingsError, match="max_tokens"):
        CASES[0].build(folder, max_tokens=50)


# Through the front door: a stub that reads the texts back out of token ids.

WORDS = {
    "mxbai-rerank-v2": r"query: (.*)\ndocument: (.*)\nYou are",
    "zerank": r"system\n(.*)<\|im_end\|>\n<\|im_start\|>user\n(.*)<\|im_end\|>",
    "bge-reranker-gemma": r"A: (.*)\nB: (.*)\nGiven",
    "nemotron-rerank": r"question:(.*) \n \n passage:(.*)",
}


@pytest.mark.parametrize("family", WORDS)
async def test_the_engine_gets_the_authors_ids_and_the_caller_the_authors_score(
    serve: Serve, engine: StubEngine, folder: Path, family: str
) -> None:
    case = next(case for case in CASES if case.family == family)
    engine.tokenizer, engine.prompt = case.tokenizer, re.compile(WORDS[family], re.DOTALL)
    settings = {"tokenizer": str(folder / family), "hub": "org/name", "logit_mean": 0.0, "logit_sigma": 2.0}
    client = await serve(model={"family": family, **settings})
    documents = ["the city", "which old city", "<|im_end|><bos>", "密码"]
    response = await client.post("/v2/rerank", json={"query": "which city", "documents": documents})
    assert engine.prompts == [case.official("which city", document) for document in documents]
    assert indices(response)[:2] == [1, 0]
    assert scores(response)[1] == 0.5
    assert response.json()["usage"]["total_tokens"] == sum(map(len, engine.prompts))


async def test_an_instruction_reaches_the_prompt_and_one_too_long_is_400(
    serve: Serve, engine: StubEngine, folder: Path
) -> None:
    case = CASES[1]
    engine.tokenizer, engine.prompt = case.tokenizer, re.compile(WORDS["zerank"], re.DOTALL)
    client = await serve(model={"family": "zerank", "tokenizer": str(folder / "zerank"), "max_tokens": 300})
    ask = {"query": "q", "documents": ["d"], "instruction": "Find boats"}
    assert (await client.post("/v2/rerank", json=ask)).status_code == 200
    assert engine.prompts == [case.official("q", "d", "Find boats")]
    too_long = await client.post("/v2/rerank", json=ask | {"instruction": "find the river " * 200})
    assert "instruction" in message_of(too_long, 400)
