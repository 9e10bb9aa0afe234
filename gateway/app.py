"""Builds the gateway from its settings: the one place that knows every part."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from httpx_aiohttp import AiohttpTransport
from starlette.routing import Router

from gateway.caches import Cache, cache_of
from gateway.engines import EngineStatus, Readiness, VllmEngine
from gateway.http.app import Endpoint
from gateway.http.auth import Auth
from gateway.media.loader import Media
from gateway.media.preprocess import Preprocessor
from gateway.rerank import Model, Models
from gateway.scoring.scorer import Scorer
from gateway.settings import ModelSettings, Settings, SettingsError
from gateway.telemetry.metrics import Metrics


def build(settings: Settings, *, metrics_dir: str | None = None, media: Media | None = None) -> Router:
    """The ASGI application, with `media` in place of its own. Raises SettingsError when a tokenizer cannot be had."""
    # The transport without a client around it: no redirect, cookie or proxy is wanted, and a call costs a third less.
    # Each scorer bounds its own calls, so the pool needs no limit.
    transport = AiohttpTransport(limits=httpx.Limits(max_connections=None))
    cache = cache_of(settings.cache)
    workshop = Preprocessor()
    media = media or Media(settings.media)
    models = {
        name: _model(name, model, settings, transport, workshop, cache) for name, model in settings.models.items()
    }
    endpoint = Endpoint(
        Models(
            list(models.values()),
            models[settings.default_model],
            strict=settings.unknown_model == "error",
            default_media=models.get(settings.default_media_model),
        ),
        media,
        {name: Readiness(model.scorer.engine) for name, model in models.items()},
        EngineStatus({name: model.scorer.engine for name, model in models.items()}, settings.launcher, transport),
        cache,
        Auth(settings.api_keys, settings.admin_keys),
        Metrics(shared_dir=metrics_dir),
        settings.limits,
    )

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        async with transport, media:
            yield
        workshop.close()
        if cache is not None:
            await cache.aclose()

    return Router(default=endpoint, lifespan=lifespan, redirect_slashes=False)


def _model(
    name: str,
    model: ModelSettings,
    settings: Settings,
    transport: httpx.AsyncBaseTransport,
    workshop: Preprocessor,
    cache: Cache | None,
) -> Model:
    try:
        engine = VllmEngine(name, model, transport, workshop, timeout_s=settings.limits.engine_timeout_s)
    except SettingsError as error:
        raise SettingsError(f"models.{name}.{error}") from None
    scorer = Scorer(engine, cache, max_pairs_waiting=settings.limits.max_pairs_waiting)
    # The hub's own name is a name for the model too.
    aliases = (*model.aliases, model.hub) if model.hub else model.aliases
    return Model(name, scorer, model.max_tokens, aliases)
