"""Builds the gateway from its settings: the one place that knows every part."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.routing import Router

from gateway.caches import cache_of
from gateway.engines import ENGINES, EngineClient, EngineStatus, EngineTransport, Readiness
from gateway.families import Family, family_of
from gateway.http.app import Application
from gateway.http.auth import Auth
from gateway.http.media_api import MediaApi
from gateway.http.rerank_api import RerankApi
from gateway.http.service_api import ServiceApi
from gateway.media.loader import Media
from gateway.models import Model, models_of
from gateway.scoring.scorer import Scorer
from gateway.settings import ModelSettings, Settings
from gateway.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from gateway.media.preprocess import Preprocessor


def build(settings: Settings, *, metrics_dir: str | None = None, media: Media | None = None) -> Router:
    """The ASGI application, with `media` in place of its own. Raises SettingsError when a tokenizer cannot be had."""
    transport = EngineTransport()
    cache = cache_of(settings.cache)
    families = {name: family_of(name, model) for name, model in settings.models.items()}
    preprocessor = _preprocessor(families)
    media = media or Media(settings.media)

    def model_of(name: str, model: ModelSettings) -> Model:
        client = EngineClient(name, model.engine, transport, timeout_s=settings.limits.engine_timeout_s)
        family = families[name]
        engine = ENGINES[family.unit](name, model, family, client, preprocessor if family.multimodal else None)
        readiness = Readiness(engine, cache, refuses=settings.scoring == "refuse")
        scorer = Scorer(engine, readiness, cache, max_pairs_waiting=settings.limits.max_pairs_waiting)
        # The hub's own name is a name for the model too.
        aliases = (*model.aliases, model.hub) if model.hub else model.aliases
        return Model(name, engine, scorer, readiness, aliases)

    models = models_of(settings, [model_of(name, model) for name, model in settings.models.items()])
    metrics = Metrics(cache.backend if cache else None, shared_dir=metrics_dir)
    status = EngineStatus({model.name: model.engine for model in models.all}, settings.launcher, transport)
    service = ServiceApi(models, status, cache, metrics, settings.limits)
    preview = MediaApi(models, media, max_body_bytes=settings.limits.max_body_bytes)
    application = Application(
        RerankApi(models, media, status, metrics, settings.limits),
        [*service.routes, *preview.routes],
        Auth(settings.api_keys, settings.admin_keys),
    )

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        async with transport, media:
            yield
        if preprocessor is not None:
            preprocessor.close()
        if cache is not None:
            await cache.aclose()

    return Router(default=application, lifespan=lifespan, redirect_slashes=False)


def _preprocessor(families: Mapping[str, Family]) -> "Preprocessor | None":
    """Loaded only where a model sees: Pillow, PyAV and HEIF take 30 MB."""
    if not any(family.multimodal for family in families.values()):
        return None
    from gateway.media.preprocess import Preprocessor

    return Preprocessor()
