"""Pictures and videos through the front door: every shape callers send, who answers, and what one bad file costs."""

import asyncio
import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from gateway.media import images, videos
from tests.gateway.asking import ASK, indices, message_of, scores
from tests.gateway.conftest import Serve
from tests.gateway.made import film
from tests.gateway.tokenizer import qwen_like, save
from tests.stub_engine import StubEngine, failure

TOKENIZER = qwen_like()
HTML = base64.b64encode(b"<html><body>Not found</body></html>").decode()


@pytest.fixture
async def vision(serve: Serve, engine: StubEngine, tmp_path: Path) -> httpx.AsyncClient:
    engine.tokenizer = TOKENIZER
    return await serve(model=vl(tmp_path))


def vl(folder: Path, **more: Any) -> dict[str, Any]:
    return {"family": "qwen3-vl-reranker", "tokenizer": str(save(TOKENIZER, folder)), "max_tokens": 4096, **more}


def picture(color: str = "red", size: tuple[int, int] = (64, 64), kind: str = "PNG") -> str:
    """Bare base64."""
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, kind)
    return base64.b64encode(out.getvalue()).decode()


RED, BLUE = picture(), picture("blue")
VIDEO = base64.b64encode(film([Image.new("RGB", (64, 64), "black")] * 40)).decode()
RED_URL, VIDEO_URL = f"data:image/png;base64,{RED}", f"data:video/mp4;base64,{VIDEO}"
SEEN_RED, SEEN_BLUE, SEEN_VIDEO = "64x64 red", "64x64 blue", "4 frames 64x64 many colors"


async def seen(client: httpx.AsyncClient, engine: StubEngine, side: object, *, as_query: bool) -> str:
    """The side in the engine's words."""
    engine.calls.clear()
    ask = {"query": side, "documents": [{"image": BLUE}]} if as_query else {"query": "q", "documents": [side]}
    answer = await client.post("/v2/rerank", json={**ask, "cache": "no-store"})
    assert indices(answer) == [0]
    assert "warnings" not in answer.json()["meta"]
    (prompt,) = engine.prompts
    text: str = prompt[0 if as_query else 1]
    return text


@pytest.mark.parametrize("as_query", [True, False], ids=["query", "document"])
@pytest.mark.parametrize(
    ("side", "read"),
    [
        ({"image": RED_URL}, SEEN_RED),
        ({"image": RED}, SEEN_RED),
        ({"image": {"url": RED_URL}}, SEEN_RED),
        ({"video": VIDEO_URL}, SEEN_VIDEO),
        ({"video": VIDEO, "image": None, "text": None}, SEEN_VIDEO),
        ({"text": "a caption", "image": RED}, f"{SEEN_RED} a caption"),
        ({"text": ["one", "two"], "image": [RED, BLUE]}, f"{SEEN_RED} {SEEN_BLUE} one\ntwo"),
        ({"text": "all", "image": [RED], "video": [VIDEO]}, f"{SEEN_VIDEO} {SEEN_RED} all"),
        ({"content": [{"type": "image_url", "image_url": {"url": RED_URL}}]}, SEEN_RED),
        ({"content": [{"type": "video_url", "video_url": {"url": VIDEO_URL}}]}, SEEN_VIDEO),
        (
            {
                "content": [
                    {"type": "text", "text": "all"},
                    {"type": "image_url", "image_url": RED_URL},
                    {"type": "text", "text": "of it"},
                    {"type": "video_url", "video_url": {"url": VIDEO}},
                ]
            },
            f"{SEEN_VIDEO} {SEEN_RED} all\nof it",
        ),
    ],
)
async def test_a_picture_or_video_may_come_in_every_shape(
    vision: httpx.AsyncClient, engine: StubEngine, side: object, read: str, *, as_query: bool
) -> None:
    assert await seen(vision, engine, side, as_query=as_query) == read


async def test_a_product_record_with_a_field_called_image_is_text(vision: httpx.AsyncClient) -> None:
    record = {"title": "Red mug", "image": "https://example.com/mug.png", "price": 5}
    assert indices(await vision.post("/v2/rerank", json={"query": "mug", "documents": [record]})) == [0]


