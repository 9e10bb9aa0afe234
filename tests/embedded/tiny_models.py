"""Tiny random cross-encoders of BERT's and XLM-RoBERTa's kind, as folders with the files of the hub."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.embedded.safetensors import write_safetensors

HIDDEN, WIDE, LAYERS, HEADS, TOKENS = 32, 64, 2, 4, 64
WORDS = [
    "how",
    "to",
    "reset",
    "a",
    "password",
    "click",
    "forgot",
    "the",
    "museum",
    "is",
    "closed",
    "garden",
    ".",
    ",",
    "?",
]
CHARACTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)] + list("东京人口密码重置")

PAIRS = [
    ("how to reset a password?", "click forgot password, the museum is closed."),
    ("how to reset a password?", ""),
    ("", "the garden is closed."),
    ("重置密码", "东京人口, garden"),
    ("how to reset", "the garden is closed. " * 40),
    ("a password " * 40, "the museum"),
    ("a password " * 40, "the museum is closed " * 40),
    ("garden? " * 15, "museum, " * 16),
]


def write_bert(folder: Path, **config: Any) -> Path:
    """A BERT of two layers with a WordPiece tokenizer; returns the folder. `config` changes its config.json."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *WORDS, *CHARACTERS, *(f"##{character}" for character in CHARACTERS)]
    tokenizer = {
        "version": "1.0",
        "added_tokens": [_added(id_, text) for id_, text in enumerate(special)],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": _template(("[CLS]", 2), ("[SEP]", 3), between=[("[SEP]", 0)], second_type=1),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {text: id_ for id_, text in enumerate(vocabulary)},
        },
    }
    head = {"bert.pooler.dense": (HIDDEN, HIDDEN), "classifier": (1, HIDDEN)}
    shape = {"vocab_size": len(vocabulary), "max_position_embeddings": TOKENS, "type_vocab_size": 2, "pad_token_id": 0}
    settings = {"model_type": "bert", "architectures": ["BertForSequenceClassification"], **shape, **config}
    return _write(folder, settings, tokenizer, "BertTokenizerFast", _tensors("bert.", shape, head))


def write_xlm_roberta(folder: Path, **config: Any) -> Path:
    """An XLM-RoBERTa of two layers with a unigram tokenizer; returns the folder. `config` changes its config.json."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [*special, "▁", *(f"▁{word}" for word in WORDS), *CHARACTERS, ".", ",", "?"]
    tokenizer = {
        "version": "1.0",
        "added_tokens": [_added(id_, text) for id_, text in enumerate(special)],
        "normalizer": {"type": "NFKC"},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "post_processor": _template(("<s>", 0), ("</s>", 2), between=[("</s>", 0), ("</s>", 0)], second_type=0),
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": [[text, -float(i % 7)] for i, text in enumerate(pieces)]},
    }
    head = {"classifier.dense": (HIDDEN, HIDDEN), "classifier.out_proj": (1, HIDDEN)}
    shape = {"vocab_size": len(pieces), "max_position_embeddings": TOKENS + 2, "type_vocab_size": 1, "pad_token_id": 1}
    settings = {
        "model_type": "xlm-roberta",
        "architectures": ["XLMRobertaForSequenceClassification"],
        **shape,
        **config,
    }
    return _write(folder, settings, tokenizer, "XLMRobertaTokenizerFast", _tensors("roberta.", shape, head))


def _write(
    folder: Path, config: dict[str, Any], tokenizer: dict[str, Any], kind: str, tensors: dict[str, npt.NDArray[Any]]
) -> Path:
    folder.mkdir(parents=True)
    sizes = {
        "hidden_size": HIDDEN,
        "intermediate_size": WIDE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "layer_norm_eps": 1e-5,
        "hidden_act": "gelu",
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
    }
    contents = {
        "config.json": {**sizes, **config},
        "tokenizer.json": {**tokenizer, "truncation": None, "padding": None},
        "tokenizer_config.json": {"tokenizer_class": kind, "model_max_length": TOKENS},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def _tensors(prefix: str, shape: dict[str, int], head: dict[str, tuple[int, int]]) -> dict[str, npt.NDArray[Any]]:
    dice = np.random.default_rng(14)
    tables = {"word": "vocab_size", "position": "max_position_embeddings", "token_type": "type_vocab_size"}
    square, sizes = (
        (HIDDEN, HIDDEN),
        {f"{prefix}embeddings.{t}_embeddings": (shape[n], HIDDEN) for t, n in tables.items()},
    )
    norms = [f"{prefix}embeddings.LayerNorm"]
    linear = dict(head)
    for layer in (f"{prefix}encoder.layer.{number}" for number in range(LAYERS)):
        linear |= {f"{layer}.attention.self.{part}": square for part in ("query", "key", "value")}
        linear |= {f"{layer}.attention.output.dense": square, f"{layer}.intermediate.dense": (WIDE, HIDDEN)}
        linear |= {f"{layer}.output.dense": (HIDDEN, WIDE)}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    drawn = {f"{name}.weight": dice.normal(0, 0.3, size) for name, size in (sizes | linear).items()}
    drawn |= {f"{name}.bias": dice.normal(0, 0.3, size[0]) for name, size in linear.items()}
    drawn |= {f"{name}.weight": dice.normal(1, 0.1, HIDDEN) for name in norms}
    drawn |= {f"{name}.bias": dice.normal(0, 0.1, HIDDEN) for name in norms}
    return drawn


def _added(id_: int, text: str) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": id_, "content": text, **flags}


def _template(
    first: tuple[str, int], last: tuple[str, int], *, between: list[tuple[str, int]], second_type: int
) -> dict[str, Any]:
    def token(text: str, type_id: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": text, "type_id": type_id}}

    def text(name: str, type_id: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": type_id}}

    single = [token(first[0], 0), text("A", 0), token(last[0], 0)]
    middle = [token(*each) for each in between]
    known = {name: {"id": name, "ids": [id_], "tokens": [name]} for name, id_ in (first, last)}
    pair = [token(first[0], 0), text("A", 0), *middle, text("B", second_type), token(last[0], second_type)]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": known}
