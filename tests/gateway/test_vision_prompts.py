"""Prompts with pictures and videos: every token counted, text cut to fit beside them, control tokens broken."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from PIL import Image

from gateway.domain import Blob, Content, Mixed, Pair, Refused, ScoringOptions
from gateway.families.base import MultimodalPrompt, Rendered
from gateway.families.qwen3_vl import Qwen3Vl
from gateway.media.vision import Prepared
from gateway.settings import ModelSettings
from tests.gateway.asking import ASK, message_of
from tests.gateway.conftest import Serve
from tests.gateway.official import PREFIX, QWEN3_VL
from tests.gateway.tokenizer import ADDED, SPECIAL, qwen_like, save
from tests.stub_engine import StubEngine

TOKENIZER = qwen_like()
PICTURE, OTHER, VIDEO = Blob("image", b"a"), Blob("image", b"b"), Blob("video", b"c")
MEDIA: Mapping[Blob, Prepared] = {
    PICTURE: Prepared("data:a", 64, 96),
    OTHER: Prepared("data:b", 32, 32),
    VIDEO: Prepared("data:c", 64, 64, (0.0, 1.0, 2.0)),
}
MARGIN = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(TOKENIZER, tmp_path_factory.mktemp("tokenizer"))


def family(folder: Path, max_tokens: int = 4096, **more: int) -> Qwen3Vl:
    return Qwen3Vl(
        ModelSettings("qwen3-vl-reranker", "http://h", tokenizer=str(folder), max_tokens=max_tokens, **more)  # type: ignore[arg-type]
    )


async def rendered(family: Qwen3Vl, query: Content, document: Content, **options: object) -> Rendered | Refused:
    (one,) = await family.render([Pair(query, document)], MEDIA, ScoringOptions(**options))  # type: ignore[arg-type]
    return one


async def prompt_of(family: Qwen3Vl, query: Content, document: Content, **options: object) -> MultimodalPrompt:
    one = await rendered(family, query, document, **options)
    assert isinstance(one, Rendered)
    (prompt,) = one.prompts
    assert isinstance(prompt, MultimodalPrompt)
    return prompt


def count(text: str, *, control: bool = False) -> int:
    """Tokens of a text, with control tokens read as such or as text."""
    tokenizer = TOKENIZER if control else PLAIN
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


PLAIN = type(TOKENIZER)(TOKENIZER.model)
PLAIN.normalizer, PLAIN.pre_tokenizer = TOKENIZER.normalizer, TOKENIZER.pre_tokenizer
TEMPLATE = count(PREFIX, control=True) + count(QWEN3_VL.suffix, control=True)
# 64 x 96 pixels are six squares of 32 x 32; a picture has two marks. The four frames of 0, 1, 2 and again 2 seconds are
# two steps of four squares and two marks, each behind its time; a video has two marks more.
TOKENS = {
    PICTURE: 6 + 2,
    OTHER: 1 + 2,
    VIDEO: 2 * (4 + 2) + 2 + count("<0.5 seconds>") + count("<2.0 seconds>"),
}


async def test_every_token_of_a_prompt_is_counted(folder: Path) -> None:
    head = f"<Instruct>: {QWEN3_VL.instruction}<Query>:"
    for blobs in ([PICTURE], [OTHER], [VIDEO], [VIDEO, PICTURE, OTHER]):
        media = sum(TOKENS[blob] for blob in blobs)
        mixed = Mixed("a river", tuple(blobs))
        in_document = await prompt_of(family(folder), "which city", mixed)
        assert in_document.tokens == TEMPLATE + media + count(f"{head}which city\n<Document>:") + count("a river")
        in_query = await prompt_of(family(folder), mixed, "which city")
        assert in_query.tokens == TEMPLATE + media + count(head) + count("a river\n<Document>:which city")
        in_both = await prompt_of(family(folder), mixed, mixed)
        assert in_both.tokens == TEMPLATE + 2 * media + count(head) + count("a river\n<Document>:") + count("a river")


async def test_sides_are_content_parts_media_first_and_an_empty_text_has_the_official_placeholder(folder: Path) -> None:
    def part(blob: Blob) -> dict[str, object]:
        name = f"{blob.kind}_url"
        return {"type": name, name: {"url": MEDIA[blob].url}}

    text = {"type": "text", "text": "a caption"}
    both = Mixed("a caption", (VIDEO, PICTURE))
    prompt = await prompt_of(family(folder), "", both)
    assert (prompt.query, prompt.document) == ("NULL", {"content": [part(VIDEO), part(PICTURE), text]})
    prompt = await prompt_of(family(folder), Mixed("", (PICTURE,)), "")
    assert (prompt.query, prompt.document) == ({"content": [part(PICTURE)]}, "NULL")
    assert prompt.instruction == QWEN3_VL.instruction
    head = f"<Instruct>: {QWEN3_VL.instruction}<Query>:"
    assert prompt.tokens == TEMPLATE + TOKENS[PICTURE] + count(head) + count("\n<Document>:NULL")
    assert (await prompt_of(family(folder), "q", both, instruction="Find mugs")).instruction == "Find mugs"


@pytest.mark.parametrize("token", [*SPECIAL, *ADDED])
async def test_a_control_token_is_broken_wherever_a_caller_writes_it(folder: Path, token: str) -> None:
    broken = token[0] + "\u200b" + token[1:]
    document = Mixed(f"a {token}", (PICTURE,))
    prompt = await prompt_of(family(folder), f"q {token}", document, instruction=f"i {token}{token}")
    assert prompt.instruction == f"i {broken}{broken}"
    assert prompt.query == f"q {broken}"
    assert isinstance(prompt.document, Mapping)
    assert prompt.document["content"][-1] == {"type": "text", "text": f"a {broken}"}  # type: ignore[index]


async def test_the_longest_of_nested_control_tokens_is_broken_once(folder: Path) -> None:
    prompt = await prompt_of(family(folder), "</think><think>", Mixed("", (PICTURE,)))
    assert prompt.query == "<\u200b/think><\u200bthink>"


async def test_text_is_cut_to_what_fits_beside_the_media_to_the_token(folder: Path) -> None:
    words = "the river is long " * 20
    total = count(words)
    fixed = (await prompt_of(family(folder), "q", Mixed("", (PICTURE,)))).tokens
    for room in (0, 1, 10, total - 1, total, total + 5):
        one = await rendered(family(folder, fixed + MARGIN + room), "q", Mixed(words, (PICTURE,)))
        assert isinstance(one, Rendered)
        assert (one.cut, one.query_cut) == (max(0, total - room), 0)
        (prompt,) = one.prompts
        assert isinstance(prompt, MultimodalPrompt)
        assert prompt.tokens <= fixed + room
    refused = await rendered(family(folder, fixed + MARGIN - 1), "q", Mixed(words, (PICTURE,)))
    assert refused == Refused(
        f"its pictures and videos take {TOKENS[PICTURE]} tokens, the model reads {fixed + MARGIN - 1} in all",
        "media_too_large",
    )


async def test_limits_of_a_document_and_of_a_query_hold_beside_media_too(folder: Path) -> None:
    words = "the river is long " * 20
    total = count(words)
    mixed = Mixed(words, (PICTURE,))
    for limit in (1, 7, total):
        one = await rendered(family(folder), "q", mixed, max_tokens_per_doc=limit)
        assert isinstance(one, Rendered)
        assert one.cut == total - limit
        one = await rendered(family(folder, max_tokens_per_doc=limit), "q", mixed)
        assert isinstance(one, Rendered)
        assert one.cut == total - limit
    one = await rendered(family(folder, 300), "the river is long " * 60, Mixed("", (OTHER,)))
    assert isinstance(one, Rendered)
    assert one.query_cut == count("the river is long " * 60) - 150


async def test_pairs_of_text_alone_are_token_ids_and_another_template_is_another_fingerprint(folder: Path) -> None:
    (one,) = await family(folder).render([Pair("q", "")], {}, ScoringOptions())
    assert isinstance(one, Rendered)
    (ids,) = one.prompts
    assert isinstance(ids, list)
    text = TOKENIZER.decode(ids, skip_special_tokens=False)
    head = QWEN3_VL.head.format(instruction=QWEN3_VL.instruction, query="q")
    assert text == PREFIX + head + QWEN3_VL.label + "NULL" + QWEN3_VL.suffix


def test_options_that_are_read_alike_are_one(folder: Path) -> None:
    canonical = family(folder, max_pixels=4096, max_frames=9).canonical
    assert canonical(ScoringOptions()) == ScoringOptions(QWEN3_VL.instruction, None, 1, 1.0, 9, 4096)
    asked = ScoringOptions("i", 5, 2, 0.5, 3, 2048)
    assert canonical(asked) == asked
    assert family(folder).canonical(ScoringOptions()) == ScoringOptions(
        QWEN3_VL.instruction, None, 1, 1.0, 64, 1800 * 32 * 32
    )


def test_the_official_limits_are_qwens(folder: Path) -> None:
    profile = family(folder).multimodal
    assert profile is not None
    square = 32 * 32
    assert (profile.token_side, profile.min_pixels, profile.max_pixels) == (32, 4 * square, 1800 * square)
    assert (profile.fps, profile.min_frames, profile.max_frames, profile.frames_per_patch) == (1.0, 4, 64, 2)
    assert (profile.min_frame_pixels, profile.max_frame_pixels) == (4 * square, 768 * square)
    assert (profile.max_clip_pixels, profile.max_side_ratio) == (7680 * square, 200)
    assert (profile.image_marks, profile.video_marks, profile.step_label) == (2, 2, "<{:.1f} seconds>")
    assert profile.max_video_s == 30.0


async def test_the_tokens_of_a_picture_are_in_the_usage(serve: Serve, engine: StubEngine, folder: Path) -> None:
    engine.tokenizer = TOKENIZER
    client = await serve(model={"family": "qwen3-vl-reranker", "tokenizer": str(folder), "max_tokens": 4096})
    out = io.BytesIO()
    Image.new("RGB", (64, 96), "red").save(out, "PNG")
    document = {"text": "a river", "image": base64.b64encode(out.getvalue()).decode()}
    body = (await client.post("/v2/rerank", json={"query": "which city", "documents": [document]})).json()
    head = f"<Instruct>: {QWEN3_VL.instruction}<Query>:"
    assert body["usage"]["total_tokens"] == (
        TEMPLATE + TOKENS[PICTURE] + count(f"{head}which city\n<Document>:") + count("a river")
    )


async def test_media_go_to_the_default_where_it_sees_and_to_nobody_unknown(
    serve: Serve, engine: StubEngine, folder: Path
) -> None:
    engine.tokenizer = TOKENIZER
    eyes = {"family": "qwen3-vl-reranker", "tokenizer": str(folder), "engine": engine.url}
    models = {"one": eyes, "two": {**eyes, "aliases": ["second"]}}
    red = {"query": "red", "documents": [{"image": "data:,"}, "red"]}
    client = await serve(models=models, default_model="two", unknown_model="error")
    for name, served in ((None, "two"), ("one", "one"), (" Second ", "two"), ("TWO", "two")):
        body = (await client.post("/v2/rerank", json={**red, "model": name})).json()
        assert body["meta"]["served_by"] == served
    for documents in (red["documents"], ["red"]):
        told = await client.post("/v2/rerank", json={**ASK, "documents": documents, "model": "three"})
        assert message_of(told, 404) == "model 'three' not found, make sure the correct model ID was used"


async def test_a_picture_is_no_reason_to_name_another_model_to_one_who_named_none(
    serve: Serve, engine: StubEngine
) -> None:
    client: httpx.AsyncClient = await serve()
    told = await client.post("/v2/rerank", json={"query": "q", "documents": ["a", {"text": "b", "image": "x"}]})
    assert message_of(told, 400) == (
        "invalid request: documents[1].image: the models here read text only, "
        "Qwen3-VL-Reranker reads pictures and videos too (`rerank up --profile vision`)"
    )
