"""The list of models that `rerank models` prints."""

import re
from typing import Any

from launch.catalogue import Model
from launch.engine import oldest_vllm
from launch.memory import needed_gib

HEAD = ("NAME", "FAMILY", "TAKES", "CONTEXT", "GIB", "LICENCE", "LANGUAGES", "PROVED")
NOTE = """* quantised by the community, not measured by us
GIB: memory, computed. PROVED: prompt and scores equal the authors' on a random tiny model of the class, or not run
All facts, other names and hub ids: rerank models --json
A model that is not listed: rerank up OWNER/NAME, or a folder"""
_VERSION = re.compile(r"-\d.*")


def row(model: Model) -> list[str]:
    """The row of a model in the table, short enough for a terminal."""
    return [
        model.name + (" *" if model.community else ""),
        model.family,
        "text" if model.modalities == ("text",) else "text,media",
        str(model.context),
        f"{needed_gib(model):.1f}",
        # The version is left out of a Creative Commons licence, whose name is long without it.
        _VERSION.sub("", model.licence) if model.licence.startswith("CC") else model.licence,
        model.languages,
        model.proved,
    ]


def entry(model: Model) -> dict[str, Any]:
    """The same facts as JSON, the hub id and other names."""
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
        "licence": model.licence or None,
        "languages": model.languages or None,
        "proved": model.proved,
    }
