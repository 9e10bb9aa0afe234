"""The catalogue of models: reads models.yaml into frozen records and finds a model by any of its names."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from launch.errors import LaunchError

TEMPLATES = Path(__file__).parent / "templates"


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of models.yaml, with its family's fields filled in. models.yaml explains the fields."""

    name: str
    family: str
    hub: str  # a repository on the hub, or an absolute path of a local folder
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
    hf_overrides: dict[str, Any] = {}
    tie_word_embeddings: bool | None = None
    template: str | None = None
    vllm_args: tuple[str, ...] = ()
    causal: bool = False
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
        """Bytes of key and value over all layers; 0 without causal attention, which alone needs a KV cache."""
        elements = 2 * self.layers * self.kv_heads * self.head_dim
        return elements * (4 if self.dtype == "float32" else 2) if self.causal else 0

    @property
    def is_folder(self) -> bool:
        return Path(self.hub).is_absolute()

    @property
    def names(self) -> tuple[str, ...]:
        """All names by which the model can be asked for."""
        return (self.name, self.hub, *self.aliases)


class Catalogue(msgspec.Struct, frozen=True):
    """The content of models.yaml.

    profiles: model names by profile of `rerank up`. default_models: the model for a machine with a GPU ("gpu") and
    for any other ("cpu").
    """

    models: tuple[Model, ...]
    families: Mapping[str, Mapping[str, Any]]
    profiles: Mapping[str, tuple[str, ...]] = {}
    default_models: Mapping[str, str] = {}

    def find(self, name: str) -> Model:
        """The model of this name, in upper or lower case. Raises LaunchError, which suggests similar names."""
        by_name = {known.lower(): model for model in self.models for known in model.names}
        if model := by_name.get(name.lower()):
            return model
        near = difflib.get_close_matches(name.lower(), by_name, n=3, cutoff=0.5)
        hint = ", ".join(dict.fromkeys(by_name[match].name for match in near))
        raise LaunchError(
            f"no model called {name!r}" + (f"; did you mean {hint}?" if hint else "; see `rerank models`")
        )

    def folder(self, path: Path, family: str, max_tokens: int | None) -> Model:
        """A model of a known family in a local folder. Its sizes are read from its files. Raises LaunchError."""
        if family not in self.families:
            raise LaunchError(f"--family {family}: known families are {', '.join(self.families)}")
        try:
            config = json.loads((path / "config.json").read_text())
        except (OSError, ValueError) as error:
            raise LaunchError(f"{path} holds no readable config.json: {error}") from error
        text = config.get("text_config", config)
        recipe = self.families[family]
        context = int(text.get("max_position_embeddings", recipe.get("context", 512)))
        heads = int(text.get("num_attention_heads", 1))
        sizes = {
            "weights_gb": sum(file.stat().st_size for file in path.glob("*.safetensors")) / 1e9,
            "layers": text.get("num_hidden_layers", 0),
            "kv_heads": text.get("num_key_value_heads", heads),
            "head_dim": text.get("head_dim") or text.get("hidden_size", 0) // heads,
            "context": context,
            "max_tokens": min(max_tokens or recipe.get("max_tokens", context), context),
        }
        if "text_config" in config:
            sizes["tie_word_embeddings"] = bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings")))
        return _model(path.name, {**recipe, "family": family, "hub": str(path), **sizes})


def read(path: Path | None = None) -> Catalogue:
    """Read models.yaml: beside this file in an installed package, one folder up in a checkout.

    Raises LaunchError with the name of the entry that is wrong.
    """
    here = Path(__file__).parent
    path = path or next(place for place in (here / "models.yaml", here.parent / "models.yaml") if place.exists())
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    families = data["families"]
    for name, entry in data["models"].items():
        if entry.get("family") not in families:
            raise LaunchError(f"{path}: models.{name}.family: known families are {', '.join(families)}")
    models = tuple(_model(name, {**families[entry["family"]], **entry}) for name, entry in data["models"].items())
    return Catalogue(
        models,
        families,
        {name: tuple(chosen) for name, chosen in data.get("profiles", {}).items()},
        data.get("default_models", {}),
    )


def _model(name: str, entry: Mapping[str, Any]) -> Model:
    try:
        return msgspec.convert({**entry, "name": name}, Model)
    except msgspec.ValidationError as error:
        raise LaunchError(f"models.yaml: models.{name}: {error}") from None
