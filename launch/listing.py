"""The list of models that `rerank models` prints."""

from typing import Any

from launch.catalogue import Model
from launch.engine import oldest_vllm
from launch.memory import needed_gib

HEAD = ("NAME", "FAMILY", "TAKES", "CONTEXT", "MEMORY", "VLLM FROM", "ALSO CALLED")
NOTE = "* quantised by the community, not measured by us"


def row(model: Model) -> list[str]:
    """The row of a model in the table."""
    return [
        model.name + (" *" if model.community else ""),
        model.family,
        ",".join(model.modalities),
        str(model.context),
        f"{needed_gib(model):.1f} GiB",
        "embedded" if model.engine == "embedded" else oldest_vllm(model),
        ", ".join(model.aliases),
    ]


def entry(model: Model) -> dict[str, Any]:
    """The same facts as JSON, and the hub id."""
    return {
        "name": model.name,
        "hub": model.hub,
        "family": model.family,
        "modalities": list(model.modalities),
        "context": model.context,
        "memory_gib": round(needed_gib(model), 1),
        "engine": model.engine,
        "vllm_from": None if model.engine == "embedded" else oldest_vllm(model),
        "aliases": list(model.aliases),
        "community": model.community,
    }
