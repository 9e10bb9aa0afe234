"""The catalogue of models: reads models.yaml into frozen records and finds a model by any of its names."""

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from launch.checkpoint import Checkpoint, NoFilesError, fetch, read_folder
from launch.errors import LaunchError
from launch.families import Family, author_overrides, confirm, family_of

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
    embeddable: bool = False
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
    logit_mean: float | None = None
    logit_sigma: float | None = None
    instruction: str | None = None
    licence: str = ""
    languages: str = ""
    proved: Literal["tiny model", "real texts", "not run"] = "not run"
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
    families: Mapping[str, Family]
    profiles: Mapping[str, tuple[str, ...]] = {}
    default_models: Mapping[str, str] = {}

    def get(self, name: str) -> Model | None:
        """The model of this name, in upper or lower case."""
        return next((model for model in self.models if name.lower() in map(str.lower, model.names)), None)

    def find(self, name: str) -> Model:
        """The model of this name, in upper or lower case. Raises LaunchError, which suggests similar names."""
        if model := self.get(name):
            return model
        raise LaunchError(f"no model called {name!r}{self.hint(name)}")

    def hint(self, name: str) -> str:
        """Advice for an unknown name: the models of similar names, or the command that lists all."""
        by_name = {known.lower(): model.name for model in self.models for known in model.names}
        near = difflib.get_close_matches(name.lower(), by_name, n=3, cutoff=0.5)
        models = ", ".join(dict.fromkeys(by_name[match] for match in near))
        return f"; did you mean {models}?" if models else "; see `rerank models`"

    def folder(self, path: Path, family: str | None, max_tokens: int | None) -> Model:
        """The model in a local folder. Its family, if none is given, and its sizes are read from its files.

        Raises LaunchError.
        """
        checkpoint = read_folder(path)
        return self._described(checkpoint, path.name, str(path), family, max_tokens)

    def unlisted(self, hub: str, family: str | None, max_tokens: int | None) -> Model:
        """The model of an unlisted repository on the hub, at its newest commit. Raises LaunchError."""
        try:
            checkpoint = fetch(hub, None)
        except NoFilesError as error:
            raise LaunchError(f"{hub} is not in the catalogue, and {error}{self.hint(hub)}") from error
        return self._described(checkpoint, hub.rpartition("/")[2], hub, family, max_tokens)

    def completed(self, model: Model) -> Model:
        """The listed model with what its author's files tell, if its family is read from them. Raises LaunchError."""
        if not self.families[model.family].author_files:
            return model
        with _about(model.name):
            checkpoint = fetch(model.hub, model.revision)
            confirm(checkpoint, self.families, model.family)
        told = {**checkpoint.sizes(), "context": model.context, "revision": checkpoint.revision}
        return msgspec.structs.replace(model, **told, hf_overrides=author_overrides(checkpoint))

    def _described(
        self, checkpoint: Checkpoint, name: str, hub: str, family: str | None, max_tokens: int | None
    ) -> Model:
        with _about(hub):
            if family is None:
                family = family_of(checkpoint, self.families)
            confirm(checkpoint, self.families, family)
        recipe = self.families[family]
        fields = {"context": 512, **recipe.fields_of(checkpoint.architecture), **checkpoint.sizes()}
        fields["max_tokens"] = min(max_tokens or fields.get("max_tokens", fields["context"]), fields["context"])
        if recipe.author_files:
            fields["hf_overrides"] = author_overrides(checkpoint)
        return entry(
            name, {**fields, "family": family, "hub": hub, "revision": checkpoint.revision, "proved": "not run"}
        )


def read(path: Path | None = None) -> Catalogue:
    """Read models.yaml: beside this file in an installed package, one folder up in a checkout.

    Raises LaunchError with the name of the entry that is wrong.
    """
    here = Path(__file__).parent
    path = path or next(place for place in (here / "models.yaml", here.parent / "models.yaml") if place.exists())
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    families = {name: _family(name, fields) for name, fields in data["families"].items()}
    for name, fields in data["models"].items():
        if fields.get("family") not in families:
            raise LaunchError(f"{path}: models.{name}.family: known families are {', '.join(families)}")
    return Catalogue(
        tuple(_listed(name, fields, families[fields["family"]]) for name, fields in data["models"].items()),
        families,
        {name: tuple(chosen) for name, chosen in data.get("profiles", {}).items()},
        data.get("default_models", {}),
    )


def entry(name: str, fields: Mapping[str, Any]) -> Model:
    """A model with these fields. Raises LaunchError with the name of the field that is wrong."""
    try:
        return msgspec.convert({**fields, "name": name}, Model)
    except msgspec.ValidationError as error:
        raise LaunchError(f"models.yaml: models.{name}: {error}") from None


def _family(name: str, fields: Mapping[str, Any]) -> Family:
    own = {field: fields[field] for field in ("architectures", "told_by", "author_files") if field in fields}
    inherited = {field: value for field, value in fields.items() if field not in own}
    try:
        return msgspec.convert({**own, "fields": inherited}, Family)
    except msgspec.ValidationError as error:
        raise LaunchError(f"models.yaml: families.{name}: {error}") from None


def _listed(name: str, fields: Mapping[str, Any], family: Family) -> Model:
    own = {field: value for field, value in fields.items() if field != "architecture"}
    return entry(name, {**family.fields_of(fields.get("architecture")), **own})


@contextmanager
def _about(name: str) -> Iterator[None]:
    """Put the name of the model before the complaint."""
    try:
        yield
    except LaunchError as error:
        raise LaunchError(f"{name}: {error}") from error
