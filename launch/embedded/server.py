"""vLLM's wire for a scoring model: /score, /rerank, /tokenize, health, version, models and metrics."""

import asyncio
import time
import uuid
from collections.abc import Coroutine, Sequence
from importlib.metadata import version
from typing import Any, TypeVar

import msgspec
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from launch.embedded.scorer import Pair, ReadsIds, Scored, Scorer, sigmoid

Texts = str | list[str]


class ScoreBody(msgspec.Struct):
    """A body of /score. vLLM has three names for each of the two sides. `use_activation` false asks for logits."""

    model: str | None = None
    text_1: Texts | None = None
    text_2: Texts | None = None
    queries: Texts | None = None
    documents: Texts | None = None
    data_1: Texts | None = None
    data_2: Texts | None = None
    use_activation: bool | None = None


class RerankBody(msgspec.Struct):
    """A body of /rerank. `top_n` 0 means all documents."""

    query: str
    documents: Texts
    model: str | None = None
    top_n: int = 0
    use_activation: bool | None = None


class TokenizeBody(msgspec.Struct):
    """A body of /tokenize."""

    prompt: str
    model: str | None = None
    add_special_tokens: bool = True
    return_token_strs: bool | None = False


class ClassifyBody(msgspec.Struct):
    """A body of /classify: pairs as token ids."""

    input: list[tuple[int, ...]]
    model: str | None = None
    use_activation: bool | None = None


Body = TypeVar("Body", ScoreBody, RerankBody, TokenizeBody, ClassifyBody)
Answer = dict[str, Any]


class Refused(Exception):
    """An error of the caller, answered with vLLM's error body."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.param = status, kind, param


def app(scorer: Scorer) -> Starlette:
    """The ASGI application."""
    server = _Server(scorer)
    post = {
        "/score": server.score, "/v1/score": server.score,
        "/rerank": server.rerank, "/v1/rerank": server.rerank, "/v2/rerank": server.rerank,
        "/tokenize": server.tokenize,
    }  # fmt: skip
    if isinstance(scorer, ReadsIds):
        post["/classify"] = server.classify
    get = {
        "/health": server.health, "/ping": server.health,
        "/version": server.version, "/v1/models": server.models, "/metrics": server.metrics,
    }  # fmt: skip
    return Starlette(
        routes=[
            *(Route(path, endpoint, methods=["POST"]) for path, endpoint in post.items()),
            *(Route(path, endpoint, methods=["GET"]) for path, endpoint in get.items()),
        ],
        exception_handlers={
            Refused: _refused,
            HTTPException: _http,
            ClientDisconnect: _gone,
            Exception: _failed,
        },
    )


def pairs(body: ScoreBody) -> list[Pair]:
    """The (text_1, text_2) pairs of a body, whose sides may be 1:1, 1:N or N:N. Raises Refused for other lengths."""
    for left, right in ((body.text_1, body.text_2), (body.queries, body.documents), (body.data_1, body.data_2)):
        if left is not None and right is not None:
            break
    else:
        raise Refused(400, "BadRequestError", "text_1 and text_2 (or queries and documents) must be given")
    first, second = _listed(left), _listed(right)
    if not first or not second:
        raise Refused(400, "BadRequestError", "At least one text_pair element must be given")
    if len(first) == 1:
        first = first * len(second)
    if len(first) != len(second):
        raise Refused(400, "BadRequestError", "Input lengths must be either 1:1, 1:N or N:N")
    return list(zip(first, second, strict=True))


class _Metrics:
    """Metrics under vLLM's names where the meaning is the same, so that one dashboard shows both engines."""

    def __init__(self, name: str) -> None:
        self.registry, label = CollectorRegistry(), ["model_name"]
        ProcessCollector(registry=self.registry)
        running = Gauge("vllm:num_requests_running", "Requests being scored.", label, registry=self.registry)
        succeeded = Counter("vllm:request_success", "Requests scored.", label, registry=self.registry)
        tokens = Counter("vllm:prompt_tokens", "Tokens of all pairs scored.", label, registry=self.registry)
        latency = Histogram("vllm:e2e_request_latency_seconds", "Body to scores.", label, registry=self.registry)
        self.running, self.succeeded = running.labels(name), succeeded.labels(name)
        self.tokens, self.latency = tokens.labels(name), latency.labels(name)


