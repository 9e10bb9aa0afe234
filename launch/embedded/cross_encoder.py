"""Cross-encoders of BERT's and XLM-RoBERTa's kind: query and document are read together, as Sentence Transformers does.

The score is the sigmoid of the model's one logit, whatever activation its files name.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from launch.embedded import hub, stored
from launch.embedded.architecture import Architecture, Head
from launch.embedded.encoder import CHARACTERS_PER_TOKEN, Embeddings, Encoder, Source, open_tokenizer
from launch.embedded.scorer import Pair, Scored, sigmoid
from launch.embedded.turns import Turns
from launch.embedded.weights import Precision, Weights, WeightsError, read_safetensors, sha256_of

TOLERANCE: Mapping[Precision, float] = {"int8": 0.05, "uint8": 0.05, "float32": 1e-4}

# The quantised form is compared with float32 on these.
PROBES: Sequence[Pair] = (
    ("how to reset a forgotten password", "Click 'Forgot password' and follow the link in the e-mail."),
    ("how to reset a forgotten password", "The museum is closed on Mondays."),
    ("symptoms of dehydration", "Dry mouth, dark urine and dizziness are signs that the body lacks water."),
    ("symptoms of dehydration", "Dehydration of fruit makes it keep for months."),
    ("东京有多少人口？", "东京的人口约为一千四百万。"),
    ("lighthouse", "The keeper climbed the stairs every evening and wrote down the colour of the sea. " * 20),
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """prefix: of the encoder's tensors. after_padding: the first token's position is the one behind the padding's."""

    prefix: str
    head: Head
    after_padding: bool


_KINDS = {
    "bert": _Kind("bert.", "bert", after_padding=False),
    "roberta": _Kind("roberta.", "roberta", after_padding=True),
    "xlm-roberta": _Kind("roberta.", "roberta", after_padding=True),
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A cross-encoder on this disk. max_tokens: of a pair. root: names its weights."""

    source: Source
    tokenizer: Tokenizer
    max_tokens: int
    root: str


class Model:
    """Logits of pairs. references: float32's logits of the probes."""

    def __init__(self, checkpoint: Checkpoint, encoder: Encoder, references: Sequence[float]) -> None:
        self.tokenizer, self._encoder, self._references = checkpoint.tokenizer, encoder, references
        self._pair_tokenizer = pair_tokenizer(checkpoint)
        self._max_characters = checkpoint.max_tokens * CHARACTERS_PER_TOKEN

    def logit(self, pair: Pair) -> tuple[float, int]:
        """The logit of a pair, cut as Sentence Transformers cuts it, and the number of tokens read."""
        query, document = (text[: self._max_characters] for text in pair)
        encoded = self._pair_tokenizer.encode(query, document)
        return float(self._encoder.run(encoded.ids, encoded.type_ids)[0]), len(encoded.ids)

    def logit_of_ids(self, ids: tuple[int, ...]) -> float:
        """The logit of a pair whose tokens are all of the first type."""
        return float(self._encoder.run(ids)[0])

    def error(self) -> float:
        """The largest difference between the scores of the probes and float32's."""
        pairs = zip(PROBES, self._references, strict=True)
        return max(abs(sigmoid(self.logit(pair)[0]) - sigmoid(reference)) for pair, reference in pairs)


class CrossEncoder:
    """Scores pairs with a cross-encoder."""

    def __init__(self, model: Model, names: Sequence[str], root: str, max_tokens: int, turns: Turns) -> None:
        self.names, self.root, self.max_tokens = names, root, max_tokens
        self._model, self._turns = model, turns
        self.vocabulary = model.tokenizer.get_vocab_size()

    async def score(self, pairs: Sequence[Pair]) -> Scored:
        found = await self._turns.run(self._model.logit, pairs)
        return Scored([found[pair][0] for pair in pairs], sum(found[pair][1] for pair in pairs))

    async def score_ids(self, prompts: Sequence[tuple[int, ...]]) -> Scored:
        found = await self._turns.run(self._model.logit_of_ids, prompts)
        return Scored([found[prompt] for prompt in prompts], sum(len(prompt) for prompt in prompts))

    def token_ids(self, text: str, *, special: bool = True) -> list[int]:
        ids: list[int] = self._model.tokenizer.encode(text, add_special_tokens=special).ids
        return ids

    def token_strings(self, ids: Sequence[int]) -> list[str | None]:
        return [self._model.tokenizer.id_to_token(token) for token in ids]


def find(name: str, revision: str | None, hub_cache: Path) -> Checkpoint:
    """The cross-encoder in a folder or on the hub. Raises WeightsError in one line if it cannot run here."""
    snapshot = hub.find(name, revision, hub_cache)
    config = _json(snapshot.folder / "config.json")
    kind = _kind(name, config)
    weights = snapshot.folder / "model.safetensors"
    tokenizer = snapshot.folder / "tokenizer.json"
    for path in (weights, tokenizer):
        if not path.is_file():
            raise WeightsError(f"{name} has no {path.name}, from which the embedded engine starts")
    first_position = int(config.get("pad_token_id", 1)) + 1 if kind.after_padding else 0
    architecture = Architecture(
        int(config["num_hidden_layers"]), int(config["num_attention_heads"]), float(config["layer_norm_eps"]), kind.head
    )
    tensors = _renamed(read_safetensors(weights), kind.prefix)
    try:
        embeddings = Embeddings.of(tensors, first_position)
    except KeyError as error:
        raise WeightsError(f"{name} has no tensor {error}") from None
    digest = sha256_of(weights)
    source = Source(name.strip("/").replace("/", "--"), digest, architecture, embeddings, lambda: tensors)
    root = f"{name}@{snapshot.revision}:{digest[:8]}" if snapshot.revision else f"{name}:{digest[:8]}"
    return Checkpoint(
        source, open_tokenizer(tokenizer.read_text(encoding="utf-8")), _max_tokens(tokenizer.parent, embeddings), root
    )


def references(checkpoint: Checkpoint, folder: Path) -> list[float]:
    """Float32's logits of the probes, read from `folder` or computed now and written there."""

    def computed() -> bytes:
        from launch.embedded.graph import build

        graph = build(checkpoint.source.weights(), checkpoint.source.architecture, "float32")
        model = Model(checkpoint, Encoder(graph, checkpoint.source.embeddings), [])
        return json.dumps([model.logit(pair)[0] for pair in PROBES]).encode()

    prefix = f"{checkpoint.source.name}-probes-"
    found: list[float] = json.loads(stored.load(folder, prefix, f"{checkpoint.source.sha256[:12]}-", ".json", computed))
    return found


def pair_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """The tokenizer that cuts a pair: token by token from the longer text."""
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer.to_str())
    tokenizer.enable_truncation(checkpoint.max_tokens, strategy="longest_first")
    return tokenizer


