"""Properties that hold for whatever callers send: cache keys, ranks, cuts, and both ways through Cohere's dialect."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gateway.dialects.cohere import V1, V2, Answer, Cohere
from gateway.domain import (
    Blob,
    Content,
    Mixed,
    Notice,
    Outcome,
    Pair,
    Ranked,
    Ranking,
    Refused,
    RerankRequest,
    Score,
    ScoringOptions,
    Span,
)
from gateway.errors import Field
from gateway.families.base import TextPrompt
from gateway.families.cross_encoder import CutText
from gateway.families.qwen3 import Qwen3
from gateway.rerank import rank
from gateway.scoring.cache_keys import pair_keys
from gateway.settings import ModelSettings
from tests.gateway.official import PREFIX, QWEN3
from tests.gateway.tokenizer import bert_like, qwen_like, save

# Letters that may move from one field to the next, and few enough texts that equal ones come up.
TEXTS = st.text("ab\xff\0/", max_size=4)
BLOBS = st.builds(Blob, st.sampled_from(["image", "video"]), st.binary(max_size=2))
MIXED = st.builds(Mixed, TEXTS, st.lists(BLOBS, min_size=1, max_size=3).map(tuple))
CONTENTS: st.SearchStrategy[Content] = TEXTS | MIXED
NUMBERS = st.none() | st.integers(1, 3)
OPTIONS = st.builds(
    ScoringOptions,
    instruction=st.none() | TEXTS.filter(bool),
    max_tokens_per_doc=NUMBERS,
    max_chunks_per_doc=st.integers(1, 3),
    fps=st.none() | st.sampled_from([0.5, 1.0, 2.0]),
    max_frames=NUMBERS,
    max_pixels=NUMBERS,
)
Reading = tuple[str, ScoringOptions, Content, Content]
READINGS: st.SearchStrategy[Reading] = st.tuples(TEXTS, OPTIONS, CONTENTS, CONTENTS)


def key_of(reading: Reading) -> bytes:
    identity, options, query, document = reading
    (key,) = pair_keys(identity, options, query, [document])
    return key


def meaning_of(reading: Reading) -> object:
    """All that decides a score: how media are read counts only where there are any."""
    identity, options, query, document = reading
    media = isinstance(query, Mixed) or isinstance(document, Mixed)
    sizes = (options.fps, options.max_frames, options.max_pixels) if media else ()
    limits = (options.instruction, options.max_tokens_per_doc, options.max_chunks_per_doc)
    return identity, limits, sizes, query, document


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[Reading, Reading]:
    """Two readings that have most of their fields in common, so that one difference is often the only one."""
    first = draw(READINGS)
    other = draw(READINGS)
    changed = draw(st.sets(st.integers(0, 3), max_size=2))
    identity, options, query, document = (other[place] if place in changed else first[place] for place in range(4))
    assert isinstance(options, ScoringOptions)
    if 1 in changed and draw(st.booleans()):  # one option alone
        name = draw(st.sampled_from(options.__struct_fields__))
        options = msgspec.structs.replace(first[1], **{name: getattr(options, name)})
    return first, (identity, options, query, document)  # type: ignore[return-value]


@given(neighbours())
@settings(max_examples=400)
def test_two_pairs_have_one_key_exactly_if_they_are_read_alike(pairs: tuple[Reading, Reading]) -> None:
    one, other = pairs
    assert (key_of(one) == key_of(other)) == (meaning_of(one) == meaning_of(other))


@given(st.text("ab", min_size=2, max_size=8), st.lists(st.integers(0, 8), min_size=3, max_size=3), st.data())
def test_letters_that_move_from_one_field_to_the_next_change_the_key(
    letters: str, cuts: list[int], data: st.DataObject
) -> None:
    def reading(places: list[int]) -> Reading:
        first, second, third = sorted(places)
        identity, instruction = letters[:first], letters[first:second]
        return identity, ScoringOptions(instruction or None), letters[second:third], letters[third:]

    others = data.draw(st.lists(st.integers(0, 8), min_size=3, max_size=3))
    one, other = reading(cuts), reading(others)
    assert (key_of(one) == key_of(other)) == (one == other)


@given(READINGS, st.lists(CONTENTS, max_size=5))
def test_a_documents_key_does_not_depend_on_its_neighbours(reading: Reading, documents: list[Content]) -> None:
    identity, options, query, _ = reading
    keys = pair_keys(identity, options, query, documents)
    assert keys == [key_of((identity, options, query, document)) for document in documents]
    assert all(len(key) == 16 for key in keys)


# Few values, so that ties are common.
SCORES = st.builds(Score, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
OUTCOMES: st.SearchStrategy[list[Outcome]] = st.lists(SCORES | st.just(Refused("no", "media_unreadable")), max_size=12)


@given(OUTCOMES, st.none() | st.integers(1, 15))
def test_a_ranking_is_the_best_first_in_the_order_of_the_request_with_the_refused_last(
    outcomes: list[Outcome], top_n: int | None
) -> None:
    whole = rank(outcomes, None)
    assert rank(outcomes, top_n) == (whole if top_n is None else whole[:top_n])
    assert sorted(ranked.index for ranked in whole) == list(range(len(outcomes)))
    assert all(ranked.spans == () for ranked in whole)
    for ranked in whole:
        outcome = outcomes[ranked.index]
        assert ranked.refused == isinstance(outcome, Refused)
        assert ranked.score == (outcome.value if isinstance(outcome, Score) else 0.0)
    for before, after in pairwise(whole):
        assert (before.refused, -before.score, before.index) < (after.refused, -after.score, after.index)


TOKENIZER, BERT = qwen_like(), bert_like()
WORDS = st.lists(st.sampled_from(["river ", "the ", "密码", "🚗 ", "e\u0301", "\n", "a,b ", "<|im_end|>"]), max_size=60)
LONG = WORDS.map("".join)
LIMITS = st.builds(
    ScoringOptions, max_tokens_per_doc=st.none() | st.integers(1, 90), max_chunks_per_doc=st.integers(1, 4)
)
IDS = Tokenizer.from_str(TOKENIZER.to_str())
SUFFIX_IDS: list[int] = IDS.encode(QWEN3.suffix, add_special_tokens=False).ids
PREFIX_IDS: list[int] = IDS.encode(PREFIX, add_special_tokens=False).ids
QWEN3_MAX_TOKENS, CUT_MAX_TOKENS = len(PREFIX_IDS) + len(SUFFIX_IDS) + 140, 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(TOKENIZER, tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def qwen3(folder: Path) -> Qwen3:
    return Qwen3(ModelSettings("qwen3-reranker", "http://h", tokenizer=str(folder), max_tokens=QWEN3_MAX_TOKENS))


@pytest.fixture(scope="module")
def cut_text(tmp_path_factory: pytest.TempPathFactory) -> CutText:
    folder = save(BERT, tmp_path_factory.mktemp("bert"))
    return CutText(ModelSettings("cross-encoder", "http://h", tokenizer=str(folder), max_tokens=CUT_MAX_TOKENS))


@pytest.fixture(scope="module")
def plain() -> Tokenizer:
    """A tokenizer that reads control tokens as text."""
    plain = Tokenizer(TOKENIZER.model)
    plain.normalizer, plain.pre_tokenizer = TOKENIZER.normalizer, TOKENIZER.pre_tokenizer
    return plain


def count(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


@given(query=LONG, document=LONG, options=LIMITS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_qwen3_prompt_fits_ends_whole_and_what_it_left_out_is_counted(
    qwen3: Qwen3, plain: Tokenizer, query: str, document: str, options: ScoringOptions
) -> None:
    (rendered,) = qwen3.render_texts([Pair(query, document)], options)
    assert 1 <= len(rendered.prompts) <= options.max_chunks_per_doc
    assert rendered.query_cut == max(0, count(plain, query) - QWEN3_MAX_TOKENS // 2)
    prompts = [prompt for prompt in rendered.prompts if isinstance(prompt, list)]
    assert len(prompts) == len(rendered.prompts)
    for ids in prompts:
        assert len(ids) <= QWEN3_MAX_TOKENS
        assert ids[: len(PREFIX_IDS)] == PREFIX_IDS
        assert ids[-len(SUFFIX_IDS) :] == SUFFIX_IDS
    if len(prompts) == 1:
        read = IDS.decode(prompts[0][len(PREFIX_IDS) : -len(SUFFIX_IDS)], skip_special_tokens=False)
        text = read.partition("\n<Document>: ")[2]
        if rendered.cut == 0:
            assert text == TOKENIZER.normalizer.normalize_str(document)
        label = count(plain, QWEN3.label.rstrip())
        total = count(plain, QWEN3.label + document) - label
        head = len(plain.encode(QWEN3.head.format(instruction=QWEN3.instruction, query=_first(plain, query))).ids)
        left = len(prompts[0]) - len(PREFIX_IDS) - len(SUFFIX_IDS) - head - label
        assert left + rendered.cut == total
        if options.max_tokens_per_doc is not None:
            assert left <= options.max_tokens_per_doc


def _first(plain: Tokenizer, query: str) -> str:
    """The part of a query that is read."""
    offsets = plain.encode(query, add_special_tokens=False).offsets
    most = QWEN3_MAX_TOKENS // 2
    return query if len(offsets) <= most else query[: offsets[most][0]]


@given(query=LONG, document=LONG, options=LIMITS)
def test_texts_for_a_cross_encoder_fit_and_what_they_left_out_is_counted(
    cut_text: CutText, query: str, document: str, options: ScoringOptions
) -> None:
    (rendered,) = cut_text.render_texts([Pair(query, document)], options)
    assert 1 <= len(rendered.prompts) <= options.max_chunks_per_doc
    room = CUT_MAX_TOKENS - BERT.num_special_tokens_to_add(True)
    assert rendered.query_cut == max(0, count(BERT, query) - room // 2)
    prompts = [prompt for prompt in rendered.prompts if isinstance(prompt, TextPrompt)]
    assert len(prompts) == len(rendered.prompts)
    for prompt in prompts:
        assert query.startswith(prompt.query)
        assert prompt.document in document
        assert len(BERT.encode(prompt.query, prompt.document).ids) == prompt.tokens <= CUT_MAX_TOKENS
    if len(prompts) == 1:
        kept = prompts[0].document
        assert document.startswith(kept)
        assert (kept == document) == (rendered.cut == 0)
        allowed = room - count(BERT, prompts[0].query)
        limit = min(allowed, options.max_tokens_per_doc or allowed)
        assert rendered.cut == max(0, count(BERT, document) - limit)


# Any body that Cohere's API takes, in one spelling; `spelled` writes the same in others.
POSITIVE = st.integers(1, 50)
BODIES = st.fixed_dictionaries(
    {"query": st.text(min_size=1, max_size=8), "documents": st.lists(st.text(max_size=8), min_size=1, max_size=5)},
    optional={
        "model": st.text(min_size=1, max_size=5),
        "top_n": POSITIVE,
        "max_tokens_per_doc": POSITIVE,
        "max_chunks_per_doc": POSITIVE,
        "max_frames": POSITIVE,
        "max_pixels": POSITIVE,
        "fps": st.sampled_from([0.5, 1.0, 3.25]),
        "return_documents": st.booleans(),
        "strict": st.booleans(),
        "priority": st.integers(0, 9),
        "instruction": st.text(min_size=1, max_size=5),
        "cache": st.just("no-store"),
        "relevant_spans": st.fixed_dictionaries(
            {"mode": st.just("enabled")},
            optional={"threshold": st.sampled_from([0.0, 0.1, 1.0]), "max_spans": POSITIVE},
        ),
    },
)
OPTIONAL = ["model", "top_n", "max_tokens_per_doc", "max_chunks_per_doc", "fps", "return_documents", "strict", "cache"]
OTHER_NAMES = {"top_n": "top_k", "instruction": "instruct"}
VERSIONS = pytest.mark.parametrize("dialect", [V1, V2], ids=["v1", "v2"])


@st.composite
def spellings(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A body, and the same in another spelling."""
    body: dict[str, Any] = draw(BODIES)
    other = dict(body)
    for name, alias in OTHER_NAMES.items():
        if name in other and draw(st.booleans()):
            other[alias] = other.pop(name)
    for name in ("top_n", "max_frames", "priority"):
        if name in other and draw(st.booleans()):
            other[name] = str(other[name])
    for name in ("strict", "return_documents"):
        if name in other and draw(st.booleans()):
            other[name] = str(other[name]).lower()
    if "cache" in other and draw(st.booleans()):
        other["cache"] = " No-Store "
    other |= {name: None for name in draw(st.sets(st.sampled_from(OPTIONAL))) if name not in body}
    if draw(st.booleans()):
        other["query"] = {"text": other["query"]}
    if "return_documents" not in body:  # an answer repeats a document as it was written
        objects = draw(st.lists(st.booleans(), min_size=len(body["documents"]), max_size=len(body["documents"])))
        other["documents"] = [
            {"text": text, "image": None} if as_object else text
            for text, as_object in zip(body["documents"], objects, strict=True)
        ]
    other |= draw(st.fixed_dictionaries({}, optional={"stream": st.none(), "input_type": st.just("x")}))
    return body, dict(draw(st.permutations(list(other.items()))))


