"""The models that a command line asks for: by name, by folder, by profile, or the default for this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from launch.catalogue import Catalogue, Model
from launch.console import Console
from launch.errors import LaunchError
from launch.machine import Machine


@dataclass(frozen=True, slots=True)
class Wish:
    """Options of a command line that apply to every model. `family` is that of a model in a folder."""

    family: str | None = None
    max_tokens: int | None = None


def select(catalogue: Catalogue, name: str, wish: Wish) -> Model:
    """The model called `name`, the one in the folder of that path, or the one of that id on the hub.

    Raises LaunchError.
    """
    if Path(name).is_dir():
        return catalogue.folder(Path(name).absolute(), wish.family, wish.max_tokens)
    model = catalogue.get(name)
    if model is None and name.count("/") == 1:
        return catalogue.unlisted(name, wish.family, wish.max_tokens)
    model = catalogue.completed(model or catalogue.find(name))
    max_tokens = min(wish.max_tokens or model.max_tokens, model.context)
    return msgspec.structs.replace(model, max_tokens=max_tokens)


def select_all(catalogue: Catalogue, names: Sequence[str], wish: Wish) -> list[Model]:
    """All models asked for. Raises LaunchError if one is asked for twice."""
    models = [select(catalogue, name, wish) for name in names]
    if len({model.name.lower() for model in models}) < len(models):
        raise LaunchError("the same model twice")
    return models


def default_name(catalogue: Catalogue, machine: Machine, console: Console) -> str:
    """The default model for a GPU if vLLM can use one here, else the model that runs anywhere. The console says why."""
    if machine.has_gpu and machine.vllm:
        return catalogue.default_models["gpu"]
    name = catalogue.default_models["cpu"]
    missing = "vLLM is not installed (--install-vllm does that)" if machine.has_gpu else "No NVIDIA GPU here"
    console.say(f"{missing}: serving {name}, small, for English and Chinese, good for trying things out")
    return name