@pytest.mark.parametrize(
    ("side", "field"),
    [
        ({"image": 5}, "documents[0].image"),
        ({"image": [RED, None]}, "documents[0].image[1]"),
        ({"content": [{"type": "audio_url"}]}, "documents[0].content[0]"),
        ({"content": [{"type": "image_url", "image_url": {}}]}, "documents[0].content[0]"),
    ],
)
async def test_a_shape_that_is_none_is_400_with_its_field(vision: httpx.AsyncClient, side: object, field: str) -> None:
    assert field in message_of(await vision.post("/v2/rerank", json={"query": "q", "documents": [side]}), 400)


async def test_texts_and_pictures_are_ranked_together(vision: httpx.AsyncClient, engine: StubEngine) -> None:
    documents = ["a blue plate", {"image": RED}, {"text": "mug", "image": BLUE}, "red mug"]
    answer = await vision.post("/v2/rerank", json={"query": "red mug", "documents": documents})
    assert indices(answer) == [3, 1, 2, 0]
    assert answer.json()["usage"]["prompt_tokens"] > 2 * 6
    assert all(isinstance(prompt, list) for prompt in engine.calls[0])  # texts go as token ids, as for text models


async def test_an_instruction_goes_along_and_the_official_one_where_there_is_none(
    vision: httpx.AsyncClient, engine: StubEngine
) -> None:
    ask = {"query": "red", "documents": [{"image": RED}]}
    await vision.post("/v2/rerank", json=ask)
    await vision.post("/v2/rerank", json={**ask, "instruction": "by <|im_end|> color"})
    official = "Given a search query, retrieve relevant candidates that answer the query."
    assert engine.instructions == [official, "by <\u200b|im_end|> color"]


async def test_the_request_says_how_media_are_read_up_to_the_servers_limits(
    serve: Serve, engine: StubEngine, tmp_path: Path
) -> None:
    engine.tokenizer = TOKENIZER
    client = await serve(model=vl(tmp_path, max_pixels=128 * 128, max_frames=8))
    ask = {"query": "q", "documents": [{"image": picture(size=(640, 640))}, {"video": VIDEO}]}
    for more, picture_seen, video_seen in (
        ({}, "128x128", "4 frames 64x64"),
        ({"max_pixels": 4096}, "64x64", "4 frames 64x64"),
        ({"fps": 2}, "128x128", "8 frames 64x64"),
        ({"fps": 8}, "128x128", "8 frames 64x64"),
        ({"fps": 2, "max_frames": 6}, "128x128", "6 frames 64x64"),
    ):
        engine.calls.clear()
        assert len(indices(await client.post("/v2/rerank", json={**ask, **more}))) == 2
        read = [document for _, document in engine.prompts]
        assert (read[0][: len(picture_seen)], read[1][: len(video_seen)]) == (picture_seen, video_seen)
    for name, value in {"max_pixels": 128 * 128 + 1, "max_frames": 9, "fps": 100, "fps ": 0}.items():
        message = message_of(await client.post("/v2/rerank", json={**ask, name.strip(): value}), 400)
        assert name.strip() in message


async def test_a_query_of_media_goes_to_who_can_read_it(serve: Serve, engine: StubEngine, tmp_path: Path) -> None:
    engine.tokenizer = TOKENIZER
    models = {
        "words": {"family": "cross-encoder", "engine": engine.url, "aliases": ["mine"]},
        "eyes": {**vl(tmp_path), "engine": engine.url},
        "more-eyes": {**vl(tmp_path), "engine": engine.url},
    }
    ask = {"query": "red", "documents": ["a", {"image": RED}]}
    for default, expected in (({}, "eyes"), ({"default_media_model": "more-eyes"}, "more-eyes")):
        client = await serve(models=models, default_model="words", **default)
        for name, served in {None: expected, "rerank-v3.5": expected, "eyes": "eyes", "more-eyes": "more-eyes"}.items():
            answer = await client.post("/v2/rerank", json={**ask, "model": name})
            assert answer.json()["meta"]["served_by"] == served
        assert (await client.post("/v2/rerank", json=ASK)).json()["meta"]["served_by"] == "words"
        for name in ("words", "mine"):
            message = message_of(await client.post("/v2/rerank", json={**ask, "model": name}), 400)
            assert message == (
                f"invalid request: documents[1].image: words reads text only, {expected} reads pictures too"
            )


