"""Paths beside rerank: models, engines, cache, keys, tokens, health, metrics."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct
from starlette.responses import Response

from gateway.caches import Cache, CacheError
from gateway.engines import EngineStatus
from gateway.engines.examination import Check
from gateway.engines.probes import tokenize
from gateway.engines.status import EngineState, Gpu, Memory
from gateway.errors import BadRequest, EngineUnavailable, NotFound
from gateway.http.base import Access, Call, Route, decoded, json_reply, read_body
from gateway.models import Model, Models
from gateway.settings import LimitSettings
from gateway.telemetry.metrics import Metrics


class ModelInfo(Struct):
    """A model as Cohere's clients read it."""

    name: str
    endpoints: list[str]
    finetuned: bool
    context_length: int


class ModelEntry(Struct):
    """A model as OpenAI's listers read it."""

    id: str
    object: str = "model"


class ModelList(Struct):
    """Cohere's clients read `models`, OpenAI's listers `data`."""

    models: list[ModelInfo]
    object: str
    data: list[ModelEntry]


class EngineInfo(Struct):
    """A model's engine: its state, its loading progress from 0 to 1 where known, and what it reads.

    listwise: a document's score depends on the others of its request.
    """

    name: str
    state: str
    progress: float | None
    detail: str
    modalities: list[str]
    context_length: int
    default: bool
    default_media: bool
    listwise: bool
    loadable: bool


class EngineList(Struct):
    """All engines, and the memory they share."""

    engines: list[EngineInfo]
    gpus: Sequence[Gpu]
    memory: Memory | None


class Loading(Struct):
    """An engine that was asked to start."""

    name: str
    state: str


class Cleared(Struct):
    """The cache holds nothing any more."""

    cleared: bool


class Valid(Struct):
    """The key is good."""

    valid: bool


class Alive(Struct):
    """The process answers."""

    alive: bool


class TokenizeBody(Struct):
    """A text, and the model whose tokenizer is asked."""

    text: str
    model: str | None = None


class Tokens(Struct):
    """A text as the engine's tokenizer reads it."""

    tokens: list[int]
    token_strings: list[str]


class ModelReadiness(Struct):
    """The checks of one model's engine."""

    name: str
    ready: bool
    checks: list[Check]


class ReadinessReport(Struct):
    """Ready when every check of every model passed."""

    ready: bool
    models: list[ModelReadiness]


class ServiceApi:
    """The handlers, each a route of `routes`."""

    def __init__(
        self, models: Models, status: EngineStatus, cache: Cache | None, metrics: Metrics, limits: LimitSettings
    ) -> None:
        self._models = models
        self._status = status
        self._cache = cache
        self._metrics = metrics
        self._limits = limits

    @property
    def routes(self) -> list[Route]:
        public, admin = Access.PUBLIC, Access.ADMIN
        return [
            Route("GET", "/v1/models", "The models, as Cohere and as OpenAI list them", self.models, gives=ModelList),
            Route("GET", "/v1/models/{name}", "One model, by name or alias", self.model, gives=ModelInfo),
            Route("GET", "/v1/engines", "Each engine's state and progress, and memory", self.engines, gives=EngineList),
            Route(
                "POST",
                "/v1/engines/{name}/load",
                "Start an engine: an admin key, or a call from this machine where none is set",
                self.load,
                admin,
                gives=Loading,
                status=202,
                refusals={400: "It was not started by this gateway's launcher", 404: "No such model"},
            ),
            Route("POST", "/v1/check-api-key", "Check a key", self.check_api_key, gives=Valid),
            Route("POST", "/v1/tokenize", "A text's tokens", self.tokenize, takes=TokenizeBody, gives=Tokens),
            Route(
                "DELETE",
                "/v1/cache",
                "Forget every score: an admin key, or a call from this machine where none is set",
                self.clear_cache,
                admin,
                gives=Cleared,
            ),
            Route("GET", "/healthz", "The process answers", self.healthz, public, gives=Alive),
            Route(
                "GET",
                "/readyz",
                "Every engine answers, and its scores can be trusted",
                self.readyz,
                public,
                gives=ReadinessReport,
                refusals={503: "A check failed; the body names it"},
            ),
            Route("GET", "/metrics", "Prometheus metrics", self.report, public),
        ]

    async def models(self, call: Call) -> Response:
        models = [_info(model) for model in self._models.all]
        return json_reply(ModelList(models, "list", [ModelEntry(model.name) for model in models]))

    async def model(self, call: Call) -> Response:
        last = len(call.segments) - 1 - call.segments[::-1].index("models")
        return json_reply(_info(self._models.named("/".join(call.segments[last + 1 :]))))

    async def engines(self, call: Call) -> Response:
        report = await self._status.report()
        engines = [self._engine(model, report.engines[model.name]) for model in self._models.all]
        return json_reply(EngineList(engines, report.gpus, report.memory))

    async def load(self, call: Call) -> Response:
        if "engines" not in call.segments[:-2]:
            raise NotFound("no such path: POST /v1/engines/NAME/load, and see /docs")
        name = self._models.named("/".join(call.segments[call.segments.index("engines") + 1 : -1])).name
        return json_reply(Loading(name, await self._status.load(name)), 202)

    async def clear_cache(self, call: Call) -> Response:
        if list(call.segments[-2:]) != ["v1", "cache"]:  # a path that only happens to end so clears nothing
            raise NotFound("no such path: DELETE /v1/cache, and see /docs")
        if self._cache is None:
            raise NotFound("there is no cache")
        try:
            await self._cache.clear()
        except CacheError:
            raise EngineUnavailable("the cache does not answer", code="cache_unavailable") from None
        return json_reply(Cleared(True))

    async def check_api_key(self, call: Call) -> Response:
        return json_reply(Valid(True))

    async def tokenize(self, call: Call) -> Response:
        body = await read_body(call.http, self._limits.max_body_bytes)
        try:
            asked = decoded(body, TokenizeBody)
        except BadRequest:
            raise BadRequest("expected an object with a string called text") from None
        reply = await tokenize(self._models.serving(asked.model).engine.client, asked.text)
        return json_reply(Tokens(reply.tokens, reply.token_strs or []))

    async def healthz(self, call: Call) -> Response:
        return json_reply(Alive(True))

    async def readyz(self, call: Call) -> Response:
        found = await asyncio.gather(*(model.readiness.checks() for model in self._models.all))
        models = [
            ModelReadiness(model.name, all(check.passed for check in checks), checks)
            for model, checks in zip(self._models.all, found, strict=True)
        ]
        ready = all(model.ready for model in models)
        response = json_reply(ReadinessReport(ready, models), 200 if ready else EngineUnavailable.status)
        if not ready:
            response.headers["retry-after"] = str(EngineUnavailable.retry_after_s)
        return response

    async def report(self, call: Call) -> Response:
        if self._cache is not None:
            stats = self._cache.stats()
            self._metrics.cache_is(stats.bytes_used, stats.evicted)
        return Response(self._metrics.report(), headers={"content-type": self._metrics.content_type})

    def _engine(self, model: Model, state: EngineState) -> EngineInfo:
        return EngineInfo(
            name=model.name,
            state=state.state,
            progress=state.progress,
            detail=state.detail,
            modalities=["text", "image", "video"] if model.family.multimodal else ["text"],
            context_length=model.engine.settings.max_tokens,
            default=model is self._models.default,
            default_media=model is self._models.default_media,
            listwise=model.engine.listwise,
            loadable=state.loadable,
        )


def _info(model: Model) -> ModelInfo:
    return ModelInfo(model.name, ["rerank"], False, model.engine.settings.max_tokens)
