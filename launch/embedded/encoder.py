"""A model in memory: token ids of one text or pair in, a vector or a logit out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from launch.embedded.architecture import Architecture
from launch.embedded.weights import Weights, as_float32

Floats = npt.NDArray[np.float32]

# Only the first characters of a text are tokenised. 512 tokens of ordinary text are about 2,000 characters, and the
# tokens of a document with 60 million characters would fill gigabytes.
CHARACTERS_PER_TOKEN = 32
MAX_CHARACTERS = 512 * CHARACTERS_PER_TOKEN


class Rows(Protocol):
    """A matrix of which rows are taken by their numbers."""

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> npt.NDArray[Any]: ...


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The tables of a model's first step. first_position: the row of `positions` for the first token."""

    words: Rows
    positions: Floats
    types: Floats
    first_position: int = 0

    @classmethod
    def of(cls, weights: Weights, first_position: int = 0) -> "Embeddings":
        """The tables under the names of BERT's checkpoints. Raises KeyError with the name of one that is missing."""
        words, positions, types = (
            weights[f"embeddings.{table}_embeddings.weight"] for table in ("word", "position", "token_type")
        )
        return cls(words, as_float32(positions), as_float32(types), first_position)

    def sums(self, ids: Sequence[int], types: Sequence[int]) -> Floats:
        """The sum of each token's word, position and type embedding: [tokens, hidden]."""
        positions = self.positions[self.first_position :][: len(ids)]
        kinds = np.minimum(types, len(self.types) - 1)  # XLM-RoBERTa has one type, whatever its tokenizer says
        sums: Floats = as_float32(self.words[np.array(ids)]) + positions + self.types[kinds]
        return sums


@dataclass(frozen=True, slots=True)
class Source:
    """A model on this disk.

    name: of the files kept for it. sha256: of its weights. weights: reads the tensors that its graph is built from.
    """

    name: str
    sha256: str
    architecture: Architecture
    embeddings: Embeddings
    weights: Callable[[], Weights]


class Encoder:
    """Runs a graph in the caller's thread. Each text is a run of its own; `graph` gives the reason."""

    def __init__(self, graph: bytes, embeddings: Embeddings) -> None:
        self._session, self._embeddings = open_session(graph), embeddings

    def run(self, ids: Sequence[int], types: Sequence[int] | None = None) -> Floats:
        """The vector of a text, or the logit of a pair as the only element. `types` are zeros by default."""
        embedded = self._embeddings.sums(ids, types or [0] * len(ids))
        (result,) = self._session.run(None, {"embedded": embedded})
        found: Floats = result
        return found


def open_session(graph: bytes) -> onnxruntime.InferenceSession:
    """A single-threaded session. onnxruntime raises errors without a common class if it cannot run the graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def open_tokenizer(content: str) -> Tokenizer:
    """The tokenizer without the padding and truncation that tokenizer.json may ask for."""
    tokenizer = Tokenizer.from_str(content)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