class _Server:
    def __init__(self, scorer: Scorer) -> None:
        self._scorer, self._name = scorer, scorer.names[0]
        self._metrics, self._started = _Metrics(self._name), int(time.time())

    async def score(self, request: Request) -> Response:
        body = await self._body(request, ScoreBody)
        scores, tokens = await self._scored(
            request, self._scorer.score(pairs(body)), activated=body.use_activation is not False
        )
        data = [{"index": index, "object": "score", "score": value} for index, value in enumerate(scores)]
        return self._listed(request, data, tokens)

    async def rerank(self, request: Request) -> Response:
        body = await self._body(request, RerankBody)
        documents = _listed(body.documents)
        if not documents:
            raise Refused(400, "BadRequestError", "At least one text_pair element must be given", "documents")
        if body.top_n < 0:
            raise Refused(400, "BadRequestError", "top_n must be at least 0", "top_n")
        scoring = self._scorer.score([(body.query, document) for document in documents])
        scores, tokens = await self._scored(request, scoring, activated=body.use_activation is not False)
        best = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
        results = [
            {
                "index": index,
                "document": {"text": documents[index], "multi_modal": None},
                "relevance_score": scores[index],
            }
            for index in best[: body.top_n or None]
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return _json({"id": _id(request), "model": self._name, "usage": usage, "results": results})

    async def classify(self, request: Request) -> Response:
        body = await self._body(request, ClassifyBody)
        assert isinstance(self._scorer, ReadsIds)
        for prompt in body.input:
            if not 0 < len(prompt) <= self._scorer.max_tokens:
                limit = self._scorer.max_tokens
                raise Refused(400, "BadRequestError", f"A prompt has {len(prompt)} tokens, not 1 to {limit}", "input")
            if not all(0 <= token < self._scorer.vocabulary for token in prompt):
                raise Refused(400, "BadRequestError", "Token id is out of vocabulary", "input")
        scoring = self._scorer.score_ids(body.input)
        scores, tokens = await self._scored(request, scoring, activated=body.use_activation is not False)
        data = [
            {"index": index, "label": "LABEL_0", "probs": [value], "num_classes": 1}
            for index, value in enumerate(scores)
        ]
        return self._listed(request, data, tokens)

    async def tokenize(self, request: Request) -> Response:
        body = await self._body(request, TokenizeBody)
        ids = self._scorer.token_ids(body.prompt, special=body.add_special_tokens)
        strings = self._scorer.token_strings(ids) if body.return_token_strs else None
        return _json(
            {"count": len(ids), "max_model_len": self._scorer.max_tokens, "tokens": ids, "token_strs": strings}
        )

    async def models(self, _request: Request) -> Response:
        about = {"object": "model", "created": self._started, "owned_by": "rerank-gateway", "root": self._scorer.root}
        more = {"parent": None, "max_model_len": self._scorer.max_tokens}
        models = [{"id": name, **about, **more} for name in self._scorer.names]
        return _json({"object": "list", "data": models})

    async def version(self, _request: Request) -> Response:
        return _json({"version": f"rerank-gateway {version('rerank-gateway')}"})

    async def health(self, _request: Request) -> Response:
        return Response()

    async def metrics(self, _request: Request) -> Response:
        return Response(generate_latest(self._metrics.registry), media_type=CONTENT_TYPE_LATEST)

    def _listed(self, request: Request, data: Sequence[Answer], tokens: int) -> Response:
        """The answer of /score and /classify: an entry for each pair, and the tokens of all of them."""
        answer = {
            "id": _id(request),
            "object": "list",
            "created": int(time.time()),
            "model": self._name,
            "data": data,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0},
        }
        return _json(answer)

    async def _scored(
        self, request: Request, scoring: Coroutine[Any, Any, Scored], *, activated: bool
    ) -> tuple[Sequence[float], int]:
        """The scores of the pairs in order, or their logits, and the number of tokens of all of them."""
        with self._metrics.running.track_inprogress(), self._metrics.latency.time():
            scored = await _unless_gone(request, scoring)
        self._metrics.succeeded.inc()
        self._metrics.tokens.inc(scored.tokens)
        return [sigmoid(logit) for logit in scored.logits] if activated else scored.logits, scored.tokens

    async def _body(self, request: Request, kind: type[Body]) -> Body:
        try:
            body = msgspec.json.decode(await request.body(), type=kind)
        except msgspec.DecodeError as error:
            message, _, place = str(error).partition(" - at `$")
            param = f"body{place.rstrip('`')}"
            raise Refused(400, "Bad Request", f"1 validation error: {param}: {message}", param) from None
        if body.model not in (None, *self._scorer.names):
            raise Refused(404, "NotFoundError", f"The model `{body.model}` does not exist.", "model")
        return body


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Scored]) -> Scored:
    """The result of `work`. When the client goes away, the work is cancelled and ClientDisconnect raised.

    The request's body must have been read.
    """
    working = asyncio.create_task(work)
    gone = asyncio.create_task(_until_gone(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        gone.cancel()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _listed(texts: Texts) -> list[str]:
    return [texts] if isinstance(texts, str) else texts


def _id(request: Request) -> str:
    return f"score-{request.headers.get('x-request-id') or uuid.uuid4().hex}"


def _json(content: Answer, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


def _error_body(status: int, kind: str, message: str, param: str | None = None) -> Answer:
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _json(_error_body(error.status, error.kind, str(error), error.param), error.status)


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json(
        _error_body(error.status_code, error.detail, error.detail), error.status_code, dict(error.headers or {})
    )


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


async def _failed(_request: Request, _error: Exception) -> Response:
    return _json(_error_body(500, "InternalServerError", "the engine failed; its log says why"), 500)
