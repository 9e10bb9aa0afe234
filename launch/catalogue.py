"""The catalogue of models: reads models.yaml into frozen records and finds one by any of its names."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

TEMPLATES = Path(__file__).parent / "templates"


class LaunchError(Exception):
    """Something the person at the keyboard must change; the text is all they need to read."""


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of models.yaml, its family's defaults filled in. The fields are explained there."""

    name: str
    family: str
    hub: str  # repository on the hub, or a local folder
    context: int
    max_tokens: int
    min_vllm: str
    dtype: str
    weights_gb: float
    modalities: tuple[str, ...] = ("text",)
    engine: str = "vllm"
    max_tokens_per_doc: int | None = None
    revision: str | None = None
    min_vllm_gateway: str | None = None
    hf_overrides: Mapping[str, Any] = field(default_factory=dict)
    tie_word_embeddings: bool | None = None
    template: str | None = None
    vllm_args: tuple[str, ...] = ()
    layers: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    instruction: str | None = None
    aliases: tuple[str, ...] = ()
    community: bool = False

    @property
    def weights_bytes(self) -> int:
        return int(self.weights_gb * 1e9)

    @property
    def kv_bytes_per_token(self) -> int:
        """Key and value of every layer; 0 for an encoder, which keeps none."""
        return 2 * self.layers * self.kv_heads * self.head_dim * (4 if self.dtype == "float32" else 2)

    @property
    def is_folder(self) -> bool:
        return Path(self.hub).is_absolute()

    @property
    def names(self) -> tuple[str, ...]:
        """Everything this model may be asked for by."""
        return (self.name, self.hub, *self.aliases)


@dataclass(frozen=True, slots=True)
class Catalogue:
    models: tuple[Model, ...]
    families: Mapping[str, Mapping[str, Any]]

    def find(self, name: str) -> Model:
        """The model called so, in any case; raises LaunchError naming near matches."""
        by_name = {known.lower(): model for model in self.models for known in model.names}
        if model := by_name.get(name.lower()):
            return model
        near = difflib.get_close_matches(name.lower(), by_name, n=3, cutoff=0.5)
        hint = ", ".join(dict.fromkeys(by_name[match].name for match in near))
        raise LaunchError(
            f"no model called {name!r}" + (f"; did you mean {hint}?" if hint else "; see `rerank models`")
        )

    def folder(self, path: Path, family: str, max_tokens: int | None) -> Model:
        """A model of a known family in a local folder; its sizes are read from its files."""
        if family not in self.families:
            raise LaunchError(f"--family {family}: known families are {', '.join(self.families)}")
        try:
            config = json.loads((path / "config.json").read_text())
        except (OSError, ValueError) as error:
            raise LaunchError(f"{path} holds no readable config.json: {error}") from error
        text = config.get("text_config", config)
        recipe = dict(self.families[family])
        context = int(text.get("max_position_embeddings", recipe.get("context", 512)))
        heads = int(text.get("num_attention_heads", 1))
        causal = "hf_overrides" in recipe
        sizes = {
            "weights_gb": sum(file.stat().st_size for file in path.glob("*.safetensors")) / 1e9,
            "layers": text.get("num_hidden_layers", 0) if causal else 0,
            "kv_heads": text.get("num_key_value_heads", heads),
            "head_dim": text.get("head_dim") or text.get("hidden_size", 0) // heads,
            "context": context,
            "max_tokens": min(max_tokens or recipe.get("max_tokens", context), context),
        }
        if family == "qwen3-vl-reranker":
            sizes["tie_word_embeddings"] = bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings")))
        return _model(path.name, {**recipe, "family": family, "hub": str(path), **sizes})


def read(path: Path | None = None) -> Catalogue:
    """Reads models.yaml: beside this file in an installed package, one folder up in a checkout."""
    here = Path(__file__).parent
    path = path or next(place for place in (here / "models.yaml", here.parent / "models.yaml") if place.exists())
    data = yaml.safe_load(path.read_text())
    families = data["families"]
    models = [_model(name, {**families[entry["family"]], **entry}) for name, entry in data["models"].items()]
    return Catalogue(tuple(models), families)


def _model(name: str, entry: Mapping[str, Any]) -> Model:
    lists: dict[str, Sequence[str]] = {
        key: tuple(entry[key]) for key in ("modalities", "vllm_args", "aliases") if key in entry
    }
    return Model(name=name, **{**entry, **lists})
