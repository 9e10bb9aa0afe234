"""HTTP in, HTTP out: finds what a path means, asks for it in the caller's dialect, and records how it went."""

import asyncio
import logging
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.caches import Cache, CacheError
from gateway.dialects import RERANK_SEGMENTS, Dialect, dialect_of
from gateway.domain import Blob, Kind, ScoringOptions
from gateway.engines import EngineStatus, Readiness
from gateway.errors import BadMedia, BadRequest, EngineUnavailable, MethodNotAllowed, NotFound, RerankError
from gateway.http import openapi
from gateway.http.auth import Auth
from gateway.media.loader import Media
from gateway.rerank import Model, Models, rerank
from gateway.settings import LimitSettings
from gateway.telemetry.metrics import Metrics
from gateway.validation import field_first

log = logging.getLogger("gateway")

T = TypeVar("T")
# A body this large takes longer to parse than other requests should wait.
PARSE_IN_THREAD_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way: what it asks of which path, and the id its answer will carry."""

    http: Request
    segments: Sequence[str]
    id: str


@dataclass(frozen=True, slots=True)
class Route:
    """What a last path segment means."""

    method: str
    answer: Callable[[Call], Awaitable[Response]]
    public: bool = False
    admin: bool = False


class TokenizeBody(msgspec.Struct):
    """What `POST /v1/tokenize` takes."""

    text: str
    model: str | None = None


AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class PreviewBody(msgspec.Struct):
    """What `POST /v1/preview` takes: a picture or a video, as in a rerank request."""

    image: str | None = None
    video: str | None = None
    fps: Annotated[float, msgspec.Meta(gt=0)] | None = None
    max_frames: AtLeastOne | None = None
    max_pixels: AtLeastOne | None = None
    model: str | None = None


class Endpoint:
    """The ASGI application. Routes by the last path segment, whatever stands before it, and never redirects."""

    def __init__(
        self,
        models: Models,
        media: Media,
        doctors: dict[str, Readiness],
        fleet: EngineStatus,
        cache: Cache | None,
        auth: Auth,
        metrics: Metrics,
        limits: LimitSettings,
    ) -> None:
        self._models = models
        self._media = media
        self._doctors = doctors
        self._fleet = fleet
        self._cache = cache
        self._auth = auth
        self._metrics = metrics
        self._limits = limits
        self._routes = {
            **dict.fromkeys(RERANK_SEGMENTS, Route("POST", self._rerank)),
            "models": Route("GET", self._list_models),
            "engines": Route("GET", self._list_engines),
            "load": Route("POST", self._load, admin=True),
            "cache": Route("DELETE", self._clear_cache, admin=True),
            "check-api-key": Route("POST", self._check_api_key),
            "tokenize": Route("POST", self._tokenize),
            "preview": Route("POST", self._preview),
            "healthz": Route("GET", self._healthz, public=True),
            "readyz": Route("GET", self._readyz, public=True),
            "metrics": Route("GET", self._report, public=True),
            "openapi.json": Route("GET", self._openapi, public=True),
            "docs": Route("GET", self._docs, public=True),
            "": Route("GET", self._docs, public=True),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = Request(scope, receive)
        segments = [segment for segment in scope["path"].split("/") if segment]
        call = Call(http, segments, str(uuid.uuid4()))
        try:
            response = await self._answer(call)
        except RerankError as error:
            response = _error_response(call, error)
        except ClientDisconnect:
            return
        except Exception as error:
            # Where, but not what: the message of an unknown error may quote a document.
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("request %s failed: %s\n%s", call.id, type(error).__name__, where)
            response = _error_response(call, RerankError(f"internal error, request {call.id}"))
        await response(scope, receive, send)

    async def _answer(self, call: Call) -> Response:
        route = self._route(call)
        if route.admin:
            self._auth.check_admin(call.http.headers.get, call.http.client.host if call.http.client else "")
        elif not route.public:
            self._auth.check(call.http.headers.get)
        return await route.answer(call)

    def _route(self, call: Call) -> Route:
        method = "GET" if call.http.method == "HEAD" else call.http.method
        if method == "GET" and "models" in call.segments[:-1]:
            return Route("GET", self._one_model)
        route = self._routes.get(call.segments[-1] if call.segments else "")
        if route is None:
            raise NotFound("no such path: POST /v1/rerank or /v2/rerank, and see /docs")
        if method != route.method:
            raise MethodNotAllowed(route.method)
        return route

    async def _rerank(self, call: Call) -> Response:
        """Records how it went, whatever happens."""
        dialect = dialect_of(call.segments)
        self._metrics.started()
        status, started_s = 500, time.perf_counter()
        try:
            response = await self._ranked(call, dialect)
            status = response.status_code
            return response
        except RerankError as error:
            status = error.status
            raise
        except ClientDisconnect:
            status = 499
            raise
        finally:
            self._metrics.answered(dialect.name, status, time.perf_counter() - started_s)

    async def _ranked(self, call: Call, dialect: Dialect) -> Response:
        body = await _body(call.http, self._limits.max_body_bytes)
        started_s = time.perf_counter()
        if len(body) > PARSE_IN_THREAD_BYTES:
            request = await asyncio.to_thread(dialect.parse, body)
        else:
            request = dialect.parse(body)
        if "no-store" in call.http.headers.get("cache-control", ""):
            request = replace(request, fresh=True)
        parsed_s = time.perf_counter()
        ranking = rerank(request, self._models, self._media, max_documents=self._limits.max_documents)
        try:
            response = await _while_connected(call.http, ranking)
        except EngineUnavailable as error:
            model = self._models.serving(request.model, media="media" if request.links else "")
            raise await self._fleet.explained(model.name, error) from None
        self._metrics.ranked(response)
        if self._cache is not None and not request.fresh:
            self._metrics.looked_up(self._cache.backend, response)
        answer = _json(dialect.render(call.id, request, response))
        stages = {"parse": parsed_s - started_s, **response.seconds, "total": time.perf_counter() - started_s}
        answer.headers["server-timing"] = _server_timing(stages, response.cached, response.pairs)
        return answer

    async def _list_models(self, call: Call) -> Response:
        models = [_model_json(model) for model in self._models.models]
        # Cohere's clients read `models`, OpenAI-style listers `data`.
        data = [{"id": model["name"], "object": "model"} for model in models]
        return _json(msgspec.json.encode({"models": models, "object": "list", "data": data}))

    async def _one_model(self, call: Call) -> Response:
        last = len(call.segments) - 1 - call.segments[::-1].index("models")
        name = "/".join(call.segments[last + 1 :])
        return _json(msgspec.json.encode(_model_json(self._models.named(name))))

    async def _list_engines(self, call: Call) -> Response:
        report = await self._fleet.report()
        engines = [
            {
                "name": model.name,
                "state": state.state,
                "progress": state.progress,
                "detail": state.detail,
                "modalities": ["text", "image", "video"] if model.scorer.engine.sees else ["text"],
                "context_length": model.max_tokens,
                "default": model is self._models.default,
                "default_media": model is self._models.default_media,
                "loadable": state.loadable,
            }
            for model in self._models.models
            for state in [report.engines[model.name]]
        ]
        return _json(msgspec.json.encode({"engines": engines, "gpus": report.gpus, "memory": report.memory}))

    async def _load(self, call: Call) -> Response:
        if "engines" not in call.segments[:-2]:
            raise NotFound("no such path: POST /v1/engines/NAME/load, and see /docs")
        name = self._models.named("/".join(call.segments[call.segments.index("engines") + 1 : -1])).name
        response = _json(msgspec.json.encode({"name": name, "state": await self._fleet.load(name)}))
        response.status_code = 202
        return response

    async def _clear_cache(self, call: Call) -> Response:
        if self._cache is None:
            raise NotFound("there is no cache")
        try:
            await self._cache.clear()
        except CacheError:
            raise EngineUnavailable("the cache does not answer") from None
        return _json(b'{"cleared":true}')

    async def _check_api_key(self, call: Call) -> Response:
        return _json(b'{"valid":true}')

    async def _tokenize(self, call: Call) -> Response:
        try:
            body = msgspec.json.decode(await _body(call.http, self._limits.max_body_bytes), type=TokenizeBody)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise BadRequest("invalid request: expected an object with a string called text") from None
        tokens = await self._models.serving(body.model).scorer.engine.tokenize(body.text)
        return _json(msgspec.json.encode({"tokens": tokens.ids, "token_strings": tokens.strings}))

    async def _preview(self, call: Call) -> Response:
        """What the model sees of a picture or video."""
        try:
            body = msgspec.json.decode(await _body(call.http, self._limits.max_body_bytes), type=PreviewBody)
        except msgspec.ValidationError as error:
            raise BadRequest(f"invalid request: {field_first(str(error))}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"invalid json syntax: {error}") from None
        given: list[tuple[Kind, str]] = []
        if body.image is not None:
            given.append(("image", body.image))
        if body.video is not None:
            given.append(("video", body.video))
        if len(given) != 1:
            raise BadRequest("invalid request: expected either image or video")
        ((kind, url),) = given
        engine = self._models.serving(body.model, media=kind).scorer.engine
        reading = ScoringOptions(fps=body.fps, max_frames=body.max_frames, max_pixels=body.max_pixels)

        async def looked() -> bytes:
            blob = Blob(kind, await self._media.load(url))
            ready, frames = await engine.preview(blob, reading)
            shown = [frame._asdict() for frame in frames]
            return msgspec.json.encode({"frames": shown, "width": ready.width, "height": ready.height})

        try:
            return _json(await _while_connected(call.http, looked()))
        except BadMedia as error:
            raise BadRequest(f"invalid request: {kind}: {error}") from None

    async def _healthz(self, call: Call) -> Response:
        return _json(b'{"alive":true}')

    async def _readyz(self, call: Call) -> Response:
        found = await asyncio.gather(*(doctor.checks() for doctor in self._doctors.values()))
        models = [
            {"name": name, "ready": all(check.passed for check in checks), "checks": [asdict(one) for one in checks]}
            for name, checks in zip(self._doctors, found, strict=True)
        ]
        ready = all(model["ready"] for model in models)
        response = _json(msgspec.json.encode({"ready": ready, "models": models}))
        if not ready:
            response.status_code = EngineUnavailable.status
            response.headers["retry-after"] = str(EngineUnavailable.retry_after_s)
        return response

    async def _report(self, call: Call) -> Response:
        if self._cache is not None:
            stats = self._cache.stats()
            self._metrics.cache_is(self._cache.backend, stats.bytes_used, stats.evicted)
        return Response(self._metrics.report(), headers={"content-type": self._metrics.content_type})

    async def _openapi(self, call: Call) -> Response:
        return _json(msgspec.json.encode(openapi.DOCUMENT))

    async def _docs(self, call: Call) -> Response:
        return Response(files("gateway.http").joinpath("docs.html").read_bytes(), media_type="text/html")


async def _body(http: Request, max_bytes: int) -> bytes:
    """The whole body. Too much of it is 400: clients show 413 as an unknown error."""
    declared = http.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    chunks = []
    if size <= max_bytes:
        size = 0
        async for chunk in http.stream():
            size += len(chunk)
            if size > max_bytes:
                break
            chunks.append(chunk)
    if size > max_bytes:
        raise BadRequest(f"invalid request: the body has over {max_bytes} bytes")
    return b"".join(chunks)


async def _while_connected(http: Request, work: Coroutine[Any, Any, T]) -> T:
    """The work's result, unless the caller leaves first: then the work is cancelled and the engine spared."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(http.receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _server_timing(seconds: Mapping[str, float], cached: int, pairs: int) -> str:
    """Stages in milliseconds, and how many pairs were cached: https://www.w3.org/TR/server-timing/"""
    stages = ", ".join(f"{stage};dur={duration * 1e3:.2f}" for stage, duration in seconds.items())
    return f'{stages}, cached;desc="{cached} of {pairs} pairs"'


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _error_response(call: Call, error: RerankError) -> Response:
    headers = {"retry-after": error.retry_after_s and str(error.retry_after_s), "allow": error.allow}
    body = dialect_of(call.segments).render_error(call.id, error)
    return Response(
        body, status_code=error.status, media_type="application/json", headers={k: v for k, v in headers.items() if v}
    )


def _model_json(model: Model) -> dict[str, Any]:
    return {"name": model.name, "endpoints": ["rerank"], "finetuned": False, "context_length": model.max_tokens}