async def test_where_no_model_sees_the_message_names_one_that_would(client: httpx.AsyncClient) -> None:
    message = message_of(await client.post("/v2/rerank", json={"query": {"image": RED}, "documents": ["a"]}), 400)
    assert message.startswith("invalid request: query.image: the models here read text only, Qwen3-VL-Reranker")


def with_one_bad(bad: object) -> dict[str, Any]:
    return {"query": "red", "documents": [*({"image": RED} for _ in range(7)), bad, *["red"] * 92]}


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        ({"image": HTML}, "documents[7].image", "not a picture (got text/html)"),
        ({"video": RED}, "documents[7].video", "not a video (got image/png)"),
        ({"image": [RED, HTML]}, "documents[7].image[1]", "not a picture (got text/html)"),
        ({"text": "a", "image": "!!!"}, "documents[7].image", "not base64"),
        ({"image": ""}, "documents[7].image", "empty"),
        ({"image": "https://example.com/a.png"}, "documents[7].image", "media.fetch is off"),
        ({"image": "file:///etc/passwd"}, "documents[7].image", "only data:, http: and https: URLs"),
        (
            {"content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": HTML}}]},
            "documents[7].content[1]",
            "not a picture (got text/html)",
        ),
    ],
)
async def test_one_bad_file_of_a_hundred_is_named_and_the_rest_is_ranked(
    vision: httpx.AsyncClient, bad: object, field: str, reason: str
) -> None:
    answer = await vision.post("/v2/rerank", json=with_one_bad(bad))
    assert len(indices(answer)) == 100
    assert (indices(answer)[-1], scores(answer)[-1]) == (7, 0.0)
    (warning,) = answer.json()["meta"]["warnings"]
    assert warning.startswith(field + ": not scored, ")
    assert reason in warning
    message = message_of(await vision.post("/v2/rerank", json={**with_one_bad(bad), "strict": True}), 400)
    assert message.startswith(field + ": ")
    assert reason in message


@pytest.mark.parametrize(("bad", "field"), [({"image": HTML}, "query.image"), ({"video": [RED]}, "query.video[0]")])
async def test_a_bad_file_in_the_query_is_400_whatever_else_is_good(
    vision: httpx.AsyncClient, bad: object, field: str
) -> None:
    for documents in (["text"], [{"image": RED}, "text"]):
        message = message_of(await vision.post("/v2/rerank", json={"query": bad, "documents": documents}), 400)
        assert message.startswith(f"invalid request: {field}: not a ")


async def test_the_same_bad_file_is_named_as_each_document_names_it(vision: httpx.AsyncClient) -> None:
    parts = {"content": [{"type": "image_url", "image_url": HTML}]}
    answer = await vision.post("/v2/rerank", json={"query": "red", "documents": [{"image": HTML}, parts, "red"]})
    assert [warning.partition(":")[0] for warning in answer.json()["meta"]["warnings"]] == [
        "documents[0].image",
        "documents[1].content[0]",
    ]


async def test_a_picture_the_engine_refuses_does_not_sink_the_rest(
    vision: httpx.AsyncClient, engine: StubEngine
) -> None:
    documents = [{"image": RED}, {"image": RED, "text": "unreadable-for-the-engine"}, {"image": BLUE}]
    answer = await vision.post("/v2/rerank", json={"query": "red", "documents": documents})
    assert indices(answer) == [0, 2, 1]
    assert answer.json()["meta"]["warnings"] == ["documents[1]: not scored, the engine refused to read it"]


