"""Rerank over HTTP: the body in the caller's dialect, the ranking, the answer, and the record of how it went."""

import asyncio
import time
from collections.abc import Mapping

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from gateway.dialects import Dialect
from gateway.domain import Ranking
from gateway.engines import EngineStatus
from gateway.errors import EngineUnavailable, RerankError
from gateway.http.base import Call, http_response, read_body, while_connected
from gateway.media.loader import Media
from gateway.models import Models
from gateway.rerank import rerank
from gateway.settings import LimitSettings
from gateway.telemetry.metrics import Metrics

# A body this large takes longer to parse than other requests should wait.
PARSE_IN_THREAD_BYTES = 256 * 1024


class RerankApi:
    """Answers in any dialect."""

    def __init__(
        self, models: Models, media: Media, status: EngineStatus, metrics: Metrics, limits: LimitSettings
    ) -> None:
        self._models = models
        self._media = media
        self._status = status
        self._metrics = metrics
        self._limits = limits

    async def answer(self, call: Call, dialect: Dialect) -> Response:
        """The ranking in the caller's dialect. Raises RerankError; either is counted."""
        self._metrics.started()
        status, started_s = 500, time.perf_counter()
        try:
            response = await self._rank(call, dialect)
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

    async def _rank(self, call: Call, dialect: Dialect) -> Response:
        body = await read_body(call.http, self._limits.max_body_bytes)
        started_s = time.perf_counter()
        if len(body) > PARSE_IN_THREAD_BYTES:
            request = await asyncio.to_thread(dialect.parse, body)
        else:
            request = dialect.parse(body)
        if "no-store" in call.http.headers.get("cache-control", ""):
            request = msgspec.structs.replace(request, no_store=True)
        parsed_s = time.perf_counter()
        work = rerank(request, self._models, self._media, max_documents=self._limits.max_documents)
        try:
            ranking = await while_connected(call.http, work)
        except EngineUnavailable as error:
            raise await self._status.with_cause(error) from None
        self._metrics.ranked(ranking)
        response = http_response(dialect.render(call.id, ranking))
        stages = {"parse": parsed_s - started_s, **ranking.seconds, "total": time.perf_counter() - started_s}
        response.headers["server-timing"] = _server_timing(stages, ranking)
        return response


def _server_timing(seconds: Mapping[str, float], ranking: Ranking) -> str:
    """Stages in milliseconds, and how many pairs were cached: https://www.w3.org/TR/server-timing/"""
    stages = ", ".join(f"{stage};dur={duration * 1e3:.2f}" for stage, duration in seconds.items())
    return f'{stages}, cached;desc="{ranking.cached} of {ranking.pairs} pairs"'
