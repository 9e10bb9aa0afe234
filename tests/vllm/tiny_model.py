"""Make a tiny Qwen3 with random weights that plays Qwen3-Reranker: same prompt, same arithmetic, a few MB.

Equality with the official recipe is a property of the prompt and of the arithmetic, not of what the weights
have learned. Random weights show a wrong prompt even better, as every token moves the score. The module
describes a model without torch. As a program in `.venv-vllm`, with a folder and the fields as JSON, it makes it.
"""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.vllm.provision import PYTHON, REPOSITORY

CACHE = REPOSITORY / ".cache" / "tiny-models"
ALL_RANKS = 151_643
FEW_RANKS = 12_000


@dataclass(frozen=True, slots=True)
class TinyModel:
    """A model of 0.1 M parameters and an embedding table. The checkpoint and the server have the same `dtype`."""

    seed: int
    dtype: Literal["float32", "bfloat16"] = "float32"
    ranks: int = FEW_RANKS
    # With 0.5 the scores spread over 0.0001 to 0.98; with 0.1 all are near 0.7, with 1.0 all are 0 or 1.
    init_std: float = 0.5
    max_positions: int = 4096

    def folder(self) -> Path:
        """Folder of the model, which the first call makes."""
        sources = [Path(__file__), Path(__file__).with_name("tokenizer.py")]
        recipe = hashlib.sha256(repr(self).encode() + b"".join(path.read_bytes() for path in sources))
        folder = CACHE / f"seed{self.seed}-{self.dtype}-{recipe.hexdigest()[:12]}"
        if not folder.exists():
            fields = json.dumps(dataclasses.asdict(self))
            command: list[str | Path] = [PYTHON, "-m", "tests.vllm.tiny_model", folder, fields]
            subprocess.run(command, cwd=REPOSITORY, check=True)
        return folder


def build(model: TinyModel, folder: Path) -> None:
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from tests.vllm.tokenizer import save_tokenizer

    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    tokenizer = save_tokenizer(unfinished, model.ranks)
    torch.manual_seed(model.seed)
    config = Qwen3Config(
        vocab_size=-(-tokenizer.get_vocab_size() // 64) * 64,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=model.max_positions,
        initializer_range=model.init_std,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id("<|endoftext|>"),
        eos_token_id=tokenizer.token_to_id("<|im_end|>"),
        use_sliding_window=False,
        dtype=model.dtype,
    )
    Qwen3ForCausalLM(config).to(getattr(torch, model.dtype)).save_pretrained(unfinished)
    unfinished.rename(folder)


if __name__ == "__main__":
    build(TinyModel(**json.loads(sys.argv[2])), Path(sys.argv[1]))