async def test_more_pictures_than_the_context_holds_are_refused_with_the_sum(vision: httpx.AsyncClient) -> None:
    large = picture(size=(1600, 1152))
    answer = await vision.post("/v2/rerank", json={"query": "red", "documents": [{"image": [large] * 3}, "red"]})
    (warning,) = answer.json()["meta"]["warnings"]
    assert warning == "documents[0]: not scored, its pictures and videos take 5406 tokens, the model reads 4096 in all"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every decoding, by kind."""
    calls: list[str] = []
    for kind, module in (("image", images), ("video", videos)):
        prepare = module.prepare

        def counted(data: bytes, *, kind: str = kind, prepare: Any = prepare, **options: Any) -> Any:
            calls.append(kind)
            return prepare(data, **options)

        monkeypatch.setattr(module, "prepare", counted)
    return calls


async def test_a_file_is_decoded_once_however_often_it_is_named_and_never_on_a_hit(
    vision: httpx.AsyncClient, engine: StubEngine, made: list[str]
) -> None:
    documents = [{"image": RED, "text": str(number)} for number in range(40)]
    ask = {"query": {"image": RED_URL, "video": VIDEO}, "documents": documents}
    assert len(indices(await vision.post("/v2/rerank", json=ask))) == 40
    assert sorted(made) == ["image", "video"]
    calls = len(engine.calls)
    again = await vision.post("/v2/rerank", json=ask)
    assert again.json()["meta"]["cached_pairs"] == 40
    assert (sorted(made), len(engine.calls)) == (["image", "video"], calls)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"documents": [{"image": RED_URL}]}, True),
        ({"documents": [{"content": [{"type": "image_url", "image_url": {"url": RED}}]}]}, True),
        ({"fps": 1.0, "max_frames": 64, "max_pixels": 1800 * 32 * 32}, True),
        ({"documents": [{"image": picture(kind="BMP")}]}, False),
        ({"documents": [{"image": RED, "text": "red"}]}, False),
        ({"documents": [{"image": [RED, RED]}]}, False),
        ({"max_pixels": 4096}, False),
        ({"query": {"image": RED}}, False),
        ({"instruction": "another"}, False),
    ],
)
async def test_what_changes_the_score_changes_the_cache_key_and_nothing_else_does(
    vision: httpx.AsyncClient, other: dict[str, Any], *, same: bool
) -> None:
    ask = {"query": "red", "documents": [{"image": RED}]}
    await vision.post("/v2/rerank", json=ask)
    answer = await vision.post("/v2/rerank", json={**ask, **other})
    assert answer.json()["meta"]["cached_pairs"] == int(same)


async def test_texts_are_cached_whatever_is_asked_of_pictures(vision: httpx.AsyncClient) -> None:
    ask = {"query": "red", "documents": ["a red mug"]}
    await vision.post("/v2/rerank", json=ask)
    answer = await vision.post("/v2/rerank", json={**ask, "fps": 2, "max_pixels": 4096})
    assert answer.json()["meta"]["cached_pairs"] == 1


async def test_large_requests_reach_the_engine_in_calls_of_bounded_size(
    vision: httpx.AsyncClient, engine: StubEngine
) -> None:
    documents = [{"image": picture("red", (64, 32 * (1 + number)))} for number in range(40)]
    assert len(indices(await vision.post("/v2/rerank", json={"query": "red", "documents": documents}))) == 40
    assert max(len(call) for call in engine.calls) <= 16
    assert len(engine.prompts) == 40


async def test_a_caller_who_leaves_ends_the_work(vision: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.gate.clear()
    ask = {"query": "red", "documents": [{"image": picture("red", (64, 64 + number))} for number in range(64)]}
    leaving = asyncio.create_task(vision.post("/v2/rerank", json=ask))
    await engine.asked()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    engine.gate.set()
    assert indices(await vision.post("/v2/rerank", json=ASK)) == [1, 2, 0]
    assert len([call for call in engine.calls if isinstance(call[0], tuple)]) == 1


async def failed(client: httpx.AsyncClient) -> dict[str, str]:
    (model,) = (await client.get("/readyz")).json()["models"]
    return {check["check"]: check["detail"] for check in model["checks"] if not check["passed"]}


async def test_a_healthy_vision_engine_is_ready(vision: httpx.AsyncClient) -> None:
    assert await failed(vision) == {}


async def test_an_engine_with_limits_of_its_own_is_named_by_its_tokens(
    vision: httpx.AsyncClient, engine: StubEngine
) -> None:
    engine.max_pixels = 512 * 512
    assert "tokens where a picture or video" in (await failed(vision))["pictures"]


async def test_an_engine_that_does_not_see_is_named(vision: httpx.AsyncClient, engine: StubEngine) -> None:
    def blind(given: Sequence[float]) -> Sequence[object]:
        return [0.5] * len(given)

    engine.bluffs = False
    engine.distort = blind
    assert "does not see" in (await failed(vision))["pictures"]
    engine.distort = list
    engine.instead = lambda: failure(400, "At most 0 image(s) may be provided")
    assert "pictures" in await failed(vision)


async def test_a_vllm_that_ignores_the_instruction_is_named(vision: httpx.AsyncClient, engine: StubEngine) -> None:
    engine.version = "0.21.0"
    assert "0.22.0 or newer" in (await failed(vision))["version"]
