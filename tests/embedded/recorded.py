"""Vectors of five texts by sentence-transformers in float32. `vectors.json` names the versions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_FILE = json.loads(Path(__file__).with_name("vectors.json").read_text())


def _text(entry: str | dict[str, Any]) -> str:
    return entry if isinstance(entry, str) else str(entry["repeat"]) * int(entry["times"])


TEXTS: list[str] = [_text(entry) for entry in _FILE["texts"]]
TOKENS = [9, 31, 20, 2, 256]
VECTORS: npt.NDArray[np.float64] = np.array(_FILE["vectors"])
