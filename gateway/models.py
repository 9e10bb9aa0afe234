"""Names to models."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.engines import Readiness, VllmEngine
from gateway.errors import BadRequest, Field, NotFound
from gateway.families import Family
from gateway.scoring.scorer import Scorer
from gateway.settings import Settings, SettingsError


@dataclass(frozen=True, slots=True)
class Model:
    """A model as callers see it: its name, its other names, and the way to its scores."""

    name: str
    engine: VllmEngine
    scorer: Scorer
    readiness: Readiness
    aliases: Sequence[str] = ()

    @property
    def family(self) -> Family:
        return self.engine.family


class Models:
    """The models by name. An unknown name means the default, unless `strict` makes it an error.

    default_media: answers for pictures and videos where the request names nobody who sees.
    """

    def __init__(
        self, models: Sequence[Model], default: Model, *, strict: bool, default_media: Model | None = None
    ) -> None:
        self.all = models
        self.default = default
        self.default_media = default_media
        self._strict = strict
        self._by_name = {name.lower(): model for model in models for name in model.aliases}
        self._by_name |= {model.name.lower(): model for model in models}

    def named(self, name: str) -> Model:
        """The model of this name or alias. Raises NotFound."""
        model = self._find(name)
        if model is None:
            raise NotFound(f"model '{name}' not found", code="model_not_found")
        return model

    def serving(self, name: str | None) -> Model:
        """The model that answers for a name. Raises NotFound when `strict` and there is none."""
        known = self.named(name) if name and self._strict else self._find(name or "")
        return known or self.default

    def seeing(self, name: str | None, field: Field) -> Model:
        """The model that answers for a name where there are pictures; field: of the first of them.

        Raises NotFound like `serving`, and BadRequest when the model named reads text only.
        """
        known = self.named(name) if name and self._strict else self._find(name or "")
        if known is not None and known.family.multimodal:
            return known
        if self.default_media is None:
            raise BadRequest(
                "the models here read text only, "
                "Qwen3-VL-Reranker reads pictures and videos too (`rerank up --profile vision`)",
                code="text_only",
                field=field,
            )
        if known is not None:
            raise BadRequest(
                f"{known.name} reads text only, {self.default_media.name} reads pictures too",
                code="text_only",
                field=field,
            )
        return self.default_media

    def _find(self, name: str) -> Model | None:
        return self._by_name.get(name.strip().lower())


def models_of(settings: Settings, models: Sequence[Model]) -> Models:
    """The models as the settings name them. Media go to the model set for them, else to the default, else to the first
    that sees. Raises SettingsError when the one set does not see.
    """
    default = next(model for model in models if model.name == settings.default_model)
    seeing = {model.name: model for model in models if model.family.multimodal}
    named = settings.default_media_model
    if named and named not in seeing:
        raise SettingsError(f"default_media_model: no model called {named!r} reads pictures")
    default_media = seeing.get(named) or seeing.get(default.name) or next(iter(seeing.values()), None)
    return Models(models, default, strict=settings.unknown_model == "error", default_media=default_media)