def _kind(name: str, config: Mapping[str, Any]) -> _Kind:
    """The kind of model that config.json describes. Raises WeightsError if this engine cannot run it."""
    kind = _KINDS.get(config.get("model_type", ""))
    classifies = any(
        str(made_for).endswith("ForSequenceClassification") for made_for in config.get("architectures") or ()
    )
    if kind is None or not classifies:
        made_for = ", ".join(config.get("architectures") or ()) or config.get("model_type")
        raise WeightsError(f"{name} is a {made_for}; the embedded engine runs cross-encoders of {', '.join(_KINDS)}")
    labels = int(config.get("num_labels") or len(config.get("id2label") or (0, 1)))
    if labels != 1:
        raise WeightsError(f"{name} has {labels} labels, and a reranker has one")
    for setting, needed in (("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
        if config.get(setting, needed) != needed:
            raise WeightsError(f"{name} has {setting} {config[setting]!r}; the embedded engine knows {needed!r} only")
    return kind


def _max_tokens(folder: Path, embeddings: Embeddings) -> int:
    """The longest pair: what the positions allow, or less if the tokenizer says so, as in Sentence Transformers."""
    path = folder / "tokenizer_config.json"
    said = _json(path).get("model_max_length") if path.is_file() else None
    positions = len(embeddings.positions) - embeddings.first_position
    return min(positions, int(said)) if said else positions


def _renamed(weights: Weights, prefix: str) -> Weights:
    """The tensors without the prefix of the encoder. Old checkpoints call a norm's weight and bias gamma and beta."""
    old = {"gamma": "weight", "beta": "bias"}
    renamed = {}
    for name, tensor in weights.items():
        module, _, part = name.removeprefix(prefix).rpartition(".")
        renamed[f"{module}.{old.get(part, part)}"] = tensor
    return renamed


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as JSON ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise WeightsError(f"{path} is not a JSON object")
    return content