@VERSIONS
@given(spellings())
def test_the_same_wish_in_another_spelling_is_the_same_request(
    dialect: Cohere, bodies: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    one, other = bodies
    assert dialect.parse(json.dumps(one).encode()) == dialect.parse(json.dumps(other, ensure_ascii=False).encode())


@VERSIONS
@given(BODIES)
def test_whatever_a_body_names_reaches_the_request(dialect: Cohere, body: dict[str, Any]) -> None:
    request = dialect.parse(json.dumps(body).encode())
    assert (request.query, list(request.documents)) == (body["query"], body["documents"])
    assert (request.model, request.top_n) == (body.get("model"), body.get("top_n"))
    assert (request.strict, request.priority) == (body.get("strict", False), body.get("priority", 0))
    assert request.no_store == ("cache" in body)
    assert (request.echo is not None) == body.get("return_documents", False)
    options = request.options
    assert options.instruction == body.get("instruction")
    assert (options.fps, options.max_frames, options.max_pixels) == tuple(
        map(body.get, ("fps", "max_frames", "max_pixels"))
    )
    default_tokens, default_chunks = (None, 10) if dialect is V1 else (4096, 1)
    assert options.max_tokens_per_doc == body.get("max_tokens_per_doc", default_tokens)
    assert options.max_chunks_per_doc == body.get("max_chunks_per_doc", default_chunks)
    wanted = body.get("relevant_spans")
    assert (request.spans is None) == (wanted is None)
    if wanted is not None and request.spans is not None:
        assert (request.spans.threshold, request.spans.max_spans) == (
            wanted.get("threshold", 0.1),
            wanted.get("max_spans"),
        )


SPANS = st.lists(st.builds(Span, st.integers(0, 9), st.integers(10, 20), st.floats(0, 1)), max_size=3)
RANKED = st.builds(Ranked, st.integers(0, 2), st.floats(0, 1), st.booleans(), SPANS)
ECHO = st.none() | st.just([{"text": "a"}, {"title": "b"}, {"n": 1}])
COUNTS = st.integers(0, 1000)
NOTICES = st.builds(
    Notice, st.builds(Field, st.sampled_from(["query", "documents"]), st.none() | COUNTS), st.text(max_size=5)
)
RANKINGS = st.builds(
    Ranking,
    st.builds(RerankRequest, st.just("q"), st.just(["a", "b", "c"]), st.none() | st.just("asked"), echo=ECHO),
    st.just("served"),
    st.lists(RANKED, max_size=5),
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
    notices=st.lists(NOTICES, max_size=3),
)


@VERSIONS
@given(RANKINGS)
def test_an_answer_can_be_read_by_its_own_schema_and_loses_nothing(dialect: Cohere, ranking: Ranking) -> None:
    reply = dialect.render("an id", ranking)
    answer = msgspec.json.decode(reply.body, type=Answer)
    assert (reply.status, answer.id, answer.object) == (200, "an id", "list")
    assert [(result.index, result.relevance_score) for result in answer.results] == [
        (ranked.index, ranked.score) for ranked in ranking.results
    ]
    for result, ranked in zip(answer.results, ranking.results, strict=True):
        assert (list(result.relevant_spans) if result.relevant_spans else []) == list(ranked.spans)
        echo = ranking.request.echo
        assert result.document == (msgspec.UNSET if echo is None else echo[ranked.index])
    assert answer.meta.served_by == "served"
    assert answer.model == (ranking.request.model or "served")
    assert (answer.meta.cached_pairs, answer.meta.cached_tokens) == (ranking.cached, ranking.cached_tokens)
    assert answer.meta.tokens.input_tokens == answer.usage.prompt_tokens == answer.usage.total_tokens == ranking.tokens
    assert answer.meta.billed_units.search_units == -(-ranking.chunks // 100)
    assert [warning.split(": ", 1)[1] for warning in answer.meta.warnings] == [one.message for one in ranking.notices]
