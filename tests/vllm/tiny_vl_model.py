"""Make a tiny Qwen3-VL with random weights that plays Qwen3-VL-Reranker: same prompt, same arithmetic, a few MB.

Run as a program in `.venv-vllm` (a folder and a seed) it makes one.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.vllm.provision import PYTHON, REPOSITORY
from tests.vllm.tiny_model import CACHE, FEW_RANKS

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)


@dataclass(frozen=True, slots=True)
class TinyVlModel:
    """A model of 1.4 M parameters in float32. With weights of 0.2 the scores spread over 0.1 to 0.95."""

    seed: int

    @property
    def dtype(self) -> str:
        return "float32"

    def folder(self) -> Path:
        """Folder of the model, which the first call makes."""
        sources = [Path(__file__), Path(__file__).with_name("tokenizer.py")]
        recipe = hashlib.sha256(b"".join(path.read_bytes() for path in sources))
        folder = CACHE / f"vl-seed{self.seed}-{recipe.hexdigest()[:12]}"
        if not folder.exists():
            command: list[str | Path] = [PYTHON, "-m", "tests.vllm.tiny_vl_model", folder, str(self.seed)]
            subprocess.run(command, cwd=REPOSITORY, check=True)
        return folder


def build(folder: Path, seed: int) -> None:
    import torch
    from transformers import (
        AutoTokenizer,
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    from tests.vllm.tokenizer import save_tokenizer

    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    tokenizer = save_tokenizer(unfinished, FEW_RANKS)
    torch.manual_seed(seed)
    named = {
        name: tokenizer.token_to_id(f"<|{name}|>") for name in ("image_pad", "video_pad", "vision_start", "vision_end")
    }
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": -(-tokenizer.get_vocab_size() // 64) * 64,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 8192,
            "initializer_range": 0.2,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5000000.0,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
            "bos_token_id": tokenizer.token_to_id("<|endoftext|>"),
            "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
            "dtype": "float32",
        },
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "out_hidden_size": 64,
            "deepstack_visual_indexes": [0, 1],
            "num_position_embeddings": 256,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "in_channels": 3,
            "initializer_range": 0.1,
        },
        image_token_id=named["image_pad"],
        video_token_id=named["video_pad"],
        vision_start_token_id=named["vision_start"],
        vision_end_token_id=named["vision_end"],
        tie_word_embeddings=True,
    )
    config.dtype = "float32"
    Qwen3VLForConditionalGeneration(config).float().eval().save_pretrained(unfinished)
    how = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    # Like the published checkpoints it has other limits than the reranker. The flags must change them.
    images = Qwen2VLImageProcessor(**how, size={"shortest_edge": 65536, "longest_edge": 16777216})
    videos = Qwen3VLVideoProcessor(**how, size={"shortest_edge": 4096, "longest_edge": 25165824})
    text = AutoTokenizer.from_pretrained(unfinished)
    Qwen3VLProcessor(images, text, videos, chat_template=CHATML).save_pretrained(unfinished)
    (unfinished / "seed.json").write_text(json.dumps(seed))
    unfinished.rename(folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]))
