"""Chunks: overlapping slices of a text, by tokens of one character each, and the tokenizers that count them."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from gateway.domain import Pair, ScoringOptions
from gateway.families.base import TextPrompt
from gateway.families.chunking import chunks, token_limit
from gateway.families.cross_encoder import CutText, RawText, cross_encoder
from gateway.families.qwen3 import Qwen3
from gateway.families.tokenizer import digest_of, first_tokens
from gateway.settings import ModelSettings, SettingsError
from tests.gateway.asking import scores
from tests.gateway.conftest import Serve
from tests.gateway.official import PREFIX, QWEN3
from tests.gateway.tokenizer import bert_like, qwen_like, save
from tests.stub_engine import StubEngine


def sliced(
    length: int, room: int, *, max_chunks_per_doc: int, max_tokens_per_doc: int | None = None
) -> tuple[list[tuple[int, int]], int]:
    """The chunks of a text of so many one-character tokens as (begin, end), and the tokens in none of them."""
    text = "".join(chr(0x4E00 + n) for n in range(length))  # each character once
    offsets = [(n, n + 1) for n in range(length)]
    slices, cut = chunks(text, offsets, room, ScoringOptions(None, max_tokens_per_doc, max_chunks_per_doc))
    return [(text.index(one[0]), text.index(one[-1]) + 1) for one in slices], cut


def test_chunks_follow_each_other_with_an_eighth_of_overlap() -> None:
    # Room for 40 less a margin of 8: windows of 32 tokens, of which 4 repeat.
    assert sliced(100, 40, max_chunks_per_doc=9) == ([(0, 32), (28, 60), (56, 88), (84, 100)], 0)
    assert sliced(32, 40, max_chunks_per_doc=9) == ([(0, 32)], 0)
    assert sliced(33, 40, max_chunks_per_doc=9) == ([(0, 32), (28, 33)], 0)
    assert sliced(60, 40, max_chunks_per_doc=9) == ([(0, 32), (28, 60)], 0)


def test_what_no_chunk_holds_is_counted() -> None:
    assert sliced(100, 40, max_chunks_per_doc=2) == ([(0, 32), (28, 60)], 40)
    assert sliced(100, 40, max_chunks_per_doc=9, max_tokens_per_doc=50) == ([(0, 32), (28, 50)], 50)
    assert sliced(100, 40, max_chunks_per_doc=1, max_tokens_per_doc=50) == ([(0, 32)], 68)


def test_however_little_room_there_is_a_chunk_has_a_token() -> None:
    for room in (1, 8, 9):
        assert sliced(3, room, max_chunks_per_doc=9) == ([(0, 1), (1, 2), (2, 3)], 0)


def test_space_around_a_chunk_is_not_read() -> None:
    text = " a b "
    assert chunks(text, [(n, n + 1) for n in range(5)], 99, ScoringOptions()) == (["a b"], 0)


@pytest.mark.parametrize(("asked", "expected"), [(None, 100), (90, 95), (95, 100), (200, 100), (1, 6)])
def test_the_limit_of_a_document_is_what_fits_or_what_was_asked_beside_the_label(
    asked: int | None, expected: int
) -> None:
    assert token_limit(100, 5, ScoringOptions(max_tokens_per_doc=asked)) == expected


def test_the_first_tokens_of_a_text_are_cut_at_a_tokens_end() -> None:
    tokenizer = qwen_like()
    text = "the river is long"
    count = len(tokenizer.encode(text, add_special_tokens=False).ids)
    assert first_tokens(tokenizer, text, count) == (text, 0)
    assert first_tokens(tokenizer, text, count + 1) == (text, 0)
    short, left = first_tokens(tokenizer, text, count - 1)
    assert left == 1
    assert text.startswith(short)
    assert len(tokenizer.encode(short, add_special_tokens=False).ids) == count - 1
    assert first_tokens(tokenizer, text, 0) == ("", count)


def test_a_digest_tells_parts_apart_however_they_are_cut() -> None:
    digests = {digest_of("ab", "c"), digest_of("a", "bc"), digest_of("abc"), digest_of("abc", ""), digest_of()}
    assert len(digests) == 5
    assert all(len(digest) == 32 and int(digest, 16) >= 0 for digest in digests)
    assert digest_of("a" * 300, "b") == digest_of("a" * 300, "b")


def settings(folder: Path, family: str = "qwen3-reranker", **more: int) -> ModelSettings:
    return ModelSettings(family, "http://h", tokenizer=str(folder), **more)  # type: ignore[arg-type]


def test_a_tokenizers_own_truncation_and_padding_do_not_touch_a_prompt(tmp_path: Path) -> None:
    truncating = Tokenizer.from_str(qwen_like().to_str())
    truncating.enable_truncation(6)
    truncating.enable_padding(length=64)
    pair = Pair("which city", "the river is long " * 30)
    (tmp_path / "plain").mkdir()
    (tmp_path / "truncating").mkdir()
    rendered = [
        Qwen3(settings(save(tokenizer, tmp_path / name), max_tokens=4096)).render_texts([pair], ScoringOptions())
        for name, tokenizer in (("plain", qwen_like()), ("truncating", truncating))
    ]
    assert rendered[0] == rendered[1]
    (cut,) = CutText(settings(tmp_path / "truncating", "cross-encoder", max_tokens=512)).render_texts(
        [pair], ScoringOptions()
    )
    assert [prompt[:2] for prompt in cut.prompts if isinstance(prompt, TextPrompt)] == [(pair.query, pair.document)]


def test_what_a_tokenizer_adds_around_texts_does_not_get_into_a_prompt(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "adding").mkdir()
    pairs = [Pair("which city " * 9, "the river is long " * 60), Pair("", "short")]
    plain = Qwen3(settings(save(qwen_like(), tmp_path / "plain"), max_tokens=300))
    other = Qwen3(settings(save(bert_like(), tmp_path / "adding"), max_tokens=300))
    for options in (ScoringOptions(), ScoringOptions(max_chunks_per_doc=5), ScoringOptions("find", 7)):
        assert plain.render_texts(pairs, options) == other.render_texts(pairs, options)
    assert plain.probe == other.probe


def test_a_tokenizer_is_found_in_its_folder_or_by_its_file(tmp_path: Path) -> None:
    folder = save(qwen_like(), tmp_path)
    by_file = ModelSettings("qwen3-reranker", "http://h", tokenizer=str(folder / "tokenizer.json"))
    assert Qwen3(by_file).fingerprint == Qwen3(settings(folder)).fingerprint
    by_hub = ModelSettings("qwen3-reranker", "http://h", hub=str(folder))
    assert Qwen3(by_hub).fingerprint == Qwen3(settings(folder)).fingerprint


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps({"model": {"type": "none"}})])
def test_what_is_no_tokenizer_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(SettingsError, match=r"^tokenizer: not a tokenizer\.json \(\w+\)$"):
        Qwen3(settings(tmp_path))


def test_a_family_without_a_tokenizer_is_told_in_one_line() -> None:
    with pytest.raises(SettingsError, match=r"^tokenizer: the family qwen3-reranker needs one, a folder or a hub id$"):
        Qwen3(ModelSettings("qwen3-reranker", "http://h"))


def test_a_cross_encoder_is_cut_here_only_where_its_tokenizer_is_named(tmp_path: Path) -> None:
    raw = cross_encoder(ModelSettings("cross-encoder", "http://h"))
    assert type(raw) is RawText
    assert raw.canonical(ScoringOptions("find", 5, 3)) == ScoringOptions()
    cut = cross_encoder(settings(save(bert_like(), tmp_path), "cross-encoder"))
    assert type(cut) is CutText
    assert cut.canonical(ScoringOptions("find", 5, 3, fps=1.0)) == ScoringOptions(None, 5, 3)


def test_other_limits_or_another_tokenizer_are_another_fingerprint_of_a_cross_encoder(tmp_path: Path) -> None:
    other = Tokenizer.from_str(qwen_like().to_str())
    other.add_tokens(["<new>"])
    (tmp_path / "other").mkdir()
    folder = save(qwen_like(), tmp_path)
    prints = {
        CutText(settings(folder, "cross-encoder", max_tokens=300)).fingerprint,
        CutText(settings(folder, "cross-encoder", max_tokens=301)).fingerprint,
        CutText(settings(folder, "cross-encoder", max_tokens=300, max_tokens_per_doc=20)).fingerprint,
        CutText(settings(save(other, tmp_path / "other"), "cross-encoder", max_tokens=300)).fingerprint,
        RawText(settings(folder, "cross-encoder")).fingerprint,
    }
    assert len(prints) == 5


def test_a_cross_encoders_own_tokens_around_a_pair_take_their_room(tmp_path: Path) -> None:
    tokenizer = bert_like()
    words = "the river is long " * 30
    (one,) = CutText(settings(save(tokenizer, tmp_path), "cross-encoder", max_tokens=64)).render_texts(
        [Pair("which city", words)], ScoringOptions()
    )
    (prompt,) = one.prompts
    assert isinstance(prompt, TextPrompt)
    assert len(tokenizer.encode(prompt.query, prompt.document).ids) == prompt.tokens == 64
    assert one.cut == len(tokenizer.encode(words, add_special_tokens=False).ids) - len(
        tokenizer.encode(prompt.document, add_special_tokens=False).ids
    )


def test_the_probe_is_a_whole_official_prompt_as_text_and_as_ids(tmp_path: Path) -> None:
    family = Qwen3(settings(save(qwen_like(), tmp_path)))
    (one,) = family.render_texts([Pair("a", "b")], ScoringOptions())
    probe = family.probe
    assert probe is not None
    head = QWEN3.head.format(instruction=QWEN3.instruction, query="a")
    assert probe.text == PREFIX + head + QWEN3.label + "b" + QWEN3.suffix
    assert list(one.prompts) == [probe.ids]
    assert qwen_like().encode(probe.text, add_special_tokens=False).ids == probe.ids
    mine = ModelSettings("qwen3-reranker", "http://h", tokenizer=str(tmp_path), instruction="Find boats")
    probe = Qwen3(mine).probe
    assert probe is not None
    assert probe.text.startswith(PREFIX + "<Instruct>: Find boats\n<Query>: a\n")


@pytest.mark.parametrize("count", [2, 3])
async def test_the_best_of_few_chunks_counts_wherever_it_is(
    serve: Serve, engine: StubEngine, tmp_path: Path, count: int
) -> None:
    engine.tokenizer = bert_like()
    client = await serve(model={"tokenizer": str(save(engine.tokenizer, tmp_path)), "max_tokens": 60})
    words = [f"w{n}" for n in range(60)]
    document = " ".join(words)
    response = await client.post("/v1/rerank", json={"query": words[0], "documents": [document]})
    assert scores(response) == [1.0]
    pieces = [text for _, text in engine.prompts]
    # As many words as make so many chunks, the last of which holds the needle.
    short = document[: document.index(pieces[count - 1]) + len(pieces[count - 1]) - 12].rsplit(" ", 1)[0]
    needle = short.rsplit(" ", 1)[1]
    engine.calls.clear()
    response = await client.post("/v1/rerank", json={"query": needle, "documents": [short]})
    assert len(engine.prompts) == count
    assert "warnings" not in response.json()["meta"]
    assert scores(response) == [1.0]
