"""Make Qwen3's tokenizer, the ids included, from the byte pairs that `provision.py` fetched.

Runs in `.venv-vllm`. With all 151,643 ranks every id is the one Qwen3-Reranker was trained with ("yes" 9693,
"no" 2152, `<|im_start|>` 151644, ...). With fewer ranks the model is small, "yes" and "no" are still single
tokens, and rare scripts fall back to bytes, which makes the seams between pieces of text harder.
"""

import base64
import itertools
import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from tests.vllm.provision import RANKS

# In the order of their ids, which follow the last rank. Source: tokenizer_config.json of
# Qwen/Qwen3-Reranker-0.6B, where the second group has "special": false.
SPECIAL = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"),
    *("<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
]
ADDED = [
    *("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"),
    *("<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"),
]
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def save_tokenizer(folder: Path, ranks_kept: int) -> Tokenizer:
    """Write tokenizer.json and tokenizer_config.json with the first `ranks_kept` ranks."""
    ranks = read_ranks(ranks_kept)
    letters = byte_letters()
    spelled = {token: "".join(letters[byte] for byte in token) for token in ranks}
    tokenizer = Tokenizer(
        models.BPE(
            vocab={spelled[token]: rank for token, rank in ranks.items()},
            merges=[(spelled[left], spelled[right]) for left, right in merges(ranks)],
        )
    )
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in ADDED])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "Qwen2TokenizerFast",
        "add_prefix_space": False,
        "add_bos_token": False,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "model_max_length": 131072,
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
        "split_special_tokens": False,
        "padding_side": "left",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    return tokenizer


def read_ranks(count: int) -> dict[bytes, int]:
    """First `count` byte sequences of the vocabulary. A token's rank is its id."""
    lines = (line.split() for line in RANKS.read_bytes().splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in lines if int(rank) < count}


def byte_letters() -> dict[int, str]:
    """Printable letter of each byte in byte-level BPE (GPT-2's alphabet)."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


def merges(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Merges, which tiktoken does not store. A token's merge is the two parts that the lower ranks leave of it."""
    return [halves(token, rank, ranks) for token, rank in ranks.items() if len(token) > 1]


def halves(token: bytes, rank: int, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        joined = [ranks.get(left + right, rank) for left, right in itertools.pairwise(parts)]
        place = joined.index(min(joined))
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    left, right = parts
    return left, right
