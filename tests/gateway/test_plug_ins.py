"""A dialect, a family, a step and a cache are each one class and one row: here they stand in the test's own file."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult

import httpx
import msgspec
import pytest

from gateway.caches import CACHES
from gateway.caches.base import CacheStats
from gateway.dialects import DIALECTS
from gateway.dialects.base import Reply, Schemas
from gateway.domain import Blob, Pair, Ranking, Refused, RerankRequest, ScoringOptions
from gateway.errors import BadRequest, Field, RerankError
from gateway.families import FAMILIES
from gateway.families.base import Flags, Probe, Rendered, Unit, Wire
from gateway.media.vision import Prepared, VisionProfile
from gateway.scoring.scorer import Scorer
from gateway.settings import ModelSettings
from gateway.steps import STEPS
from tests.gateway.asking import ASK, DOCUMENTS, QUERY, indices, scores
from tests.gateway.conftest import Serve
from tests.stub_engine import StubEngine


class FindBody(msgspec.Struct):
    """A request of the toy dialect."""

    q: str
    texts: list[str]


class FindAnswer(msgspec.Struct):
    """Its answer."""

    order: list[int]


class FindError(msgspec.Struct):
    """Its error."""

    wrong: str


class Find:
    """A dialect with a path, field names, error shape and status of its own."""

    name = "find"
    schemas = Schemas({"/find": "Order texts"}, FindBody, FindAnswer, FindError)

    def matches(self, segments: Sequence[str], headers: Mapping[str, str]) -> bool:
        return list(segments[-1:]) == ["find"]

    def parse(self, body: bytes) -> RerankRequest:
        try:
            asked = msgspec.json.decode(body, type=FindBody)
        except msgspec.DecodeError as error:
            raise BadRequest(str(error), field=Field("documents")) from None
        return RerankRequest(asked.q, asked.texts)

    def render(self, request_id: str, result: Ranking | RerankError) -> Reply:
        if isinstance(result, RerankError):
            field = result.field.named({"documents": "texts", "query": "q"}) if result.field else ""
            return Reply(422, {"x-wrong": result.code}, msgspec.json.encode(FindError(f"{field} {result}")))
        return Reply(200, {"x-model": result.model}, msgspec.json.encode(FindAnswer([r.index for r in result.results])))


class Shouting:
    """A family that reads everything in upper case, and whose engine answers in percent of its own."""

    fingerprint = "shouting-1"
    takes_instruction = False
    multimodal: VisionProfile | None = None
    unit = Unit.PAIR
    wire: Mapping[type, Wire] = {Pair: Wire.TEXTS}
    probe: Probe | None = None
    flags = Flags.NONE

    def __init__(self, model: ModelSettings) -> None:
        self.model = model

    def canonical(self, options: ScoringOptions) -> ScoringOptions:
        return ScoringOptions()

    async def render(
        self, pairs: Sequence[Pair], media: Mapping[Blob, Prepared], options: ScoringOptions
    ) -> Sequence[Rendered | Refused]:
        return [Rendered((Pair(str(pair.query).upper(), str(pair.document).upper()),)) for pair in pairs]

    def calibrate(self, raw: Sequence[float]) -> list[float]:
        return [(value + 800) / 1600 for value in raw]


class OnlyTheBest:
    """A step that leaves one result."""

    async def apply(self, request: RerankRequest, ranking: Ranking, scorer: Scorer) -> Ranking:
        return msgspec.structs.replace(ranking, results=ranking.results[:1])


class NoteBook:
    """A cache in a list of the test's."""

    backend = "notebook"

    def __init__(self, notes: dict[bytes, bytes]) -> None:
        self.notes = notes

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return [self.notes.get(key) for key in keys]

    async def set_many(self, values: Mapping[bytes, bytes]) -> None:
        self.notes.update(values)

    async def clear(self) -> None:
        self.notes.clear()

    async def aclose(self) -> None:
        pass

    def stats(self) -> CacheStats:
        return CacheStats()


async def test_a_dialect_is_a_class_and_a_row(serve: Serve) -> None:
    DIALECTS.insert(0, Find())
    try:
        client = await serve()
        found = await client.post("/any/prefix/find", json={"q": QUERY, "texts": DOCUMENTS})
        assert (found.status_code, found.json(), found.headers["x-model"]) == (200, {"order": [1, 2, 0]}, "words")
        wrong = await client.post("/find", json={"q": " ", "texts": DOCUMENTS})
        assert (wrong.status_code, wrong.headers["x-wrong"]) == (422, "query_empty")
        assert wrong.json()["wrong"].startswith("q ")
        document = (await client.get("/openapi.json")).json()
        assert "/find" in document["paths"]
        assert {"FindBody", "FindAnswer", "FindError"} <= document["components"]["schemas"].keys()
        assert indices(await client.post("/v2/rerank", json=ASK)) == [1, 2, 0]
    finally:
        DIALECTS.pop(0)


async def test_a_family_is_a_class_and_a_row(serve: Serve, engine: StubEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "shouting", Shouting)
    client = await serve(model={"family": "shouting"})
    answer = await client.post("/v2/rerank", json=ASK)
    assert indices(answer) == [1, 2, 0]
    assert scores(answer) == [1.0, pytest.approx((800 + math.log(2)) / 1600), 0.0]
    assert engine.prompts[-3] == (QUERY.upper(), DOCUMENTS[0].upper())


async def test_a_step_is_a_class_and_a_row(client: httpx.AsyncClient) -> None:
    STEPS.append(OnlyTheBest())
    try:
        assert indices(await client.post("/v2/rerank", json=ASK)) == [1]
    finally:
        STEPS.pop()


async def test_a_cache_is_a_class_and_a_row(serve: Serve, engine: StubEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: dict[bytes, bytes] = {}

    def notebook(url: SplitResult, options: Mapping[str, float]) -> Any:
        assert (url.netloc, options) == ("desk", {"ttl_s": 5.0})
        return NoteBook(notes)

    monkeypatch.setitem(CACHES, "notebook", notebook)
    client = await serve(cache="notebook://desk?ttl_s=5")
    for _ in range(2):
        assert indices(await client.post("/v2/rerank", json=ASK)) == [1, 2, 0]
    assert len(engine.prompts) == len(DOCUMENTS)
    assert len(notes) == len(DOCUMENTS) + 1  # and the engine that gave the scores
    assert 'backend="notebook",result="hit"' in (await client.get("/metrics")).text
    assert json.loads((await client.request("DELETE", "/v1/cache")).text) == {"cleared": True}
    assert not notes
