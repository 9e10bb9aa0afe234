"""Vectors of five texts by the models' own libraries in float32. The files name the versions."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Recorded:
    """Texts in order, their vectors, and their vectors as queries where those are others."""

    texts: list[str]
    vectors: npt.NDArray[np.float64]
    queries: npt.NDArray[np.float64]


def _read(name: str) -> Recorded:
    file = json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    vectors = np.array(file["vectors"])
    return Recorded([_text(entry) for entry in file["texts"]], vectors, np.array(file.get("queries", vectors)))


def _text(entry: str | dict[str, Any]) -> str:
    return entry if isinstance(entry, str) else str(entry["repeat"]) * int(entry["times"])


MINILM = _read("vectors.json")
E5 = _read("vectors_e5.json")
TEXTS = MINILM.texts
